#include "serve/cli/start_report.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/cpu/cpu_device.h"
#include "parallel/report_parts.h"
#include "serve/cli/console.h"
#include "serve/cli/styled_text.h"
#include "serve/language.h"
#include "serve/model_instance.h"

namespace fastchat::serve {
namespace {

using Row = std::vector<std::string>;

std::int64_t num_parameters(const model::ModelConfig& config) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t heads = config.num_heads * config.head_dim;
  const std::int64_t kv_heads = config.num_kv_heads * config.head_dim;
  const std::int64_t layer = hidden * (heads + 2 * kv_heads) + heads * hidden +
                             3 * hidden * config.intermediate_size + 2 * hidden +
                             (config.qkv_bias ? heads + 2 * kv_heads : 0);
  const std::int64_t embedding = config.vocab_size * hidden;
  return layer * config.num_layers + hidden + embedding * (config.tie_word_embeddings ? 1 : 2);
}

// "7.62 B", "494 M", "812 k": three digits.
std::string short_count(std::int64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.3g} B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.3g} M", value / 1e6);
  return fmt::format("{:.3g} k", value / 1e3);
}

/// ", avx2".
std::string instruction_set() {
  return say_with(", {}", "，{}", device::to_string(device::default_cpu_isa()));
}

std::string layers_of(const parallel::DevicePlan& device, int tensor_size) {
  if (device.num_layers == 0) return say("no layers", "没有层");
  return say_with(
      "layers {}-{}{}{}{}",
      "第 {}-{} 层{}{}{}",
      device.first_layer,
      device.first_layer + device.num_layers - 1,
      device.has_embedding ? text(", embedding", "、词嵌入") : "",
      device.has_head ? text(", head", "、输出层") : "",
      tensor_size > 1
          ? say_with(", part {} of {}", "、第 {}/{} 份", device.group_rank + 1, tensor_size)
          : std::string());
}

/// How the devices work together, and whose choice that was.
std::string way_of(const ModelInstance& model) {
  std::string choice = choice_text(model.replica_plan(), model.planned().request.workload);
  if (choice.empty())
    return say_with("{}, as asked", "{}（按指定）", mode_name(model.replica_plan()));
  choice.pop_back();  // its newline
  return choice;
}

// Columns aligned by display width, the first one as a label.
std::string table(const std::vector<Row>& rows, bool colour) {
  std::vector<int> widths;
  for (const Row& row : rows)
    for (std::size_t column = 0; column + 1 < row.size(); ++column) {
      widths.resize(std::max(widths.size(), column + 1), 0);
      // A line of text alone behind its label does not stretch the devices' columns.
      if (column == 0 || row.size() > 2)
        widths[column] = std::max(widths[column], display_width(row[column]));
    }
  std::string out;
  for (const Row& row : rows) {
    StyledText line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      append(line, row[column], {.bold = column == 0});
      if (column + 1 < row.size())
        append(line,
               std::string(static_cast<std::size_t>(
                               std::max(0, widths[column] - display_width(row[column])) + 2),
                           ' '),
               {});
    }
    out += (colour ? to_terminal(line, true) : [&] {
      std::string plain;
      for (const StyledRun& run : line) plain += run.text;
      return plain;
    }()) + "\n";
  }
  return out;
}

}  // namespace

std::string start_report(const ModelInstance& model, bool how_to_leave) {
  const parallel::Plan& plan = model.plan();
  const parallel::PlanRequest& request = model.planned().request;
  const model::ModelConfig& config = model.config();
  const bool is_on_cpu = model.planned().kind == device::DeviceKind::cpu;
  std::vector<Row> rows;
  rows.push_back({say("model", "模型"),
                  say_with("{} ({}, {} parameters, {} layers, {}{})",
                           "{}（{}，{} 参数，{} 层，{}{}）",
                           model.name(),
                           config.architecture,
                           short_count(num_parameters(config)),
                           config.num_layers,
                           describe_numbers(config, model.planned().dtype),
                           is_on_cpu ? instruction_set() : std::string())});
  std::int64_t num_kv_tokens = 0;
  for (const parallel::Replica& replica : model.replicas()) {
    num_kv_tokens += replica.plan.num_kv_tokens;
    for (const parallel::DevicePlan& device : replica.plan.devices) {
      const auto index = static_cast<std::size_t>(device.device);
      rows.push_back({say("device", "设备"),
                      replica.request.devices.at(index).name,
                      layers_of(device, replica.plan.tensor_size),
                      say_with("weights {}", "权重 {}", format_bytes(device.weight_bytes)),
                      say_with("cache {}", "缓存 {}", format_bytes(device.kv_bytes)),
                      say_with("workspace {}", "工作区 {}", format_bytes(device.workspace_bytes))});
    }
  }
  const parallel::Speaker in(text);
  for (const parallel::Replica& replica : model.replicas())
    for (const parallel::DevicePlan& device : replica.plan.devices)
      if (device.num_layers == 0)
        rows.push_back({say("unused", "未用"),
                        say_with("{}: {}",
                                 "{}：{}",
                                 parallel::budget_of(replica.request, device).name,
                                 parallel::left_out_because(replica.request, device, in))});
  if (const std::size_t copies = model.replicas().size(); copies > 1)
    rows.push_back({say("copies", "副本"),
                    say_with("{} whole copies of the model, {} device(s) each",
                             "{} 个完整的模型副本，每个 {} 个设备",
                             copies,
                             plan.devices.size())});
  if (model.planned().devices.size() > 1) rows.push_back({say("parallel", "并行"), way_of(model)});
  rows.push_back({say("context", "上下文"),
                  say_with("{} tokens per conversation, cache for {}",
                           "每个对话 {} 个 token，缓存可容纳 {} 个",
                           plan.max_model_len,
                           num_kv_tokens)});
  if (request.sizes.tied_embedding)
    rows.push_back({say("tied", "共享"),
                    say_with("embedding and head are one tensor, held twice: {} + {}",
                             "词嵌入与输出层是同一张量，保存两份：{} + {}",
                             format_bytes(request.sizes.embedding_bytes),
                             format_bytes(request.sizes.head_bytes))});
  if (how_to_leave)
    rows.push_back({say("keys", "按键"),
                    say("Ctrl-D or !!exit leaves, Ctrl-C stops an answer, !!help lists commands",
                        "Ctrl-D 或 !!exit 退出，Ctrl-C 停止回答，!!help 列出命令")});
  return table(rows, isatty(STDERR_FILENO) == 1 && colour_wanted());
}

}  // namespace fastchat::serve
