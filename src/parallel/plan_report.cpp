// Plans and refusals as text for people and as JSON for programs (docs/plan-json.md).
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "parallel/planner.h"

namespace fastchat::parallel {
namespace {

using nlohmann::json;

const DeviceBudget& budget_of(const PlanRequest& request, const DevicePlan& row) {
  return request.devices[static_cast<std::size_t>(row.device)];
}

/// "1,234,567"
std::string grouped(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  const std::size_t start = value < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > start + 3;) digits.insert(i -= 3, ",");
  return digits;
}

/// A size that can be typed after a flag and is not less than `bytes`.
std::string flag_size(std::uint64_t bytes) {
  return bytes < kMiB ? fmt::format("{}KiB", (bytes + kKiB - 1) / kKiB)
                      : fmt::format("{}MiB", (bytes + kMiB - 1) / kMiB);
}

std::uint64_t needed_bytes(const DevicePlan& row) {
  std::uint64_t sum = 0;
  // Absurd sizes are counted up to the largest number (planner.cpp) and must not start again from 0
  // here.
  for (const std::uint64_t bytes : {row.weight_bytes, row.kv_bytes, row.workspace_bytes})
    sum = sum > std::numeric_limits<std::uint64_t>::max() - bytes
              ? std::numeric_limits<std::uint64_t>::max()
              : sum + bytes;
  return sum;
}

std::string layer_range(const DevicePlan& row) {
  if (row.num_layers == 0) return "none";
  if (row.num_layers == 1) return fmt::format("{}", row.first_layer);
  return fmt::format("{}-{}", row.first_layer, row.first_layer + row.num_layers - 1);
}

std::string extras(const DevicePlan& row) {
  if (row.has_embedding && row.has_head) return "embedding, head";
  if (row.has_embedding) return "embedding";
  return row.has_head ? "head" : "";
}

std::string device_label(const PlanRequest& request, const DevicePlan& row) {
  return fmt::format("{} {}", row.device, budget_of(request, row).name);
}

/// Columns as wide as their widest cell; the first `num_left` are aligned to the left.
std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t num_left) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += i < num_left ? fmt::format("  {:<{}}", row[i], widths[i])
                           : fmt::format("  {:>{}}", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

DevicePlan totals(const std::vector<DevicePlan>& rows) {
  DevicePlan total;
  for (const DevicePlan& row : rows) {
    total.num_layers += row.num_layers;
    total.budget_bytes += row.budget_bytes;
    total.weight_bytes += row.weight_bytes;
    total.kv_bytes += row.kv_bytes;
    total.workspace_bytes += row.workspace_bytes;
    total.kv_bytes_per_token += row.kv_bytes_per_token;
    total.unused_bytes += row.unused_bytes;
  }
  return total;
}

/// Why a device holds nothing.
std::string left_out_because(const PlanRequest& request, const DevicePlan& row) {
  const ModelSizes& sizes = request.sizes;
  const std::uint64_t least =
      *std::min_element(sizes.layer_weight_bytes.begin(), sizes.layer_weight_bytes.end()) +
      workspace_bytes(sizes, request, false);
  if (row.budget_bytes < least)
    return fmt::format("its {} are less than one layer and its workspace take ({})",
                       format_bytes(row.budget_bytes),
                       format_bytes(least));
  if (request.devices.size() > sizes.layer_weight_bytes.size())
    return "there are fewer layers than devices";
  return "the other devices hold more KV without it";
}

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

json devices_json(const PlanRequest& request, const std::vector<DevicePlan>& rows) {
  json devices = json::array();
  for (const DevicePlan& row : rows) devices.push_back(device_json(request, row));
  return devices;
}

json bounds_json(const PlanRequest& request) {
  return {{"max_model_len", request.max_model_len},
          {"max_num_seqs", request.max_num_seqs},
          {"max_num_batched_tokens", request.max_num_batched_tokens},
          {"max_logits_rows", request.max_logits_rows},
          {"kv_cache_bytes", bytes_or_null(request.kv_cache_bytes)},
          {"memory_utilization", request.memory_utilization}};
}

bool any_described(const PlanRequest& request) {
  return std::any_of(request.devices.begin(),
                     request.devices.end(),
                     [](const DeviceBudget& device) { return device.described; });
}

json even_split_json(const PlanRequest& request) {
  const SplitCheck even = even_split(request);
  json layers = json::array();
  for (const DevicePlan& row : even.devices) layers.push_back(row.num_layers);
  return {{"layers", layers},
          {"fits", even.holds_promise},
          {"num_kv_tokens", even.num_kv_tokens},
          {"first_full_device", even.first_full_device}};
}

std::string even_split_text(const Plan& plan, const PlanRequest& request) {
  const SplitCheck even = even_split(request);
  std::string layers;
  bool same = true;
  for (const DevicePlan& row : even.devices) {
    layers += fmt::format("{}{}", layers.empty() ? "" : " + ", row.num_layers);
    same = same && row.num_layers == plan.devices[static_cast<std::size_t>(row.device)].num_layers;
  }
  if (same) return fmt::format("An even split ({} layers) is the same.\n", layers);
  const DevicePlan& full = even.devices[static_cast<std::size_t>(even.first_full_device)];
  const std::string who = device_label(request, full);
  if (even.num_kv_tokens < 0)
    return fmt::format(
        "An even split ({} layers) would not load: device {} needs {} for weights and workspace, "
        "{} are there.\n",
        layers,
        who,
        format_bytes(full.weight_bytes + full.workspace_bytes),
        format_bytes(full.budget_bytes));
  return fmt::format(
      "An even split ({} layers) would hold {} KV tokens, as device {} is full first{}.\n",
      layers,
      grouped(even.num_kv_tokens),
      who,
      even.holds_promise ? "" : ": less than the context promised");
}

std::string bound_text(const Plan& plan, const PlanRequest& request) {
  const std::string_view bound = plan.kv_bound;
  if (bound == "kv_cache_bytes") return "as much as --kv-cache-bytes allows";
  if (bound == "max_num_seqs")
    return fmt::format("as much as {} sequences of that length use (--max-num-seqs)",
                       plan.max_num_seqs);
  if (bound == "slot_range") return "as many as 32-bit slots number";
  return "as much as fits";
}

std::string_view reason_name(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::bad_request:
      return "bad_request";
    case RefusalReason::weights:
      return "weights";
    case RefusalReason::context:
      return "context";
    case RefusalReason::kv_cache_bytes:
      return "kv_cache_bytes";
  }
  return "";
}

