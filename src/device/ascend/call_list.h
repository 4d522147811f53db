// What a stream records where CANN has no graphs: the calls themselves, to be made again.
#pragma once

#include <functional>
#include <vector>

#include "device/ascend/cann.h"
#include "device/ascend/npu_device.h"

namespace fastchat::device::ascend {

/// Operators keep what their first phase found out, so that running them again takes the second
/// phase only; what they point to stays where it is.
class CallList final : public Graph {
 public:
  using Call = std::function<void(aclrtStream)>;

  explicit CallList(NpuDevice& device) : device_(device) {}
  ~CallList() override;
  CallList(const CallList&) = delete;
  CallList& operator=(const CallList&) = delete;

  void add(Call call) { calls_.push_back(std::move(call)); }
  /// `call` is the second phase of `executor`, which is kept for as long as the list lives. Throws
  /// Failure where the operator cannot be kept; the executor is gone then.
  void add(aclOpExecutor* executor, Call call);

  void launch(Stream& stream) override;

 private:
  NpuDevice& device_;
  std::vector<Call> calls_;
  std::vector<aclOpExecutor*> executors_;
};

}  // namespace fastchat::device::ascend
