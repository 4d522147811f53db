#include "parallel/plan_request.h"

#include <algorithm>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "parallel/saturating.h"

namespace fastchat::parallel {
namespace {

template <typename... Args>
TwoTexts in_both(std::string_view english, std::string_view chinese, const Args&... args) {
  return {fmt::format(fmt::runtime(english), args...), fmt::format(fmt::runtime(chinese), args...)};
}

int num_devices(const PlanRequest& request) { return static_cast<int>(request.devices.size()); }

/// Why a group of this many devices cannot share the tensors; empty: it can.
TwoTexts group_defect(const PlanRequest& request, int tensor_size) {
  if (tensor_size == 1) return {};
  if (!request.has_collectives)
    return in_both(
        "devices of this kind cannot share layers yet (tensor mode); use --parallel layer or "
        "pipeline",
        "此类设备还不能共用层（张量模式）；请用 --parallel layer 或 pipeline");
  if (!request.sizes_of_share)
    return in_both("this model cannot be split over the devices of a group",
                   "此模型不能在一组设备间切分张量");
  const Result<TensorSplit> split =
      split_tensors(request.axes, std::vector<double>(static_cast<std::size_t>(tensor_size), 1.0));
  if (split) return {};
  return {split.error().message,
          fmt::format("模型的张量不能切分到 {} 个设备：{} 个注意力头、{} 个 MLP 列、{} 个隐藏列、"
                      "{} 个词表行，每个设备至少要分到一个",
                      tensor_size,
                      request.axes.num_heads,
                      request.axes.intermediate,
                      request.axes.hidden,
                      request.axes.vocab)};
}

/// Stages and devices per stage that the sizes asked for leave open.
std::vector<std::pair<int, int>> sizes_of(const PlanRequest& request) {
  const int devices = num_devices(request);
  const ParallelRequest& asked = request.parallel;
  std::vector<std::pair<int, int>> sizes;
  for (int tensor = 1; tensor <= devices; ++tensor) {
    if (devices % tensor != 0) continue;
    const int pipeline = devices / tensor;
    if (asked.tensor_size > 0 && tensor != asked.tensor_size) continue;
    if (asked.pipeline_size > 0 && pipeline != asked.pipeline_size) continue;
    const bool is_free = asked.tensor_size == 0 && asked.pipeline_size == 0;
    if (is_free && asked.mode == ParallelMode::tensor && pipeline != 1) continue;
    if (is_free && (asked.mode == ParallelMode::layer || asked.mode == ParallelMode::pipeline) &&
        tensor != 1)
      continue;
    sizes.emplace_back(pipeline, tensor);
  }
  return sizes;
}

/// "--tensor-parallel-size 2, for each of 2 copies, takes …": what the sizes asked for multiply to
/// beside the devices that are given; empty where they agree.
TwoTexts product_defect(const PlanRequest& request) {
  const ParallelRequest& asked = request.parallel;
  const int stages = std::max(asked.pipeline_size, 1);
  const int size = std::max(asked.tensor_size, 1);
  const bool both = asked.pipeline_size > 0 && asked.tensor_size > 0;
  if (both ? stages * size == num_devices(request) : num_devices(request) % (stages * size) == 0)
    return {};
  const int copies = request.num_copies;
  const int given = num_devices(request) * copies;
  const int unit = stages * size * copies;
  const int enough = both ? unit : (given + unit - 1) / unit * unit;
  const auto text_of = [&](std::string_view conjunction,
                           std::string_view of_copies,
                           std::string_view one,
                           std::string_view several) {
    std::string flags;
    if (asked.pipeline_size > 0) flags = fmt::format("--pipeline-parallel-size {}", stages);
    if (both) flags += conjunction;
    if (asked.tensor_size > 0) flags += fmt::format("--tensor-parallel-size {}", size);
    if (copies > 1) flags += fmt::format(fmt::runtime(of_copies), copies);
    return fmt::format(fmt::runtime(both ? several : one), flags, unit, given, enough);
  };
  return {text_of(" and ",
                  " for each of {} copies",
                  "{} takes a multiple of {} devices, {} given (--num-gpus {} would do)",
                  "{} take {} devices, {} given (--num-gpus {} would do)"),
          text_of(" 与 ",
                  "（{} 个副本）",
                  "{} 所需设备数为 {} 的倍数，现有 {} 个（可用 --num-gpus {}）",
                  "{} 需要 {} 个设备，现有 {} 个（可用 --num-gpus {}）")};
}

TwoTexts parallel_defect(const PlanRequest& request) {
  const ParallelRequest& asked = request.parallel;
  if (asked.pipeline_size < 0 || asked.tensor_size < 0)
    return in_both("--pipeline-parallel-size and --tensor-parallel-size are 1 or more",
                   "--pipeline-parallel-size 和 --tensor-parallel-size 至少为 1");
  if (TwoTexts wrong = product_defect(request); !wrong.empty()) return wrong;
  TwoTexts why;
  for (const auto& [stages, size] : sizes_of(request)) {
    TwoTexts here = group_defect(request, size);
    if (here.empty()) return {};
    why = std::move(here);
  }
  return why;
}

}  // namespace

TwoTexts defect(const PlanRequest& request) {
  const ModelSizes& sizes = request.sizes;
  if (sizes.layer_weight_bytes.empty()) return in_both("the model has no layers", "模型没有任何层");
  if (sizes.layer_kv_bytes_per_block.size() != sizes.layer_weight_bytes.size())
    return in_both("sizes of {} layers came with KV sizes of {}",
                   "给出 {} 层的大小，却有 {} 层的 KV 大小",
                   sizes.layer_weight_bytes.size(),
                   sizes.layer_kv_bytes_per_block.size());
  if (sizes.kv_block_size < 1)
    return in_both("KV blocks of {} positions; at least 1 was expected",
                   "KV 块有 {} 个位置；至少应为 1",
                   sizes.kv_block_size);
  if (request.devices.empty())
    return in_both("there is no device to plan for", "没有可供规划的设备");
  const std::int64_t longest = max_addressable_blocks(sizes) * sizes.kv_block_size;
  if (request.max_model_len < 1 || request.max_model_len > longest)
    return in_both("--max-model-len {} is out of range: 1 to {} was expected",
                   "--max-model-len {} 超出范围：应为 1 到 {}",
                   request.max_model_len,
                   longest);
  if (request.max_num_seqs < 1)
    return in_both(
        "--max-num-seqs {} is less than 1", "--max-num-seqs {} 小于 1", request.max_num_seqs);
  if (request.max_num_batched_tokens < 1)
    return in_both("--max-num-batched-tokens {} is less than 1",
                   "--max-num-batched-tokens {} 小于 1",
                   request.max_num_batched_tokens);
  if (request.max_logits_rows < 1)
    return in_both("{} rows of logits; at least 1 was expected",
                   "logits 有 {} 行；至少应为 1",
                   request.max_logits_rows);
  if (!(request.memory_utilization > 0 && request.memory_utilization <= 1))
    return in_both("--gpu-memory-utilization {} is not above 0 and at most 1",
                   "--gpu-memory-utilization {} 应大于 0 且不超过 1",
                   request.memory_utilization);
  return parallel_defect(request);
}

std::vector<Layout> layouts_of(const PlanRequest& request) {
  const ParallelMode mode = request.parallel.mode;
  std::vector<Layout> layouts;
  for (const auto& [pipeline, tensor] : sizes_of(request)) {
    if (!group_defect(request, tensor).empty()) continue;
    Layout layout{.mode = tensor > 1 ? ParallelMode::tensor : ParallelMode::layer,
                  .pipeline_size = pipeline,
                  .tensor_size = tensor,
                  .steps_in_flight = request.steps_in_flight};
    if (pipeline == 1) {
      layouts.push_back(layout);
      continue;
    }
    layout.mode = ParallelMode::layer;
    if (mode == ParallelMode::layer || mode == ParallelMode::automatic) layouts.push_back(layout);
    layout.mode = ParallelMode::pipeline;
    layout.num_micro_batches = pipeline;
    layout.steps_in_flight = std::max(request.steps_in_flight, pipeline + 1);
    if (mode != ParallelMode::layer) layouts.push_back(layout);
  }
  return layouts;
}

std::vector<double> share_rules(const PlanRequest& request, const Layout& layout) {
  if (layout.tensor_size == 1) return {0.0};
  const DeviceBudget& first = request.devices.front();
  const bool all_alike =
      std::all_of(request.devices.begin(), request.devices.end(), [&](const DeviceBudget& device) {
        return budget_bytes(request, device) == budget_bytes(request, first) &&
               known_speed(device.speed).read_bytes_per_s ==
                   known_speed(first.speed).read_bytes_per_s;
      });
  if (all_alike) return {1.0};
  return {1.0, 0.75, 0.5, 0.25, 0.0};
}

std::int64_t max_addressable_blocks(const ModelSizes& sizes) {
  return std::numeric_limits<std::int32_t>::max() / sizes.kv_block_size;
}

std::int64_t useful_blocks(const PlanRequest& request) {
  const std::int64_t promise = blocks_for(request.max_model_len, request.sizes.kv_block_size);
  const std::uint64_t useful = times(as_unsigned(promise), as_unsigned(request.max_num_seqs));
  return static_cast<std::int64_t>(
      std::min(useful, as_unsigned(std::numeric_limits<std::int64_t>::max())));
}

std::int64_t paid_blocks(const PlanRequest& request, const StageCosts& costs) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const std::uint64_t per_block = costs.kv_per_block();
  if (!request.kv_cache_bytes || per_block == 0) return kMost;
  return static_cast<std::int64_t>(
      std::min(*request.kv_cache_bytes / per_block, as_unsigned(kMost)));
}

