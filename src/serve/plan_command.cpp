// `fastchat plan`: where a model's layers and KV would go, in bytes, before anything is loaded.
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "device/ascend/npu_device.h"
#include "parallel/cards.h"
#include "parallel/planner.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/exit_status.h"
#include "serve/flag_checks.h"
#include "serve/language.h"
#include "serve/model_options.h"
#include "serve/model_path.h"
#include "serve/prepare_plan.h"

namespace fastchat::serve {
namespace {

void add_cards_option(CLI::App& app, ModelOptions& options) {
  app.add_option_function<std::string>(
         "--cards",
         [&options](const std::string& value) {
           Result<std::vector<parallel::DeviceBudget>> cards = parallel::parse_cards(value, text);
           if (!cards) throw CLI::ValidationError("--cards", cards.error().message);
           options.cards = std::move(cards).value();
           options.device = "npu";
           options.num_gpus = static_cast<int>(options.cards.size());
         },
         say("plan for cards that are not here, by name and memory, such as "
             "4xAscend910B4-32GiB\n"
             "(several kinds: 2xAscend910B1-64GiB,2xAscend910B4-32GiB)",
             "为不在本机的卡做规划，按名称和内存，例如 4xAscend910B4-32GiB\n"
             "（多种卡：2xAscend910B1-64GiB,2xAscend910B4-32GiB）"))
      ->type_name("CARDS")
      ->excludes("--device")
      ->excludes("--num-gpus")
      ->excludes("--gpus")
      ->group(say("Devices", "设备"));
}

void add_workload_options(CLI::App& app, parallel::Workload& workload) {
  const std::string group = say("Several devices", "多设备");
  app.add_option("--prompt-len",
                 workload.prompt_len,
                 say("prompt tokens of each of those requests", "每个请求的提示 token 数"))
      ->check(in_range(std::int64_t{1}, std::int64_t{1} << 24))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
  app.add_option("--gen-len",
                 workload.gen_len,
                 say("tokens that each of them is answered with; 0: prefill alone counts",
                     "每个请求的回答 token 数；0 表示只计预填充"))
      ->check(in_range(std::int64_t{0}, std::int64_t{1} << 24))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
}

/// Cards that are not here can be planned for when --max-gpu-memory or --cards says what they have.
std::unique_ptr<device::Platform> platform_for_plan(const ModelOptions& options) {
  if (!options.cards.empty()) return describe_platform(options, device::DeviceKind::npu);
  if (!options.max_gpu_memory.empty()) {
    if (options.device == "cuda") return describe_platform(options, device::DeviceKind::cuda);
    if (options.device == "npu" && device::create_npu_platform({})->num_devices() == 0)
      return describe_platform(options, device::DeviceKind::npu);
  }
  return open_platform(options);
}

/// The model's own context did not fit and --max-model-len did not ask for another.
bool context_reduced(const ModelOptions& options, const PlannedModel& planned) {
  return options.max_model_len == 0 &&
         planned.request.max_model_len < planned.config.max_position_embeddings;
}

std::string heading(const ModelOptions& options,
                    const PlannedModel& planned,
                    const std::string& missing) {
  std::string out = fmt::format(fmt::runtime(text("{}: {}, {} layers, {}, made for {} tokens\n",
                                                  "{}：{}，{} 层，{}，设计上下文 {} token\n")),
                                display_name(options),
                                planned.config.architecture,
                                planned.config.num_layers,
                                describe_numbers(planned.config, planned.dtype),
                                planned.config.max_position_embeddings);
  if (!missing.empty())
    out +=
        say("These devices are not here: weights and KV are counted, workspace is an estimate.\n",
            "这些设备不在本机：权重与键值缓存按字节计算，工作内存为估计值。\n");
  if (planned.kind == device::DeviceKind::npu && options.cards.empty() &&
      planned.devices.size() > 1)
    out +=
        say("Ways to use these cards are compared by nominal figures; nothing was measured "
            "(--cards names cards whose figures are known).\n",
            "各种放置方式按标称指标比较，未经实测（--cards 可指定指标已知的卡）。\n");
  if (context_reduced(options, planned))
    out +=
        say("Not all of that context fits; this is the longest that does (--max-model-len promises "
            "another).\n",
            "完整上下文放不下；以下按放得下的最大长度（可用 --max-model-len 另行指定）。\n");
  return out;
}

/// Estimates are of all streams at once.
void warn_of_queued_streams(const parallel::ReplicaPlan& plan,
                            const parallel::PlanRequest& request) {
  const std::int64_t at_once =
      request.max_num_seqs * static_cast<std::int64_t>(plan.replicas.size());
  if (request.workload.num_streams <= at_once) return;
  log::warn("{}",
            say_with("--num-streams {}: speeds are of all of them at once, but --max-num-seqs {} "
                     "lets {} run at once and the others wait",
                     "--num-streams {}：速度按全部同时运行估计，但 --max-num-seqs {} 只允许 {} "
                     "个同时运行，其余排队",
                     request.workload.num_streams,
                     request.max_num_seqs,
                     at_once));
}

std::vector<std::string_view> quantization_names(const model::ModelConfig& config) {
  std::vector<std::string_view> names;
  for (const model::Quantization each : model::quantizations(config))
    names.push_back(model::to_string(each));
  return names;
}

void add_model(const ModelOptions& options, const PlannedModel& planned, nlohmann::json& result) {
  result["model"] = {{"name", display_name(options)},
                     {"architecture", planned.config.architecture},
                     {"dtype", device::to_string(planned.dtype)},
                     {"quantization", quantization_names(planned.config)},
                     {"num_layers", planned.config.num_layers},
                     {"max_position_embeddings", planned.config.max_position_embeddings},
                     {"context_reduced", context_reduced(options, planned)}};
}

}  // namespace

int run_plan(int argc, char** argv) {
  ModelOptions options;
  bool as_json = false;
  CLI::App app(
      say("Where a model's layers and KV cache would go, in bytes; what would not fit, and what "
          "would make it\n"
          "fit. Loads nothing. --max-gpu-memory may describe devices larger than this machine's.",
          "模型各层与键值缓存如何放置、各占多少字节；放不下时差多少、怎样才放得下。不加载任何权重。"
          "\n"
          "--max-gpu-memory 可以描述比本机更大的设备。"),
      "fastchat plan");
  add_model_options(app, options);
  add_cards_option(app, options);
  add_workload_options(app, options.parallel.workload);
  app.add_flag(
         "--json", as_json, say("as JSON (docs/plan-json.md)", "输出 JSON（见 docs/plan-json.md）"))
      ->group(say("Output", "输出"));
  app.footer(
      say("Exit status: 0 it fits, 3 it does not, 2 wrong usage, 1 the model or a device cannot be "
          "read.\n"
          "Examples:\n"
          "  fastchat plan --shape qwen2-7b --num-gpus 2 --max-gpu-memory 12GiB\n"
          "  fastchat plan --model-path ~/models/Qwen2-7B-Instruct --num-gpus 2 --max-gpu-memory "
          "8GiB,16GiB --json\n"
          "  fastchat plan --shape qwen2-72b --cards 8xAscend910B1-64GiB --num-streams 32 "
          "--max-num-seqs 32",
          "退出码：0 放得下，3 放不下，2 用法错误，1 无法读取模型或设备。\n"
          "示例：\n"
          "  fastchat plan --shape qwen2-7b --num-gpus 2 --max-gpu-memory 12GiB\n"
          "  fastchat plan --model-path ~/models/Qwen2-7B-Instruct --num-gpus 2 --max-gpu-memory "
          "8GiB,16GiB --json\n"
          "  fastchat plan --shape qwen2-72b --cards 8xAscend910B1-64GiB --num-streams 32 "
          "--max-num-seqs 32"));
  if (const std::optional<int> status = parse_command_line(app, argc, argv)) return *status;
  if (options.model_path.empty() && options.shape.empty()) {
    fmt::print(stderr,
               "{}{}\n",
               text("fastchat plan: ", "fastchat plan："),
               text("--model-path FOLDER or --shape NAME is needed: which model?",
                    "需要 --model-path 文件夹或 --shape 名称：请指定模型"));
    return kUsage;
  }
  resolve_model_path(options);
  if (!options.model_path.empty() && options.load_format != LoadFormat::dummy)
    for (const std::string& missing : missing_parts(options.model_path)) log::warn("{}", missing);

  const std::unique_ptr<device::Platform> platform = platform_for_plan(options);
  const PlannedModel planned = prepare_plan(options, *platform, DeviceMemory::as_limits);
  const parallel::PlanRequest& request = planned.request;
  const int num_replicas = options.parallel.num_replicas;
  constexpr std::size_t kManyDevices = 64;
  if (request.devices.size() > kManyDevices)
    fmt::print(stderr,
               "{}\n",
               say_with("planning for {} devices, which may take some seconds …",
                        "正在为 {} 个设备做规划，可能需要数秒 …",
                        request.devices.size()));
  const Result<parallel::ReplicaPlan> plan = parallel::plan_replicas(request, num_replicas);
  if (plan) {
    if (as_json) {
      nlohmann::json result = parallel::to_json(*plan);
      add_model(options, planned, result);
      fmt::print("{}\n", result.dump(2));
    } else {
      fmt::print("{}{}",
                 heading(options, planned, platform->unavailable_reason()),
                 parallel::to_text(*plan, text));
      fmt::print("{}", choice_text(*plan, request.workload));
    }
    warn_of_queued_streams(*plan, request);
    return 0;
  }

  const auto [refused, refusal] = parallel::explain_refusal(request, num_replicas);
  const bool is_usage = refusal.reason == parallel::RefusalReason::bad_request;
  const parallel::Surroundings surroundings =
      is_usage ? parallel::Surroundings{}
               : surroundings_of(options, *platform, planned, DeviceMemory::as_limits);
  fmt::print(stderr,
             "{}{}\n",
             text("fastchat plan: ", "fastchat plan："),
             parallel::to_text(refusal, refused, surroundings, text));
  if (is_usage) return kUsage;
  if (as_json) {
    nlohmann::json result = parallel::to_json(refusal, refused, surroundings);
    add_model(options, planned, result);
    fmt::print("{}\n", result.dump(2));
  }
  return kDoesNotFit;
}

}  // namespace fastchat::serve
