// Which plan: the ways to use the devices, the best split of layers for each, the fastest that
// fits.
#include "parallel/planner.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "parallel/best_split.h"
#include "parallel/plan_request.h"
#include "parallel/saturating.h"
#include "parallel/stage_costs.h"

namespace fastchat::parallel {
namespace {

double largest(double a, double b) { return std::max(a, b); }

std::int64_t most_blocks_allowed(const PlanRequest& request, const StageCosts& costs) {
  return std::min(
      {useful_blocks(request), paid_blocks(request, costs), max_addressable_blocks(request.sizes)});
}

/// Pipeline mode: the busiest group's least possible time among the splits that hold `num_blocks`.
std::optional<double> least_busy_s(const StageCosts& costs, std::int64_t num_blocks) {
  const auto found = best_split<double>(
      costs,
      0.0,
      [&](int group, int first, int last) -> std::optional<double> {
        if (costs.capacity(group, first, last) < num_blocks) return std::nullopt;
        return costs.busy_s(group, first, last);
      },
      largest,
      std::less<>());
  if (!found) return std::nullopt;
  return found->value;
}

/// Among splits that hold `num_blocks` and keep no group busy longer than `busy_s`, the one whose
/// fullest device is emptiest; among those the most even one (least sum of squares), so that no
/// device idles without need.
LayerSplit most_even_split(const StageCosts& costs, std::int64_t num_blocks, double busy_s) {
  const auto fullness = [&](int group, int first, int last) -> std::optional<double> {
    if (costs.capacity(group, first, last) < num_blocks) return std::nullopt;
    if (std::isfinite(busy_s) && costs.busy_s(group, first, last) > busy_s) return std::nullopt;
    double fullest = 0;
    for (int rank = 0; rank < costs.group_size(); ++rank) {
      const int device = costs.device(group, rank);
      const std::uint64_t needed = costs.needed(device, first, last, num_blocks);
      if (needed > 0)
        fullest = std::max(fullest,
                           static_cast<double>(needed) / static_cast<double>(costs.budget(device)));
    }
    return fullest;
  };
  const auto fullest = best_split<double>(costs, 0.0, fullness, largest, std::less<>());
  FASTCHAT_ASSERT(fullest.has_value(), "no split holds {} blocks", num_blocks);
  const auto even = best_split<double>(
      costs,
      0.0,
      [&](int group, int first, int last) -> std::optional<double> {
        const std::optional<double> here = fullness(group, first, last);
        if (!here || *here > fullest->value) return std::nullopt;
        return here;
      },
      [](double sum, double here) { return sum + here * here; },
      std::less<>());
  return even->split;
}

struct Stage {
  int group = 0;
  int first = 0;
  int last = 0;
};

std::vector<Stage> stages_of(const LayerSplit& split) {
  std::vector<Stage> stages;
  int first = 0;
  for (std::size_t group = 0; group < split.size(); ++group) {
    if (split[group] == 0) continue;
    stages.push_back({static_cast<int>(group), first, first + split[group]});
    first += split[group];
  }
  return stages;
}

/// Seconds per prompt token with as many prompts as it takes to fill the stages, and per round of
/// one token for every stream.
struct Rates {
  double prefill_s = 0;
  double decode_s = 0;
};

Rates rates_of(const StageCosts& costs,
               const std::vector<Stage>& stages,
               Overheads overheads = Overheads::counted) {
  Rates sum;
  Rates slowest;
  for (const Stage& stage : stages) {
    const double prefill = costs.prefill_s(stage.group, stage.first, stage.last, overheads);
    const double decode =
        costs.decode_s(stage.group, stage.first, stage.last, costs.micro_batch_seqs(), overheads);
    sum.prefill_s += prefill;
    sum.decode_s += decode;
    slowest.prefill_s = std::max(slowest.prefill_s, prefill);
    slowest.decode_s = std::max(slowest.decode_s, decode);
  }
  const auto overlap = static_cast<double>(costs.layout().steps_in_flight);
  return {
      .prefill_s = std::max(slowest.prefill_s, sum.prefill_s / overlap),
      .decode_s = std::max(sum.decode_s,
                           static_cast<double>(costs.num_busy_micro_batches()) * slowest.decode_s)};
}

/// The whole workload, the first steps' way through the empty pipeline included.
double estimated_s(const PlanRequest& request,
                   const StageCosts& costs,
                   const std::vector<Stage>& stages) {
  const Workload& work = request.workload;
  const Rates rates = rates_of(costs, stages);
  const double tokens = static_cast<double>(work.num_streams * work.prompt_len);
  const double step = std::min(tokens, static_cast<double>(request.max_num_batched_tokens));
  double first_step = 0;
  for (const Stage& stage : stages)
    first_step += step * costs.prefill_s(stage.group, stage.first, stage.last);
  return first_step + (tokens - step) * rates.prefill_s +
         static_cast<double>(work.gen_len) * rates.decode_s;
}

/// One device like the fastest, with room for everything.
Rates single_device_rates(const PlanRequest& request) {
  PlanRequest single = request;
  const auto speed_of = [](const DeviceBudget& device) {
    const DeviceSpeed speed = known_speed(device.speed);
    return std::pair(speed.read_bytes_per_s, speed.flops_per_s);
  };
  const auto fastest = std::max_element(
      request.devices.begin(), request.devices.end(), [&](const auto& a, const auto& b) {
        return speed_of(a) < speed_of(b);
      });
  single.devices = {*fastest};
  const StageCosts costs(single, {.steps_in_flight = 1});
  return rates_of(costs, {{0, 0, costs.num_layers()}}, Overheads::left_out);
}

SpeedBound speed_bound(const PlanRequest& request,
                       const StageCosts& costs,
                       const std::vector<Stage>& stages) {
  SpeedBound bound;
  bound.estimated_s = estimated_s(request, costs, stages);
  const Rates rates = rates_of(costs, stages, Overheads::left_out);
  const Rates single = single_device_rates(request);
  const double streams =
      static_cast<double>(std::max<std::int64_t>(1, request.workload.num_streams));
  if (rates.prefill_s > 0) {
    bound.prefill_tokens_per_s = 1.0 / rates.prefill_s;
    bound.prefill_speedup = single.prefill_s / rates.prefill_s;
  }
  if (rates.decode_s > 0) {
    bound.decode_tokens_per_s = streams / rates.decode_s;
    bound.decode_speedup = single.decode_s / rates.decode_s;
  }
  return bound;
}

std::string_view bound_name(const PlanRequest& request,
                            const StageCosts& costs,
                            std::int64_t num_blocks) {
  if (num_blocks >= paid_blocks(request, costs)) return "kv_cache_bytes";
  if (num_blocks >= useful_blocks(request)) return "max_num_seqs";
  if (num_blocks >= max_addressable_blocks(request.sizes)) return "slot_range";
  return "memory";
}

/// The best plan of one layout; nullopt when it does not hold the promised context.
std::optional<Plan> plan_layout(const PlanRequest& request, const Layout& layout) {
  const StageCosts costs(request, layout);
  const std::int64_t block_size = request.sizes.kv_block_size;
  const std::int64_t promise = blocks_for(request.max_model_len, block_size);
  std::optional<std::int64_t> num_blocks = most_blocks(costs, most_blocks_allowed(request, costs));
  if (!num_blocks || *num_blocks < promise) return std::nullopt;

  double busy_s = std::numeric_limits<double>::infinity();
  if (layout.mode == ParallelMode::pipeline) {
    // As fast as the promise and the workload's own KV allow; then as much KV as that leaves.
    const Workload& work = request.workload;
    const std::int64_t wanted = blocks_for(work.prompt_len + work.gen_len, block_size) *
                                std::max<std::int64_t>(1, work.num_streams);
    busy_s = least_busy_s(costs, std::clamp(wanted, promise, *num_blocks)).value() * (1 + 1e-9);
    const auto with_time = best_split<std::int64_t>(
        costs,
        *num_blocks,
        [&](int group, int first, int last) -> std::optional<std::int64_t> {
          const std::int64_t capacity = costs.capacity(group, first, last);
          if (capacity < promise || costs.busy_s(group, first, last) > busy_s) return std::nullopt;
          return capacity;
        },
        [](std::int64_t a, std::int64_t b) { return std::min(a, b); },
        std::greater<>());
    num_blocks = with_time->value;
  }
  const LayerSplit split = most_even_split(costs, *num_blocks, busy_s);
  const std::vector<Stage> stages = stages_of(split);

  Plan plan;
  plan.mode = layout.mode;
  plan.tensor_size = layout.tensor_size;
  plan.num_micro_batches =
      layout.mode == ParallelMode::pipeline ? static_cast<int>(stages.size()) : 1;
  plan.steps_in_flight = layout.steps_in_flight;
  plan.num_kv_blocks = *num_blocks;
  plan.kv_block_size = block_size;
  plan.num_kv_tokens = *num_blocks * block_size;
  plan.kv_bound = bound_name(request, costs, *num_blocks);
  plan.max_model_len = request.max_model_len;
  plan.max_num_batched_tokens = request.max_num_batched_tokens;
  plan.max_num_seqs = request.max_num_seqs;
  plan.max_logits_rows = request.max_logits_rows;
  plan.devices = describe_split(request, costs, split, *num_blocks);
  plan.speed = speed_bound(request, costs, stages);
  for (const Stage& stage : stages) {
    StagePlacement& placed = plan.placement.stages.emplace_back();
    for (int rank = 0; rank < layout.tensor_size; ++rank)
      placed.devices.push_back(costs.device(stage.group, rank));
    placed.first_layer = stage.first;
    placed.num_layers = stage.last - stage.first;
    placed.has_embedding = stage.first == 0;
    placed.has_head = stage.last == costs.num_layers();
    if (layout.tensor_size > 1) placed.split = costs.split(stage.group);
  }
  return plan;
}

/// The faster of what the layout's ways to share tensors give.
std::optional<Plan> best_of_shares(const PlanRequest& request, Layout layout) {
  std::optional<Plan> best;
  for (const double by_speed : share_rules(request, layout)) {
    layout.by_speed = by_speed;
    std::optional<Plan> plan = plan_layout(request, layout);
    if (plan && (!best || plan->speed.estimated_s < best->speed.estimated_s))
      best = std::move(plan);
  }
  return best;
}

}  // namespace

std::string_view to_string(ParallelMode mode) {
  switch (mode) {
    case ParallelMode::automatic:
      return "auto";
    case ParallelMode::layer:
      return "layer";
    case ParallelMode::pipeline:
      return "pipeline";
    case ParallelMode::tensor:
      return "tensor";
  }
  return "";
}

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
  std::optional<Plan> best;
  std::vector<ModeEstimate> considered;
  const std::vector<Layout> layouts = layouts_of(request);
  for (const Layout& layout : layouts) {
    std::optional<Plan> plan = best_of_shares(request, layout);
    considered.push_back({.mode = layout.mode,
                          .pipeline_size = layout.pipeline_size,
                          .tensor_size = layout.tensor_size,
                          .fits = plan.has_value(),
                          .estimated_s = plan ? plan->speed.estimated_s : 0.0});
    if (plan && (!best || plan->speed.estimated_s * kNearTie < best->speed.estimated_s))
      best = std::move(plan);
  }
  if (!best) return refuse();
  if (layouts.size() > 1) best->considered = std::move(considered);
  return *std::move(best);
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

}  // namespace fastchat::parallel
