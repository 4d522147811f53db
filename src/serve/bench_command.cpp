// `fastchat bench`: what the machine can do at best, and what a model reaches of it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "bench/limits.h"
#include "bench/model_bench.h"
#include "model/forward_work.h"
#include "serve/cli/load_progress.h"
#include "serve/cli/start_report.h"
#include "serve/clock_dilation.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/exit_status.h"
#include "serve/flag_checks.h"
#include "serve/language.h"
#include "serve/model_instance.h"
#include "serve/model_options.h"
#include "serve/model_path.h"

namespace fastchat::serve {
namespace {

using nlohmann::json;

json to_json(const bench::Limits& limits) {
  return {{"read_gb_s", limits.read_gb_s},
          {"f32_gflop_s", limits.f32_gflop_s},
          {"bf16_gflop_s", limits.bf16_gflop_s},
          {"int8_gop_s", limits.int8_gop_s}};
}

std::string to_text(const bench::Limits& limits) {
  return fmt::format(
      fmt::runtime(text("This machine, all cores: reads {:.1f} GB/s; multiply-adds f32 {:.0f} "
                        "GFLOP/s, bf16 {:.0f} GFLOP/s, int8 {:.0f} GOP/s\n",
                        "本机全部核心：读带宽 {:.1f} GB/s；乘加 f32 {:.0f} GFLOP/s，bf16 {:.0f} "
                        "GFLOP/s，int8 {:.0f} GOP/s\n")),
      limits.read_gb_s,
      limits.f32_gflop_s,
      limits.bf16_gflop_s,
      limits.int8_gop_s);
}

/// On standard error: what goes on while nothing is printed for seconds.
void announce(const std::string& what) { fmt::print(stderr, "{} …\n", what); }

int run_limits(int argc, char** argv) {
  bool as_json = false;
  int repetitions = 5;
  CLI::App app(
      say("What this machine can do at best, on all cores: the figures that speeds are quoted "
          "against. Medians.",
          "本机全部核心的极限：其他速度都与之比较。取中位数。"),
      "fastchat bench limits");
  app.add_option("--repetitions", repetitions, say("readings to take the median of", "读数次数"))
      ->check(in_range(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  app.add_flag("--json", as_json, say("as JSON", "输出 JSON"));
  if (const std::optional<int> status = parse_command_line(app, argc, argv)) return *status;
  announce(say_with("measuring what this machine can do, {} readings",
                    "正在测量本机的极限，共 {} 次读数",
                    repetitions));
  bench::LimitsMeter meter;
  std::vector<bench::Limits> readings;
  readings.reserve(static_cast<std::size_t>(repetitions));
  for (int i = 0; i < repetitions; ++i) readings.push_back(meter.measure());
  const bench::Limits limits = bench::median(readings);
  if (as_json)
    fmt::print("{}\n", to_json(limits).dump(2));
  else
    fmt::print("{}", to_text(limits));
  return 0;
}

struct ModelBenchOptions {
  ModelOptions model;
  bool asks_max_num_seqs = false;  // else as many as the largest case has
  std::string format;
  std::int64_t prompt_len = 512;
  std::int64_t gen_len = 64;
  std::vector<std::int64_t> batches = {1};
  std::vector<std::int64_t> prefill_batches = {1};
  std::vector<std::int64_t> contexts = {0};
  std::vector<std::string> loads;  // as --load has them
  int repetitions = 5;
  std::string peer_prefill;
  std::string peer_decode;
  bool as_json = false;
  std::optional<double> clock_dilation;  // of simulated devices, see there

  /// Work takes its modelled time, so that there is a speed of theirs to quote.
  bool has_simulated_speed() const { return clock_dilation.value_or(0) > 0; }
};

/// One thing to measure, and its readings.
struct Case {
  bool is_prefill = false;
  std::int64_t batch = 1;
  std::int64_t context = 0;
  std::string peer_command;
  std::string load;  // as it was given; empty: prefill or decode alone
  std::vector<bench::LoadPart> parts;
  std::vector<double> tokens_per_s;  // of a load: generated ones, over its whole time
  std::vector<double> peer_tokens_per_s;
};

/// "32x128+256", "8x64+128:2x8192+64". Throws UsageFailure.
std::vector<bench::LoadPart> parse_load(const std::string& text) {
  std::vector<bench::LoadPart> parts;
  for (const char* at = text.c_str(); at != nullptr;) {
    long long streams = 0;
    long long prompt = 0;
    long long generated = 0;
    int length = 0;
    const int found = std::sscanf(at, "%lldx%lld+%lld%n", &streams, &prompt, &generated, &length);
    constexpr long long kMost = 1 << 20;
    if (found != 3 || streams < 1 || prompt < 1 || generated < 1 || streams > kMost ||
        prompt > kMost || generated > kMost || (at[length] != '\0' && at[length] != ':'))
      throw UsageFailure(say_with(
          "--load '{}': expected STREAMSxPROMPT+GENERATED such as 32x128+256, several with ':' "
          "between",
          "--load '{}'：应为 请求数x提示长度+生成长度，例如 32x128+256；多组之间用 ':' 分隔",
          text));
    parts.push_back({.num_streams = streams, .prompt_len = prompt, .gen_len = generated});
    at = at[length] == ':' ? at + length + 1 : nullptr;
  }
  return parts;
}

std::vector<Case> cases_of(const ModelBenchOptions& options) {
  std::vector<Case> cases;
  for (const std::string& load : options.loads)
    cases.push_back({.load = load, .parts = parse_load(load)});
  if (!cases.empty()) return cases;
  if (options.prompt_len > 0)
    for (const std::int64_t batch : options.prefill_batches)
      cases.push_back({.is_prefill = true, .batch = batch, .peer_command = options.peer_prefill});
  if (options.gen_len > 0)
    for (const std::int64_t context : options.contexts)
      for (const std::int64_t batch : options.batches)
        cases.push_back({.batch = batch, .context = context, .peer_command = options.peer_decode});
  return cases;
}

/// --format names the weights' numbers in one word; what other flags say of them must agree.
void apply_format(const std::string& format, ModelOptions& model) {
  if (format.empty()) return;
  const auto refuse_beside = [&](std::string_view flag, std::string_view value) {
    throw UsageFailure(say_with("--format {} contradicts {}{}{}; leave one of the two out",
                                "--format {} 与 {}{}{} 矛盾；请去掉其中一个",
                                format,
                                flag,
                                value.empty() ? "" : " ",
                                value));
  };
  const bool in_8_bits = format == "w8a16" || format == "w8a8";
  const auto asked = format == "w8a8"    ? model::Quantization::w8a8
                     : format == "w8a16" ? model::Quantization::w8a16
                                         : model::Quantization::none;
  if (model.load_8bit && asked != model.quantization) refuse_beside("--load-8bit", "");
  if (model.named_quantization && asked != *model.named_quantization)
    refuse_beside("--quantization", model::to_string(*model.named_quantization));
  model.quantization = asked;
  if (in_8_bits) return;
  if (model.dtype != "auto" &&
      device::parse_float_dtype(model.dtype).value() != device::parse_float_dtype(format).value())
    refuse_beside("--dtype", model.dtype);
  model.dtype = format;
}

/// As many sequences as a case has are to run at once. A load waits in line where --max-num-seqs
/// says so; of a batch there would be no speed.
void make_room_for(std::int64_t num_seqs, bool is_load, ModelBenchOptions& options) {
  std::int64_t& most = options.model.max_num_seqs;
  if (num_seqs <= most) return;
  if (!options.asks_max_num_seqs) {
    most = num_seqs;
  } else if (!is_load) {
    throw UsageFailure(say_with("--max-num-seqs {}: a batch of {} does not run at once",
                                "--max-num-seqs {}：批量 {} 不能同时运行",
                                most,
                                num_seqs));
  }
}

/// The engine must hold the largest case.
void size_model_for_loads(ModelBenchOptions& options) {
  std::int64_t longest = 0;
  parallel::Workload sum{.num_streams = 0, .prompt_len = 0, .gen_len = 0};
  for (const std::string& load : options.loads) {
    std::int64_t streams = 0;
    for (const bench::LoadPart& part : parse_load(load)) {
      longest = std::max(longest, part.prompt_len + part.gen_len);
      streams += part.num_streams;
      sum.prompt_len += part.num_streams * part.prompt_len;
      sum.gen_len += part.num_streams * part.gen_len;
    }
    sum.num_streams += streams;
    make_room_for(streams, /*is_load=*/true, options);
  }
  if (options.model.max_model_len == 0) options.model.max_model_len = longest + 1;
  // What is measured is what the devices' work is planned for: the average request.
  const auto num_loads = static_cast<std::int64_t>(options.loads.size());
  options.model.parallel.workload = {
      .num_streams = std::max<std::int64_t>(1, sum.num_streams / num_loads),
      .prompt_len = std::max<std::int64_t>(1, sum.prompt_len / sum.num_streams),
      .gen_len = sum.gen_len / sum.num_streams};
}

void choose_weights(ModelOptions& options) {
  if (options.model_path.empty())
    options.load_format = options.device == "npu" ? LoadFormat::repeated_rows : LoadFormat::dummy;
}

void size_model(ModelBenchOptions& options) {
  choose_weights(options.model);
  if (!options.loads.empty()) {
    size_model_for_loads(options);
    return;
  }
  std::int64_t longest = options.prompt_len + 1;
  for (const std::int64_t context : options.contexts)
    longest = std::max(longest, std::max<std::int64_t>(context, 1) + options.gen_len);
  if (options.model.max_model_len == 0) options.model.max_model_len = longest;
  // What is measured is what the devices' work is planned for.
  parallel::Workload& workload = options.model.parallel.workload;
  workload.prompt_len = std::max<std::int64_t>(options.prompt_len, 1);
  workload.gen_len = options.gen_len;
  for (const std::int64_t batch : options.gen_len > 0 ? options.batches : options.prefill_batches)
    workload.num_streams = std::max(workload.num_streams, batch);
  for (const std::int64_t batch : options.prefill_batches)
    make_room_for(batch, /*is_load=*/false, options);
  for (const std::int64_t batch : options.batches) make_room_for(batch, /*is_load=*/false, options);
}

std::optional<double> last_number(const std::string& output) {
  std::optional<double> last;
  for (const char* at = output.c_str(); *at != '\0';) {
    if (*at < '0' || *at > '9') {
      ++at;
      continue;
    }
    char* end = nullptr;
    last = std::strtod(at, &end);
    at = end;
  }
  return last;
}

/// Runs a shell command and takes the last number it prints.
double run_peer(const std::string& command) {
  std::FILE* const pipe = popen(command.c_str(), "r");
  check(pipe != nullptr, fmt::runtime(text("cannot run: {}", "无法运行：{}")), command);
  std::string output;
  char chunk[4096];
  while (const std::size_t size = std::fread(chunk, 1, sizeof chunk, pipe))
    output.append(chunk, size);
  const int ended = pclose(pipe);
  const int status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
  check(status == 0,
        fmt::runtime(
            text("the peer's command failed with status {}: {}", "对比程序失败，状态 {}：{}")),
        status,
        command);
  const std::optional<double> number = last_number(output);
  check(number.has_value(),
        fmt::runtime(text("the peer's command printed no number: {}", "对比程序没有输出数字：{}")),
        command);
  return *number;
}

double run_case(const Case& item,
                const ModelBenchOptions& options,
                ModelInstance& model,
                std::uint64_t seed) {
  const std::int64_t vocab_size = model.config().vocab_size;
  if (!item.parts.empty()) {
    std::int64_t tokens = 0;
    for (const bench::LoadPart& part : item.parts) tokens += part.num_streams * part.gen_len;
    return static_cast<double>(tokens) /
           bench::measure_load(model.engine(), vocab_size, item.parts, seed);
  }
  if (item.is_prefill)
    return bench::measure_prefill(model.engine(), vocab_size, item.batch, options.prompt_len, seed);
  return bench::measure_decode(
      model.engine(), vocab_size, item.batch, item.context, options.gen_len, seed);
}

/// Tokens per second that the machine's limits allow: whichever of reading and multiplying takes
/// longer.
double limit_of(const Case& item,
                const ModelBenchOptions& options,
                const ModelInstance& model,
                const bench::Limits& limits) {
  const PlannedModel& planned = model.planned();
  // Decode is measured while the context grows; its middle stands for all.
  const std::int64_t context = std::max<std::int64_t>(item.context, 1) + options.gen_len / 2;
  const model::ForwardWork work =
      item.is_prefill
          ? model::forward_work(
                planned.config, planned.request.sizes, item.batch, 0, options.prompt_len)
          : model::forward_work(planned.config, planned.request.sizes, item.batch, context, 1);
  const double peak =
      1e9 * (planned.dtype == device::DType::bf16 ? limits.bf16_gflop_s : limits.f32_gflop_s);
  const double seconds = std::max(work.bytes / (limits.read_gb_s * 1e9), work.flops / peak);
  const double tokens =
      static_cast<double>(item.batch * (item.is_prefill ? options.prompt_len : 1));
  return tokens / seconds;
}

/// Nominal figures of the cards that compute at once; nothing where one of them is not known.
std::optional<bench::Limits> card_limits(const ModelInstance& model) {
  double read_bytes = 0;
  double flops = 0;
  for (const parallel::Replica& replica : model.replicas()) {
    const bool is_walked = replica.plan.mode == parallel::ParallelMode::layer;
    double slowest_read = 0;
    for (const parallel::StagePlacement& stage : replica.plan.placement.stages) {
      double stage_read = 0;
      double stage_flops = 0;
      for (const int device : stage.devices) {
        const parallel::DeviceSpeed& speed =
            replica.request.devices[static_cast<std::size_t>(device)].speed;
        if (speed.read_bytes_per_s <= 0 || speed.nominal) return std::nullopt;
        stage_read += speed.read_bytes_per_s;
        stage_flops += speed.flops_per_s;
      }
      // Stages that take turns are as fast as one.
      if (is_walked && slowest_read > 0) continue;
      slowest_read = stage_read;
      read_bytes += stage_read;
      flops += stage_flops;
    }
  }
  return bench::Limits{
      .read_gb_s = read_bytes / 1e9, .f32_gflop_s = flops / 1e9, .bf16_gflop_s = flops / 1e9};
}

/// "bf16"; "w8a16" where the weights are quantized.
std::string_view format_of(const PlannedModel& planned) {
  const std::vector<model::Quantization> found = model::quantizations(planned.config);
  return found.empty() ? device::to_string(planned.dtype) : model::to_string(found.front());
}

json result_json(const Case& item,
                 const ModelBenchOptions& options,
                 const ModelInstance& model,
                 const bench::Limits& limits) {
  const double speed = bench::median(item.tokens_per_s);
  if (!item.parts.empty()) {
    json result = {{"phase", "load"},
                   {"load", item.load},
                   {"shape", model.name()},
                   {"format", format_of(model.planned())},
                   {"tokens_per_s", speed}};
    if (options.has_simulated_speed())
      result["simulated_tokens_per_s"] = speed * *options.clock_dilation;
    return result;
  }
  json result = {{"phase", item.is_prefill ? "prefill" : "decode"},
                 {"shape", model.name()},
                 {"format", format_of(model.planned())},
                 {"batch", item.batch},
                 {"context", item.is_prefill ? options.prompt_len : item.context},
                 {"tokens_per_s", speed}};
  const double own_speed = speed * options.clock_dilation.value_or(1);
  if (options.has_simulated_speed()) result["simulated_tokens_per_s"] = own_speed;
  if (limits.read_gb_s > 0)
    result["fraction_of_limit"] = own_speed / limit_of(item, options, model, limits);
  if (!item.peer_tokens_per_s.empty()) {
    const double peer = bench::median(item.peer_tokens_per_s);
    result["peer_tokens_per_s"] = peer;
    result["ratio_to_peer"] = speed / peer;
  }
  return result;
}

/// What the plan's split allows beside one device that held the whole model; null for one device.
/// A phase that is not measured has no bound.
json plan_json(const parallel::Plan& plan, const ModelBenchOptions& options) {
  if (plan.placement.stages.size() * static_cast<std::size_t>(plan.tensor_size) < 2) return nullptr;
  return {
      {"mode", parallel::to_string(plan.mode)},
      {"pipeline_size", plan.placement.stages.size()},
      {"tensor_size", plan.tensor_size},
      {"prefill_speedup",
       options.prompt_len > 0 ? json(plan.speed.prefill_speedup) : json(nullptr)},
      {"decode_speedup", options.gen_len > 0 ? json(plan.speed.decode_speedup) : json(nullptr)}};
}

std::string plan_line(const json& plan) {
  if (plan.is_null()) return {};
  std::vector<std::string> phases;
  if (const json& speedup = plan["prefill_speedup"]; !speedup.is_null())
    phases.push_back(say_with("prefill {:.2f} x", "预填充 {:.2f} 倍", speedup.get<double>()));
  if (const json& speedup = plan["decode_speedup"]; !speedup.is_null())
    phases.push_back(say_with("decode {:.2f} x", "解码 {:.2f} 倍", speedup.get<double>()));
  return say_with("Bound of this split: {} one such device\n",
                  "该放置方式的上限（与单个同类设备相比）：{}\n",
                  fmt::join(phases, text(", ", "，")));
}

/// ", 4 devices: tensor"; nothing for one.
std::string way_of(const ModelInstance& model) {
  const std::size_t num_devices = model.planned().devices.size();
  if (num_devices < 2) return {};
  return say_with(
      ", {} devices: {}", "，{} 个设备：{}", num_devices, mode_name(model.replica_plan()));
}

std::string result_line(const json& result) {
  if (result["phase"] == "load") {
    std::string line = fmt::format("{:<24} {:>12.1f}",
                                   result["load"].get<std::string>(),
                                   result["tokens_per_s"].get<double>());
    if (result.contains("simulated_tokens_per_s"))
      line += fmt::format(" {:>10.1f}", result["simulated_tokens_per_s"].get<double>());
    return line + "\n";
  }
  const bool is_prefill = result["phase"] == "prefill";
  std::string line = fmt::format("{:<8} {:>6} {:>8} {:>12.1f}",
                                 is_prefill ? text("prefill", "预填充") : text("decode", "解码"),
                                 result["batch"].get<std::int64_t>(),
                                 result["context"].get<std::int64_t>(),
                                 result["tokens_per_s"].get<double>());
  if (result.contains("simulated_tokens_per_s"))
    line += fmt::format(" {:>10.1f}", result["simulated_tokens_per_s"].get<double>());
  if (result.contains("fraction_of_limit"))
    line += fmt::format(" {:>8.0f} %", 100 * result["fraction_of_limit"].get<double>());
  if (result.contains("ratio_to_peer"))
    line += fmt::format("  {:>10.1f} {:>6.2f} x",
                        result["peer_tokens_per_s"].get<double>(),
                        result["ratio_to_peer"].get<double>());
  return line + "\n";
}

/// What the figures below it are measured by: the machine's limits, or a clock that is not its own.
std::string measure_line(const ModelBenchOptions& options,
                         const ModelInstance& model,
                         const bench::Limits& limits) {
  std::string cards;
  if (model.planned().kind != device::DeviceKind::cpu && limits.read_gb_s > 0)
    cards = say_with(
        "Nominal figures of the cards at work, not measured: read {:.0f} GB/s, {:.0f} "
        "TFLOP/s in 16 bits\n",
        "工作中的卡的标称指标（未经实测）：读 {:.0f} GB/s，16 位 {:.0f} TFLOP/s\n",
        limits.read_gb_s,
        limits.bf16_gflop_s / 1e3);
  if (!options.clock_dilation) return cards.empty() ? to_text(limits) : cards;
  if (!options.has_simulated_speed())
    return say(
        "Simulated devices at dilation 0: nothing is computed and no work takes its modelled time. "
        "tokens/s say\nwhat the host's own part of a step costs on this machine; they are no "
        "speed of a device\n",
        "模拟设备，放慢倍数为 0：不做任何计算，任务也不占用模拟时间。token/秒 "
        "只反映每一步在本机主机侧的开销，"
        "不是设备的速度\n");
  return cards +
         say_with(
             "Simulated devices: a second of theirs takes {} s here. tokens/s by this machine's "
             "clock; "
             "simulated: by theirs\n",
             "模拟设备：其一秒在本机耗时 {} 秒。token/秒 按本机时钟；模拟：按模拟设备的时钟\n",
             *options.clock_dilation);
}

std::string table_head(const ModelBenchOptions& options, const bench::Limits& limits) {
  return fmt::format(
      "{:<8} {:>6} {:>8} {:>12}{}{}\n",
      text("phase", "阶段"),
      text("batch", "批量"),
      text("context", "上下文"),
      text("tokens/s", "token/秒"),
      options.has_simulated_speed() ? fmt::format(" {:>10}", text("simulated", "模拟"))
                                    : std::string(),
      limits.read_gb_s > 0 ? fmt::format("{:>11}", text("of limit", "占极限")) : std::string());
}

void add_bench_options(CLI::App& app, ModelBenchOptions& options) {
  const std::string group = say("Measuring", "测量");
  app.add_option("--format",
                 options.format,
                 say("number format of the weights: bf16, f16 or f32; w8a16, w8a8: 8 bits, as "
                     "--quantization\n"
                     "has them (default: --dtype, --quantization)",
                     "权重的数值格式：bf16、f16 或 f32；w8a16、w8a8：8 位，同 "
                     "--quantization（默认按 --dtype 与 --quantization）"))
      ->check(one_of({"bf16", "f16", "f32", "w8a16", "w8a8"}))
      ->type_name("bf16|f16|f32|w8a16|w8a8")
      ->group(group);
  app.add_option(
         "--prompt-len",
         options.prompt_len,
         say("tokens of the prompt whose prefill is timed; 0: none", "预填充的提示长度；0 不测"))
      ->check(in_range(0, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--prefill-batch",
                 options.prefill_batches,
                 say("prompts that are prefilled together: 1,16", "同时预填充的提示数：1,16"))
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->type_name("N,N")
      ->group(group);
  app.add_option("--gen-len",
                 options.gen_len,
                 say("tokens each sequence decodes while timed; 0: none",
                     "每个序列解码的 token 数；0 不测"))
      ->check(in_range(0, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--batch",
                 options.batches,
                 say("sequences that decode together: 1,8,16", "同时解码的序列数：1,8,16"))
      ->delimiter(',')
      ->check(in_range(1, 4096))
      ->type_name("N,N")
      ->group(group);
  app.add_option("--context",
                 options.contexts,
                 say("positions each sequence holds before it decodes: 0,8192",
                     "解码前每个序列已有的位置数：0,8192"))
      ->delimiter(',')
      ->check(in_range(0, 1 << 24))
      ->type_name("N,N")
      ->group(group);
  app.add_option(
         "--load",
         options.loads,
         say("instead: requests that come at once, until the last one has its last token: "
             "STREAMSxPROMPT+GENERATED\n"
             "such as 32x128+256, kinds of requests with ':' between, loads with ','; "
             "generated tokens per second",
             "改为测量一组同时到达的请求，直到最后一个生成完毕：请求数x提示长度+生成长度，\n"
             "例如 32x128+256；不同种类用 ':' 分隔，多组负载用 ',' 分隔；结果为每秒生成的 token"))
      ->delimiter(',')
      ->type_name("NxP+G,…")
      ->group(group);
  app.add_option(
         "--repetitions",
         options.repetitions,
         say("rounds; limits, every case and the peer take turns in each", "轮数；每轮交替测量"))
      ->check(in_range(1, 1000))
      ->capture_default_str()
      ->group(group);
  app.add_option(
         "--peer-prefill",
         options.peer_prefill,
         say("shell command of a peer to run in turn with the prefill case; the last number "
             "it prints is its tokens/s",
             "与预填充交替运行的对照程序命令；其输出的最后一个数视为 token/s"))
      ->type_name(say("COMMAND", "命令"))
      ->group(group);
  app.add_option("--peer-decode",
                 options.peer_decode,
                 say("likewise with every decode case", "同上，与解码交替运行"))
      ->type_name(say("COMMAND", "命令"))
      ->group(group);
  app.add_flag("--json", options.as_json, say("as JSON", "输出 JSON"))->group(group);
}

int run_model(int argc, char** argv) {
  ModelBenchOptions options;
  CLI::App app(
      say("Prefill and decode speed of a model beside what this machine's limits allow. Medians of "
          "rounds\nin which limits, cases and a peer take turns. A --shape runs on made-up "
          "weights.",
          "模型的预填充与解码速度，以及占本机极限的比例。各项交替测量，取中位数。--shape "
          "使用假权重。"),
      "fastchat bench model");
  add_model_options(app, options.model);
  add_bench_options(app, options);
  app.footer(
      say("Examples:\n"
          "  fastchat bench model --shape qwen2-0.5b --format bf16 --batch 1,16\n"
          "  fastchat bench model --model-path ~/models/Qwen2-7B-Instruct --context 0,8192 "
          "--json",
          "示例：\n"
          "  fastchat bench model --shape qwen2-0.5b --format bf16 --batch 1,16\n"
          "  fastchat bench model --model-path ~/models/Qwen2-7B-Instruct --context 0,8192 "
          "--json"));
  if (const std::optional<int> status = parse_command_line(app, argc, argv)) return *status;
  options.asks_max_num_seqs = app.count("--max-num-seqs") > 0;
  apply_format(options.format, options.model);
  options.clock_dilation = clock_dilation();
  size_model(options);
  std::vector<Case> cases = cases_of(options);
  if (cases.empty())
    throw UsageFailure(say("--prompt-len 0 and --gen-len 0 leave nothing to measure",
                           "--prompt-len 0 与 --gen-len 0 同用时没有可测的内容"));
  if (options.gen_len == 1 && options.loads.empty())
    throw UsageFailure(say("--gen-len 1: a speed needs at least 2 tokens; 0 leaves decode out",
                           "--gen-len 1：至少 2 个 token 才有速度；0 表示不测解码"));
  resolve_model_path(options.model);

  announce(say("preparing the model", "正在准备模型"));
  std::unique_ptr<ModelInstance> model;
  {
    LoadProgress progress(STDERR_FILENO, isatty(STDERR_FILENO) == 1);
    model = std::make_unique<ModelInstance>(
        options.model,
        [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); });
  }
  fmt::print(stderr, "{}", start_report(*model, /*how_to_leave=*/false));

  const bool on_cpu = model->planned().kind == device::DeviceKind::cpu;
  announce(say_with("measuring limits and {} case(s) in turn, {} round(s)",
                    "正在交替测量极限与 {} 项，共 {} 轮",
                    cases.size(),
                    options.repetitions));
  std::optional<bench::LimitsMeter> meter;
  if (on_cpu && !options.clock_dilation) meter.emplace();
  std::vector<bench::Limits> readings;
  std::uint64_t seed = 1;
  for (int round = 0; round < options.repetitions; ++round) {
    if (meter) readings.push_back(meter->measure());
    for (Case& item : cases) {
      item.tokens_per_s.push_back(run_case(item, options, *model, seed++));
      if (!item.peer_command.empty()) item.peer_tokens_per_s.push_back(run_peer(item.peer_command));
    }
    fmt::print(stderr,
               fmt::runtime(text("round {} of {} done\n", "第 {} 轮（共 {} 轮）完成\n")),
               round + 1,
               options.repetitions);
  }
  // Of cards, what is known of their kind: measuring them comes with `doctor`. Work that takes no
  // time has no limits.
  const bool has_limits = !options.clock_dilation || options.has_simulated_speed();
  const bench::Limits limits = !readings.empty() ? bench::median(readings)
                               : has_limits      ? card_limits(*model).value_or(bench::Limits{})
                                                 : bench::Limits{};
  json results = json::array();
  for (const Case& item : cases) results.push_back(result_json(item, options, *model, limits));
  const json plan = plan_json(model->plan(), options);
  if (options.as_json) {
    json report = {{"plan", plan}, {"results", results}};
    if (options.clock_dilation) report["clock_dilation"] = *options.clock_dilation;
    if (limits.read_gb_s > 0) report["limits"] = to_json(limits);
    fmt::print("{}\n", report.dump(2));
    return 0;
  }
  fmt::print("{}{}, {}{}\n{}{}",
             measure_line(options, *model, limits),
             model->name(),
             describe_numbers(model->config(), model->planned().dtype),
             way_of(*model),
             plan_line(plan),
             table_head(options, limits));
  for (const json& result : results) fmt::print("{}", result_line(result));
  return 0;
}

}  // namespace

int run_bench(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "limits") return run_limits(argc - 1, argv + 1);
  if (what == "model") return run_model(argc - 1, argv + 1);
  const bool asks_help =
      what.empty() || what == "--help" || what == "-h" || what.starts_with("--lang");
  if (!asks_help)
    fmt::print(stderr,
               fmt::runtime(text("fastchat bench: there is no '{}' to measure\n",
                                 "fastchat bench：没有 '{}' 这一项\n")),
               what);
  fmt::print(asks_help ? stdout : stderr,
             "{}\n  fastchat bench limits   {}\n  fastchat bench model    {}\n",
             text("Usage: fastchat bench limits|model [flags]; --help after either explains it",
                  "用法：fastchat bench limits|model [参数]；其后加 --help 查看说明"),
             text("what this machine can do at best", "本机的极限"),
             text("prefill and decode speed of a model, as fractions of that",
                  "模型的预填充与解码速度，及占极限的比例"));
  return asks_help ? 0 : kUsage;
}

}  // namespace fastchat::serve
