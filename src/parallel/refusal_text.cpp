#include "parallel/refusal_text.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "parallel/plan_request.h"
#include "parallel/planner.h"
#include "parallel/report_parts.h"
#include "parallel/saturating.h"

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
  // The flag lists the devices of all copies, which one copy does not know.
  if (request.num_copies > 1)
    return in.say(
        "--max-gpu-memory with {} there", "--max-gpu-memory 中该设备为 {}", flag_size(needed));
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

/// Whether device `index` of the request can have a budget of `needed` while the others keep
/// theirs.
bool can_be_raised(std::size_t index,
                   std::uint64_t needed,
                   const PlanRequest& request,
                   const Surroundings& surroundings) {
  if (request.shared_memory && surroundings.shared_bytes) {
    if (request.num_copies > 1) return false;  // what the others have is not ours to know
    std::uint64_t all = needed;
    for (std::size_t other = 0; other < request.devices.size(); ++other)
      if (other != index) all = plus(all, budget_bytes(request, request.devices[other]));
    return all <= *surroundings.shared_bytes;
  }
  const std::size_t position = static_cast<std::size_t>(request.first_device) + index;
  return position >= surroundings.device_bytes.size() ||
         needed <= surroundings.device_bytes[position].value_or(needed);
}

/// Whether every device can have a budget of `needed` at once.
bool can_all_be_raised(std::uint64_t needed,
                       const PlanRequest& request,
                       const Surroundings& surroundings) {
  if (request.shared_memory && surroundings.shared_bytes)
    return times(times(needed, request.devices.size()), as_unsigned(request.num_copies)) <=
           *surroundings.shared_bytes;
  for (std::size_t index = 0; index < request.devices.size(); ++index)
    if (!can_be_raised(index, needed, request, surroundings)) return false;
  return true;
}

/// Whether there are so many devices like the largest.
bool are_so_many(const Refusal& refusal,
                 const PlanRequest& request,
                 const Surroundings& surroundings) {
  const std::int64_t count = refusal.num_devices_needed * request.num_copies;
  if (count <= 0) return false;
  if (surroundings.num_devices_there > 0 && count > surroundings.num_devices_there) return false;
  // Dividing one memory among more devices brings nothing, unless limits are what holds it back.
  if (!request.shared_memory) return true;
  return request.devices.front().limit_bytes.has_value() &&
         times(refusal.largest_budget_bytes, as_unsigned(count)) <=
             surroundings.shared_bytes.value_or(kHuge);
}

/// "4 devices of 29.80 GiB each (--num-gpus 4)", "3 devices for each copy, of …".
std::string more_devices_text(const Refusal& refusal,
                              const PlanRequest& request,
                              const Surroundings& surroundings,
                              const Speaker& in) {
  const bool all_equal =
      std::all_of(request.devices.begin(), request.devices.end(), [&](const DeviceBudget& device) {
        return budget_bytes(request, device) == refusal.largest_budget_bytes;
      });
  std::string out = in.say(
      request.num_copies > 1 ? "{} devices for each copy, {} {} each" : "{} devices {} {} each",
      request.num_copies > 1 ? "每个副本 {} 个设备，每个设备{} {}" : "{} 个设备，每个{} {}",
      refusal.num_devices_needed,
      all_equal ? in("of", "有") : in("like the largest, of", "与最大的相同，有"),
      format_bytes(refusal.largest_budget_bytes));
  const std::int64_t count = refusal.num_devices_needed * request.num_copies;
  out += surroundings.are_named_cards ? in.say(" (--cards {}x…)", "（--cards {}x…）", count)
                                      : in.say(" (--num-gpus {})", "（--num-gpus {}）", count);
  return out;
}

/// The most tokens of a step, fewer than asked, with which everything fits; 0: none, or so few that
/// prompts would be read one word at a time.
std::int64_t fewer_batched_tokens(const PlanRequest& request) {
  constexpr std::int64_t kLeast = 32;
  const auto fits = [&](std::int64_t tokens) {
    PlanRequest fewer = request;
    fewer.max_num_batched_tokens = tokens;
    return holds_promise(fewer);
  };
  if (request.max_num_batched_tokens <= kLeast || !fits(kLeast)) return 0;
  std::int64_t fitting = kLeast;
  std::int64_t too_many = request.max_num_batched_tokens;
  while (too_many - fitting > 1) {
    const std::int64_t middle = fitting + (too_many - fitting) / 2;
    (fits(middle) ? fitting : too_many) = middle;
  }
  return fitting;
}

