#include "emulator/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "emulator/address_space.h"
#include "emulator/capture.h"
#include "emulator/costs.h"
#include "emulator/errors.h"
#include "emulator/memory.h"
#include "emulator/op.h"
#include "emulator/report.h"
#include "emulator/settings.h"
#include "emulator/visible_devices.h"

namespace emulator {
namespace {

constexpr size_t kQueueDepth = 2048;  // tasks a hardware queue holds

struct Dropped {};  // the stream goes: thrown out of a task that waits

// After these a card does nothing until it is reset.
bool is_fatal(aclError code) {
  return code == ACL_ERROR_RT_AICORE_EXCEPTION || code == ACL_ERROR_RT_VECTOR_CORE_EXCEPTION ||
         code == ACL_ERROR_RT_DEVICE_MEM_ERROR || code == ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR ||
         code == ACL_ERROR_RT_LOST_HEARTBEAT;
}

bool skips_tasks(const Stream& stream) {
  return stream.dropping || stream.card->fault != ACL_SUCCESS ||
         (stream.error != ACL_SUCCESS && stream.failure_mode == ACL_STOP_ON_FAILURE);
}

// Random waits show where an order was only luck.
void delay(Stream& stream) {
  if (!settings().delay_seed) return;
  const uint64_t draw = stream.delays();
  if (draw % 4 != 0) return;
  const auto longest = static_cast<uint64_t>(settings().max_delay.count());
  std::this_thread::sleep_for(std::chrono::microseconds(longest == 0 ? 0 : (draw >> 8) % longest));
}

void note_fault(Stream& stream, const DeviceFault& fault, const std::string& task) {
  stream.error = fault.code;
  stream.why = fmt::format("{} on card {}: {}", task, stream.card->id, fault.message);
  if (is_fatal(fault.code) && stream.card->fault == ACL_SUCCESS) {
    stream.card->fault = fault.code;
    stream.card->why = stream.why;
  }
}

// Keeps the stream from running ahead of the wall clock by more than `ahead`. The caller holds the
// lock.
void hold(std::unique_lock<std::mutex>& lock, Stream& stream, std::chrono::microseconds ahead) {
  stream.work.wait_until(lock, paced_clock().wall_time(stream.time) - ahead, [&] {
    return stream.dropping || stream.card->fault != ACL_SUCCESS || runtime().stopping;
  });
}

bool is_ahead(const Stream& stream, std::chrono::microseconds ahead) {
  return paced() && paced_clock().holds() &&
         Clock::now() < paced_clock().wall_time(stream.time) - ahead;
}

void hold_back(Stream& stream, std::chrono::microseconds ahead) {
  if (!is_ahead(stream, ahead)) return;
  std::unique_lock lock(runtime().mutex);
  hold(lock, stream, ahead);
}

// What the calling thread spends on handing a task over.
Simulated launch_cost(Task::Kind kind) {
  switch (kind) {
    case Task::Kind::op:
    case Task::Kind::collective:
      return costs().launch();
    case Task::Kind::graph:
      return costs().graph_launch();
    default:
      return Simulated(0);
  }
}

/// Runs a task on the calling thread. The caller holds the lock, and the stream is not running.
void execute(std::unique_lock<std::mutex>& lock, Stream& stream, const QueuedTask& next) {
  stream.running = true;
  stream.time = std::max(stream.time, next.submitted);
  lock.unlock();
  std::optional<DeviceFault> fault;
  try {
    run_task(stream, *next.task);
  } catch (const DeviceFault& thrown) {
    fault = thrown;
  } catch (const Dropped&) {
    // Nobody waits for its result.
  }
  lock.lock();
  if (fault) note_fault(stream, *fault, next.task->name);
  const auto nothing = std::chrono::microseconds(0);
  if (stream.queue.empty() && is_ahead(stream, nothing)) hold(lock, stream, nothing);
  stream.running = false;
  if (fault) runtime().notify();
}

/// A card that takes no time has done an operator when the call returns. Handing it to the stream's
/// thread would be most of what a client is seen to spend.
bool is_done_at_once(const Stream& stream, const Task& task) {
  return paced() && !paced_clock().holds() && stream.idle() && !stream.closing &&
         !skips_tasks(stream) && (task.kind == Task::Kind::op || task.kind == Task::Kind::copy);
}

void work(const std::shared_ptr<Stream>& stream) {
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  while (true) {
    stream->work.wait(lock, [&] { return !stream->queue.empty() || stream->closing; });
    if (state.stopping || stream->queue.empty()) break;
    const QueuedTask next = std::move(stream->queue.front());
    stream->queue.pop_front();
    const bool was_full = stream->queue.size() + 1 == kQueueDepth;
    if (!skips_tasks(*stream)) execute(lock, *stream, next);
    // Whoever waits, waits for the end or for room.
    if (was_full || stream->idle()) state.notify();
  }
  stream->has_worker = false;
  state.notify();
}

}  // namespace

Runtime::Runtime() {
  const Settings& read = settings();
  for (int id = 0; id < read.num_cards; ++id) {
    auto card = std::make_unique<Card>();
    card->id = id;
    card->memory_bytes = read.memory_bytes[static_cast<size_t>(id)];
    card->taken_bytes = read.taken_bytes[static_cast<size_t>(id)];
    cards.push_back(std::move(card));
  }
  visible = parse_visible_devices(std::getenv("ASCEND_RT_VISIBLE_DEVICES"), read.num_cards);
  std::atexit([] {
    write_report();
    Runtime& state = runtime();
    std::unique_lock lock(state.mutex);
    state.stopping = true;
  });
}

Runtime& runtime() {
  static Runtime& state = *new Runtime();  // workers may outlive main
  return state;
}

// ---- requirements -----------------------------------------------------------------------------

void require_initialised() {
  if (!runtime().initialised) refuse_call(ACL_ERROR_UNINITIALIZE, "aclInit has not been called");
}

Card& require_card(int64_t user_id) {
  const auto& visible = runtime().visible;
  if (visible.empty()) {
    refuse_call(ACL_ERROR_RT_NO_DEVICE,
                "no card is visible (ASCEND_RT_VISIBLE_DEVICES names none, or there is none)");
  }
  if (user_id < 0 || static_cast<size_t>(user_id) >= visible.size()) {
    refuse_call(ACL_ERROR_RT_INVALID_DEVICEID,
                fmt::format("device {}: expected 0 to {}", user_id, visible.size() - 1));
  }
  return *runtime().cards[static_cast<size_t>(visible[static_cast<size_t>(user_id)])];
}

int user_id(const Card& card) {
  const auto& visible = runtime().visible;
  return static_cast<int>(std::find(visible.begin(), visible.end(), card.id) - visible.begin());
}

std::shared_ptr<Context>& current_context() {
  thread_local std::shared_ptr<Context> context;
  return context;
}

std::shared_ptr<Context> require_context() {
  require_initialised();
  const auto& context = current_context();
  if (!context)
    refuse_call(ACL_ERROR_RT_CONTEXT_NULL, "this thread has set no device and no context");
  if (!context->alive)
    refuse_call(ACL_ERROR_RT_CONTEXT_NULL,
                "this thread's context was destroyed, or its device reset");
  return context;
}

std::shared_ptr<Stream> require_stream(aclrtStream stream) {
  const auto context = require_context();
  if (stream == nullptr) {
    const std::lock_guard lock(runtime().mutex);
    if (!context->default_stream) {
      context->default_stream = make_stream(context);
      context->default_stream->is_default = true;
    }
    return context->default_stream;
  }
  auto found = runtime().stream_handles.find(stream);
  if (!found) refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is no live stream", stream));
  if (found->context != context) {
    refuse_call(ACL_ERROR_RT_STREAM_CONTEXT,
                fmt::format("the stream belongs to another context (card {}; current: card {})",
                            found->card->id,
                            context->card->id));
  }
  return found;
}

Deadline deadline_of(int32_t timeout_ms) {
  if (timeout_ms == -1) return std::nullopt;
  if (timeout_ms <= 0) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("timeout {} ms: expected -1, or more than 0", timeout_ms));
  }
  return Clock::now() + std::chrono::milliseconds(timeout_ms);
}

