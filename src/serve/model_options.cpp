#include "serve/model_options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "device/ascend/npu_device.h"
#include "device/cpu/cpu_device.h"
#include "serve/exit_status.h"
#include "serve/flag_checks.h"
#include "serve/language.h"
#include "serve/later_flags.h"

namespace fastchat::serve {
namespace {

std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  while (true) {
    const std::size_t comma = list.find(',', start);
    parts.push_back(CLI::detail::trim_copy(list.substr(start, comma - start)));
    if (comma == std::string::npos) return parts;
    start = comma + 1;
  }
}

std::uint64_t read_bytes(const std::string& flag, const std::string& value) {
  const Result<std::uint64_t> bytes = parse_bytes(value);
  if (!bytes)
    throw CLI::ValidationError(
        flag,
        say_with("'{}' is not a size; write for example 13GiB, 800MiB or 4096B",
                 "'{}' 不是内存大小；请写成例如 13GiB、800MiB 或 4096B",
                 value));
  if (*bytes == 0) throw CLI::ValidationError(flag, say("must be above 0", "必须大于 0"));
  return *bytes;
}

/// A limit of a device's memory. "8" is more likely meant as 8 GiB than as 8 bytes.
std::uint64_t read_limit(const std::string& flag, const std::string& value) {
  const std::uint64_t bytes = read_bytes(flag, value);
  if (value.find_first_not_of("0123456789. \t") == std::string::npos)
    throw CLI::ValidationError(
        flag,
        say_with("'{}' has no unit; write for example {}GiB, or {}B for bytes",
                 "'{}' 没有单位；请写成例如 {}GiB，若是字节则写 {}B",
                 value,
                 value,
                 value));
  return bytes;
}

std::vector<int> read_gpus(const std::string& value) {
  std::vector<int> gpus;
  for (const std::string& part : split_list(value)) {
    int index = -1;
    const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (status != std::errc{} || end != part.data() + part.size() || index < 0 ||
        index >= kMaxDevices)
      throw CLI::ValidationError(
          "--gpus",
          fmt::format(fmt::runtime(text("'{}' is not a list of device indices such as 0,2",
                                        "'{}' 不是设备序号列表，例如 0,2")),
                      value));
    if (std::find(gpus.begin(), gpus.end(), index) != gpus.end())
      throw CLI::ValidationError(
          "--gpus",
          fmt::format(fmt::runtime(text("device {} is named twice", "设备 {} 出现了两次")), index));
    gpus.push_back(index);
  }
  return gpus;
}

/// Devices asked for, once the flags agree with each other.
int num_devices(const ModelOptions& options) {
  if (options.num_gpus > 0) return options.num_gpus;
  return options.gpus.empty() ? 1 : static_cast<int>(options.gpus.size());
}

/// --parallel against the sizes: a mode that they leave nothing of would silently be another one.
void check_parallel(const ModelOptions& options) {
  using parallel::ParallelMode;
  const parallel::ParallelRequest& asked = options.parallel.request;
  const int count = num_devices(options);
  if (count < 2) return;
  const auto fail_with = [&](std::string_view flag, int size, std::string_view other) {
    throw CLI::ValidationError(
        "--parallel",
        say_with("{} does not go with {} {} on {} devices; take --parallel {}, or leave one of the "
                 "two out",
                 "{} 与 {} {} 在 {} 个设备上矛盾；请用 --parallel {}，或去掉其中一个参数",
                 parallel::to_string(asked.mode),
                 flag,
                 size,
                 count,
                 other));
  };
  constexpr std::string_view kTensor = "--tensor-parallel-size";
  constexpr std::string_view kPipeline = "--pipeline-parallel-size";
  if (asked.mode == ParallelMode::layer || asked.mode == ParallelMode::pipeline) {
    if (asked.tensor_size == count) fail_with(kTensor, asked.tensor_size, "tensor");
    if (asked.pipeline_size == 1) fail_with(kPipeline, asked.pipeline_size, "tensor");
  }
  if (asked.mode == ParallelMode::tensor) {
    if (asked.tensor_size == 1) fail_with(kTensor, asked.tensor_size, "pipeline");
    if (asked.pipeline_size == count) fail_with(kPipeline, asked.pipeline_size, "pipeline");
  }
}

/// --load-8bit beside a --quantization that is another one: neither may win silently.
void settle_quantization(ModelOptions& options) {
  using model::Quantization;
  options.quantization = options.named_quantization.value_or(Quantization::none);
  if (!options.load_8bit) return;
  if (options.named_quantization && *options.named_quantization != Quantization::w8a16)
    throw CLI::ValidationError(
        "--load-8bit",
        say_with("is the same as --quantization w8a16, but --quantization {} is given too; leave "
                 "one of the two out",
                 "等同于 --quantization w8a16，却又给出了 --quantization {}；请去掉其中一个",
                 model::to_string(*options.named_quantization)));
  options.quantization = Quantization::w8a16;
}

/// What single flags cannot see.
void check_combination(const ModelOptions& options) {
  const int count = num_devices(options);
  if (!options.gpus.empty() && count > static_cast<int>(options.gpus.size()))
    throw CLI::ValidationError(
        "--num-gpus",
        fmt::format(fmt::runtime(text("Larger --num-gpus ({}) than --gpus {}!",
                                      "--num-gpus（{}）多于 --gpus {} 列出的设备")),
                    count,
                    fmt::join(options.gpus, ",")));
  const std::size_t num_limits = options.max_gpu_memory.size();
  if (num_limits > 1 && num_limits != static_cast<std::size_t>(count))
    throw CLI::ValidationError(
        "--max-gpu-memory",
        fmt::format(fmt::runtime(text("{} values for {} device(s); give one, or one per device",
                                      "给出 {} 个值，而设备有 {} 个；请给一个值，或每个设备一个")),
                    num_limits,
                    count));
  if (!options.model_path.empty() && !options.shape.empty())
    throw CLI::ValidationError("--shape",
                               say("goes without --model-path: the folder has a shape of its own",
                                   "不能与 --model-path 同用：模型文件夹已确定形状"));
  check_parallel(options);
}

model::Quantization read_quantization(const std::string& value) {
  using model::Quantization;
  for (const Quantization each : {Quantization::w8a16, Quantization::w8a8})
    if (value == model::to_string(each)) return each;
  return Quantization::none;
}

void add_model_group(CLI::App& app, ModelOptions& options) {
  const std::string group = say("Model", "模型");
  app.add_option(
         "--model-path",
         options.model_path,
         say("folder of a model in Hugging Face format: config.json, *.safetensors, tokenizer;\n"
             "or an id such as Qwen/Qwen2-7B-Instruct that Hugging Face's or ModelScope's tools "
             "have downloaded",
             "Hugging Face 格式的模型文件夹：config.json、*.safetensors、分词器；或已用 Hugging "
             "Face "
             "或魔搭工具下载的模型名称，例如 Qwen/Qwen2-7B-Instruct"))
      ->type_name(say("FOLDER|ID", "文件夹|名称"))
      ->group(group);
  app.add_option("--revision",
                 options.revision,
                 say("branch, tag or commit of a model given by id",
                     "按名称指定模型时使用的分支、标签或提交"))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(group);
  app.add_option("--shape",
                 options.shape,
                 fmt::format(fmt::runtime(text("a published model's sizes, without its files: {}",
                                               "只取某个公开模型的尺寸，不需要文件：{}")),
                             fmt::join(model::shape_names(), ", ")))
      ->check([](const std::string& name) {
        const Result<model::ModelConfig> shape = model::shape_by_name(name);
        if (shape) return std::string();
        return say_with("'{}' is no known shape; there are {}",
                        "没有形状 '{}'；可用的有 {}",
                        name,
                        fmt::join(model::shape_names(), ", "));
      })
      ->type_name(say("NAME", "名称"))
      ->group(group);
  app.add_option(
         "--dtype",
         options.dtype,
         say("numbers of weights, activations and KV: auto, float32, float16 (or half, fp16), "
             "bfloat16.\n"
             "auto: the checkpoint's 16-bit type on cpu",
             "权重、激活与 KV 的数值类型：auto、float32、float16（也可写 half、fp16）、bfloat16。\n"
             "auto：在 cpu 上用权重文件的 16 位类型"))
      ->check([](const std::string& name) {
        if (name == "auto") return std::string();
        const Result<device::DType> dtype = device::parse_float_dtype(name);
        if (dtype) return std::string();
        return say_with("'{}' is none of auto, float32, float16, bfloat16",
                        "'{}' 不是 auto、float32、float16、bfloat16 之一",
                        name);
      })
      ->type_name("TYPE")
      ->capture_default_str()
      ->group(group);
  app.add_option_function<std::string>(
         "--quantization",
         [&options](const std::string& value) {
           options.named_quantization = read_quantization(value);
         },
         say("weights of linear layers in 8 bits, quantized while they are loaded: w8a16 (half "
             "the\n"
             "memory; activations stay in 16 bits), w8a8 (activations in 8 bits too, per token:\n"
             "faster on cards, less exact), none. Checkpoints that are in 8 bits already need no "
             "flag",
             "线性层权重加载时量化为 8 位：w8a16（内存减半，激活仍为 16 位）、w8a8（激活也逐 token "
             "量化为 8 位：\n"
             "卡上更快，精度略低）、none。本身已是 8 位的权重无需此参数"))
      ->check(one_of({"none", "w8a16", "w8a8"}))
      ->type_name("none|w8a16|w8a8")
      ->default_str("none")
      ->group(group);
  app.add_flag("--load-8bit",
               options.load_8bit,
               say("the same as --quantization w8a16, on any number of devices",
                   "等同于 --quantization w8a16，可用于任意数量的设备"))
      ->group(group);
  app.add_option_function<std::string>(
         "--load-format",
         [&options](const std::string& value) {
           options.load_format = value == "dummy" ? LoadFormat::dummy : LoadFormat::automatic;
         },
         say("auto: the folder's files; dummy: made-up weights, to measure speed and memory",
             "auto：读取文件夹中的权重；dummy：生成假权重，用于测试速度和内存"))
      ->check(one_of({"auto", "dummy"}))
      ->type_name("auto|dummy")
      ->default_str("auto")
      ->group(group);
  app.add_option_function<std::string>(
         "--safetensors-load-strategy",
         [&options](const std::string& value) {
           options.load_strategy = value == "lazy"    ? model::LoadStrategy::lazy
                                   : value == "eager" ? model::LoadStrategy::eager
                                                      : model::LoadStrategy::automatic;
         },
         say("lazy: map the weight files; eager: read each once from front to back, as network "
             "file\n"
             "systems like it, with host memory for up to one file. auto: eager on NFS, SMB, "
             "Lustre,\n"
             "FUSE, 9p, Ceph, …, lazy elsewhere",
             "lazy：映射权重文件；eager：从头到尾各读一遍，适合网络文件系统，主机内存需能容纳一个文"
             "件。"
             "auto：在 NFS、SMB、Lustre、FUSE、9p、Ceph 等上用 eager，其他用 lazy"))
      ->check(one_of({"auto", "lazy", "eager"}))
      ->type_name("auto|lazy|eager")
      ->default_str("auto")
      ->group(group);
}

void add_device_group(CLI::App& app, ModelOptions& options) {
  const std::string group = say("Devices", "设备");
  app.add_option("--device",
                 options.device,
                 say("cpu, npu (Ascend), cuda, or auto: the best kind that is there. This version "
                     "has cpu and npu",
                     "cpu、npu（昇腾）、cuda 或 auto（自动选择）。本版本支持 cpu 与 npu"))
      ->check(device_kind())
      ->type_name("KIND")
      ->capture_default_str()
      ->group(group);
  app.add_option(
         "--num-gpus",
         options.num_gpus,
         say("devices to spread the model over; on cpu the cores are dealt out to that many "
             "(default: 1,\n"
             "or as many as --gpus names)",
             "模型分布到几个设备上；在 cpu 上把核心分成这么多份（默认 1，或 --gpus 列出的个数）"))
      ->check(in_range(1, kMaxDevices))
      ->type_name("N")
      ->group(group);
  app.add_option_function<std::string>(
         "--gpus",
         [&options](const std::string& value) { options.gpus = read_gpus(value); },
         say("which devices, such as 0,2: the layers go over them in this order",
             "使用哪些设备，例如 0,2：各层按此顺序放置"))
      ->type_name("LIST")
      ->group(group);
  app.add_option_function<std::string>(
         "--max-gpu-memory",
         [&options](const std::string& value) {
           options.max_gpu_memory.clear();
           for (const std::string& part : split_list(value))
             options.max_gpu_memory.push_back(read_limit("--max-gpu-memory", part));
         },
         say("most memory to use on each device, such as 13Gib, or one value per device: "
             "8GiB,16GiB",
             "每个设备最多使用的内存，例如 13Gib；或每个设备一个值：8GiB,16GiB"))
      ->type_name("SIZE[,…]")
      ->group(group);
  app.add_flag("--enforce-eager",
               options.enforce_eager,
               say("start every operation of every step by itself: slower on npu, where decode "
                   "steps are else recorded once and run again by one call",
                   "逐个启动每一步的每个算子：在 npu "
                   "上更慢；默认情况下，解码步骤只记录一次，之后一次调用即可重放"))
      ->group(group);
  app.add_option("--gpu-memory-utilization",
                 options.gpu_memory_utilization,
                 say("share of the free memory to use where --max-gpu-memory sets no limit",
                     "未用 --max-gpu-memory 设限时，最多使用空闲内存的比例"))
      ->check([](const std::string& value) {
        double share = 0;
        const bool is_number = CLI::detail::lexical_cast(value, share);
        return is_number && share > 0 && share <= 1
                   ? std::string()
                   : say("must be above 0 and at most 1", "必须大于 0 且不超过 1");
      })
      ->type_name("SHARE")
      ->capture_default_str()
      ->group(group);
}

void add_memory_group(CLI::App& app, ModelOptions& options) {
  const std::string group = say("Context and batch", "上下文与批处理");
  app.add_option("--max-model-len",
                 options.max_model_len,
                 say("longest prompt plus answer in tokens, promised to fit (default: what the "
                     "model was made for,\n"
                     "or as much of it as fits)",
                     "提示与回答的最大总长度（token），保证放得下（默认：模型的设计长度，放不下时自"
                     "动缩短）"))
      ->check(in_range(std::int64_t{1}, std::int64_t{std::numeric_limits<std::int32_t>::max()}))
      ->type_name("N")
      ->group(group);
  app.add_option_function<std::string>(
         "--kv-cache-bytes",
         [&options](const std::string& value) {
           options.kv_cache_bytes = read_bytes("--kv-cache-bytes", value);
         },
         say("memory for keys and values over all devices, such as 2GiB (default: what is left)",
             "所有设备上键值缓存的总内存，例如 2GiB（默认：剩余的内存）"))
      ->type_name("SIZE")
      ->group(group);
  app.add_option("--max-num-batched-tokens",
                 options.max_num_batched_tokens,
                 say("tokens of one step: larger reads prompts faster and takes more workspace "
                     "(default: 512, on npu 2048, over the devices of a pipeline)",
                     "每一步处理的 token 数：越大读提示越快，占用的工作内存也越多（默认 512，npu "
                     "上为 2048，pipeline 时由各设备分摊）"))
      ->check(in_range(std::int64_t{1}, std::int64_t{1} << 20))
      ->type_name("N")
      ->group(group);
  app.add_option(
         "--max-num-seqs",
         options.max_num_seqs,
         say("sequences running at once; more wait in line", "同时运行的序列数；更多的排队等待"))
      ->check(in_range(std::int64_t{1}, std::int64_t{1} << 16))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
}

}  // namespace

