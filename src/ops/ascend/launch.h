// Runs one of CANN's two-phase operators on a stream.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "device/ascend/cann_error.h"
#include "device/ascend/cann_library.h"
#include "device/ascend/npu_stream.h"
#include "ops/ascend/acl_objects.h"

namespace fastchat::ops::ascend {

/// Phase 1 checks the arguments and says what workspace is needed, phase 2 enqueues. The workspace
/// is the stream's scratch.
template <typename Phase1, typename Phase2, typename... Arguments>
void launch(device::ascend::NpuStream& stream,
            const char* name,
            Phase1 phase1,
            Phase2 phase2,
            Arguments... arguments) {
  static_cast<device::ascend::NpuDevice&>(stream.device()).bind();
  std::uint64_t workspace_bytes = 0;
  aclOpExecutor* executor = nullptr;
  device::ascend::check_status(phase1(arguments..., &workspace_bytes, &executor), name, "planning");
  if (stream.mode() == device::ascend::NpuStream::Mode::plans) {
    if (workspace_bytes > 0) stream.take_scratch(workspace_bytes);
    FASTCHAT_CANN_CALL(aclDestroyAclOpExecutor, executor);
    return;
  }
  void* const workspace = workspace_bytes == 0 ? nullptr : stream.take_scratch(workspace_bytes);
  const auto start = [=](aclrtStream on) {
    device::ascend::check_status(
        phase2(workspace, workspace_bytes, executor, on), name, "launching");
  };
  if (device::ascend::CallList* const calls = stream.recorded_calls()) {
    calls->add(executor, start);
    return;
  }
  start(stream.handle());
  if (device::ascend::launches_block()) stream.synchronize();
}

/// A dense temporary of the running operation.
inline device::TensorView temporary(device::ascend::NpuStream& stream,
                                    device::DType dtype,
                                    std::initializer_list<std::int64_t> shape) {
  std::size_t bytes = device::size_of(dtype);
  for (const std::int64_t dim : shape) bytes *= static_cast<std::size_t>(dim);
  return {stream.take_scratch(bytes), dtype, shape};
}

/// A dense temporary of BOOL, which DType does not have.
inline AclTensor temporary_bool(device::ascend::NpuStream& stream,
                                std::initializer_list<std::int64_t> shape) {
  std::size_t bytes = 1;
  for (const std::int64_t dim : shape) bytes *= static_cast<std::size_t>(dim);
  return {stream.take_scratch(bytes), ACL_BOOL, std::span(shape.begin(), shape.size())};
}

/// Gives an operation's temporaries back when it has been enqueued.
class ScratchScope {
 public:
  explicit ScratchScope(device::ascend::NpuStream& stream) : stream_(stream) {}
  ~ScratchScope() { stream_.release_scratch(); }
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

 private:
  device::ascend::NpuStream& stream_;
};

}  // namespace fastchat::ops::ascend

/// FASTCHAT_ACLNN(stream, aclnnMm, self, mat2, out, type): arguments as phase 1 takes them.
#define FASTCHAT_ACLNN(stream, name, ...) \
  ::fastchat::ops::ascend::launch(        \
      stream, #name, FASTCHAT_CANN(name##GetWorkspaceSize), FASTCHAT_CANN(name), __VA_ARGS__)
