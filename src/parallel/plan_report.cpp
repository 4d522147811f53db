// Plans as text for people and as JSON for programs (docs/plan-json.md).
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
#include "parallel/saturating.h"

namespace fastchat::parallel {
namespace {

using nlohmann::json;

/// Columns on a terminal: what takes three bytes or more in these texts is a Chinese character of
/// two columns.
std::size_t display_width(const std::string& text) {
  std::size_t width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = byte >= 0x80 && byte < 0xC0;
    if (!continues) width += byte >= 0xE0 ? 2 : 1;
  }
  return width;
}

/// "1,234,567"
std::string grouped(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  const std::size_t start = value < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > start + 3;) digits.insert(i -= 3, ",");
  return digits;
}

/// Columns as wide as their widest cell; the first `num_left` are aligned to the left.
std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t num_left) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row[i]));
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - display_width(row[i]), ' ');
      line += "  " + (i < num_left ? row[i] + padding : padding + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

DevicePlan totals(const std::vector<DevicePlan>& rows) {
  DevicePlan total;
  for (const DevicePlan& row : rows) {
    total.num_layers += row.num_layers;
    total.budget_bytes = plus(total.budget_bytes, row.budget_bytes);
    total.weight_bytes = plus(total.weight_bytes, row.weight_bytes);
    total.kv_bytes = plus(total.kv_bytes, row.kv_bytes);
    total.workspace_bytes = plus(total.workspace_bytes, row.workspace_bytes);
    total.kv_bytes_per_token = plus(total.kv_bytes_per_token, row.kv_bytes_per_token);
    total.unused_bytes = plus(total.unused_bytes, row.unused_bytes);
  }
  return total;
}

/// The longest context that fits with everything else as it is.
std::int64_t longest_context(const PlanRequest& request) {
  PlanRequest any = request;
  any.max_model_len = 0;
  return largest_model_len(any);
}

json split_json(const SplitCheck& check) {
  json layers = json::array();
  for (const DevicePlan& row : check.devices) layers.push_back(row.num_layers);
  return {{"layers", layers},
          {"fits", check.holds_promise},
          {"num_kv_tokens", check.num_kv_tokens},
          {"first_full_device", check.first_full_device}};
}

/// What another way to place layers would give; `name` begins the sentence.
std::string split_text(const std::string& name,
                       const SplitCheck& check,
                       const Plan& plan,
                       const PlanRequest& request,
                       const Speaker& in) {
  std::string layers;
  bool same = plan.tensor_size == 1;
  for (const DevicePlan& row : check.devices) {
    layers += fmt::format("{}{}", layers.empty() ? "" : " + ", row.num_layers);
    same = same && row.num_layers == plan.devices[static_cast<std::size_t>(row.device)].num_layers;
  }
  if (same && check.num_kv_tokens == plan.num_kv_tokens)
    return in.say("{} ({} layers) is the same.\n", "{}（{} 层）与此相同。\n", name, layers);
  const DevicePlan& full = check.devices[static_cast<std::size_t>(check.first_full_device)];
  const std::string who = device_label(request, full);
  if (check.num_kv_tokens < 0)
    return in.say(
        "{} ({} layers) would not load: device {} needs {} for weights and workspace, {} are "
        "there.\n",
        "{}（{} 层）无法加载：设备 {} 的权重与工作内存需要 {}，只有 {}。\n",
        name,
        layers,
        who,
        format_bytes(needed_bytes(full)),
        format_bytes(full.budget_bytes));
  // What its fullest device holds beyond this is of no use to max_num_seqs sequences.
  const bool is_memory = check.num_kv_tokens == full.max_kv_tokens;
  return in.say(
      "{} ({} layers) would hold {} KV tokens{}{}.\n",
      "{}（{} 层）可容纳 {} 个 token 的键值缓存{}{}。\n",
      name,
      layers,
      grouped(check.num_kv_tokens),
      is_memory ? in.say(", as device {} is full first", "，设备 {} 最先用满", who) : std::string(),
      check.holds_promise ? ""
                          : in(": less than the context promised", "：不足以容纳所承诺的上下文"));
}

std::string bound_text(const Plan& plan, const Speaker& in) {
  if (plan.kv_bound == "kv_cache_bytes")
    return std::string(in("as much as --kv-cache-bytes allows", "以 --kv-cache-bytes 为限"));
  if (plan.kv_bound == "max_num_seqs")
    return in.say("as much as {} sequences of that length use (--max-num-seqs)",
                  "即 {} 个该长度的序列所需（--max-num-seqs）",
                  plan.max_num_seqs);
  if (plan.kv_bound == "slot_range")
    return std::string(in("as many as 32-bit slots number", "以 32 位槽号为限"));
  return std::string(in("as much as fits", "以内存为限"));
}

std::string mode_text(const Plan& plan, const PlanRequest& request, const Speaker& in) {
  const auto num_layers = request.sizes.layer_weight_bytes.size();
  const std::size_t num_stages = plan.placement.stages.size();
  std::size_t num_used = 0;
  for (const StagePlacement& stage : plan.placement.stages) num_used += stage.devices.size();
  if (request.devices.size() == 1)
    return in.say("{} layers on one device\n", "{} 层，放在一个设备上\n", num_layers);
  std::string out = in.say("{} layers over {} of {} devices, ",
                           "{} 层，用 {} 个设备（共 {} 个），",
                           num_layers,
                           num_used,
                           request.devices.size());
  switch (plan.mode) {
    case ParallelMode::tensor:
      return out + std::string(in("each layer split over all of them (tensor mode)\n",
                                  "每一层都切分到全部设备（tensor 模式）\n"));
    case ParallelMode::pipeline:
      out += in.say("{} stages with a batch each (pipeline mode)",
                    "{} 级流水线，各处理一批（pipeline 模式）",
                    num_stages);
      break;
    default:
      out += in("one after the other (layer mode)", "依次经过（layer 模式）");
  }
  if (plan.tensor_size > 1)
    out +=
        in.say(", every stage split over {} devices", "，每级再切分到 {} 个设备", plan.tensor_size);
  return out + "\n";
}

/// The split of a tensor group where it is not plain to see.
std::string share_text(const Plan& plan, const PlanRequest& request, const Speaker& in) {
  if (plan.tensor_size == 1) return {};
  std::string out;
  for (std::size_t i = 0; i < plan.placement.stages.size(); ++i) {
    const StagePlacement& stage = plan.placement.stages[i];
    std::vector<std::int64_t> heads;
    std::vector<std::int64_t> kv_heads;
    std::vector<std::int64_t> columns;
    for (int rank = 0; rank < plan.tensor_size; ++rank) {
      const TensorShare share = share_of(request.axes, stage, rank);
      heads.push_back(share.heads.count);
      kv_heads.push_back(share.kv_heads.count);
      columns.push_back(share.intermediate.count);
    }
    out += in.say("Stage {}: {} heads as {}, {} KV heads as {}, {} MLP columns as {}.\n",
                  "第 {} 级：{} 个注意力头分为 {}，{} 个 KV 头分为 {}，{} 个 MLP 列分为 {}。\n",
                  i,
                  request.axes.num_heads,
                  fmt::join(heads, " + "),
                  request.axes.num_kv_heads,
                  fmt::join(kv_heads, " + "),
                  request.axes.intermediate,
                  fmt::join(columns, " + "));
  }
  return out;
}

/// Whether tokens per second can be quoted: all devices are cards whose figures are known.
bool has_card_figures(const PlanRequest& request) {
  return std::all_of(
      request.devices.begin(), request.devices.end(), [](const DeviceBudget& device) {
        return device.described && device.speed.read_bytes_per_s > 0 && !device.speed.nominal;
      });
}

/// What the workload's phases reach at most; decode is left out where nothing is generated.
std::string speed_text(const Plan& plan, const PlanRequest& request, const Speaker& in) {
  const SpeedBound& speed = plan.speed;
  if (speed.prefill_tokens_per_s <= 0 || speed.decode_tokens_per_s <= 0) return {};
  const bool is_split = request.devices.size() > 1;
  const bool has_figures = has_card_figures(request);
  if (!is_split && !has_figures) return {};
  const bool decodes = request.workload.gen_len > 0;
  std::string out = in.say(is_split ? "Speed bound of this split for {} stream(s) of {} + {} tokens"
                                    : "Speed bound for {} stream(s) of {} + {} tokens",
                           is_split ? "该放置方式在 {} 个请求（{} + {} token）下的速度上限"
                                    : "{} 个请求（{} + {} token）下的速度上限",
                           request.workload.num_streams,
                           request.workload.prompt_len,
                           request.workload.gen_len);
  if (is_split) {
    out += in.say(": prefill {:.2f} x",
                  "：预填充为单个同类设备（假设放得下）的 {:.2f} 倍",
                  speed.prefill_speedup);
    if (decodes) out += in.say(", decode {:.2f} x", "，解码 {:.2f} 倍", speed.decode_speedup);
    out += in(" one such device that had room for everything", "");
  }
  if (has_figures) {
    out += in.say("{}: prefill {:.0f} tokens/s",
                  "{}：预填充 {:.0f} token/秒",
                  is_split ? in("; by the cards' figures", "；按各卡的指标")
                           : in(" by the card's figures", "，按该卡的指标"),
                  speed.prefill_tokens_per_s);
    if (decodes)
      out +=
          in.say(", decode {:.0f} tokens/s", "，解码 {:.0f} token/秒", speed.decode_tokens_per_s);
  }
  return out + std::string(in(".\n", "。\n"));
}

json speed_json(const Plan& plan, const PlanRequest& request) {
  const bool decodes = request.workload.gen_len > 0;
  return {{"num_streams", request.workload.num_streams},
          {"prompt_len", request.workload.prompt_len},
          {"gen_len", request.workload.gen_len},
          {"prefill_tokens_per_s", plan.speed.prefill_tokens_per_s},
          {"decode_tokens_per_s", decodes ? json(plan.speed.decode_tokens_per_s) : json(nullptr)},
          {"prefill_speedup", plan.speed.prefill_speedup},
          {"decode_speedup", decodes ? json(plan.speed.decode_speedup) : json(nullptr)},
          {"estimated_s", plan.speed.estimated_s}};
}

json considered_json(const Plan& plan) {
  json modes = json::array();
  for (const ModeEstimate& mode : plan.considered)
    modes.push_back({{"mode", to_string(mode.mode)},
                     {"pipeline_size", mode.pipeline_size},
                     {"tensor_size", mode.tensor_size},
                     {"fits", mode.fits},
                     {"estimated_s", mode.fits ? json(mode.estimated_s) : json(nullptr)}});
  return modes;
}

/// One object per stage: its devices, layers, and in tensor groups the boundaries of every axis.
json stages_json(const Plan& plan) {
  json stages = json::array();
  for (const StagePlacement& stage : plan.placement.stages)
    stages.push_back({{"devices", stage.devices},
                      {"first_layer", stage.first_layer},
                      {"num_layers", stage.num_layers},
                      {"head_boundaries", stage.split.heads.boundaries},
                      {"intermediate_boundaries", stage.split.intermediate.boundaries},
                      {"hidden_boundaries", stage.split.hidden.boundaries},
                      {"vocab_boundaries", stage.split.vocab.boundaries}});
  return stages;
}

}  // namespace

