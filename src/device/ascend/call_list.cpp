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

void CallList::launch(Stream& stream) {
  NpuStream& own = npu_stream(stream, "launch");
  require_own(device_, own);
  device_.bind();
  for (const Call& call : calls_) call(own.handle());
  if (launches_block()) own.synchronize();
}

}  // namespace fastchat::device::ascend
