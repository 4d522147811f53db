#include "device/cpu/queued_stream.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace fastchat::device {
namespace {

// Copies are cut into pieces of this size; smaller ones are not worth waking the team for.
constexpr std::int64_t kCopyGrainBytes = 128 * 1024;

class TaskGraph final : public Graph {
 public:
  TaskGraph(Device& device, QueuedStream::TaskList tasks)
      : device_(device), tasks_(std::make_shared<const QueuedStream::TaskList>(std::move(tasks))) {}

  void launch(Stream& stream) override {
    check(&stream.device() == &device_,
          "a graph of {} cannot run on a stream of {}",
          device_.info().name,
          stream.device().info().name);
    static_cast<QueuedStream&>(stream).launch(tasks_);
  }

 private:
  Device& device_;
  std::shared_ptr<const QueuedStream::TaskList> tasks_;
};

StreamEvent& require_cpu_event(Event& event) {
  auto* const cpu_event = dynamic_cast<StreamEvent*>(&event);
  check(cpu_event != nullptr, "cpu: this event belongs to another kind of device");
  return *cpu_event;
}

}  // namespace

QueuedStream::QueuedStream(Device& device, ThreadTeam& team, const std::string& name)
    : device_(device), team_(team) {
  try {
    leader_ = std::thread([this, name] {
      const auto& affinity = team_.options().affinity;
      set_up_thread(affinity.empty() ? std::vector<int>{} : affinity.front(), name);
      run_leader();
    });
    team_.add_leader();
  } catch (const std::system_error& error) {
    fail("cpu: no thread for a stream: {}; allow this process more threads (ulimit -u)",
         error.what());
  }
}

QueuedStream::~QueuedStream() {
  free_slot();
  publish();  // an empty slot: stop
  leader_.join();
  team_.remove_leader();
  const std::string failure = health_->take_unreported();
  if (!failure.empty())
    log::error("cpu: a stream ends with a failure nobody asked for: {}", failure);
}

void QueuedStream::require_no_capture(const char* what) const {
  check(!capture_, "{} inside a capture: a graph holds only this stream's own work", what);
}

// Blocks the host until `count` slots have been executed. The leader wakes it then, and not for
// each slot before.
void QueuedStream::wait_until_done(std::uint32_t count) {
  wake_at_.store(count);
  num_done_.wait(kHostSpin,
                 [&](std::uint32_t done) { return static_cast<std::int32_t>(done - count) >= 0; });
}

QueuedStream::Slot& QueuedStream::free_slot() {
  // Once blocked by a full ring, wait until half of it is free: a wake-up for every slot costs more
  // than the tasks.
  if (next_push_ - num_done_.load() == kNumSlots) wait_until_done(next_push_ - kNumSlots / 2);
  Slot& slot = ring_[next_push_ % kNumSlots];
  slot.number = health_->number_next_item();
  return slot;
}

void QueuedStream::publish() { num_pushed_.store_and_wake(++next_push_); }

void QueuedStream::push(Run run, const void* task, std::size_t size_bytes) {
  if (capture_) {
    Task& captured = capture_->emplace_back();
    captured.run = run;
    std::memcpy(captured.arguments, task, size_bytes);
    return;
  }
  Slot& slot = free_slot();
  slot.run = run;
  std::memcpy(slot.arguments, task, size_bytes);
  publish();
}

void QueuedStream::record(Event& event) {
  require_no_capture("Stream::record");
  StreamEvent& cpu_event = require_cpu_event(event);
  Slot& slot = free_slot();
  slot.reach = cpu_event.begin_recording(health_, slot.number);
  publish();
}

void QueuedStream::wait(Event& event) {
  require_no_capture("Stream::wait");
  std::shared_ptr<Recording> recording = require_cpu_event(event).latest();
  if (!recording) return;
  Slot& slot = free_slot();
  slot.wait_for = std::move(recording);
  publish();
}

void QueuedStream::launch(std::shared_ptr<const TaskList> tasks) {
  if (capture_) {
    capture_->insert(capture_->end(), tasks->begin(), tasks->end());
    return;
  }
  Slot& slot = free_slot();
  slot.tasks = std::move(tasks);
  publish();
}

