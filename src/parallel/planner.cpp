// Layer mode by dynamic programming over (devices so far, layers so far). A device's cost depends
// only on its own range of layers, as embedding and head lie where layers 0 and L - 1 do, so the
// best split of a prefix is part of the best split, for any objective that grows device by device.
// O(devices * layers²), exact.
#include "parallel/planner.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace fastchat::parallel {
namespace {

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

std::uint64_t plus(std::uint64_t a, std::uint64_t b) { return a > kHuge - b ? kHuge : a + b; }

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  return a != 0 && b > kHuge / a ? kHuge : a * b;
}

std::uint64_t as_unsigned(std::int64_t value) { return static_cast<std::uint64_t>(value); }

std::int64_t blocks_for(std::int64_t num_tokens, std::int64_t block_size) {
  return (num_tokens + block_size - 1) / block_size;
}

/// Slots (block * block_size + offset) are i32 in the step seam.
std::int64_t max_addressable_blocks(const ModelSizes& sizes) {
  return std::numeric_limits<std::int32_t>::max() / sizes.kv_block_size;
}

/// Bytes of every contiguous range of layers on every device.
class Costs {
 public:
  explicit Costs(const PlanRequest& request) : sizes_(request.sizes) {
    weights_.push_back(0);
    kv_.push_back(0);
    for (std::size_t i = 0; i < sizes_.layer_weight_bytes.size(); ++i) {
      weights_.push_back(plus(weights_.back(), sizes_.layer_weight_bytes[i]));
      kv_.push_back(plus(kv_.back(), sizes_.layer_kv_bytes_per_block[i]));
    }
    for (const DeviceBudget& device : request.devices)
      budgets_.push_back(budget_bytes(request, device));
    workspace_ = workspace_bytes(sizes_, request, false);
    workspace_with_head_ = workspace_bytes(sizes_, request, true);
  }

  int num_layers() const { return static_cast<int>(weights_.size()) - 1; }
  int num_devices() const { return static_cast<int>(budgets_.size()); }
  std::uint64_t budget(int device) const { return budgets_[static_cast<std::size_t>(device)]; }

  // Layers [first, last), first < last.
  std::uint64_t weights(int first, int last) const {
    std::uint64_t bytes = at(weights_, last) - at(weights_, first);
    if (first == 0) bytes = plus(bytes, sizes_.embedding_bytes);
    if (last == num_layers()) bytes = plus(bytes, sizes_.head_bytes);
    return bytes;
  }
  std::uint64_t kv_per_block(int first, int last) const { return at(kv_, last) - at(kv_, first); }
  std::uint64_t workspace(int last) const {
    return last == num_layers() ? workspace_with_head_ : workspace_;
  }
  std::uint64_t needed(int first, int last, std::int64_t num_blocks) const {
    return plus(plus(weights(first, last), workspace(last)),
                times(kv_per_block(first, last), as_unsigned(num_blocks)));
  }
  /// KV blocks that `device` holds beside these layers; -1 when it has no room for the layers
  /// themselves.
  std::int64_t capacity(int device, int first, int last) const {
    const std::uint64_t fixed = needed(first, last, 0);
    if (fixed > budget(device)) return -1;
    const std::uint64_t per_block = kv_per_block(first, last);
    constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
    if (per_block == 0) return static_cast<std::int64_t>(kMost);
    return static_cast<std::int64_t>(std::min((budget(device) - fixed) / per_block, kMost));
  }

 private:
  static std::uint64_t at(const std::vector<std::uint64_t>& sums, int index) {
    return sums[static_cast<std::size_t>(index)];
  }
  const ModelSizes& sizes_;
  std::vector<std::uint64_t> weights_;  // [num_layers + 1] sums of the layers before
  std::vector<std::uint64_t> kv_;
  std::vector<std::uint64_t> budgets_;
  std::uint64_t workspace_ = 0;
  std::uint64_t workspace_with_head_ = 0;
};

using Split = std::vector<int>;  // layers per device

template <typename Value>
struct BestSplit {
  Value value;
  Split split;
};