/// "0,1,3": the devices but for the shortest, where they hold everything without it.
std::string devices_without_shortest(const Refusal& refusal,
                                     const PlanRequest& request,
                                     const Surroundings& surroundings) {
  // Limits are one for each device, and copies take them in order.
  const bool has_own_limits =
      std::any_of(request.devices.begin(), request.devices.end(), [&](const DeviceBudget& device) {
        return device.limit_bytes != request.devices.front().limit_bytes;
      });
  if (surroundings.indices.size() != request.devices.size() || request.devices.size() < 2 ||
      request.shared_memory || has_own_limits)
    return {};
  const int shortest = shortest_device(refusal).device;
  PlanRequest fewer = request;
  fewer.devices.erase(fewer.devices.begin() + shortest);
  if (!holds_promise(fewer)) return {};
  std::vector<int> rest = surroundings.indices;
  rest.erase(rest.begin() + shortest);
  return fmt::format("{}", fmt::join(rest, ","));
}

/// The largest HCCL_BUFFSIZE, in MiB, with which everything fits; 0: none, or the buffers are not
/// what is in the way.
std::uint64_t smaller_collective_buffer(const PlanRequest& request,
                                        const Surroundings& surroundings) {
  // HCCL has two of them.
  const std::uint64_t size = surroundings.collective_bytes / 2 / kMiB;
  const auto fits = [&](std::uint64_t mebibytes) {
    PlanRequest smaller = request;
    smaller.sizes_of_share = [&](const TensorShare& share, int steps_in_flight) {
      ModelSizes sizes = request.sizes_of_share(share, steps_in_flight);
      if (share.size > 1) sizes.fixed_bytes -= 2 * (size - mebibytes) * kMiB;
      return sizes;
    };
    return holds_promise(smaller);
  };
  if (size < 2 || !request.sizes_of_share || !fits(1)) return 0;
  std::uint64_t fitting = 1;
  std::uint64_t too_large = size;
  while (too_large - fitting > 1) {
    const std::uint64_t middle = fitting + (too_large - fitting) / 2;
    (fits(middle) ? fitting : too_large) = middle;
  }
  return fitting;
}

/// --kv-cache-bytes is shared by the copies.
std::uint64_t kv_bytes_of_all(const Refusal& refusal, const PlanRequest& request) {
  return times(refusal.kv_bytes_needed, as_unsigned(request.num_copies));
}

std::vector<std::string> remedies(const Refusal& refusal,
                                  const PlanRequest& request,
                                  const Surroundings& surroundings,
                                  const Speaker& in) {
  std::vector<std::string> ways;
  if (refusal.largest_model_len > 0)
    ways.push_back(in.say(
        "--max-model-len {} or less", "--max-model-len 不超过 {}", refusal.largest_model_len));
  if (refusal.reason == RefusalReason::kv_cache_bytes) {
    ways.push_back(in.say("--kv-cache-bytes {} or more",
                          "--kv-cache-bytes 至少 {}",
                          flag_size(kv_bytes_of_all(refusal, request))));
    return ways;
  }
  if (refusal.fewer_copies > 0)
    ways.push_back(in.say("fewer copies (--data-parallel-size {})",
                          "减少副本（--data-parallel-size {}）",
                          refusal.fewer_copies));
  if (surroundings.fits_in_8_bits)
    ways.emplace_back(in("--load-8bit (weights in 8 bits)", "--load-8bit（权重量化为 8 位）"));
  if (const std::int64_t tokens = fewer_batched_tokens(request); tokens > 0)
    ways.push_back(in.say(
        "--max-num-batched-tokens {} or less", "--max-num-batched-tokens 不超过 {}", tokens));
  if (const std::string rest = devices_without_shortest(refusal, request, surroundings);
      !rest.empty())
    ways.push_back(in.say("without device {} (--gpus {})",
                          "不用设备 {}（--gpus {}）",
                          device_label(request, shortest_device(refusal)),
                          rest));
  if (const std::uint64_t mebibytes = smaller_collective_buffer(request, surroundings);
      mebibytes > 0)
    ways.push_back(in.say("HCCL_BUFFSIZE={} or less (HCCL's buffers take {} of each card)",
                          "HCCL_BUFFSIZE={} 或更小（HCCL 的缓冲区占每张卡 {}）",
                          mebibytes,
                          format_bytes(surroundings.collective_bytes)));
  if (refusal.raise_device >= 0) {
    const auto index = static_cast<std::size_t>(refusal.raise_device);
    const std::uint64_t budget = budget_bytes(request, request.devices[index]);
    if (can_be_raised(index, refusal.raise_to_bytes, request, surroundings))
      ways.push_back(in.say("{} more on device {} alone ({})",
                            "仅给设备 {1} 增加 {0}（{2}）",
                            format_bytes(refusal.raise_to_bytes - budget),
                            request.first_device + refusal.raise_device,
                            raise_text(refusal, request, in)));
  }
  if (request.devices.size() > 1 &&
      can_all_be_raised(refusal.every_device_bytes, request, surroundings))
    ways.push_back(in.say("{} on every device{}",
                          "每个设备各有 {}{}",
                          format_bytes(refusal.every_device_bytes),
                          every_device_flag(refusal.every_device_bytes, request, in)));
  if (are_so_many(refusal, request, surroundings))
    ways.push_back(more_devices_text(refusal, request, surroundings, in));
  return ways;
}

