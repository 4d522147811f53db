// The best way to deal out contiguous layers to groups of devices, by dynamic programming over
// (groups so far, layers so far). A group's cost depends only on its own range of layers, as
// embedding and head lie where layers 0 and L - 1 do, so the best split of a prefix is part of the
// best split, for any objective that grows group by group. O(groups * layers²), exact.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "parallel/stage_costs.h"

namespace fastchat::parallel {

using LayerSplit = std::vector<int>;  // layers per group

template <typename Value>
struct BestSplit {
  Value value;
  LayerSplit split;
};

/// The split of all layers for which combine(…combine(start, value of group 0)…, value of the last
/// group) is best. range_value(group, first, last) is nullopt where the group may not hold that
/// range. Groups may be left out. nullopt: there is none.
template <typename Value, typename RangeValue, typename Combine, typename Better>
std::optional<BestSplit<Value>> best_split(
    const StageCosts& costs, Value start, RangeValue range_value, Combine combine, Better better) {
  const int num_layers = costs.num_layers();
  const int num_groups = costs.num_groups();
  const auto width = static_cast<std::size_t>(num_layers) + 1;
  std::vector<std::optional<Value>> best(width);
  best[0] = start;
  // taken[group][p]: layers that `group` takes in the best split of the first p layers over groups
  // up to it.
  std::vector<std::vector<int>> taken(static_cast<std::size_t>(num_groups),
                                      std::vector<int>(width, 0));
  for (int group = 0; group < num_groups; ++group) {
    std::vector<std::optional<Value>> next = best;
    for (int first = 0; first < num_layers; ++first) {
      const std::optional<Value>& before = best[static_cast<std::size_t>(first)];
      if (!before) continue;
      for (int last = first + 1; last <= num_layers; ++last) {
        const std::optional<Value> here = range_value(group, first, last);
        if (!here) continue;
        const Value candidate = combine(*before, *here);
        std::optional<Value>& known = next[static_cast<std::size_t>(last)];
        if (known && !better(candidate, *known)) continue;
        known = candidate;
        taken[static_cast<std::size_t>(group)][static_cast<std::size_t>(last)] = last - first;
      }
    }
    best = std::move(next);
  }
  if (!best.back()) return std::nullopt;
  BestSplit<Value> result{*best.back(), LayerSplit(static_cast<std::size_t>(num_groups), 0)};
  int position = num_layers;
  for (int group = num_groups - 1; group >= 0; --group) {
    const auto index = static_cast<std::size_t>(group);
    result.split[index] = taken[index][static_cast<std::size_t>(position)];
    position -= result.split[index];
  }
  return result;
}

}  // namespace fastchat::parallel