/// The split of all layers for which combine(…combine(start, value of device 0)…, value of the last
/// device) is best. range_value(device, first, last) is nullopt where the device may not hold that
/// range. Devices may be left out.
template <typename Value, typename RangeValue, typename Combine, typename Better>
std::optional<BestSplit<Value>> best_split(
    const Costs& costs, Value start, RangeValue range_value, Combine combine, Better better) {
  const int num_layers = costs.num_layers();
  const int num_devices = costs.num_devices();
  const auto width = static_cast<std::size_t>(num_layers) + 1;
  std::vector<std::optional<Value>> best(width);
  best[0] = start;
  // taken[device][p]: layers that `device` takes in the best split of the first p layers over
  // devices up to it.
  std::vector<std::vector<int>> taken(static_cast<std::size_t>(num_devices),
                                      std::vector<int>(width, 0));
  for (int device = 0; device < num_devices; ++device) {
    std::vector<std::optional<Value>> next = best;
    for (int first = 0; first < num_layers; ++first) {
      const std::optional<Value>& before = best[static_cast<std::size_t>(first)];
      if (!before) continue;
      for (int last = first + 1; last <= num_layers; ++last) {
        const std::optional<Value> here = range_value(device, first, last);
        if (!here) continue;
        const Value candidate = combine(*before, *here);
        std::optional<Value>& known = next[static_cast<std::size_t>(last)];
        if (known && !better(candidate, *known)) continue;
        known = candidate;
        taken[static_cast<std::size_t>(device)][static_cast<std::size_t>(last)] = last - first;
      }
    }
    best = std::move(next);
  }
  if (!best.back()) return std::nullopt;
  BestSplit<Value> result{*best.back(), Split(static_cast<std::size_t>(num_devices), 0)};
  int position = num_layers;
  for (int device = num_devices - 1; device >= 0; --device) {
    const auto index = static_cast<std::size_t>(device);
    result.split[index] = taken[index][static_cast<std::size_t>(position)];
    position -= result.split[index];
  }
  return result;
}

/// The most KV blocks that all devices can hold at once, up to `most`; nullopt when the weights fit
/// nowhere.
std::optional<std::int64_t> most_blocks(const Costs& costs, std::int64_t most) {
  const auto found = best_split<std::int64_t>(
      costs,
      most,
      [&](int device, int first, int last) -> std::optional<std::int64_t> {
        const std::int64_t capacity = costs.capacity(device, first, last);
        if (capacity < 0) return std::nullopt;
        return capacity;
      },
      [](std::int64_t a, std::int64_t b) { return std::min(a, b); },
      std::greater<>());
  if (!found) return std::nullopt;
  return found->value;
}

/// Among splits that hold `num_blocks`, the one whose fullest device is emptiest; among those the
/// most even one (least sum of squares), so that no device idles without need.
Split most_even_split(const Costs& costs, std::int64_t num_blocks) {
  const auto fullness = [&](int device, int first, int last) -> std::optional<double> {
    if (costs.capacity(device, first, last) < num_blocks) return std::nullopt;
    const std::uint64_t needed = costs.needed(first, last, num_blocks);
    return needed == 0 ? 0.0
                       : static_cast<double>(needed) / static_cast<double>(costs.budget(device));
  };
  const auto fullest = best_split<double>(
      costs, 0.0, fullness, [](double a, double b) { return std::max(a, b); }, std::less<>());
  FASTCHAT_ASSERT(fullest.has_value(), "no split holds {} blocks", num_blocks);
  const auto even = best_split<double>(
      costs,
      0.0,
      [&](int device, int first, int last) -> std::optional<double> {
        const std::optional<double> here = fullness(device, first, last);
        if (!here || *here > fullest->value) return std::nullopt;
        return here;
      },
      [](double sum, double here) { return sum + here * here; },
      std::less<>());
  return even->split;
}

std::vector<DevicePlan> describe_split(const PlanRequest& request,
                                       const Costs& costs,
                                       const Split& split,
                                       std::int64_t num_blocks) {
  const std::int64_t block_size = request.sizes.kv_block_size;
  std::vector<DevicePlan> rows;
  int first = 0;
  for (int device = 0; device < costs.num_devices(); ++device) {
    DevicePlan row;
    row.device = device;
    row.first_layer = first;
    row.num_layers = split[static_cast<std::size_t>(device)];
    row.budget_bytes = costs.budget(device);
    if (row.num_layers > 0) {
      const int last = first + row.num_layers;
      row.has_embedding = first == 0;
      row.has_head = last == costs.num_layers();
      row.weight_bytes = costs.weights(first, last);
      row.workspace_bytes = costs.workspace(last);
      row.kv_bytes_per_token = costs.kv_per_block(first, last) / as_unsigned(block_size);
      row.kv_bytes = times(costs.kv_per_block(first, last), as_unsigned(num_blocks));
      const std::int64_t capacity = costs.capacity(device, first, last);
      row.max_kv_tokens =
          capacity < 0 ? -1
                       : std::min(capacity, max_addressable_blocks(request.sizes)) * block_size;
      first = last;
    }
    const std::uint64_t used = plus(plus(row.weight_bytes, row.workspace_bytes), row.kv_bytes);
    row.unused_bytes = row.budget_bytes > used ? row.budget_bytes - used : 0;
    rows.push_back(row);
  }
  return rows;
}

