#include "parallel/communicator.h"

#include "base/check.h"
#include "device/ascend/npu_stream.h"
#include "device/cpu/cpu_device.h"
#include "parallel/ascend/hccl_communicator.h"
#include "parallel/local/local_communicator.h"

namespace fastchat::parallel {
namespace {

/// Empty where one is of another kind.
template <typename Kind>
std::vector<Kind*> all_as(const std::vector<device::Stream*>& streams) {
  std::vector<Kind*> own;
  for (device::Stream* const stream : streams) {
    auto* const one = dynamic_cast<Kind*>(stream);
    if (one == nullptr) return {};
    own.push_back(one);
  }
  return own;
}

}  // namespace

std::vector<std::unique_ptr<Communicator>> create_communicators(
    const std::vector<device::Stream*>& streams) {
  if (auto cpus = all_as<device::CpuStream>(streams); !cpus.empty())
    return create_local_communicators(cpus);
  if (auto cards = all_as<device::ascend::NpuStream>(streams); !cards.empty())
    return create_hccl_communicators(cards);
  fail("devices of kind {} cannot compute one stage together in this version",
       device::to_string(streams.front()->device().info().kind));
}

}  // namespace fastchat::parallel