/// "the weights alone do".
std::string what_does_not_fit(const Refusal& refusal,
                              const DevicePlan& worst,
                              const PlanRequest& request,
                              const Speaker& in) {
  const bool weights_fit =
      std::all_of(refusal.nearest.begin(), refusal.nearest.end(), [](const DevicePlan& row) {
        return row.weight_bytes <= row.budget_bytes;
      });
  if (refusal.reason == RefusalReason::context)
    return in.say("a context of {} tokens does", "放不下 {} token 的上下文", request.max_model_len);
  if (weights_fit)
    return in.say("the weights fit, the workspace beside them ({}) does",
                  "权重放得下，但工作内存（{}）放不下",
                  format_bytes(worst.workspace_bytes));
  return std::string(in("the weights alone do", "仅权重就放不下"));
}

}  // namespace

std::string to_text(const Refusal& refusal, const PlanRequest& request, ChooseText choose) {
  return to_text(refusal, request, Surroundings{}, choose);
}

json to_json(const Refusal& refusal, const PlanRequest& request) {
  return to_json(refusal, request, Surroundings{});
}

std::string to_text(const Refusal& refusal,
                    const PlanRequest& request,
                    const Surroundings& surroundings,
                    ChooseText choose) {
  const Speaker in(choose);
  if (refusal.reason == RefusalReason::bad_request)
    return std::string(in(refusal.bad_request.english, refusal.bad_request.chinese));
  const bool weights = refusal.reason == RefusalReason::weights;
  std::string out;
  if (request.num_copies > 1)
    out = in.say("with {} copies, {} device(s) each, ",
                 "{} 个副本、每个 {} 个设备时，",
                 request.num_copies,
                 request.devices.size());
  if (refusal.reason == RefusalReason::kv_cache_bytes) {
    out +=
        in.say("a context of {} tokens does not fit: its KV takes {}, --kv-cache-bytes allows {}",
               "放不下 {} token 的上下文：其键值缓存需要 {}，--kv-cache-bytes 只允许 {}",
               request.max_model_len,
               format_bytes(refusal.kv_bytes_needed),
               format_bytes(request.kv_cache_bytes.value_or(0)));
  } else {
    const DevicePlan& worst = shortest_device(refusal);
    out += in.say("{} not fit: in the best split device {} needs {}",
                  "{}：即使最佳放置，设备 {} 也需要 {}",
                  what_does_not_fit(refusal, worst, request, in),
                  device_label(request, worst),
                  shortfall_text(needed_bytes(worst), worst.budget_bytes, in));
  }
  const std::vector<std::string> ways = remedies(refusal, request, surroundings, in);
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

json to_json(const Refusal& refusal, const PlanRequest& request, const Surroundings& surroundings) {
  const bool by_workspace =
      refusal.reason == RefusalReason::weights || refusal.reason == RefusalReason::context;
  json remedies_json = {
      {"max_model_len", refusal.largest_model_len},
      {"raise_device", refusal.raise_device},
      {"raise_to_bytes", refusal.raise_to_bytes},
      {"every_device_bytes", refusal.every_device_bytes},
      {"num_devices", refusal.num_devices_needed},
      {"num_devices_budget_bytes", refusal.largest_budget_bytes},
      {"max_num_batched_tokens", by_workspace ? fewer_batched_tokens(request) : 0},
      {"load_8bit", surroundings.fits_in_8_bits},
      {"data_parallel_size", refusal.fewer_copies},
      {"kv_cache_bytes",
       refusal.reason == RefusalReason::kv_cache_bytes ? json(kv_bytes_of_all(refusal, request))
                                                       : json(nullptr)}};
  return {{"schema_version", 1},
          {"fits", false},
          {"mode", to_string(request.parallel.mode)},
          {"data_parallel_size", request.num_copies},
          {"described", any_described(request)},
          {"bounds", bounds_json(request)},
          {"reason", reason_name(refusal.reason)},
          {"message", to_text(refusal, request, surroundings)},
          {"devices", devices_json(request, refusal.nearest)},
          {"remedies", std::move(remedies_json)}};
}

}  // namespace fastchat::parallel