// ---- streams ----------------------------------------------------------------------------------

std::shared_ptr<Stream> make_stream(const std::shared_ptr<Context>& context) {
  Runtime& state = runtime();
  Card& card = *context->card;
  if (card.num_streams >= settings().max_streams) {
    refuse_call(
        ACL_ERROR_RT_NO_STREAM_RESOURCE,
        fmt::format("card {} has {} streams and graphs, and no more", card.id, card.num_streams));
  }
  auto stream = std::make_shared<Stream>();
  stream->context = context;
  stream->card = &card;
  stream->id = ++state.last_stream_id;
  stream->delays.seed(settings().delay_seed.value_or(0) * 1000003 +
                      static_cast<uint64_t>(stream->id));
  ++card.num_streams;
  ++card.streams_created;
  state.streams.push_back(stream);
  return stream;
}

void close_stream(std::unique_lock<std::mutex>& lock, Stream& stream, bool drop) {
  Runtime& state = runtime();
  const auto alive = stream.shared_from_this();
  if (drop) {
    stream.dropping = true;
    stream.queue.clear();
  }
  stream.closing = true;
  stream.work.notify_all();
  state.notify();
  state.wait(lock, [&] { return !stream.has_worker; });
  if (std::erase(state.streams, alive) > 0) --stream.card->num_streams;
}

