// Entry points for streams.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <utility>

#include "emulator/capture.h"
#include "emulator/entry.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

void create(aclrtStream* stream) {
  require_pointer(stream, "stream");
  const auto context = require_context();
  const std::lock_guard lock(runtime().mutex);
  *stream = runtime().stream_handles.add(make_stream(context));
}

void destroy(aclrtStream stream, bool force) {
  if (stream == nullptr)
    refuse_call(ACL_ERROR_RT_PARAM_INVALID, "the default stream is not destroyed by hand");
  const auto found = require_stream(stream);
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  refuse_captured(*found, "the destruction");
  state.stream_handles.remove(stream);
  close_stream(lock, *found, force);
}

void wait_for(aclrtStream stream, int32_t timeout_ms) {
  const auto deadline = deadline_of(timeout_ms);
  const auto found = require_stream(stream);
  std::unique_lock lock(runtime().mutex);
  refuse_captured(*found, "a wait for the end");
  drain_default_stream(lock, *found->context);
  synchronize(lock, *found, deadline, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
}

constexpr uint32_t kStreamFlags = 0x3F;

}  // namespace

aclError aclrtCreateStream(aclrtStream* stream) {
  return guarded("aclrtCreateStream", [&] { create(stream); });
}

aclError aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t priority, uint32_t flags) {
  return guarded("aclrtCreateStreamWithConfig", [&] {
    if (priority > 7)
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("priority {}: expected 0", priority));
    if ((flags & ~kStreamFlags) != 0)
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("flags {:#x}", flags));
    create(stream);
  });
}

aclError aclrtDestroyStream(aclrtStream stream) {
  return guarded("aclrtDestroyStream", [&] { destroy(stream, false); });
}

aclError aclrtDestroyStreamForce(aclrtStream stream) {
  return guarded("aclrtDestroyStreamForce", [&] { destroy(stream, true); });
}

aclError aclrtSynchronizeStream(aclrtStream stream) {
  return guarded("aclrtSynchronizeStream", [&] { wait_for(stream, -1); });
}

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout_ms) {
  return guarded("aclrtSynchronizeStreamWithTimeout", [&] { wait_for(stream, timeout_ms); });
}

aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  return guarded("aclrtStreamQuery", [&] {
    require_pointer(status, "status");
    const auto found = require_stream(stream);
    const std::lock_guard lock(runtime().mutex);
    refuse_captured(*found, "a query");
    if (found->card->fault != ACL_SUCCESS) refuse_call(found->card->fault, found->card->why);
    if (found->idle()) host_clock().wait_until(found->time);
    *status = found->idle() ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY;
  });
}

aclError aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode) {
  return guarded("aclrtSetStreamFailureMode", [&] {
    if (stream == nullptr)
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, "the default stream has no failure mode");
    const auto found = require_stream(stream);
    if (mode > ACL_STOP_ON_FAILURE)
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("mode {}", mode));
    const std::lock_guard lock(runtime().mutex);
    found->failure_mode = mode;
  });
}

aclError aclrtStreamAbort(aclrtStream stream) {
  return guarded("aclrtStreamAbort", [&] {
    const auto found = require_stream(stream);
    const std::lock_guard lock(runtime().mutex);
    refuse_captured(*found, "an abort");
    found->dropping = true;
    found->queue.clear();
    found->work.notify_all();
    found->error = ACL_ERROR_RT_STREAM_ABORT;
    found->why = "the stream was aborted";
    runtime().notify();
  });
}

aclError aclrtStreamGetId(aclrtStream stream, int32_t* id) {
  return guarded("aclrtStreamGetId", [&] {
    require_pointer(id, "id");
    *id = require_stream(stream)->id;
  });
}
// NOLINTEND(readability-identifier-naming)
