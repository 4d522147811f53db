// Entry points of graph capture and replay: aclmdlRI….
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <cstdio>
#include <utility>

#include "emulator/capture.h"
#include "emulator/entry.h"
#include "emulator/settings.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

std::shared_ptr<Graph> require_graph(aclmdlRI graph) {
  const auto context = require_context();
  auto found = runtime().graphs.find(graph);
  if (!found) refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is no live graph", graph));
  if (found->card != context->card) {
    refuse_call(ACL_ERROR_RT_STREAM_CONTEXT,
                fmt::format("the graph was captured on card {}", found->card->id));
  }
  return found;
}

std::shared_ptr<Stream> require_capturing(aclrtStream stream) {
  auto found = require_stream(stream);
  const std::lock_guard lock(runtime().mutex);
  if (!found->capture) refuse_call(ACL_ERROR_RT_STREAM_NOT_CAPTURED, "the stream is not capturing");
  return found;
}

Task replay(std::shared_ptr<Graph> graph) {
  // Each task is looked up when its turn comes: a task update may put another in its place before.
  auto run = [graph = std::move(graph)](Stream& stream) {
    for (size_t next = 0;; ++next) {
      TaskPtr task;
      {
        const std::lock_guard lock(runtime().mutex);
        if (next >= graph->tasks.size()) return;
        task = graph->tasks[next];
      }
      run_task(stream, *task);
    }
  };
  return {.kind = Task::Kind::graph, .name = "aclmdlRIExecuteAsync", .run = std::move(run)};
}

// The graph of the capture, which is over; refuses where it cannot be used.
void finish_capture(Capture& capture) {
  const bool invalidated = capture.invalidated;
  const bool joined = all_joined(capture);
  bool group_open = false;
  for (const auto& [stream, group] : capture.open_group)
    group_open = group_open || group.has_value();
  end_capture(capture);
  if (!invalidated && joined && !group_open) return;
  const auto graph = runtime().graphs.remove(capture.graph_handle);
  graph->card->num_streams -= graph->num_streams;
  if (invalidated) {
    refuse_call(ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED,
                "the capture was spoilt by an earlier call");
  }
  if (!joined)
    refuse_call(ACL_ERROR_RT_STREAM_UNJOINED,
                "a stream that joined the capture was not joined back");
  refuse_call(ACL_ERROR_STREAM_TASK_GROUP_STATUS, "a task group is still open");
}

}  // namespace

aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode) {
  return guarded("aclmdlRICaptureBegin", [&] {
    const auto found = require_stream(stream);
    if (mode < ACL_MODEL_RI_CAPTURE_MODE_GLOBAL || mode > ACL_MODEL_RI_CAPTURE_MODE_RELAXED) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  fmt::format("capture mode {}", static_cast<int>(mode)));
    }
    if (found->is_default) {
      refuse_call(ACL_ERROR_RT_STREAM_CAPTURE_IMPLICIT, "a default stream cannot be captured");
    }
    Runtime& state = runtime();
    const std::lock_guard lock(state.mutex);
    refuse_captured(*found, "a second aclmdlRICaptureBegin");
    auto capture = std::make_shared<Capture>();
    capture->graph = std::make_shared<Graph>();
    capture->graph->card = found->card;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->origin = found.get();
    join_capture(*found, capture);
    capture->graph_handle = state.graphs.add(capture->graph);
    state.captures.push_back(std::move(capture));
  });
}

aclError aclmdlRICaptureGetInfo(aclrtStream stream,
                                aclmdlRICaptureStatus* status,
                                aclmdlRI* graph) {
  return guarded("aclmdlRICaptureGetInfo", [&] {
    require_pointer(status, "status");
    const auto found = require_stream(stream);
    const std::lock_guard lock(runtime().mutex);
    const auto& capture = found->capture;
    *status = !capture               ? ACL_MODEL_RI_CAPTURE_STATUS_NONE
              : capture->invalidated ? ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED
                                     : ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE;
    if (graph != nullptr) *graph = capture ? capture->graph_handle : nullptr;
  });
}

aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI* graph) {
  return guarded("aclmdlRICaptureEnd", [&] {
    require_pointer(graph, "graph");
    const auto found = require_capturing(stream);
    const std::lock_guard lock(runtime().mutex);
    const auto capture = found->capture;
    if (capture->origin != found.get()) {
      refuse_call(ACL_ERROR_RT_STREAM_CAPTURE_UNMATCHED, "the capture began on another stream");
    }
    if (capture->mode != ACL_MODEL_RI_CAPTURE_MODE_RELAXED &&
        capture->thread != std::this_thread::get_id()) {
      // The number came after 8.1, which has none for this.
      refuse_call(ACL_ERROR_RT_STREAM_CAPTURE_WRONG_THREAD,
                  "the capture was begun by another thread");
    }
    finish_capture(*capture);
    *graph = capture->graph_handle;
  });
}

aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode* mode) {
  return guarded("aclmdlRICaptureThreadExchangeMode", [&] {
    require_pointer(mode, "mode");
    if (*mode < ACL_MODEL_RI_CAPTURE_MODE_GLOBAL || *mode > ACL_MODEL_RI_CAPTURE_MODE_RELAXED) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  fmt::format("capture mode {}", static_cast<int>(*mode)));
    }
    std::swap(*mode, thread_capture_mode());
  });
}