void reset_card(std::unique_lock<std::mutex>& lock, Card& card) {
  Runtime& state = runtime();
  for (const auto& stream : std::vector(state.streams)) {
    if (stream->card == &card) {
      if (stream->capture) end_capture(*stream->capture);
      close_stream(lock, *stream, true);
    }
  }
  for (const auto& context : state.contexts.all()) {
    if (context->card != &card) continue;
    context->alive = false;
    context->default_stream = nullptr;  // which holds its context in turn
  }
  card.default_context = nullptr;
  const auto here = [&](const auto& object) { return object.card == &card; };
  state.contexts.remove_if(here);
  state.stream_handles.remove_if(here);
  state.events.remove_if(here);
  state.graphs.remove_if(here);
  state.task_groups.remove_if([&](const TaskGroup& group) { return group.graph->card == &card; });
  address_space().release_card(card.id);
  for (const auto& [address, bytes] : card.charged) uncharge(card, bytes);
  card.charged.clear();
  card.set_count = 0;
  card.num_streams = 0;
  card.num_events = 0;
  card.reaches = 0;
  card.fault = ACL_SUCCESS;
  card.why.clear();
}

void submit(Stream& stream, Task task) {
  Runtime& state = runtime();
  const auto submitted = paced() ? host_clock().spend(launch_cost(task.kind)) : Simulated(0);
  std::unique_lock lock(state.mutex);
  if (stream.card->fault != ACL_SUCCESS) refuse_call(stream.card->fault, stream.card->why);
  auto shared = std::make_shared<const Task>(std::move(task));
  if (stream.capture) return record(stream, std::move(shared));
  if (stream.update) return collect_update(stream, std::move(shared));
  if (is_done_at_once(stream, *shared)) {
    execute(lock, stream, {std::move(shared), submitted});
    if (stream.idle()) state.notify();
    return;
  }
  state.wait(lock, [&] {
    return stream.queue.size() < kQueueDepth || skips_tasks(stream) || stream.closing;
  });
  stream.queue.push_back({std::move(shared), submitted});
  if (!stream.has_worker) {
    stream.has_worker = true;
    std::thread(work, stream.shared_from_this()).detach();
  }
  if (!stream.running) stream.work.notify_one();  // else the worker looks for more by itself
}

void run_task(Stream& stream, const Task& task) {
  delay(stream);
  task.run(stream);
  const bool is_work = task.kind == Task::Kind::op || task.kind == Task::Kind::collective ||
                       task.kind == Task::Kind::copy;
  if (!is_work) return;
  const Simulated begin = stream.time;
  stream.time += task.duration;
  stream.card->ledger.note(
      {task.kind, task.name, stream.id, task.route, task.bytes, {begin, stream.time}});
  hold_back(stream, kMaxAhead);
}

void catch_up(Stream& stream) { hold_back(stream, std::chrono::microseconds(0)); }

void occupy(Card& card, const char* call, Simulated duration, Route route, double bytes) {
  if (!paced()) return;
  const Simulated end = host_clock().spend(duration);
  card.ledger.note({TaskKind::copy, call, 0, route, bytes, {end - duration, end}});
}

void wait_in_task(Stream& stream,
                  const std::function<bool()>& done,
                  Deadline deadline,
                  aclError timeout_code,
                  const std::string& what) {
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  const auto gone = [&] {
    return stream.dropping || stream.card->fault != ACL_SUCCESS || state.stopping;
  };
  const bool met = state.wait(
      lock, [&] { return gone() || done(); }, deadline);
  if (gone()) throw Dropped{};
  if (!met) throw DeviceFault{timeout_code, "timed out waiting for " + what};
}

void synchronize(std::unique_lock<std::mutex>& lock,
                 Stream& stream,
                 Deadline deadline,
                 aclError timeout_code) {
  Runtime& state = runtime();
  const auto alive = stream.shared_from_this();
  if (!state.wait(
          lock, [&] { return stream.idle() || stream.card->fault != ACL_SUCCESS; }, deadline)) {
    refuse_call(timeout_code, "the stream's work is not done in time");
  }
  if (stream.card->fault != ACL_SUCCESS) refuse_call(stream.card->fault, stream.card->why);
  if (stream.error != ACL_SUCCESS) {
    const aclError error = stream.error;
    // Where later tasks go on, an error is told once.
    if (stream.failure_mode == ACL_CONTINUE_ON_FAILURE && !stream.dropping)
      stream.error = ACL_SUCCESS;
    refuse_call(error, stream.why);
  }
  host_clock().wait_until(stream.time);
}

void drain_default_stream(std::unique_lock<std::mutex>& lock, const Context& context) {
  const auto stream = context.default_stream;
  if (!stream) return;
  runtime().wait(lock, [&] { return stream->idle() || skips_tasks(*stream); });
  if (stream->idle()) host_clock().wait_until(stream->time);
}

}  // namespace emulator
