// Refusals as text for people and as JSON for programs (docs/plan-json.md).
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "parallel/planner.h"
#include "parallel/report_parts.h"

namespace fastchat::parallel {
namespace {

using nlohmann::json;

/// A size that can be typed after a flag and is not less than `bytes`.
std::string flag_size(std::uint64_t bytes) {
  return bytes < kMiB ? fmt::format("{}KiB", (bytes + kKiB - 1) / kKiB)
                      : fmt::format("{}MiB", (bytes + kMiB - 1) / kMiB);
}

/// The same size as it was typed, where it was a round one: "6GiB".
std::string limit_size(std::uint64_t bytes) {
  if (bytes % kGiB == 0) return fmt::format("{}GiB", bytes / kGiB);
  if (bytes % kMiB == 0) return fmt::format("{}MiB", bytes / kMiB);
  return fmt::format("{}B", bytes);
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

/// Whether --max-gpu-memory gives this device so much: by what is free, or because a limit is all
/// that says what it has.
bool flag_raises(std::uint64_t needed, const DeviceBudget& device) {
  return needed <= device.free_bytes || device.limit_bytes == device.free_bytes;
}

/// "--max-gpu-memory 800MiB,6GiB", the other devices' budgets as they are, where a limit is what is
/// in the way, else how much must become free.
std::string raise_text(const Refusal& refusal, const PlanRequest& request, const Speaker& in) {
  const auto raised = static_cast<std::size_t>(refusal.raise_device);
  const std::uint64_t needed = refusal.raise_to_bytes;
  if (!flag_raises(needed, request.devices[raised]))
    return in.say("{} must be free there", "该设备须空出 {}", format_bytes(needed));
  std::vector<std::string> sizes;
  for (std::size_t rank = 0; rank < request.devices.size(); ++rank) {
    const DeviceBudget& device = request.devices[rank];
    if (rank == raised)
      sizes.push_back(flag_size(needed));
    else
      sizes.push_back(device.limit_bytes ? limit_size(*device.limit_bytes)
                                         : flag_size(budget_bytes(request, device)));
  }
  return fmt::format("--max-gpu-memory {}", fmt::join(sizes, ","));
}

/// " (--max-gpu-memory 7460MiB)" where the flag gives every device that much.
std::string every_device_flag(std::uint64_t needed, const PlanRequest& request, const Speaker& in) {
  const bool is_enough =
      std::all_of(request.devices.begin(), request.devices.end(), [&](const DeviceBudget& device) {
        return flag_raises(needed, device);
      });
  if (!is_enough) return {};
  return in.say(" (--max-gpu-memory {})", "（--max-gpu-memory {}）", flag_size(needed));
}

/// "10.19 MiB, 1.00 MiB are there"; with the difference where rounding would hide it.
std::string shortfall_text(std::uint64_t needed, std::uint64_t there, const Speaker& in) {
  const std::string left = format_bytes(needed);
  const std::string right = format_bytes(there);
  return left == right ? in.say("{}, {} are there, {} too few",
                                "{}，只有 {}，差 {}",
                                left,
                                right,
                                format_bytes(needed - there))
                       : in.say("{}, {} are there", "{}，只有 {}", left, right);
}

std::vector<std::string> remedies(const Refusal& refusal,
                                  const PlanRequest& request,
                                  const Speaker& in) {
  std::vector<std::string> ways;
  if (refusal.largest_model_len > 0)
    ways.push_back(in.say(
        "--max-model-len {} or less", "--max-model-len 不超过 {}", refusal.largest_model_len));
  if (refusal.reason == RefusalReason::kv_cache_bytes) {
    ways.push_back(in.say("--kv-cache-bytes {} or more",
                          "--kv-cache-bytes 至少 {}",
                          flag_size(refusal.kv_bytes_needed)));
    return ways;
  }
  if (refusal.raise_device >= 0) {
    const auto index = static_cast<std::size_t>(refusal.raise_device);
    const std::uint64_t budget = budget_bytes(request, request.devices[index]);
    ways.push_back(in.say("{} more on device {} alone ({})",
                          "仅给设备 {1} 增加 {0}（{2}）",
                          format_bytes(refusal.raise_to_bytes - budget),
                          refusal.raise_device,
                          raise_text(refusal, request, in)));
  }
  if (request.devices.size() > 1)
    ways.push_back(in.say("{} on every device{}",
                          "每个设备各有 {}{}",
                          format_bytes(refusal.every_device_bytes),
                          every_device_flag(refusal.every_device_bytes, request, in)));
  // Dividing one memory among more devices brings nothing, unless limits are what holds it back.
  const bool more_would_bring_more =
      !request.shared_memory || request.devices.front().limit_bytes.has_value();
  const bool all_equal =
      std::all_of(request.devices.begin(), request.devices.end(), [&](const DeviceBudget& device) {
        return budget_bytes(request, device) == refusal.largest_budget_bytes;
      });
  if (more_would_bring_more && refusal.num_devices_needed > 0)
    ways.push_back(
        in.say("{0} devices {1} {2} each (--num-gpus {0})",
               "{0} 个设备，每个{1} {2}（--num-gpus {0}）",
               refusal.num_devices_needed,
               all_equal ? in("of", "有") : in("like the largest, of", "与最大的相同，有"),
               format_bytes(refusal.largest_budget_bytes)));
  return ways;
}

}  // namespace

std::string to_text(const Refusal& refusal, const PlanRequest& request, ChooseText choose) {
  const Speaker in(choose);
  if (refusal.reason == RefusalReason::bad_request)
    return std::string(in(refusal.bad_request.english, refusal.bad_request.chinese));
  const bool weights = refusal.reason == RefusalReason::weights;
  std::string out;
  if (refusal.reason == RefusalReason::kv_cache_bytes) {
    out = in.say("a context of {} tokens does not fit: its KV takes {}, --kv-cache-bytes allows {}",
                 "放不下 {} token 的上下文：其键值缓存需要 {}，--kv-cache-bytes 只允许 {}",
                 request.max_model_len,
                 format_bytes(refusal.kv_bytes_needed),
                 format_bytes(request.kv_cache_bytes.value_or(0)));
  } else {
    const DevicePlan& worst = shortest_device(refusal);
    out = in.say("{} not fit: in the best split device {} needs {}",
                 "{}：即使最佳放置，设备 {} 也需要 {}",
                 weights ? std::string(in("the weights alone do", "仅权重就放不下"))
                         : in.say("a context of {} tokens does",
                                  "放不下 {} token 的上下文",
                                  request.max_model_len),
                 device_label(request, worst),
                 shortfall_text(needed_bytes(worst), worst.budget_bytes, in));
  }
  const std::vector<std::string> ways = remedies(refusal, request, in);
  if (!ways.empty())
    out += in.say("; what would fit{}: {}",
                  "；可行的办法{}：{}",
                  weights ? in.say(" with a context of {}", "（上下文 {}）", request.max_model_len)
                          : std::string(),
                  fmt::join(ways, in(", or ", "，或 ")));
  int tensor_size = 1;
  for (const DevicePlan& row : refusal.nearest)
    tensor_size = std::max(tensor_size, row.group_rank + 1);
  for (const DevicePlan& row : refusal.nearest) {
    out += in.say("\n  device {}: ", "\n  设备 {}：", device_label(request, row));
    if (row.num_layers == 0) {
      out += in.say("no layers, {} are there", "不放层，有 {}", format_bytes(row.budget_bytes));
      continue;
    }
    const std::string also = extras(row, tensor_size, in);
    out +=
        in.say("layers {}{}{} need {} (weights {}, workspace {}{}), {} are there",
               "第 {} 层{}{} 需要 {}（权重 {}，工作内存 {}{}），有 {}",
               layer_range(row, in),
               also.empty() ? std::string_view() : in(", ", "、"),
               also,
               format_bytes(needed_bytes(row)),
               format_bytes(row.weight_bytes),
               format_bytes(row.workspace_bytes),
               weights ? std::string() : in.say(", KV {}", "，KV {}", format_bytes(row.kv_bytes)),
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
          {"mode", to_string(request.parallel.mode)},
          {"described", any_described(request)},
          {"bounds", bounds_json(request)},
          {"reason", reason_name(refusal.reason)},
          {"message", to_text(refusal, request)},
          {"devices", devices_json(request, refusal.nearest)},
          {"remedies", std::move(remedies_json)}};
}

}  // namespace fastchat::parallel