std::string to_text(const Plan& plan, const PlanRequest& request, ChooseText choose) {
  const Speaker in(choose);
  std::string out = mode_text(plan, request, in);
  if (any_described(request))
    out += in("As described; nothing was opened.\n", "按所描述的设备规划；未打开任何设备。\n");

  const auto cells = [&](const DevicePlan& row, std::string name, std::string layers) {
    return std::vector<std::string>{std::move(name),
                                    std::move(layers),
                                    extras(row, plan.tensor_size, in),
                                    format_bytes(row.budget_bytes),
                                    format_bytes(row.weight_bytes),
                                    format_bytes(row.workspace_bytes),
                                    format_bytes(row.kv_bytes_per_token),
                                    format_bytes(row.kv_bytes),
                                    format_bytes(row.unused_bytes)};
  };
  std::vector<std::vector<std::string>> rows = {{}};
  for (const auto& [english, chinese] : {std::pair{"device", "设备"},
                                         {"layers", "层"},
                                         {"also", "另有"},
                                         {"may use", "可用"},
                                         {"weights", "权重"},
                                         {"workspace", "工作内存"},
                                         {"KV per token", "每 token KV"},
                                         {"KV", "KV"},
                                         {"unused", "未用"},
                                         {"max KV tokens", "最多 KV token"}})
    rows.front().emplace_back(in(english, chinese));
  for (const DevicePlan& row : plan.devices) {
    rows.push_back(cells(row, device_label(request, row), layer_range(row, in)));
    rows.back().push_back(row.num_layers == 0 ? "-" : grouped(row.max_kv_tokens));
  }
  if (plan.devices.size() > 1) {
    DevicePlan total = totals(plan.devices);
    total.num_layers = 0;  // no part of a group
    rows.push_back(cells(total,
                         std::string(in("total", "合计")),
                         fmt::format("{}", request.sizes.layer_weight_bytes.size())));
    rows.back().push_back(grouped(plan.num_kv_tokens));
  }
  out += table(rows, 3);
  for (const DevicePlan& row : plan.devices)
    if (row.num_layers == 0)
      out += in.say("Device {} gets no layers: {}.\n",
                    "设备 {} 不放任何层：{}。\n",
                    device_label(request, row),
                    left_out_because(request, row, in));
  out += share_text(plan, request, in);
  out += in.say(
      "Context promised: {} tokens. KV for {} tokens ({} blocks of {}), {}: {:.1f} sequences of "
      "that length at once. Longest context that fits: {} tokens.\n",
      "承诺的上下文：{} token。键值缓存可容纳 {} token（{} 块，每块 {}），{}：可同时运行 {:.1f} "
      "个该长度的序列。放得下的最长上下文：{} token。\n",
      grouped(plan.max_model_len),
      grouped(plan.num_kv_tokens),
      grouped(plan.num_kv_blocks),
      plan.kv_block_size,
      bound_text(plan, in),
      static_cast<double>(plan.num_kv_tokens) / static_cast<double>(plan.max_model_len),
      grouped(longest_context(request)));
  out += speed_text(plan, request, in);
  if (plan.devices.size() == 1) return out;
  out += split_text(
      std::string(in("An even split", "平均分层")), even_split(request), plan, request, in);
  out += split_text(std::string(in("accelerate's balanced device map, which counts weights only,",
                                   "accelerate 的 balanced device map（只计权重）")),
                    balanced_device_map(request),
                    plan,
                    request,
                    in);
  return out;
}

