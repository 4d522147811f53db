#include "device/ascend/call_list.h"

#include <utility>

#include "base/log.h"
#include "device/ascend/cann_error.h"
#include "device/ascend/cann_library.h"
#include "device/ascend/npu_stream.h"

namespace fastchat::device::ascend {

CallList::~CallList() {
  try {
    device_.bind();
    for (aclOpExecutor* const executor : executors_)
      FASTCHAT_CANN_CALL(aclDestroyAclOpExecutor, executor);
  } catch (const std::exception& failure) {
    log::error("{}", failure.what());
  }
}

void CallList::add(Call call) {
  calls_.push_back([call = std::move(call)](NpuStream& stream) { call(stream.handle()); });
}

void CallList::add(aclOpExecutor* executor, Call call) {
  const aclnnStatus status = FASTCHAT_CANN(aclSetAclOpExecutorRepeatable)(executor);
  if (status != ACL_SUCCESS) {
    const std::string failure = describe_failure(status, "aclSetAclOpExecutorRepeatable");
    FASTCHAT_CANN(aclDestroyAclOpExecutor)(executor);
    fail("{}", failure);
  }
  executors_.push_back(executor);
  add(std::move(call));
}

void CallList::add_adjustable(Adjustable call, std::span<const std::int32_t> context_lens) {
  context_lens_.assign(context_lens.begin(), context_lens.end());
  calls_.push_back(
      [this, call = std::move(call)](NpuStream& stream) { call(stream, context_lens_); });
}

void CallList::set_lengths(Stream& /*updates*/, std::span<const std::int32_t> context_lens) {
  context_lens_.assign(context_lens.begin(), context_lens.end());
}

void CallList::launch(Stream& stream) {
  NpuStream& own = npu_stream(stream, "launch");
  require_own(device_, own);
  device_.bind();
  for (const auto& call : calls_) call(own);
  if (launches_block()) own.synchronize();
}

}  // namespace fastchat::device::ascend
