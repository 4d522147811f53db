// Refusals for people and programs, with remedies that the surroundings allow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/choose_text.h"
#include "parallel/planner.h"

namespace fastchat::parallel {

/// What the planner does not ask about, and remedies depend on. As it stands: devices are
/// descriptions, which may be of any size and number.
struct Surroundings {
  /// The most that this process can ever use of each device, of those of all copies, in bytes,
  /// limits left aside; empty: as much as is said.
  std::vector<std::optional<std::uint64_t>> device_bytes;
  /// With PlanRequest::shared_memory, what the devices have together; nullopt: as much as is said.
  std::optional<std::uint64_t> shared_bytes;
  int num_devices_there = 0;     // --num-gpus names no more than these; 0: as many as are said
  bool are_named_cards = false;  // --cards counts them, not --num-gpus
  bool fits_in_8_bits = false;   // --load-8bit would make it fit
  /// What --gpus calls the devices of all copies; empty: they are not chosen by it.
  std::vector<int> indices;
  /// Of the workspace of a device in a tensor group, what HCCL_BUFFSIZE sets; 0: none.
  std::uint64_t collective_bytes = 0;
};

/// to_text of planner.h, without remedies that are impossible in `surroundings`.
std::string to_text(const Refusal& refusal,
                    const PlanRequest& request,
                    const Surroundings& surroundings,
                    ChooseText choose = in_english);
/// to_json of planner.h; message and flags are those of `surroundings`, bytes are not.
nlohmann::json to_json(const Refusal& refusal,
                       const PlanRequest& request,
                       const Surroundings& surroundings);

}  // namespace fastchat::parallel