std::optional<std::int64_t> most_blocks(const StageCosts& costs, std::int64_t most) {
  const auto found = best_split<std::int64_t>(
      costs,
      most,
      [&](int group, int first, int last) -> std::optional<std::int64_t> {
        const std::int64_t capacity = costs.capacity(group, first, last);
        if (capacity < 0) return std::nullopt;
        return capacity;
      },
      [](std::int64_t a, std::int64_t b) { return std::min(a, b); },
      std::greater<>());
  if (!found) return std::nullopt;
  return found->value;
}

bool holds_promise(const PlanRequest& request) {
  const std::int64_t promise = blocks_for(request.max_model_len, request.sizes.kv_block_size);
  for (Layout layout : layouts_of(request)) {
    for (const double by_speed : share_rules(request, layout)) {
      layout.by_speed = by_speed;
      const StageCosts costs(request, layout);
      if (paid_blocks(request, costs) >= promise &&
          most_blocks(costs, promise).value_or(-1) >= promise)
        return true;
    }
  }
  return false;
}

std::vector<DevicePlan> describe_split(const PlanRequest& request,
                                       const StageCosts& costs,
                                       const LayerSplit& split,
                                       std::int64_t num_blocks) {
  const std::int64_t block_size = request.sizes.kv_block_size;
  std::vector<DevicePlan> rows;
  int first = 0;
  int stage = 0;
  for (int group = 0; group < costs.num_groups(); ++group) {
    const int num_layers = split[static_cast<std::size_t>(group)];
    const int last = first + num_layers;
    for (int rank = 0; rank < costs.group_size(); ++rank) {
      DevicePlan row;
      row.device = costs.device(group, rank);
      row.group_rank = rank;
      row.first_layer = first;
      row.num_layers = num_layers;
      row.budget_bytes = costs.budget(row.device);
      if (num_layers > 0) {
        row.stage = stage;
        row.has_embedding = first == 0;
        row.has_head = last == costs.num_layers();
        row.weight_bytes = costs.weights(row.device, first, last);
        row.workspace_bytes = costs.workspace(row.device, first, last);
        const std::uint64_t kv_per_block = costs.kv_per_block(row.device, first, last);
        row.kv_bytes_per_token = kv_per_block / as_unsigned(block_size);
        row.kv_bytes = times(kv_per_block, as_unsigned(num_blocks));
        const std::int64_t capacity = costs.device_capacity(row.device, first, last);
        row.max_kv_tokens =
            capacity < 0 ? -1
                         : std::min(capacity, max_addressable_blocks(request.sizes)) * block_size;
      }
      const std::uint64_t used = plus(plus(row.weight_bytes, row.workspace_bytes), row.kv_bytes);
      row.unused_bytes = row.budget_bytes > used ? row.budget_bytes - used : 0;
      rows.push_back(row);
    }
    first = last;
    if (num_layers > 0) ++stage;
  }
  return rows;
}

}  // namespace fastchat::parallel