/// The device that lacks most in the nearest split.
const DevicePlan& shortest_device(const Refusal& refusal) {
  const auto shortfall = [](const DevicePlan& row) {
    return static_cast<double>(needed_bytes(row)) - static_cast<double>(row.budget_bytes);
  };
  return *std::max_element(refusal.nearest.begin(),
                           refusal.nearest.end(),
                           [&](const DevicePlan& a, const DevicePlan& b) {
                             if (a.num_layers == 0 || b.num_layers == 0)
                               return a.num_layers == 0 && b.num_layers != 0;
                             return shortfall(a) < shortfall(b);
                           });
}

/// "--max-gpu-memory 800MiB" where a limit is what is in the way, else how much must become free.
std::string raise_text(std::uint64_t needed, const DeviceBudget& device) {
  const bool limit_binds = device.limit_bytes && *device.limit_bytes <= device.free_bytes;
  if (limit_binds || needed <= device.free_bytes || device.described)
    return fmt::format("--max-gpu-memory {}", flag_size(needed));
  return fmt::format("{} must be free there", format_bytes(needed));
}

/// "10.19 MiB, 1.00 MiB are there"; with the difference where rounding would hide it.
std::string shortfall_text(std::uint64_t needed, std::uint64_t there) {
  const std::string left = format_bytes(needed);
  const std::string right = format_bytes(there);
  return left == right
             ? fmt::format(
                   "{}, {} are there, {} too few", left, right, format_bytes(needed - there))
             : fmt::format("{}, {} are there", left, right);
}