std::string missing_platform(std::string_view kind) {
  if (kind == "cpu" || kind == "npu") return {};
  if (kind == "cuda")
    return say("this version has no CUDA backend yet (see CHANGELOG.md); --device cpu works today",
               "本版本尚无 CUDA 后端（见 CHANGELOG.md）；目前请用 --device cpu");
  return say("FastChat has this kind of device, this program does not; use --device cpu",
             "FastChat 支持此类设备，本程序不支持；请用 --device cpu");
}

void add_model_options(CLI::App& app, ModelOptions& options) {
  add_model_group(app, options);
  add_device_group(app, options);
  add_parallel_options(app, options.parallel);
  add_memory_group(app, options);
  add_later_flags(app);
  app.parse_complete_callback([&options] {
    settle_quantization(options);
    check_combination(options);
  });
}

int num_platform_devices(const ModelOptions& options) {
  int count = num_devices(options);
  // --gpus 2 speaks of the third of three devices, so that several programs can share a machine.
  for (const int index : options.gpus) count = std::max(count, index + 1);
  return count;
}

namespace {

/// --max-gpu-memory is given by rank; devices that --gpus leaves out have no limit of theirs.
std::vector<std::uint64_t> limits_by_index(const ModelOptions& options) {
  if (options.max_gpu_memory.size() <= 1) return options.max_gpu_memory;
  std::vector<std::uint64_t> limits(static_cast<std::size_t>(num_platform_devices(options)));
  for (std::size_t rank = 0; rank < options.max_gpu_memory.size(); ++rank)
    limits[options.gpus.empty() ? rank : static_cast<std::size_t>(options.gpus[rank])] =
        options.max_gpu_memory[rank];
  return limits;
}

}  // namespace

