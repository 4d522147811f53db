// Communicators of cpu devices of one process: they read each other's memory.
#pragma once

#include <memory>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "parallel/communicator.h"

namespace fastchat::parallel {

/// See create_communicators.
std::vector<std::unique_ptr<Communicator>> create_local_communicators(
    const std::vector<device::CpuStream*>& streams);

}  // namespace fastchat::parallel