std::vector<std::string> remedies(const Refusal& refusal, const PlanRequest& request) {
  std::vector<std::string> ways;
  if (refusal.largest_model_len > 0)
    ways.push_back(fmt::format("--max-model-len {} or less", refusal.largest_model_len));
  if (refusal.reason == RefusalReason::kv_cache_bytes) {
    ways.push_back(fmt::format("--kv-cache-bytes {} or more", flag_size(refusal.kv_bytes_needed)));
    return ways;
  }
  if (refusal.raise_device >= 0) {
    const auto index = static_cast<std::size_t>(refusal.raise_device);
    const std::uint64_t budget = budget_bytes(request, request.devices[index]);
    ways.push_back(fmt::format("{} more on device {} alone ({})",
                               format_bytes(refusal.raise_to_bytes - budget),
                               refusal.raise_device,
                               raise_text(refusal.raise_to_bytes, request.devices[index])));
  }
  if (request.devices.size() > 1)
    ways.push_back(fmt::format("{} on every device", format_bytes(refusal.every_device_bytes)));
  // Dividing one memory among more devices brings nothing, unless limits are what holds it back.
  const bool more_would_bring_more =
      !request.shared_memory || request.devices.front().limit_bytes.has_value();
  const bool all_equal =
      std::all_of(request.devices.begin(), request.devices.end(), [&](const DeviceBudget& device) {
        return budget_bytes(request, device) == refusal.largest_budget_bytes;
      });
  if (more_would_bring_more && refusal.num_devices_needed > 0)
    ways.push_back(fmt::format("{} devices {} {} each (--num-gpus {})",
                               refusal.num_devices_needed,
                               all_equal ? "of" : "like the largest, of",
                               format_bytes(refusal.largest_budget_bytes),
                               refusal.num_devices_needed));
  return ways;
}

}  // namespace

std::string to_text(const Plan& plan, const PlanRequest& request) {
  const auto num_layers = request.sizes.layer_weight_bytes.size();
  std::string out =
      fmt::format("{} layers over {} of {} device(s), one after the other (layer mode)\n",
                  num_layers,
                  plan.placement.stages.size(),
                  request.devices.size());
  if (any_described(request))
    out += "As described: --max-gpu-memory is more than this machine has. Nothing was opened.\n";

  const auto cells = [&](const DevicePlan& row, std::string name, std::string layers) {
    return std::vector<std::string>{std::move(name),
                                    std::move(layers),
                                    extras(row),
                                    format_bytes(row.budget_bytes),
                                    format_bytes(row.weight_bytes),
                                    format_bytes(row.workspace_bytes),
                                    format_bytes(row.kv_bytes_per_token),
                                    format_bytes(row.kv_bytes),
                                    format_bytes(row.unused_bytes)};
  };
  std::vector<std::vector<std::string>> rows = {{"device",
                                                 "layers",
                                                 "also",
                                                 "may use",
                                                 "weights",
                                                 "workspace",
                                                 "KV per token",
                                                 "KV",
                                                 "unused",
                                                 "max KV tokens"}};
  for (const DevicePlan& row : plan.devices) {
    rows.push_back(cells(row, device_label(request, row), layer_range(row)));
    rows.back().push_back(row.num_layers == 0 ? "-" : grouped(row.max_kv_tokens));
  }
  if (plan.devices.size() > 1) {
    const DevicePlan total = totals(plan.devices);
    rows.push_back(cells(total, "total", fmt::format("{}", total.num_layers)));
    rows.back().push_back(grouped(plan.num_kv_tokens));
  }
  out += table(rows, 3);
  for (const DevicePlan& row : plan.devices)
    if (row.num_layers == 0)
      out += fmt::format("Device {} gets no layers: {}.\n",
                         device_label(request, row),
                         left_out_because(request, row));
  out += fmt::format(
      "Context promised: {} tokens. KV for {} tokens ({} blocks of {}), {}: {:.1f} sequences of "
      "that length at once.\n",
      grouped(plan.max_model_len),
      grouped(plan.num_kv_tokens),
      grouped(plan.num_kv_blocks),
      plan.kv_block_size,
      bound_text(plan, request),
      static_cast<double>(plan.num_kv_tokens) / static_cast<double>(plan.max_model_len));
  if (plan.devices.size() > 1) out += even_split_text(plan, request);
  return out;
}