void QueuedStream::synchronize() {
  require_no_capture("Stream::synchronize");
  wait_until_done(next_push_);
  const std::string failure = health_->take_unreported();
  if (!failure.empty()) throw Failure(failure);
}

void QueuedStream::copy(void* destination, const void* source, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  enqueue([=](CpuTeam& team) {
    const auto copy_piece = [=](std::int64_t begin, std::int64_t end, int) {
      std::memcpy(static_cast<char*>(destination) + begin,
                  static_cast<const char*>(source) + begin,
                  static_cast<std::size_t>(end - begin));
    };
    team.parallel_for(static_cast<std::int64_t>(size_bytes), kCopyGrainBytes, copy_piece);
  });
}

void QueuedStream::copy_from_host(void* destination, const void* source, std::size_t size_bytes) {
  copy(destination, source, size_bytes);
}

void QueuedStream::copy_to_host(void* destination, const void* source, std::size_t size_bytes) {
  copy(destination, source, size_bytes);
}

void QueuedStream::copy_from_peer(void* destination,
                                  const void* source,
                                  Device& source_device,
                                  std::size_t size_bytes) {
  check(source_device.info().kind == DeviceKind::cpu,
        "cpu: copy_from_peer from a device of kind {}",
        to_string(source_device.info().kind));
  copy(destination, source, size_bytes);
}

void QueuedStream::fill(void* destination, std::uint8_t value, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  enqueue([=](CpuTeam& team) {
    const auto fill_piece = [=](std::int64_t begin, std::int64_t end, int) {
      std::memset(
          static_cast<char*>(destination) + begin, value, static_cast<std::size_t>(end - begin));
    };
    team.parallel_for(static_cast<std::int64_t>(size_bytes), kCopyGrainBytes, fill_piece);
  });
}

void QueuedStream::begin_capture() {
  require_no_capture("Stream::begin_capture");
  capture_ = std::make_unique<TaskList>();
}

std::unique_ptr<Graph> QueuedStream::end_capture() {
  check(capture_ != nullptr, "end_capture without begin_capture");
  const std::unique_ptr<TaskList> tasks = std::move(capture_);
  return std::make_unique<TaskGraph>(device_, std::move(*tasks));
}

void QueuedStream::run_leader() {
  std::uint32_t num_done = 0;
  while (true) {
    num_pushed_.wait(team_.leader_spin(), [&](std::uint32_t pushed) { return pushed != num_done; });
    Slot& slot = ring_[num_done % kNumSlots];
    if (slot.run == nullptr && !slot.reach && !slot.wait_for && !slot.tasks) return;
    execute(slot);
    slot.run = nullptr;
    slot.wait_for.reset();
    slot.tasks.reset();
    slot.reach.reset();
    num_done_.store(++num_done);
    if (wake_at_.load() == num_done) num_done_.wake();
  }
}

void QueuedStream::execute(Slot& slot) {
  const bool is_work = slot.run != nullptr || slot.tasks;
  const bool admitted = health_->admits(slot.number, is_work);
  if (slot.reach) slot.reach->reach(health_->failure());
  if (!admitted) return;
  if (slot.run != nullptr) run_task(slot.number, slot.run, slot.arguments);
  if (slot.tasks) {
    for (const Task& task : *slot.tasks) {
      run_task(slot.number, task.run, task.arguments);
      if (!health_->admits(slot.number, true)) break;
    }
  }
  if (slot.wait_for) {
    // The team is free meanwhile: other streams and devices on these cores go on.
    const std::string failure = slot.wait_for->wait(team_.leader_spin());
    if (!failure.empty()) stop_work(slot.number, failure);
  }
}

void QueuedStream::run_task(std::uint64_t number, Run run, const void* arguments) {
  try {
    const std::lock_guard lock(team_.exclusive());
    run(arguments, team_);
  } catch (const std::exception& error) {
    stop_work(number, error.what());
  } catch (...) {
    stop_work(number, "cpu: a task failed without saying why");
  }
}

void QueuedStream::stop_work(std::uint64_t number, const std::string& reason) {
  health_->poison(number, reason);
  if (failure_hook_) failure_hook_(reason);
}

void QueuedStream::on_failure(std::function<void(const std::string& reason)> hook) {
  failure_hook_ = std::move(hook);
}

}  // namespace fastchat::device
