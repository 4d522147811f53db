// Communicators of Ascend cards, over HCCL.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "device/ascend/npu_stream.h"
#include "parallel/communicator.h"

namespace fastchat::parallel {

/// See create_communicators. The ends meet in connect(): each card's thread makes its own.
std::vector<std::unique_ptr<Communicator>> create_hccl_communicators(
    const std::vector<device::ascend::NpuStream*>& streams);

}  // namespace fastchat::parallel
