// What a stream records where CANN has no graphs: the calls themselves, to be made again.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "device/ascend/cann.h"
#include "device/ascend/npu_device.h"

namespace fastchat::device::ascend {

class NpuStream;

/// Operators keep what their first phase found out, so that running them again takes the second
/// phase only; what they point to stays where it is.
class CallList final : public Graph {
 public:
  using Call = std::function<void(aclrtStream)>;
  /// Enqueues an operation for these lengths, both its phases.
  using Adjustable = std::function<void(NpuStream&, std::span<const std::int32_t> context_lens)>;

  explicit CallList(NpuDevice& device) : device_(device) {}
  ~CallList() override;
  CallList(const CallList&) = delete;
  CallList& operator=(const CallList&) = delete;

  void add(Call call);
  /// `call` is the second phase of `executor`, which is kept for as long as the list lives. Throws
  /// Failure where the operator cannot be kept; the executor is gone then.
  void add(aclOpExecutor* executor, Call call);

  /// `call` is given these lengths, or those of set_lengths(), at every launch.
  void add_adjustable(Adjustable call, std::span<const std::int32_t> context_lens);

  void launch(Stream& stream) override;
  void set_lengths(Stream& updates, std::span<const std::int32_t> context_lens) override;

 private:
  NpuDevice& device_;
  std::vector<std::function<void(NpuStream&)>> calls_;
  std::vector<std::int32_t> context_lens_;
  std::vector<aclOpExecutor*> executors_;
};

}  // namespace fastchat::device::ascend
