// The least a device can be: work runs as it is enqueued, memory is the host's. It is the porting
// checklist: each method says what a real device must guarantee there. See
// docs/porting-a-device.md.
#pragma once

#include <cstdint>
#include <memory>

#include "device/device.h"

namespace fastchat::device {

struct StubPlatformOptions {
  int num_devices = 1;
  std::uint64_t memory_limit_bytes = std::uint64_t{1} << 30;  // of each device
};

std::unique_ptr<Platform> create_stub_platform(const StubPlatformOptions& options);

}  // namespace fastchat::device