std::int64_t useful_blocks(const PlanRequest& request) {
  const std::int64_t promise = blocks_for(request.max_model_len, request.sizes.kv_block_size);
  const std::uint64_t useful = times(as_unsigned(promise), as_unsigned(request.max_num_seqs));
  return static_cast<std::int64_t>(
      std::min(useful, as_unsigned(std::numeric_limits<std::int64_t>::max())));
}

/// Blocks that --kv-cache-bytes pays for, over all layers.
std::int64_t paid_blocks(const PlanRequest& request, const Costs& costs) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const std::uint64_t per_block = costs.kv_per_block(0, costs.num_layers());
  if (!request.kv_cache_bytes || per_block == 0) return kMost;
  return static_cast<std::int64_t>(
      std::min(*request.kv_cache_bytes / per_block, as_unsigned(kMost)));
}

/// Empty when the request can be planned at all.
std::string defect(const PlanRequest& request) {
  const ModelSizes& sizes = request.sizes;
  if (sizes.layer_weight_bytes.empty()) return "the model has no layers";
  if (sizes.layer_kv_bytes_per_block.size() != sizes.layer_weight_bytes.size())
    return fmt::format("sizes of {} layers came with KV sizes of {}",
                       sizes.layer_weight_bytes.size(),
                       sizes.layer_kv_bytes_per_block.size());
  if (sizes.kv_block_size < 1)
    return fmt::format("KV blocks of {} positions; at least 1 was expected", sizes.kv_block_size);
  if (request.devices.empty()) return "there is no device to plan for";
  const std::int64_t longest = max_addressable_blocks(sizes) * sizes.kv_block_size;
  if (request.max_model_len < 1 || request.max_model_len > longest)
    return fmt::format(
        "--max-model-len {} is out of range: 1 to {} was expected", request.max_model_len, longest);
  if (request.max_num_seqs < 1)
    return fmt::format("--max-num-seqs {} is less than 1", request.max_num_seqs);
  if (request.max_num_batched_tokens < 1)
    return fmt::format("--max-num-batched-tokens {} is less than 1",
                       request.max_num_batched_tokens);
  if (request.max_logits_rows < 1)
    return fmt::format("{} rows of logits; at least 1 was expected", request.max_logits_rows);
  if (!(request.memory_utilization > 0 && request.memory_utilization <= 1))
    return fmt::format("--gpu-memory-utilization {} is not above 0 and at most 1",
                       request.memory_utilization);
  return {};
}

bool holds_promise(const PlanRequest& request) {
  const Costs costs(request);
  const std::int64_t promise = blocks_for(request.max_model_len, request.sizes.kv_block_size);
  return paid_blocks(request, costs) >= promise &&
         most_blocks(costs, promise).value_or(-1) >= promise;
}

/// The device for which the fewest additional bytes are enough while the others stay as they are.
void find_cheapest_raise(const Costs& costs, std::int64_t num_blocks, Refusal& refusal) {
  const int num_layers = costs.num_layers();
  const int num_devices = costs.num_devices();
  const auto fits = [&](int device, int first, int last) {
    return costs.capacity(device, first, last) >= num_blocks;
  };
  // reach[d]: the most layers that devices before d hold. Fewer is always possible too, so only
  // this one counts.
  std::vector<int> reach(static_cast<std::size_t>(num_devices) + 1, 0);
  for (int d = 0; d < num_devices; ++d) {
    int& next = reach[static_cast<std::size_t>(d) + 1] = reach[static_cast<std::size_t>(d)];
    for (int last = next + 1, first = next; last <= num_layers && fits(d, first, last); ++last)
      next = last;
  }
  // start[d]: the first layer from which devices d and later hold all the rest; num_layers when
  // they hold none.
  std::vector<int> start(static_cast<std::size_t>(num_devices) + 1, num_layers);
  for (int d = num_devices - 1; d >= 0; --d) {
    int& mine = start[static_cast<std::size_t>(d)] = start[static_cast<std::size_t>(d) + 1];
    for (int first = mine - 1, last = mine; first >= 0 && fits(d, first, last); --first)
      mine = first;
  }
  std::uint64_t fewest = kHuge;
  for (int d = 0; d < num_devices; ++d) {
    const int first = reach[static_cast<std::size_t>(d)];
    const int last = start[static_cast<std::size_t>(d) + 1];
    FASTCHAT_ASSERT(first < last, "a raise was looked for although the layers fit");
    const std::uint64_t needed = costs.needed(first, last, num_blocks);
    const std::uint64_t extra = needed - std::min(needed, costs.budget(d));
    if (extra >= fewest) continue;
    fewest = extra;
    refusal.raise_device = d;
    refusal.raise_to_bytes = needed;
  }
}