json to_json(const Plan& plan, const PlanRequest& request) {
  const DevicePlan total = totals(plan.devices);
  return {{"schema_version", 1},
          {"fits", true},
          {"mode", "layer"},
          {"described", any_described(request)},
          {"bounds", bounds_json(request)},
          {"kv",
           {{"block_size", plan.kv_block_size},
            {"num_blocks", plan.num_kv_blocks},
            {"num_tokens", plan.num_kv_tokens},
            {"bound", plan.kv_bound}}},
          {"devices", devices_json(request, plan.devices)},
          {"totals",
           {{"budget_bytes", total.budget_bytes},
            {"weight_bytes", total.weight_bytes},
            {"workspace_bytes", total.workspace_bytes},
            {"kv_bytes_per_token", total.kv_bytes_per_token},
            {"kv_bytes", total.kv_bytes},
            {"unused_bytes", total.unused_bytes}}},
          {"even_split", even_split_json(request)}};
}

std::string to_text(const Refusal& refusal, const PlanRequest& request) {
  if (refusal.reason == RefusalReason::bad_request) return refusal.bad_request;
  std::string out;
  if (refusal.reason == RefusalReason::kv_cache_bytes) {
    out = fmt::format(
        "a context of {} tokens does not fit: its KV takes {}, --kv-cache-bytes allows {}",
        request.max_model_len,
        format_bytes(refusal.kv_bytes_needed),
        format_bytes(request.kv_cache_bytes.value_or(0)));
  } else {
    const DevicePlan& worst = shortest_device(refusal);
    const bool weights = refusal.reason == RefusalReason::weights;
    out = fmt::format("{} not fit: in the best split device {} needs {}",
                      weights ? std::string("the weights alone do")
                              : fmt::format("a context of {} tokens does", request.max_model_len),
                      device_label(request, worst),
                      shortfall_text(needed_bytes(worst), worst.budget_bytes));
  }
  const std::vector<std::string> ways = remedies(refusal, request);
  if (!ways.empty())
    out += fmt::format("; what would fit{}: {}",
                       refusal.reason == RefusalReason::weights
                           ? fmt::format(" with a context of {}", request.max_model_len)
                           : "",
                       fmt::join(ways, ", or "));
  for (const DevicePlan& row : refusal.nearest) {
    out += fmt::format("\n  device {}: ", device_label(request, row));
    if (row.num_layers == 0) {
      out += fmt::format("no layers, {} are there", format_bytes(row.budget_bytes));
      continue;
    }
    const std::string also = extras(row);
    out += fmt::format(
        "layers {}{}{} need {} (weights {}, workspace {}{}), {} are there",
        layer_range(row),
        also.empty() ? "" : ", ",
        also,
        format_bytes(needed_bytes(row)),
        format_bytes(row.weight_bytes),
        format_bytes(row.workspace_bytes),
        refusal.reason == RefusalReason::weights ? "" : ", KV " + format_bytes(row.kv_bytes),
        format_bytes(row.budget_bytes));
  }
  return out;
}

json to_json(const Refusal& refusal, const PlanRequest& request) {
  json remedies_json = {
      {"max_model_len", refusal.largest_model_len},
      {"raise_device", refusal.raise_device},
      {"raise_to_bytes", refusal.raise_to_bytes},
      {"every_device_bytes", refusal.every_device_bytes},
      {"num_devices", refusal.num_devices_needed},
      {"num_devices_budget_bytes", refusal.largest_budget_bytes},
      {"kv_cache_bytes",
       refusal.reason == RefusalReason::kv_cache_bytes ? json(refusal.kv_bytes_needed)
                                                       : json(nullptr)}};
  return {{"schema_version", 1},
          {"fits", false},
          {"mode", "layer"},
          {"described", any_described(request)},
          {"bounds", bounds_json(request)},
          {"reason", reason_name(refusal.reason)},
          {"message", to_text(refusal, request)},
          {"devices", devices_json(request, refusal.nearest)},
          {"remedies", std::move(remedies_json)}};
}

}  // namespace fastchat::parallel
