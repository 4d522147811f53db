#include "emulator/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "emulator/errors.h"
#include "emulator/op.h"
#include "emulator/settings.h"

namespace emulator {
namespace {

bool capturable(Task::Kind kind) {
  return kind != Task::Kind::callback && kind != Task::Kind::graph;
}

// Steps of the stream that another must have waited for before the capture ends.
uint64_t& steps(Capture& capture, const Stream& stream) { return capture.before[&stream][&stream]; }

}  // namespace

aclmdlRICaptureMode& thread_capture_mode() {
  thread_local aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  return mode;
}

void join_capture(Stream& stream, const std::shared_ptr<Capture>& capture) {
  if (stream.capture) return;
  Card& card = *stream.card;
  if (card.num_streams >= settings().max_streams) {
    refuse_call(
        ACL_ERROR_RT_NO_STREAM_RESOURCE,
        fmt::format("card {} has {} streams and graphs, and no more", card.id, card.num_streams));
  }
  stream.capture = capture;
  ++capture->graph->num_streams;
  ++card.num_streams;
  steps(*capture, stream) = 1;  // a fork has to be joined, even without work
}

bool all_joined(Capture& capture) {
  const auto& origin = capture.before[capture.origin];
  return std::all_of(capture.before.begin(), capture.before.end(), [&](const auto& entry) {
    const auto seen = origin.find(entry.first);
    return seen != origin.end() && seen->second == entry.second.at(entry.first);
  });
}

void record(Stream& stream, TaskPtr task) {
  Capture& capture = *stream.capture;
  if (capture.invalidated) {
    refuse_call(ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED,
                "the capture was spoilt by an earlier call");
  }
  if (!capturable(task->kind)) {
    invalidate(capture);
    refuse_call(ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT, task->name + " cannot be captured");
  }
  const auto open = capture.open_group.find(&stream);
  if (open != capture.open_group.end() && open->second) {
    if (task->kind != Task::Kind::op) {
      invalidate(capture);
      refuse_call(ACL_ERROR_RT_TASK_TYPE_NOT_SUPPORT,
                  task->name + " cannot be part of a task group");
    }
    capture.graph->groups[*open->second].push_back(capture.graph->tasks.size());
  }
  capture.graph->tasks.push_back(std::move(task));
  ++steps(capture, stream);
}

void collect_update(Stream& stream, TaskPtr task) {
  Stream::Update& update = *stream.update;
  const auto& group = update.graph->groups[update.group];
  if (task->kind != Task::Kind::op) {
    refuse_call(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, task->name + " cannot be updated");
  }
  const size_t next = update.tasks.size();
  if (next >= group.size()) {
    refuse_call(
        ACL_ERROR_STREAM_TASK_GROUP_STATUS,
        fmt::format(
            "{} is operator {} of an update of a group of {}", task->name, next + 1, group.size()));
  }
  const std::string& captured = update.graph->tasks[group[next]]->name;
  if (task->name != captured) {
    refuse_call(ACL_ERROR_RT_FEATURE_NOT_SUPPORT_UPDATE_OP,
                fmt::format("{} cannot take the place of {}", task->name, captured));
  }
  update.tasks.push_back(std::move(task));
}

void capture_event(Stream& stream, Event& event) {
  event.captured_in = stream.capture;
  event.covers = stream.capture->before[&stream];
}

bool capture_wait(const std::shared_ptr<Stream>& stream, Event& event) {
  const auto capture = event.captured_in;
  if (!capture && !stream->capture) return false;
  if (!capture) {
    if (event.records_issued == 0) return true;  // as outside: nothing to wait for
    invalidate(*stream->capture);
    refuse_call(ACL_ERROR_RT_CAPTURE_DEPENDENCY,
                "a captured stream waits for an event that was recorded outside the capture");
  }
  if (stream->capture && stream->capture != capture) {
    invalidate(*stream->capture);
    invalidate(*capture);
    refuse_call(ACL_ERROR_STREAM_CAPTURE_CONFLICT, "the event belongs to another capture");
  }
  if (capture->origin == nullptr) {
    refuse_call(ACL_ERROR_RT_EVENT_CAPTURED,
                "the event was last recorded inside a capture that has ended");
  }
  if (stream->is_default) {
    invalidate(*capture);
    refuse_call(ACL_ERROR_RT_STREAM_CAPTURE_IMPLICIT, "a default stream cannot join a capture");
  }
  join_capture(*stream, capture);
  auto& before = capture->before[stream.get()];
  for (const auto& [other, count] : event.covers) before[other] = std::max(before[other], count);
  return true;
}

void invalidate(Capture& capture) { capture.invalidated = true; }

void end_capture(Capture& capture) {
  Runtime& state = runtime();
  for (const auto& stream : state.streams) {
    if (stream->capture.get() == &capture) stream->capture = nullptr;
  }
  capture.origin = nullptr;
  std::erase_if(state.captures, [&](const auto& other) { return other.get() == &capture; });
}

void refuse_captured(Stream& stream, const char* what) {
  if (!stream.capture) return;
  invalidate(*stream.capture);
  refuse_call(ACL_ERROR_RT_STREAM_CAPTURED, fmt::format("{} of a stream that is capturing", what));
}

void check_unsafe_call(const char* what, bool asynchronous) {
  Runtime& state = runtime();
  const std::lock_guard lock(state.mutex);
  if (thread_capture_mode() == ACL_MODEL_RI_CAPTURE_MODE_RELAXED) return;
  for (const auto& capture : state.captures) {
    const bool mine = capture->thread == std::this_thread::get_id() &&
                      capture->mode != ACL_MODEL_RI_CAPTURE_MODE_RELAXED;
    const bool everybodys = capture->mode == ACL_MODEL_RI_CAPTURE_MODE_GLOBAL &&
                            thread_capture_mode() == ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
    if (!mine && !everybodys) continue;
    invalidate(*capture);
    const bool has_own_code = asynchronous && cann_version() >= 850;
    refuse_call(
        has_own_code ? ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC
                     : ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT,
        fmt::format(
            "{} while a graph is captured {}", what, mine ? "by this thread" : "in global mode"));
  }
}

}  // namespace emulator
