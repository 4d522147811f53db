// What a plan request means, for the parts of the planner: its defects, its bounds, the ways to use
// its devices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parallel/best_split.h"
#include "parallel/planner.h"
#include "parallel/stage_costs.h"

namespace fastchat::parallel {

/// Empty when the request can be planned at all.
TwoTexts defect(const PlanRequest& request);

/// The ways to use the devices that the request allows, the one to prefer among equals first; at
/// least one for a request without defect.
std::vector<Layout> layouts_of(const PlanRequest& request);
/// Values of Layout::by_speed to try: one where they make no difference.
std::vector<double> share_rules(const PlanRequest& request, const Layout& layout);

inline std::uint64_t as_unsigned(std::int64_t value) { return static_cast<std::uint64_t>(value); }

inline std::int64_t blocks_for(std::int64_t num_tokens, std::int64_t block_size) {
  return (num_tokens + block_size - 1) / block_size;
}

/// Slots (block * block_size + offset) are i32 in the step seam.
std::int64_t max_addressable_blocks(const ModelSizes& sizes);
/// Blocks that max_num_seqs sequences of full length use.
std::int64_t useful_blocks(const PlanRequest& request);
/// Blocks that --kv-cache-bytes pays for, over all layers and devices.
std::int64_t paid_blocks(const PlanRequest& request, const StageCosts& costs);
/// The most KV blocks that all devices can hold at once, up to `most`; nullopt when the weights fit
/// nowhere.
std::optional<std::int64_t> most_blocks(const StageCosts& costs, std::int64_t most);
/// Whether some way to use the devices holds one sequence of max_model_len.
bool holds_promise(const PlanRequest& request);

/// The rows of a split, with `num_blocks` of KV.
std::vector<DevicePlan> describe_split(const PlanRequest& request,
                                       const StageCosts& costs,
                                       const LayerSplit& split,
                                       std::int64_t num_blocks);

}  // namespace fastchat::parallel