aclError aclmdlRIExecuteAsync(aclmdlRI graph, aclrtStream stream) {
  return guarded("aclmdlRIExecuteAsync", [&] {
    const auto found = require_graph(graph);
    const auto where = require_stream(stream);
    {
      const std::lock_guard lock(runtime().mutex);
      for (const auto& capture : runtime().captures) {
        if (capture->graph == found)
          refuse_call(ACL_ERROR_RT_MODEL_CAPTURED, "the graph is still being captured");
      }
    }
    submit(*where, replay(found));
  });
}

aclError aclmdlRIExecute(aclmdlRI graph, int32_t timeout_ms) {
  return guarded("aclmdlRIExecute", [&] {
    const auto found = require_graph(graph);
    const auto deadline = deadline_of(timeout_ms);
    const auto where = require_stream(nullptr);
    submit(*where, replay(found));
    std::unique_lock lock(runtime().mutex);
    synchronize(lock, *where, deadline, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  });
}

aclError aclmdlRIDestroy(aclmdlRI graph) {
  return guarded("aclmdlRIDestroy", [&] {
    const auto found = require_graph(graph);
    const std::lock_guard lock(runtime().mutex);
    for (const auto& capture : runtime().captures) {
      if (capture->graph == found)
        refuse_call(ACL_ERROR_RT_MODEL_CAPTURED, "the graph is still being captured");
    }
    runtime().graphs.remove(graph);
    runtime().task_groups.remove_if([&](const TaskGroup& group) { return group.graph == found; });
    found->card->num_streams -= found->num_streams;
  });
}

aclError aclmdlRIDebugPrint(aclmdlRI graph) {
  return guarded("aclmdlRIDebugPrint", [&] {
    const auto found = require_graph(graph);
    const std::lock_guard lock(runtime().mutex);
    fmt::print(stderr,
               "[emulator] a graph of {} tasks on card {}\n",
               found->tasks.size(),
               found->card->id);
    for (const TaskPtr& task : found->tasks) fmt::print(stderr, "[emulator]   {}\n", task->name);
  });
}

aclError aclmdlRICaptureTaskGrpBegin(aclrtStream stream) {
  return guarded("aclmdlRICaptureTaskGrpBegin", [&] {
    const auto found = require_capturing(stream);
    const std::lock_guard lock(runtime().mutex);
    Capture& capture = *found->capture;
    auto& open = capture.open_group[found.get()];
    if (open) {
      invalidate(capture);
      refuse_call(ACL_ERROR_STREAM_TASK_GROUP_STATUS, "the stream has a task group open already");
    }
    open = capture.graph->groups.size();
    capture.graph->groups.emplace_back();
  });
}

aclError aclmdlRICaptureTaskGrpEnd(aclrtStream stream, aclrtTaskGrp* group) {
  return guarded("aclmdlRICaptureTaskGrpEnd", [&] {
    require_pointer(group, "group");
    const auto found = require_capturing(stream);
    Runtime& state = runtime();
    const std::lock_guard lock(state.mutex);
    Capture& capture = *found->capture;
    auto& open = capture.open_group[found.get()];
    if (!open) {
      invalidate(capture);
      refuse_call(ACL_ERROR_STREAM_TASK_GROUP_STATUS, "the stream has no task group open");
    }
    *group = state.task_groups.add(std::make_shared<TaskGroup>(TaskGroup{capture.graph, *open}));
    open.reset();
  });
}

aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream stream, aclrtTaskGrp group) {
  return guarded("aclmdlRICaptureTaskUpdateBegin", [&] {
    const auto found = require_stream(stream);
    Runtime& state = runtime();
    const auto target = state.task_groups.find(group);
    if (!target)
      refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is no live task group", group));
    const std::lock_guard lock(state.mutex);
    refuse_captured(*found, "a task update");
    if (found->update)
      refuse_call(ACL_ERROR_STREAM_TASK_GROUP_STATUS,
                  "the stream is updating a task group already");
    found->update = Stream::Update{target->graph, target->index, {}};
  });
}

aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream stream) {
  return guarded("aclmdlRICaptureTaskUpdateEnd", [&] {
    const auto found = require_stream(stream);
    std::unique_lock lock(runtime().mutex);
    if (!found->update)
      refuse_call(ACL_ERROR_STREAM_TASK_GROUP_STATUS, "the stream is not updating a task group");
    auto update = *std::exchange(found->update, std::nullopt);
    lock.unlock();
    const auto& group = update.graph->groups[update.group];
    if (update.tasks.size() != group.size()) {
      refuse_call(
          ACL_ERROR_STREAM_TASK_GROUP_STATUS,
          fmt::format("{} operators to update a group of {}", update.tasks.size(), group.size()));
    }
    auto run = [update = std::move(update)](Stream& stream) {
      catch_up(stream);
      if (settings().ignores_updates) return;
      const std::lock_guard guard(runtime().mutex);
      const auto& indices = update.graph->groups[update.group];
      for (size_t i = 0; i < indices.size(); ++i) update.graph->tasks[indices[i]] = update.tasks[i];
    };
    submit(*found,
           {.kind = Task::Kind::control,
            .name = "aclmdlRICaptureTaskUpdateEnd",
            .run = std::move(run)});
  });
}

// NOLINTEND(readability-identifier-naming)
