// Cards that can be planned for without having them: names, memory, and what they do at best.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "parallel/planner.h"

namespace fastchat::parallel {

struct Card {
  std::string_view name;  // the vendor's SoC name
  device::DeviceKind kind = device::DeviceKind::npu;
  std::uint64_t memory_bytes = 0;
  std::uint64_t system_bytes = 0;  // held by the driver while idle
  DeviceSpeed speed;
};

const std::vector<Card>& known_cards();

/// "4xAscend910B4-32GiB", "Ascend910B1", "2xAscend910B1-64GiB,2xAscend910B4-32GiB": one budget per
/// card, described. Errors (invalid_request): what was expected and what came, with the names
/// known, in the reader's language.
Result<std::vector<DeviceBudget>> parse_cards(std::string_view list,
                                              ChooseText choose = in_english);

}  // namespace fastchat::parallel