std::unique_ptr<device::Platform> open_platform(const ModelOptions& options, ChooseText choose) {
  const bool is_automatic = options.device == "auto";
  if (is_automatic || options.device == "npu") {
    std::unique_ptr<device::Platform> npu = device::create_npu_platform(
        {.memory_limits_bytes = limits_by_index(options), .choose = choose});
    const std::string reason = npu->unavailable_reason();
    if (reason.empty()) {
      if (is_automatic) log::info("{}", text("--device auto: npu", "--device auto：选用 npu"));
      return npu;
    }
    if (!is_automatic)
      throw Failure(say_with("--device npu: {}; --device cpu works without cards",
                             "--device npu：{}；没有卡时可用 --device cpu",
                             reason));
    log::info("{}",
              say_with("--device auto: cpu, since {}", "--device auto：选用 cpu，因为 {}", reason));
  } else if (const std::string missing = missing_platform(options.device); !missing.empty()) {
    fail("{}", say_with("--device {}: {}", "--device {}：{}", options.device, missing));
  }

  device::CpuPlatformOptions cpu;
  cpu.choose = choose;
  cpu.num_devices = num_platform_devices(options);
  cpu.memory_limits_bytes = limits_by_index(options);
  return device::create_cpu_platform(cpu);
}

namespace {

/// What hides devices, where it may be that: " (ASCEND_RT_VISIBLE_DEVICES is '4, 5'; …)".
std::string mask_text(device::DeviceKind kind) {
  const char* const mask = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
  if (kind != device::DeviceKind::npu || mask == nullptr) return {};
  return say_with(
      " (ASCEND_RT_VISIBLE_DEVICES is '{}'; `fastchat devices` says what CANN makes of "
      "it)",
      "（ASCEND_RT_VISIBLE_DEVICES 为 '{}'；`fastchat devices` 会说明 CANN 如何解读）",
      mask);
}

}  // namespace

