#include "parallel/report_parts.h"

#include <algorithm>
#include <optional>

#include <fmt/ranges.h>

#include "base/bytes.h"
#include "parallel/saturating.h"

namespace fastchat::parallel {
namespace {

using nlohmann::json;

json bytes_or_null(const std::optional<std::uint64_t>& bytes) {
  return bytes ? json(*bytes) : json(nullptr);
}

json device_json(const PlanRequest& request, const DevicePlan& row) {
  const DeviceBudget& budget = budget_of(request, row);
  return {{"device", row.device},
          {"name", budget.name},
          {"described", budget.described},
          {"total_bytes", budget.total_bytes},
          {"free_bytes", budget.free_bytes},
          {"limit_bytes", bytes_or_null(budget.limit_bytes)},
          {"budget_bytes", row.budget_bytes},
          {"stage", row.num_layers > 0 ? json(row.stage) : json(nullptr)},
          {"group_rank", row.group_rank},
          {"first_layer", row.first_layer},
          {"num_layers", row.num_layers},
          {"has_embedding", row.has_embedding},
          {"has_head", row.has_head},
          {"weight_bytes", row.weight_bytes},
          {"workspace_bytes", row.workspace_bytes},
          {"kv_bytes_per_token", row.kv_bytes_per_token},
          {"kv_bytes", row.kv_bytes},
          {"max_kv_tokens", row.max_kv_tokens},
          {"unused_bytes", row.unused_bytes}};
}

}  // namespace

const DeviceBudget& budget_of(const PlanRequest& request, const DevicePlan& row) {
  return request.devices[static_cast<std::size_t>(row.device)];
}

std::uint64_t needed_bytes(const DevicePlan& row) {
  return plus(plus(row.weight_bytes, row.kv_bytes), row.workspace_bytes);
}

std::string layer_range(const DevicePlan& row, const Speaker& in) {
  if (row.num_layers == 0) return std::string(in("none", "无"));
  if (row.num_layers == 1) return fmt::format("{}", row.first_layer);
  return fmt::format("{}-{}", row.first_layer, row.first_layer + row.num_layers - 1);
}

std::string extras(const DevicePlan& row, int tensor_size, const Speaker& in) {
  std::vector<std::string> parts;
  if (row.has_embedding) parts.emplace_back(in("embedding", "词嵌入"));
  if (row.has_head) parts.emplace_back(in("head", "输出层"));
  if (tensor_size > 1 && row.num_layers > 0)
    parts.push_back(in.say("part {} of {}", "第 {}/{} 份", row.group_rank + 1, tensor_size));
  return fmt::format("{}", fmt::join(parts, in(", ", "、")));
}

std::string left_out_because(const PlanRequest& request, const DevicePlan& row, const Speaker& in) {
  const ModelSizes& sizes = request.sizes;
  const std::uint64_t least =
      plus(*std::min_element(sizes.layer_weight_bytes.begin(), sizes.layer_weight_bytes.end()),
           workspace_bytes(sizes, request, false));
  if (row.budget_bytes < least)
    return in.say("its {} are less than one layer and its workspace take ({})",
                  "其 {} 不足以放下一层及其工作内存（{}）",
                  format_bytes(row.budget_bytes),
                  format_bytes(least));
  if (request.devices.size() > sizes.layer_weight_bytes.size())
    return std::string(in("there are fewer layers than devices", "层数少于设备数"));
  return std::string(
      in("the other devices hold more KV without it", "不用它时其余设备能容纳更多键值缓存"));
}

std::string device_label(const PlanRequest& request, const DevicePlan& row) {
  return fmt::format("{} {}", request.first_device + row.device, budget_of(request, row).name);
}

bool any_described(const PlanRequest& request) {
  return std::any_of(request.devices.begin(),
                     request.devices.end(),
                     [](const DeviceBudget& device) { return device.described; });
}

nlohmann::json devices_json(const PlanRequest& request, const std::vector<DevicePlan>& rows) {
  json devices = json::array();
  for (const DevicePlan& row : rows) devices.push_back(device_json(request, row));
  return devices;
}

nlohmann::json bounds_json(const PlanRequest& request) {
  return {{"max_model_len", request.max_model_len},
          {"max_num_seqs", request.max_num_seqs},
          {"max_num_batched_tokens", request.max_num_batched_tokens},
          {"max_logits_rows", request.max_logits_rows},
          {"kv_cache_bytes", bytes_or_null(request.kv_cache_bytes)},
          {"memory_utilization", request.memory_utilization}};
}

}  // namespace fastchat::parallel
