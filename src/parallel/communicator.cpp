#include "parallel/communicator.h"

#include "base/check.h"
#include "device/cpu/cpu_device.h"
#include "parallel/local/local_communicator.h"

namespace fastchat::parallel {

std::vector<std::unique_ptr<Communicator>> create_communicators(
    const std::vector<device::Stream*>& streams) {
  std::vector<device::CpuStream*> cpu_streams;
  for (device::Stream* stream : streams) {
    auto* const cpu_stream = dynamic_cast<device::CpuStream*>(stream);
    check(cpu_stream != nullptr,
          "devices of kind {} cannot compute one stage together in this version",
          device::to_string(stream->device().info().kind));
    cpu_streams.push_back(cpu_stream);
  }
  return create_local_communicators(cpu_streams);
}

}  // namespace fastchat::parallel
