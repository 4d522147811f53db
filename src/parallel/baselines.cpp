// What other ways to place layers would give, for comparison: counting layers, and counting
// weights.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "parallel/plan_request.h"
#include "parallel/planner.h"
#include "parallel/saturating.h"

namespace fastchat::parallel {
namespace {

/// Layer mode, whatever was asked.
StageCosts layer_costs(const PlanRequest& request) {
  return {request,
          {.pipeline_size = static_cast<int>(request.devices.size()),
           .steps_in_flight = request.steps_in_flight}};
}

/// What `split` holds. `shared_head_bytes`: of a head that is the embedding's own tensor, on its
/// device, and so takes nothing where the last layers are.
SplitCheck check_split(const PlanRequest& request,
                       const StageCosts& costs,
                       const LayerSplit& split,
                       std::uint64_t shared_head_bytes) {
  SplitCheck check;
  std::int64_t num_blocks = std::min(
      {useful_blocks(request), paid_blocks(request, costs), max_addressable_blocks(request.sizes)});
  check.devices = describe_split(request, costs, split, 0);
  std::uint64_t worst_overflow = 0;
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  for (DevicePlan& row : check.devices) {
    if (row.num_layers == 0) continue;
    if (row.has_head) row.weight_bytes -= std::min(row.weight_bytes, shared_head_bytes);
    const std::uint64_t fixed = plus(row.weight_bytes, row.workspace_bytes);
    const std::uint64_t per_block =
        costs.kv_per_block(row.device, row.first_layer, row.first_layer + row.num_layers);
    if (fixed > row.budget_bytes) {
      const std::uint64_t overflow = fixed - row.budget_bytes;
      if (overflow > worst_overflow) check.first_full_device = row.device;
      worst_overflow = std::max(worst_overflow, overflow);
      row.max_kv_tokens = -1;
      num_blocks = -1;
      continue;
    }
    const std::int64_t capacity =
        per_block == 0 ? std::numeric_limits<std::int64_t>::max()
                       : static_cast<std::int64_t>((row.budget_bytes - fixed) / per_block);
    if (worst_overflow == 0 && (check.first_full_device < 0 || capacity < fewest))
      check.first_full_device = row.device;
    fewest = std::min(fewest, capacity);
    num_blocks = std::min(num_blocks, capacity);
    row.max_kv_tokens =
        std::min(capacity, max_addressable_blocks(request.sizes)) * request.sizes.kv_block_size;
  }
  for (DevicePlan& row : check.devices) {
    if (row.num_layers == 0) continue;
    row.kv_bytes =
        times(costs.kv_per_block(row.device, row.first_layer, row.first_layer + row.num_layers),
              as_unsigned(std::max<std::int64_t>(num_blocks, 0)));
    const std::uint64_t used = plus(plus(row.weight_bytes, row.workspace_bytes), row.kv_bytes);
    row.unused_bytes = row.budget_bytes > used ? row.budget_bytes - used : 0;
  }
  check.num_kv_tokens = num_blocks < 0 ? -1 : num_blocks * request.sizes.kv_block_size;
  check.holds_promise =
      num_blocks >= blocks_for(request.max_model_len, request.sizes.kv_block_size);
  return check;
}

}  // namespace

SplitCheck even_split(const PlanRequest& request) {
  if (!defect(request).empty()) return {};
  const StageCosts costs = layer_costs(request);
  const int share = costs.num_layers() / costs.num_groups();
  const int rest = costs.num_layers() % costs.num_groups();
  LayerSplit split;
  for (int device = 0; device < costs.num_groups(); ++device)
    split.push_back(share + (device < rest ? 1 : 0));
  return check_split(request, costs, split, 0);
}

SplitCheck balanced_device_map(const PlanRequest& request) {
  if (!defect(request).empty()) return {};
  const ModelSizes& sizes = request.sizes;
  const StageCosts costs = layer_costs(request);
  const auto num_devices = static_cast<std::size_t>(costs.num_groups());
  const std::size_t num_layers = sizes.layer_weight_bytes.size();
  // Parts in the order in which they are placed; a tied head comes with the embedding.
  std::vector<std::uint64_t> parts = {sizes.embedding_bytes};
  parts.insert(parts.end(), sizes.layer_weight_bytes.begin(), sizes.layer_weight_bytes.end());
  if (!sizes.tied_embedding) parts.push_back(sizes.head_bytes);
  const std::uint64_t total = std::accumulate(parts.begin(), parts.end(), std::uint64_t{0}, plus);
  const std::uint64_t largest_layer =
      *std::max_element(sizes.layer_weight_bytes.begin(), sizes.layer_weight_bytes.end());
  const std::uint64_t average = plus(plus(total / num_devices, largest_layer), largest_layer / 4);

  LayerSplit split(num_devices, 0);
  std::size_t device = 0;
  std::uint64_t used = 0;
  std::size_t first_layer_part = 1;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    while (device + 1 < num_devices) {
      std::uint64_t room = std::min(average, costs.budget(static_cast<int>(device)));
      // The first device keeps room for the largest part still to come.
      if (device == 0) {
        const std::uint64_t reserve =
            *std::max_element(parts.begin() + static_cast<std::ptrdiff_t>(part), parts.end());
        room -= std::min(room, reserve);
      }
      if (plus(used, parts[part]) <= room) break;
      ++device;
      used = 0;
    }
    used = plus(used, parts[part]);
    if (part >= first_layer_part && part < first_layer_part + num_layers) ++split[device];
  }
  return check_split(request, costs, split, sizes.tied_embedding ? sizes.head_bytes : 0);
}

}  // namespace fastchat::parallel
