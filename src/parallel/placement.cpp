#include "parallel/placement.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"

namespace fastchat::parallel {
namespace {

/// `total` things for weights.size() takers, at least one each, in proportion to the weights
/// (largest remainders). total >= weights.size().
std::vector<std::int64_t> apportion(std::int64_t total, const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> counts(weights.size());
  std::vector<double> wanted(weights.size());
  std::int64_t given = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    wanted[i] = static_cast<double>(total) * weights[i] / sum;
    counts[i] = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(wanted[i])));
    given += counts[i];
  }
  const auto lacks = [&](std::size_t i) { return wanted[i] - static_cast<double>(counts[i]); };
  for (; given < total; ++given) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < counts.size(); ++i)
      if (lacks(i) > lacks(best) + 1e-9) best = i;
    ++counts[best];
  }
  for (; given > total; --given) {  // the minimum of one gave away too much
    std::size_t worst = counts.size();
    for (std::size_t i = 0; i < counts.size(); ++i)
      if (counts[i] > 1 && (worst == counts.size() || lacks(i) < lacks(worst) - 1e-9)) worst = i;
    --counts[worst];
  }
  return counts;
}

AxisSplit boundaries_of(const std::vector<std::int64_t>& counts, std::int64_t unit) {
  AxisSplit split{{0}};
  for (const std::int64_t count : counts)
    split.boundaries.push_back(split.boundaries.back() + count * unit);
  return split;
}

/// A plain axis; the last part takes what is no whole unit.
AxisSplit split_axis(std::int64_t length, std::int64_t unit, const std::vector<double>& weights) {
  const auto ranks = static_cast<std::int64_t>(weights.size());
  while (unit > 1 && length / unit < ranks) unit /= 2;
  AxisSplit split = boundaries_of(apportion(length / unit, weights), unit);
  split.boundaries.back() = length;
  return split;
}

/// More ranks than KV heads: each KV head's group of query heads goes to some consecutive ranks,
/// such that the rank with the most heads for its weight has as few as possible.
AxisSplit split_groups(std::int64_t num_groups,
                       std::int64_t group_size,
                       const std::vector<double>& weights) {
  const auto ranks = static_cast<std::int64_t>(weights.size());
  const auto heads_for = [&](std::int64_t first, std::int64_t count) {
    return apportion(group_size, {weights.begin() + first, weights.begin() + first + count});
  };
  const auto width = static_cast<std::size_t>(ranks) + 1;
  constexpr double kNever = std::numeric_limits<double>::infinity();
  // load[r]: the largest heads-per-weight when the groups so far are on the first r ranks.
  std::vector<double> load(width, kNever);
  load[0] = 0;
  std::vector<std::vector<std::int64_t>> taken(static_cast<std::size_t>(num_groups),
                                               std::vector<std::int64_t>(width, 0));
  for (auto& taken_by_group : taken) {
    std::vector<double> next(width, kNever);
    for (std::int64_t first = 0; first < ranks; ++first) {
      const double before = load[static_cast<std::size_t>(first)];
      if (before == kNever) continue;
      for (std::int64_t count = 1; count <= std::min(group_size, ranks - first); ++count) {
        const std::vector<std::int64_t> heads = heads_for(first, count);
        double worst = before;
        for (std::size_t i = 0; i < heads.size(); ++i)
          worst = std::max(
              worst, static_cast<double>(heads[i]) / weights[static_cast<std::size_t>(first) + i]);
        const auto last = static_cast<std::size_t>(first + count);
        if (worst >= next[last]) continue;
        next[last] = worst;
        taken_by_group[last] = count;
      }
    }
    load = std::move(next);
  }
  std::vector<std::int64_t> counts(weights.size());
  std::int64_t last = ranks;
  for (auto taken_by_group = taken.rbegin(); taken_by_group != taken.rend(); ++taken_by_group) {
    const std::int64_t count = (*taken_by_group)[static_cast<std::size_t>(last)];
    const std::vector<std::int64_t> heads = heads_for(last - count, count);
    std::copy(heads.begin(), heads.end(), counts.begin() + (last - count));
    last -= count;
  }
  return boundaries_of(counts, 1);
}

}  // namespace

Result<TensorSplit> split_tensors(const TensorAxes& axes, const std::vector<double>& weights) {
  const auto ranks = static_cast<std::int64_t>(weights.size());
  const auto refuse = [&](std::int64_t length, const char* what) {
    return Error{ErrorCode::invalid_request,
                 fmt::format("{} ranks cannot share the model's {} {}; at most {} can",
                             ranks,
                             length,
                             what,
                             length)};
  };
  if (ranks > axes.num_heads) return refuse(axes.num_heads, "attention heads");
  if (ranks > axes.intermediate) return refuse(axes.intermediate, "MLP columns");
  if (ranks > axes.hidden) return refuse(axes.hidden, "hidden columns");
  if (ranks > axes.vocab) return refuse(axes.vocab, "vocabulary rows");
  const std::int64_t group_size = axes.num_heads / axes.num_kv_heads;
  TensorSplit split;
  split.heads = ranks <= axes.num_kv_heads
                    ? boundaries_of(apportion(axes.num_kv_heads, weights), group_size)
                    : split_groups(axes.num_kv_heads, group_size, weights);
  split.intermediate = split_axis(axes.intermediate, axes.unit, weights);
  split.hidden = split_axis(axes.hidden, axes.unit, weights);
  split.vocab = split_axis(axes.vocab, axes.unit, weights);
  return split;
}

TensorShare share_of(const TensorAxes& axes, const TensorSplit& split, int rank) {
  const std::int64_t group_size = axes.num_heads / axes.num_kv_heads;
  const AxisRange heads = split.heads.part(rank);
  const std::int64_t first_kv = heads.begin / group_size;
  const std::int64_t last_kv = (heads.end() + group_size - 1) / group_size;
  return {.rank = rank,
          .size = split.size(),
          .heads = heads,
          .kv_heads = {first_kv, last_kv - first_kv},
          .intermediate = split.intermediate.part(rank),
          .hidden = split.hidden.part(rank),
          .vocab = split.vocab.part(rank)};
}

TensorShare whole_share(const TensorAxes& axes) {
  return {.heads = {0, axes.num_heads},
          .kv_heads = {0, axes.num_kv_heads},
          .intermediate = {0, axes.intermediate},
          .hidden = {0, axes.hidden},
          .vocab = {0, axes.vocab}};
}

TensorShare share_of(const TensorAxes& axes, const StagePlacement& stage, int rank) {
  if (stage.devices.size() <= 1) return whole_share(axes);
  FASTCHAT_ASSERT(stage.split.size() == static_cast<int>(stage.devices.size()),
                  "{} devices with a split over {}",
                  stage.devices.size(),
                  stage.split.size());
  return share_of(axes, stage.split, rank);
}

}  // namespace fastchat::parallel
