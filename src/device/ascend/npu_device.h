// Ascend cards through CANN: the kind "npu".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/choose_text.h"
#include "device/device.h"

namespace fastchat::device {

struct NpuPlatformOptions {
  /// Most bytes to hold per card; one value for all, or one per card; 0 or empty = what is there.
  std::vector<std::uint64_t> memory_limits_bytes;
  /// Language in which the platform says what is missing.
  ChooseText choose = in_english;
  /// Put before the paths of sysfs that say which cores are near a card; for tests.
  std::string system_root;
};

/// The visible cards. Loads CANN at the first question; where that fails there are no devices, and
/// unavailable_reason() says why.
std::unique_ptr<Platform> create_npu_platform(const NpuPlatformOptions& options);

}  // namespace fastchat::device

namespace fastchat::device::ascend {

/// FASTCHAT_LAUNCH_BLOCKING=1, or torch_npu's ASCEND_LAUNCH_BLOCKING=1: every operation is waited
/// for, so that a failure is reported by the call that caused it.
bool launches_block();

/// A card that this process has opened.
class NpuDevice : public Device {
 public:
  /// Makes this card the calling thread's; cheap when it is already.
  void bind() const;
  /// Allows copies to and from `other`, both ways, as the runtime wants it. Throws Failure.
  void enable_peer(const NpuDevice& other) const;

 protected:
  explicit NpuDevice(DeviceInfo info) : info_(std::move(info)) {}
  const DeviceInfo info_;
};

}  // namespace fastchat::device::ascend