/// As many devices with `budget` each as hold everything; 0 when one layer alone is too much.
std::int64_t count_devices(const Costs& costs, std::uint64_t budget, std::int64_t num_blocks) {
  int first = 0;
  std::int64_t count = 0;
  while (first < costs.num_layers()) {
    int last = first;
    while (last < costs.num_layers() && costs.needed(first, last + 1, num_blocks) <= budget) ++last;
    if (last == first) return 0;
    first = last;
    ++count;
  }
  return count;
}

}  // namespace

std::uint64_t budget_bytes(const PlanRequest& request, const DeviceBudget& device) {
  if (device.limit_bytes) return std::min(*device.limit_bytes, device.free_bytes);
  return static_cast<std::uint64_t>(static_cast<double>(device.free_bytes) *
                                    request.memory_utilization);
}

std::uint64_t workspace_bytes(const ModelSizes& sizes, const PlanRequest& request, bool has_head) {
  const std::uint64_t table_width =
      as_unsigned(blocks_for(request.max_model_len, sizes.kv_block_size));
  const std::uint64_t per_sequence =
      plus(sizes.step_bytes_per_sequence,
           times(times(table_width, sizeof(std::int32_t)), as_unsigned(request.steps_in_flight)));
  std::uint64_t bytes = sizes.fixed_bytes;
  bytes = plus(
      bytes, times(sizes.activation_bytes_per_token, as_unsigned(request.max_num_batched_tokens)));
  bytes = plus(bytes, times(per_sequence, as_unsigned(request.max_num_seqs)));
  if (has_head)
    bytes = plus(bytes, times(sizes.logits_bytes_per_row, as_unsigned(request.max_logits_rows)));
  return bytes;
}

Result<Plan> make_plan(const PlanRequest& request) {
  const auto refuse = [&] {
    return Error{ErrorCode::invalid_request, to_text(explain_refusal(request), request)};
  };
  if (!defect(request).empty()) return refuse();
  const Costs costs(request);
  const std::int64_t block_size = request.sizes.kv_block_size;
  const std::int64_t promise = blocks_for(request.max_model_len, block_size);
  const std::int64_t most = std::min(
      {useful_blocks(request), paid_blocks(request, costs), max_addressable_blocks(request.sizes)});
  const std::optional<std::int64_t> num_blocks = most_blocks(costs, most);
  if (!num_blocks || *num_blocks < promise) return refuse();

  Plan plan;
  plan.num_kv_blocks = *num_blocks;
  plan.kv_block_size = block_size;
  plan.num_kv_tokens = *num_blocks * block_size;
  plan.max_model_len = request.max_model_len;
  plan.max_num_batched_tokens = request.max_num_batched_tokens;
  plan.max_num_seqs = request.max_num_seqs;
  plan.max_logits_rows = request.max_logits_rows;
  plan.devices = describe_split(request, costs, most_even_split(costs, *num_blocks), *num_blocks);
  for (const DevicePlan& row : plan.devices) {
    if (row.num_layers == 0) continue;
    plan.placement.stages.push_back({.devices = {row.device},
                                     .first_layer = row.first_layer,
                                     .num_layers = row.num_layers,
                                     .has_embedding = row.has_embedding,
                                     .has_head = row.has_head});
  }
  return plan;
}

std::int64_t largest_model_len(const PlanRequest& request) {
  PlanRequest probe = request;
  const std::int64_t block_size = request.sizes.kv_block_size;
  if (block_size >= 1 && request.max_model_len == 0)
    probe.max_model_len = max_addressable_blocks(request.sizes) * block_size;
  if (!defect(probe).empty()) return 0;
  if (holds_promise(probe)) return probe.max_model_len;
  // A longer context needs more blocks and a wider block table, so what fits is monotone; whole
  // blocks decide.
  std::int64_t fits = 0;
  std::int64_t too_long = blocks_for(probe.max_model_len, block_size);
  while (too_long - fits > 1) {
    const std::int64_t middle = fits + (too_long - fits) / 2;
    probe.max_model_len = middle * block_size;
    (holds_promise(probe) ? fits : too_long) = middle;
  }
  return fits * block_size;
}

