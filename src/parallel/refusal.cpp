// Why there is no plan, and the smallest changes that would give one.
#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "base/check.h"
#include "parallel/best_split.h"
#include "parallel/plan_request.h"
#include "parallel/planner.h"
#include "parallel/saturating.h"

namespace fastchat::parallel {
namespace {

struct Raise {
  int device = -1;
  std::uint64_t to_bytes = 0;
  std::uint64_t extra = kHuge;
};

/// Raising one device of `group` so that the group holds these layers; device -1 when more than one
/// lacks memory.
Raise raise_in_group(
    const StageCosts& costs, int group, int first, int last, std::int64_t num_blocks) {
  Raise raise;
  for (int rank = 0; rank < costs.group_size(); ++rank) {
    const int device = costs.device(group, rank);
    const std::uint64_t needed = costs.needed(device, first, last, num_blocks);
    if (needed <= costs.budget(device)) continue;
    if (raise.device >= 0) return {};
    raise = {device, needed, needed - costs.budget(device)};
  }
  return raise;
}

/// The device for which the fewest additional bytes are enough while the others stay as they are.
void find_cheapest_raise(const StageCosts& costs, std::int64_t num_blocks, Refusal& refusal) {
  const int num_layers = costs.num_layers();
  const int num_groups = costs.num_groups();
  const auto fits = [&](int group, int first, int last) {
    return costs.capacity(group, first, last) >= num_blocks;
  };
  // reach[g]: the most layers that groups before g hold. Fewer is always possible too, so only this
  // one counts.
  std::vector<int> reach(static_cast<std::size_t>(num_groups) + 1, 0);
  for (int g = 0; g < num_groups; ++g) {
    int& next = reach[static_cast<std::size_t>(g) + 1] = reach[static_cast<std::size_t>(g)];
    for (int last = next + 1, first = next; last <= num_layers && fits(g, first, last); ++last)
      next = last;
  }
  // start[g]: the first layer from which groups g and later hold all the rest; num_layers when they
  // hold none.
  std::vector<int> start(static_cast<std::size_t>(num_groups) + 1, num_layers);
  for (int g = num_groups - 1; g >= 0; --g) {
    int& mine = start[static_cast<std::size_t>(g)] = start[static_cast<std::size_t>(g) + 1];
    for (int first = mine - 1, last = mine; first >= 0 && fits(g, first, last); --first)
      mine = first;
  }
  Raise cheapest;
  for (int g = 0; g < num_groups; ++g) {
    const int first = reach[static_cast<std::size_t>(g)];
    const int last = start[static_cast<std::size_t>(g) + 1];
    FASTCHAT_ASSERT(first < last, "a raise was looked for although the layers fit");
    const Raise raise = raise_in_group(costs, g, first, last, num_blocks);
    if (raise.device >= 0 && raise.extra < cheapest.extra) cheapest = raise;
  }
  refusal.raise_device = cheapest.device;
  refusal.raise_to_bytes = cheapest.to_bytes;
}

/// As many devices with `budget` each as hold everything, layer by layer; 0 when one layer alone is
/// too much, or when layers are shared by groups, whose size is not ours to choose.
std::int64_t count_devices(const StageCosts& costs, std::uint64_t budget, std::int64_t num_blocks) {
  if (costs.group_size() > 1) return 0;
  int first = 0;
  std::int64_t count = 0;
  while (first < costs.num_layers()) {
    int last = first;
    while (last < costs.num_layers() && costs.needed(0, first, last + 1, num_blocks) <= budget)
      ++last;
    if (last == first) return 0;
    first = last;
    ++count;
  }
  return count;
}

/// The most that a device of the group needs beyond its budget; negative: room to spare.
double shortfall(const StageCosts& costs, int group, int first, int last, std::int64_t num_blocks) {
  double most = -std::numeric_limits<double>::infinity();
  for (int rank = 0; rank < costs.group_size(); ++rank) {
    const int device = costs.device(group, rank);
    most = std::max(most,
                    static_cast<double>(costs.needed(device, first, last, num_blocks)) -
                        static_cast<double>(costs.budget(device)));
  }
  return most;
}

std::uint64_t most_needed(
    const StageCosts& costs, int group, int first, int last, std::int64_t num_blocks) {
  std::uint64_t most = 0;
  for (int rank = 0; rank < costs.group_size(); ++rank)
    most = std::max(most, costs.needed(costs.device(group, rank), first, last, num_blocks));
  return most;
}

/// The way to use the devices that a refusal speaks of: that with most KV, or the first.
StageCosts costs_of_refusal(const PlanRequest& request, std::int64_t promise) {
  std::optional<Layout> best;
  std::int64_t most = -2;
  for (Layout layout : layouts_of(request)) {
    for (const double by_speed : share_rules(request, layout)) {
      layout.by_speed = by_speed;
      const std::int64_t blocks = most_blocks(StageCosts(request, layout), promise).value_or(-1);
      if (blocks <= most) continue;
      most = blocks;
      best = layout;
    }
  }
  return {request, *best};
}

}  // namespace

Refusal explain_refusal(const PlanRequest& request) {
  Refusal refusal;
  refusal.bad_request = defect(request);
  if (!refusal.bad_request.empty()) return refusal;

  const std::int64_t promise = blocks_for(request.max_model_len, request.sizes.kv_block_size);
  const StageCosts costs = costs_of_refusal(request, promise);
  refusal.kv_bytes_needed = times(costs.kv_per_block(), as_unsigned(promise));
  refusal.largest_model_len = largest_model_len(request);
  const std::optional<std::int64_t> fits = most_blocks(costs, promise);
  const std::int64_t num_blocks = fits ? promise : 0;
  // The split that is least short anywhere.
  const auto nearest = best_split<double>(
      costs,
      -std::numeric_limits<double>::infinity(),
      [&](int group, int first, int last) -> std::optional<double> {
        return shortfall(costs, group, first, last, num_blocks);
      },
      [](double a, double b) { return std::max(a, b); },
      std::less<>());
  refusal.nearest = describe_split(request, costs, nearest->split, num_blocks);
  if (fits.value_or(-1) >= promise) {
    refusal.reason = RefusalReason::kv_cache_bytes;
    return refusal;
  }
  refusal.reason = fits ? RefusalReason::context : RefusalReason::weights;

  find_cheapest_raise(costs, promise, refusal);
  const auto every = best_split<std::uint64_t>(
      costs,
      0,
      [&](int group, int first, int last) -> std::optional<std::uint64_t> {
        return most_needed(costs, group, first, last, promise);
      },
      [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); },
      std::less<>());
  refusal.every_device_bytes = every->value;
  for (int device = 0; device < costs.num_groups() * costs.group_size(); ++device)
    refusal.largest_budget_bytes = std::max(refusal.largest_budget_bytes, costs.budget(device));
  refusal.num_devices_needed = count_devices(costs, refusal.largest_budget_bytes, promise);
  return refusal;
}

}  // namespace fastchat::parallel