json to_json(const Plan& plan, const PlanRequest& request) {
  const DevicePlan total = totals(plan.devices);
  return {{"schema_version", 1},
          {"fits", true},
          {"mode", to_string(plan.mode)},
          {"tensor_size", plan.tensor_size},
          {"num_micro_batches", plan.num_micro_batches},
          {"steps_in_flight", plan.steps_in_flight},
          {"described", any_described(request)},
          {"bounds", bounds_json(request)},
          {"kv",
           {{"block_size", plan.kv_block_size},
            {"num_blocks", plan.num_kv_blocks},
            {"num_tokens", plan.num_kv_tokens},
            {"bound", plan.kv_bound},
            {"longest_context", longest_context(request)}}},
          {"stages", stages_json(plan)},
          {"devices", devices_json(request, plan.devices)},
          {"totals",
           {{"budget_bytes", total.budget_bytes},
            {"weight_bytes", total.weight_bytes},
            {"workspace_bytes", total.workspace_bytes},
            {"kv_bytes_per_token", total.kv_bytes_per_token},
            {"kv_bytes", total.kv_bytes},
            {"unused_bytes", total.unused_bytes}}},
          {"speed", speed_json(plan, request)},
          {"considered", considered_json(plan)},
          {"even_split", split_json(even_split(request))},
          {"balanced_device_map", split_json(balanced_device_map(request))}};
}

}  // namespace fastchat::parallel
