#include "parallel/stage_costs.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "parallel/saturating.h"

namespace fastchat::parallel {
namespace {

// Operations per layer of a decoder as its stage enqueues them.
constexpr double kOpsPerLayer = 10.0;

/// What layers [first, last) add to the sums of the layers before each; the largest number where
/// the sum is.
std::uint64_t sum_of(const std::vector<std::uint64_t>& sums, int first, int last) {
  const std::uint64_t sum = sums[static_cast<std::size_t>(last)];
  return sum == kHuge ? kHuge : sum - sums[static_cast<std::size_t>(first)];
}

double number(std::uint64_t value) { return static_cast<double>(value); }
double number(std::int64_t value) { return static_cast<double>(value); }

}  // namespace

DeviceSpeed known_speed(const DeviceSpeed& speed) {
  DeviceSpeed known = speed;
  if (known.read_bytes_per_s <= 0) known.read_bytes_per_s = 1e11;
  if (known.flops_per_s <= 0) known.flops_per_s = 1e13;
  if (known.link_bytes_per_s <= 0) known.link_bytes_per_s = 1e10;
  return known;
}

StageCosts::StageCosts(const PlanRequest& request, const Layout& layout)
    : request_(request),
      layout_(layout),
      bounds_{.max_model_len = request.max_model_len,
              .max_num_batched_tokens = request.max_num_batched_tokens,
              .max_num_seqs = request.max_num_seqs,
              .max_logits_rows = request.max_logits_rows,
              .steps_in_flight = layout.steps_in_flight},
      num_layers_(static_cast<int>(request.sizes.layer_weight_bytes.size())) {
  const auto sizes_of = [&](const TensorShare& share) {
    return request.sizes_of_share ? request.sizes_of_share(share, layout.steps_in_flight)
                                  : request.sizes;
  };
  if (layout.tensor_size == 1) {
    const ModelSizes sizes = sizes_of(whole_share(request.axes));
    for (const DeviceBudget& device : request.devices) add_member(sizes, device);
    return;
  }
  for (int group = 0; group < layout.pipeline_size; ++group) {
    Result<TensorSplit> split = split_tensors(request.axes, share_weights(group));
    check(split.has_value(), "{}", split ? "" : split.error().message);
    splits_.push_back(std::move(split).value());
    for (int rank = 0; rank < layout.tensor_size; ++rank)
      add_member(sizes_of(share_of(request.axes, splits_.back(), rank)),
                 request.devices[static_cast<std::size_t>(device(group, rank))]);
  }
}

void StageCosts::add_member(const ModelSizes& sizes, const DeviceBudget& device) {
  Member& added = members_.emplace_back();
  added.sizes = sizes;
  added.speed = known_speed(device.speed);
  added.budget = budget_bytes(request_, device);
  added.workspace = workspace_bytes(sizes, bounds_, false);
  added.workspace_with_head = workspace_bytes(sizes, bounds_, true);
  added.weights.push_back(0);
  added.kv.push_back(0);
  for (std::size_t i = 0; i < sizes.layer_weight_bytes.size(); ++i) {
    added.weights.push_back(plus(added.weights.back(), sizes.layer_weight_bytes[i]));
    added.kv.push_back(plus(added.kv.back(), sizes.layer_kv_bytes_per_block[i]));
  }
}

/// In what proportion the devices of a group share its tensors.
std::vector<double> StageCosts::share_weights(int group) const {
  std::vector<double> weights;
  double memory = 0;
  double speed = 0;
  for (int rank = 0; rank < layout_.tensor_size; ++rank) {
    const DeviceBudget& here = request_.devices[static_cast<std::size_t>(device(group, rank))];
    memory += number(budget_bytes(request_, here));
    speed += known_speed(here.speed).read_bytes_per_s;
  }
  for (int rank = 0; rank < layout_.tensor_size; ++rank) {
    const DeviceBudget& here = request_.devices[static_cast<std::size_t>(device(group, rank))];
    const double by_memory =
        memory > 0 ? number(budget_bytes(request_, here)) / memory : 1.0 / layout_.tensor_size;
    const double by_speed = known_speed(here.speed).read_bytes_per_s / speed;
    // A device without memory still gets its unit of every axis, and is found not to fit.
    weights.push_back(
        std::max(1e-6, layout_.by_speed * by_speed + (1 - layout_.by_speed) * by_memory));
  }
  return weights;
}

std::uint64_t StageCosts::weights(int device, int first, int last) const {
  const Member& here = member(device);
  std::uint64_t bytes = sum_of(here.weights, first, last);
  if (first == 0) bytes = plus(bytes, here.sizes.embedding_bytes);
  if (last == num_layers_) bytes = plus(bytes, here.sizes.head_bytes);
  return bytes;
}

std::uint64_t StageCosts::kv_per_block(int device, int first, int last) const {
  return sum_of(member(device).kv, first, last);
}

std::uint64_t StageCosts::workspace(int device, int first, int last) const {
  const Member& here = member(device);
  return plus(last == num_layers_ ? here.workspace_with_head : here.workspace,
              times(kv_per_block(device, first, last),
                    static_cast<std::uint64_t>(here.sizes.spare_kv_blocks)));
}

std::uint64_t StageCosts::needed(int device, int first, int last, std::int64_t num_blocks) const {
  return plus(plus(weights(device, first, last), workspace(device, first, last)),
              times(kv_per_block(device, first, last), static_cast<std::uint64_t>(num_blocks)));
}

std::int64_t StageCosts::device_capacity(int device, int first, int last) const {
  const std::uint64_t fixed = needed(device, first, last, 0);
  if (fixed > budget(device)) return -1;
  const std::uint64_t per_block = kv_per_block(device, first, last);
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (per_block == 0) return static_cast<std::int64_t>(kMost);
  return static_cast<std::int64_t>(std::min((budget(device) - fixed) / per_block, kMost));
}

std::int64_t StageCosts::capacity(int group, int first, int last) const {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (int rank = 0; rank < group_size(); ++rank)
    least = std::min(least, device_capacity(device(group, rank), first, last));
  return least;
}

std::uint64_t StageCosts::kv_per_block() const {
  std::uint64_t most = 0;
  for (int group = 0; group < num_groups(); ++group) {
    std::uint64_t sum = 0;
    for (int rank = 0; rank < group_size(); ++rank)
      sum = plus(sum, kv_per_block(device(group, rank), 0, num_layers_));
    most = std::max(most, sum);
  }
  return most;
}

/// Seconds of the meetings of a group in `num_layers` layers: two all-reduces each.
double StageCosts::meeting_s(int device, double tokens, int num_layers, Overheads overheads) const {
  if (group_size() == 1) return 0.0;
  const Member& here = member(device);
  const double ranks = group_size();
  const double bytes = tokens * number(here.sizes.hidden_bytes_per_token);
  const double transfer = 2.0 * (ranks - 1) / ranks * bytes / here.speed.link_bytes_per_s;
  return 2.0 * num_layers *
         (transfer + (overheads == Overheads::counted ? here.speed.all_reduce_s : 0.0));
}

double StageCosts::prefill_s(int group, int first, int last, Overheads overheads) const {
  const Workload& work = request_.workload;
  const double prompt = number(std::max<std::int64_t>(1, work.prompt_len));
  // What a step spreads its fixed costs over.
  const double step_tokens = std::min(number(request_.max_num_batched_tokens),
                                      prompt * number(std::max<std::int64_t>(1, work.num_streams)));
  double slowest = 0;
  for (int rank = 0; rank < group_size(); ++rank) {
    const int index = device(group, rank);
    const Member& here = member(index);
    const double layers = last - first;
    double flops = layers * (here.sizes.layer_flops_per_token +
                             here.sizes.layer_flops_per_position * (prompt + 1) / 2);
    if (last == num_layers_) flops += here.sizes.head_flops_per_row / prompt;
    const double bytes = number(weights(index, first, last)) -
                         (first == 0 ? number(here.sizes.embedding_bytes) : 0.0);
    double time =
        std::max(flops / here.speed.flops_per_s, bytes / here.speed.read_bytes_per_s / step_tokens);
    if (overheads == Overheads::counted)
      time += layers * kOpsPerLayer * here.speed.op_s / step_tokens;
    time += meeting_s(index, step_tokens, last - first, overheads) / step_tokens;
    slowest = std::max(slowest, time);
  }
  return slowest;
}

double StageCosts::decode_s(
    int group, int first, int last, std::int64_t num_seqs, Overheads overheads) const {
  const Workload& work = request_.workload;
  const double context = number(work.prompt_len) + number(work.gen_len) / 2;
  const double seqs = number(num_seqs);
  double slowest = 0;
  for (int rank = 0; rank < group_size(); ++rank) {
    const int index = device(group, rank);
    const Member& here = member(index);
    const double layers = last - first;
    double flops =
        layers * (here.sizes.layer_flops_per_token + here.sizes.layer_flops_per_position * context);
    if (last == num_layers_) flops += here.sizes.head_flops_per_row;
    const double bytes = number(weights(index, first, last)) -
                         (first == 0 ? number(here.sizes.embedding_bytes) : 0.0) +
                         seqs * context * number(kv_per_block(index, first, last)) /
                             number(here.sizes.kv_block_size);
    double time =
        std::max(seqs * flops / here.speed.flops_per_s, bytes / here.speed.read_bytes_per_s);
    if (overheads == Overheads::counted) time += layers * kOpsPerLayer * here.speed.op_s;
    time += meeting_s(index, seqs, last - first, overheads);
    slowest = std::max(slowest, time);
  }
  return slowest;
}

std::int64_t StageCosts::num_busy_micro_batches() const {
  return std::clamp<std::int64_t>(
      layout_.num_micro_batches, 1, std::max<std::int64_t>(1, request_.workload.num_streams));
}

std::int64_t StageCosts::micro_batch_seqs() const {
  const std::int64_t batches = num_busy_micro_batches();
  return (std::max<std::int64_t>(1, request_.workload.num_streams) + batches - 1) / batches;
}

double StageCosts::busy_s(int group, int first, int last) const {
  const Workload& work = request_.workload;
  return number(work.num_streams * work.prompt_len) * prefill_s(group, first, last) +
         number(work.gen_len * num_busy_micro_batches()) *
             decode_s(group, first, last, micro_batch_seqs());
}

}  // namespace fastchat::parallel
