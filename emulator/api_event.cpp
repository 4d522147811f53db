// Entry points for events, of the three kinds that ABI lists: plain, flags in hardware, and "Ex"
// ones managed by software. NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <algorithm>
#include <utility>

#include "emulator/capture.h"
#include "emulator/entry.h"
#include "emulator/op.h"
#include "emulator/settings.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint32_t kFlags = 0x7B;

void create(aclrtEvent* event, Event::Kind kind, uint32_t flags) {
  require_pointer(event, "event");
  const auto context = require_context();
  if ((flags & ~kFlags) != 0)
    refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("flags {:#x}", flags));
  if ((flags & ACL_EVENT_EXTERNAL) != 0 &&
      (flags != ACL_EVENT_EXTERNAL || kind != Event::Kind::flag)) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                "EXTERNAL goes with no other flag, and with aclrtCreateEventWithFlag only");
  }
  Card& card = *context->card;
  const std::lock_guard lock(runtime().mutex);
  if (card.num_events >= settings().max_events) {
    refuse_call(ACL_ERROR_RT_NO_EVENT_RESOURCE,
                fmt::format("card {} has {} events, and no more", card.id, card.num_events));
  }
  ++card.num_events;
  auto made = std::make_shared<Event>();
  made->kind = kind;
  made->flags = flags;
  made->card = &card;
  *event = runtime().events.add(std::move(made));
}

std::shared_ptr<Event> require_event(aclrtEvent event) {
  require_context();
  auto found = runtime().events.find(event);
  if (!found) refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is no live event", event));
  return found;
}

void refuse_kind(const char* what) {
  refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("{} of this kind of event", what));
}

// With the lock held.
void refuse_captured_event(Event& event) {
  if (!event.captured_in) return;
  invalidate(*event.captured_in);
  refuse_call(ACL_ERROR_RT_EVENT_CAPTURED, "the event was last recorded inside a capture");
}

// Inside a capture only Ex events, and external ones, mean anything.
void refuse_in_capture(Stream& stream, const Event& event) {
  if (!stream.capture || event.external()) return;
  invalidate(*stream.capture);
  refuse_call(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "this kind of event cannot be captured");
}

void note_record(Stream& stream, Event& event, uint64_t record) {
  catch_up(stream);
  Runtime& state = runtime();
  const std::lock_guard lock(state.mutex);
  event.records_done = std::max(event.records_done, record);
  event.records_issued = std::max(event.records_issued, record);
  event.set = true;
  event.time = stream.time;
  event.recorded_at = paced() ? std::chrono::duration_cast<Clock::duration>(stream.time)
                              : Clock::now().time_since_epoch();
  state.notify();
}

Task event_task(const char* name, std::function<void(Stream&)> run) {
  return {.kind = Task::Kind::event, .name = name, .run = std::move(run)};
}

bool is_complete(const Event& event) {
  if (event.records_done != event.records_issued) return false;
  return event.kind == Event::Kind::ex || event.set;
}

void synchronize_event(aclrtEvent event, int32_t timeout_ms) {
  const auto found = require_event(event);
  const auto deadline = deadline_of(timeout_ms);
  const auto context = require_context();
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  refuse_captured_event(*found);
  drain_default_stream(lock, *context);
  if (found->records_issued == 0) {
    if (found->kind == Event::Kind::ex) return;
    refuse_call(ACL_ERROR_RT_INTERNAL_ERROR, "the event was never recorded");
  }
  const uint64_t record = found->records_issued;
  const auto done = [&] {
    return found->records_done >= record || found->card->fault != ACL_SUCCESS;
  };
  if (!state.wait(lock, done, deadline)) {
    refuse_call(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, "the event is not complete in time");
  }
  if (found->card->fault != ACL_SUCCESS) refuse_call(found->card->fault, found->card->why);
  host_clock().wait_until(found->time);
}

// With the lock held: when the event was recorded.
Clock::duration time_of(const Event& event) {
  if (!event.has_time())
    refuse_call(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "the event was made without TIME_LINE");
  if (!event.recorded_at || event.records_done != event.records_issued) {
    refuse_call(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "the event is not recorded, or not complete");
  }
  return *event.recorded_at;
}

}  // namespace

aclError aclrtCreateEvent(aclrtEvent* event) {
  return guarded("aclrtCreateEvent", [&] { create(event, Event::Kind::plain, 0); });
}

aclError aclrtCreateEventWithFlag(aclrtEvent* event, uint32_t flags) {
  return guarded("aclrtCreateEventWithFlag", [&] { create(event, Event::Kind::flag, flags); });
}

aclError aclrtCreateEventExWithFlag(aclrtEvent* event, uint32_t flags) {
  return guarded("aclrtCreateEventExWithFlag", [&] { create(event, Event::Kind::ex, flags); });
}

aclError aclrtDestroyEvent(aclrtEvent event) {
  return guarded("aclrtDestroyEvent", [&] {
    const auto found = require_event(event);
    const std::lock_guard lock(runtime().mutex);
    runtime().events.remove(event);
    --found->card->num_events;
  });
}

aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
  return guarded("aclrtRecordEvent", [&] {
    const auto found = require_event(event);
    const auto where = require_stream(stream);
    if (found->card != where->card) {
      refuse_call(
          ACL_ERROR_RT_PARAM_INVALID,
          fmt::format(
              "an event of card {} on a stream of card {}", found->card->id, where->card->id));
    }
    std::unique_lock lock(runtime().mutex);
    if (where->capture && found->kind == Event::Kind::ex) return capture_event(*where, *found);
    refuse_in_capture(*where, *found);
    found->captured_in = nullptr;
    // A captured record of an external event is issued at each replay.
    const uint64_t record = where->capture ? 0 : ++found->records_issued;
    lock.unlock();
    submit(*where, event_task("aclrtRecordEvent", [found, record](Stream& stream) {
      note_record(stream, *found, record);
    }));
  });
}

aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
  return guarded("aclrtStreamWaitEvent", [&] {
    const auto found = require_event(event);
    const auto where = require_stream(stream);
    if (found->kind != Event::Kind::plain &&
        (found->flags & (ACL_EVENT_SYNC | ACL_EVENT_EXTERNAL)) == 0) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  "streams wait for events made with SYNC or EXTERNAL only");
    }
    std::unique_lock lock(runtime().mutex);
    if (found->kind == Event::Kind::ex && capture_wait(where, *found)) return;
    refuse_in_capture(*where, *found);
    const uint64_t record = found->records_issued;
    if (found->kind == Event::Kind::ex && record == 0) return;
    ++found->waits_issued;
    lock.unlock();
    submit(*where, event_task("aclrtStreamWaitEvent", [found, record](Stream& waiting) {
      const uint32_t seconds = runtime().op_wait_timeout_s;
      const Deadline deadline =
          seconds == 0 ? Deadline() : Clock::now() + std::chrono::seconds(seconds);
      wait_in_task(
          waiting,
          [&] {
            return found->kind == Event::Kind::ex ? found->records_done >= record : found->set;
          },
          deadline,
          ACL_ERROR_RT_WAIT_TIMEOUT,
          "an event");
      const std::lock_guard guard(runtime().mutex);
      ++found->waits_done;
      waiting.time = std::max(waiting.time, found->time);
    }));
  });
}

aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream) {
  return guarded("aclrtResetEvent", [&] {
    const auto found = require_event(event);
    const auto where = require_stream(stream);
    if (found->kind != Event::Kind::flag) refuse_kind("aclrtResetEvent");
    if ((found->flags & (ACL_EVENT_SYNC | ACL_EVENT_EXTERNAL)) == 0) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  "events made with SYNC or EXTERNAL only can be reset");
    }
    {
      const std::lock_guard lock(runtime().mutex);
      refuse_in_capture(*where, *found);
    }
    submit(*where, event_task("aclrtResetEvent", [found](Stream&) {
      const std::lock_guard lock(runtime().mutex);
      found->set = false;
    }));
  });
}

aclError aclrtSynchronizeEvent(aclrtEvent event) {
  return guarded("aclrtSynchronizeEvent", [&] { synchronize_event(event, -1); });
}

aclError aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout_ms) {
  return guarded("aclrtSynchronizeEventWithTimeout", [&] { synchronize_event(event, timeout_ms); });
}

aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status) {
  return guarded("aclrtQueryEventStatus", [&] {
    require_pointer(status, "status");
    const auto found = require_event(event);
    const std::lock_guard lock(runtime().mutex);
    refuse_captured_event(*found);
    if (found->card->fault != ACL_SUCCESS) refuse_call(found->card->fault, found->card->why);
    const bool complete = is_complete(*found);
    if (complete) host_clock().wait_until(found->time);
    *status = complete ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
  });
}

aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus* status) {
  return guarded("aclrtQueryEvent", [&] {
    require_pointer(status, "status");
    const auto found = require_event(event);
    if (found->kind == Event::Kind::ex) refuse_kind("aclrtQueryEvent");
    const std::lock_guard lock(runtime().mutex);
    const bool complete = is_complete(*found);
    if (complete) host_clock().wait_until(found->time);
    *status = complete ? ACL_EVENT_STATUS_COMPLETE : ACL_EVENT_STATUS_NOT_READY;
  });
}

aclError aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus* status) {
  return guarded("aclrtQueryEventWaitStatus", [&] {
    require_pointer(status, "status");
    const auto found = require_event(event);
    if (found->kind == Event::Kind::ex) refuse_kind("aclrtQueryEventWaitStatus");
    const std::lock_guard lock(runtime().mutex);
    *status = found->waits_done == found->waits_issued ? ACL_EVENT_WAIT_STATUS_COMPLETE
                                                       : ACL_EVENT_WAIT_STATUS_NOT_READY;
  });
}

aclError aclrtEventElapsedTime(float* milliseconds, aclrtEvent start, aclrtEvent end) {
  return guarded("aclrtEventElapsedTime", [&] {
    require_pointer(milliseconds, "milliseconds");
    const auto first = require_event(start);
    const auto last = require_event(end);
    const std::lock_guard lock(runtime().mutex);
    refuse_captured_event(*first);
    refuse_captured_event(*last);
    const auto elapsed = time_of(*last) - time_of(*first);
    if (elapsed.count() < 0) {
      refuse_call(ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL, "the end was recorded before the start");
    }
    *milliseconds = std::chrono::duration<float, std::milli>(elapsed).count();
  });
}

aclError aclrtEventGetTimestamp(aclrtEvent event, uint64_t* microseconds) {
  return guarded("aclrtEventGetTimestamp", [&] {
    require_pointer(microseconds, "microseconds");
    const auto found = require_event(event);
    const std::lock_guard lock(runtime().mutex);
    const auto since = time_of(*found);
    *microseconds =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since).count());
  });
}

aclError aclrtSetOpWaitTimeout(uint32_t seconds) {
  return guarded("aclrtSetOpWaitTimeout", [&] {
    require_initialised();
    runtime().op_wait_timeout_s = seconds;
  });
}
// NOLINTEND(readability-identifier-naming)