std::vector<int> device_indices(const ModelOptions& options, device::Platform& platform) {
  const int count = num_devices(options);
  check(!options.gpus.empty() || count <= platform.num_devices(),
        fmt::runtime(text("--num-gpus: {} {} devices asked for, {} there{}",
                          "--num-gpus：要求 {} 个 {} 设备，只有 {} 个{}")),
        count,
        device::to_string(platform.kind()),
        platform.num_devices(),
        mask_text(platform.kind()));
  std::vector<int> indices;
  for (int rank = 0; rank < count; ++rank) {
    const int index = options.gpus.empty() ? rank : options.gpus[static_cast<std::size_t>(rank)];
    check(index < platform.num_devices(),
          fmt::runtime(text("device {} does not exist: there are {} {} devices, numbered from 0{}",
                            "没有设备 {}：共有 {} 个 {} 设备，从 0 开始编号{}")),
          index,
          platform.num_devices(),
          device::to_string(platform.kind()),
          mask_text(platform.kind()));
    indices.push_back(index);
  }
  return indices;
}

device::DType resolve_dtype(const ModelOptions& options,
                            const model::ModelConfig& config,
                            device::DeviceKind kind) {
  if (options.dtype != "auto") {
    const Result<device::DType> dtype = device::parse_float_dtype(options.dtype);
    check(dtype.has_value(), "--dtype: {}", dtype ? "" : dtype.error().message);
    if (kind == device::DeviceKind::npu && *dtype == device::DType::f32)
      throw UsageFailure(
          say("--dtype float32: Ascend's attention takes 16-bit numbers; use float16 or bfloat16",
              "--dtype float32：昇腾的注意力算子只接受 16 位数值；请用 float16 或 bfloat16"));
    return *dtype;
  }
  const bool is_card = kind == device::DeviceKind::npu || kind == device::DeviceKind::cuda;
  return is_card ? device::DType::f16 : config.checkpoint_dtype;
}

std::string describe_numbers(const model::ModelConfig& config, device::DType dtype) {
  std::string name(device::to_string(dtype));
  const std::vector<model::Quantization> found = model::quantizations(config);
  if (found.empty()) return name;
  std::vector<std::string_view> names;
  for (const model::Quantization each : found) names.push_back(model::to_string(each));
  return say_with(
      "{}, weights in 8 bits ({})", "{}，8 位权重（{}）", name, fmt::join(names, text(", ", "，")));
}

}  // namespace fastchat::serve