SplitCheck even_split(const PlanRequest& request) {
  SplitCheck check;
  if (!defect(request).empty()) return check;
  const Costs costs(request);
  const int share = costs.num_layers() / costs.num_devices();
  const int rest = costs.num_layers() % costs.num_devices();
  Split split;
  for (int device = 0; device < costs.num_devices(); ++device)
    split.push_back(share + (device < rest ? 1 : 0));

  const std::int64_t most = std::min(
      {useful_blocks(request), paid_blocks(request, costs), max_addressable_blocks(request.sizes)});
  std::int64_t num_blocks = most;
  std::uint64_t worst_overflow = 0;
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  int first = 0;
  for (int device = 0; device < costs.num_devices(); ++device) {
    const int last = first + split[static_cast<std::size_t>(device)];
    if (last == first) continue;
    const std::int64_t capacity = costs.capacity(device, first, last);
    num_blocks = std::min(num_blocks, capacity);
    if (capacity < 0) {
      const std::uint64_t overflow = costs.needed(first, last, 0) - costs.budget(device);
      if (overflow > worst_overflow) check.first_full_device = device;
      worst_overflow = std::max(worst_overflow, overflow);
    } else if (worst_overflow == 0 && capacity < fewest) {
      check.first_full_device = device;
    }
    fewest = std::min(fewest, capacity);
    first = last;
  }
  const std::int64_t block_size = request.sizes.kv_block_size;
  check.devices = describe_split(request, costs, split, std::max<std::int64_t>(num_blocks, 0));
  check.num_kv_tokens = num_blocks < 0 ? -1 : num_blocks * block_size;
  check.holds_promise = num_blocks >= blocks_for(request.max_model_len, block_size);
  return check;
}

Refusal explain_refusal(const PlanRequest& request) {
  Refusal refusal;
  refusal.bad_request = defect(request);
  if (!refusal.bad_request.empty()) return refusal;

  Costs costs(request);
  const std::int64_t promise = blocks_for(request.max_model_len, request.sizes.kv_block_size);
  refusal.kv_bytes_needed = times(costs.kv_per_block(0, costs.num_layers()), as_unsigned(promise));
  refusal.largest_model_len = largest_model_len(request);
  const std::optional<std::int64_t> fits = most_blocks(costs, promise);
  if (fits.value_or(-1) >= promise) {
    refusal.reason = RefusalReason::kv_cache_bytes;
    refusal.nearest = describe_split(request, costs, most_even_split(costs, promise), promise);
    return refusal;
  }
  refusal.reason = fits ? RefusalReason::context : RefusalReason::weights;

  // The split that is least short anywhere. Shortfalls may be negative: a device with room to
  // spare.
  const std::int64_t num_blocks = fits ? promise : 0;
  const auto nearest = best_split<double>(
      costs,
      -std::numeric_limits<double>::infinity(),
      [&](int device, int first, int last) -> std::optional<double> {
        return static_cast<double>(costs.needed(first, last, num_blocks)) -
               static_cast<double>(costs.budget(device));
      },
      [](double a, double b) { return std::max(a, b); },
      std::less<>());
  refusal.nearest = describe_split(request, costs, nearest->split, num_blocks);

  find_cheapest_raise(costs, promise, refusal);
  const auto every = best_split<std::uint64_t>(
      costs,
      0,
      [&](int, int first, int last) -> std::optional<std::uint64_t> {
        return costs.needed(first, last, promise);
      },
      [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); },
      std::less<>());
  refusal.every_device_bytes = every->value;
  for (int device = 0; device < costs.num_devices(); ++device)
    refusal.largest_budget_bytes = std::max(refusal.largest_budget_bytes, costs.budget(device));
  refusal.num_devices_needed = count_devices(costs, refusal.largest_budget_bytes, promise);
  return refusal;
}

std::string_view kv_bound(const Plan& plan, const PlanRequest& request) {
  const Costs costs(request);
  if (plan.num_kv_blocks >= paid_blocks(request, costs)) return "kv_cache_bytes";
  if (plan.num_kv_blocks >= useful_blocks(request)) return "max_num_seqs";
  if (plan.num_kv_blocks >= max_addressable_blocks(request.sizes)) return "slot_range";
  return "memory";
}

}  // namespace fastchat::parallel
