#include "serve/prepare_plan.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "device/ascend/npu_device.h"
#include "device/cpu/host_memory.h"
#include "engine/model_runner.h"
#include "model/decoder_stage.h"
#include "ops/ops.h"
#include "parallel/cards.h"
#include "parallel/replicas.h"
#include "serve/exit_status.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

/// What a context left to us must at least hold before it is worth saying that it fits; refusals
/// speak of this one.
constexpr std::int64_t kLeastAutomaticContext = 2048;

model::ModelConfig read_checkpoint_config(const ModelOptions& options) {
  if (!options.model_path.empty()) return model::read_model_config(options.model_path);
  if (options.shape.empty())
    throw UsageFailure(say("--model-path FOLDER (or --shape NAME) is needed: which model?",
                           "需要 --model-path 文件夹（或 --shape 名称）：请指定模型"));
  Result<model::ModelConfig> shape = model::shape_by_name(options.shape);
  check(shape.has_value(), "--shape: {}", shape ? "" : shape.error().message);
  return std::move(shape).value();
}

model::ModelConfig read_config(const ModelOptions& options) {
  model::ModelConfig config = read_checkpoint_config(options);
  if (options.quantization == model::Quantization::none) return config;
  if (!config.layer_quantization.empty())
    throw UsageFailure(
        say("--quantization, --load-8bit: this checkpoint is in 8 bits already; "
            "leave the flag out",
            "--quantization、--load-8bit：此模型已是 8 位权重，请去掉该参数"));
  model::quantize(config, options.quantization);
  return config;
}

std::optional<std::uint64_t> limit_of_rank(const ModelOptions& options, std::size_t rank) {
  const std::vector<std::uint64_t>& limits = options.max_gpu_memory;
  if (limits.empty()) return std::nullopt;
  return limits[limits.size() == 1 ? 0 : rank];
}

/// cpu devices have separate accounts of one memory. When their limits add up to more than is
/// available, each is left the part of it that its limit has of all limits.
void share_host_memory(std::vector<parallel::DeviceBudget>& devices, DeviceMemory memory) {
  const std::uint64_t available = device::host_memory().available_bytes;
  double sum = 0;
  for (const parallel::DeviceBudget& device : devices)
    sum += static_cast<double>(device.limit_bytes.value_or(0));
  if (sum <= static_cast<double>(available)) return;
  for (parallel::DeviceBudget& device : devices) {
    const std::uint64_t limit = device.limit_bytes.value_or(0);
    if (memory == DeviceMemory::as_limits) {
      device.total_bytes = device.free_bytes = limit;
      device.described = true;
    } else {
      const double part = static_cast<double>(limit) / sum;
      device.free_bytes = static_cast<std::uint64_t>(part * static_cast<double>(available));
    }
  }
  if (memory == DeviceMemory::present)
    log::warn("{}",
              say_with("--max-gpu-memory: the limits add up to {}, the machine has {} available; "
                       "shared in proportion",
                       "--max-gpu-memory：各限额合计 {}，本机可用 {}；按比例分配",
                       format_bytes(static_cast<std::uint64_t>(sum)),
                       format_bytes(available)));
}

/// Nominal: enough to compare ways to use the devices; `fastchat bench limits` measures those of
/// cpu.
parallel::DeviceSpeed nominal_speed(const device::DeviceInfo& info) {
  for (const parallel::Card& card : parallel::known_cards())
    if (info.kind == card.kind && info.name == card.name) return card.speed;
  if (info.kind != device::DeviceKind::cpu || info.num_cores <= 0) return {};
  const bool shares_cores = info.num_cores < 1;
  return {.read_bytes_per_s = 12e9 * info.num_cores,
          .flops_per_s = 100e9 * info.num_cores,
          .link_bytes_per_s = 5e9,
          .op_s = 2e-6,
          // A meeting of threads that share a core takes turns of the system's scheduler.
          .all_reduce_s = shares_cores ? 200e-6 : 5e-6,
          .nominal = true};
}

std::vector<parallel::DeviceBudget> card_budgets(const ModelOptions& options) {
  std::vector<parallel::DeviceBudget> devices = options.cards;
  for (std::size_t rank = 0; rank < devices.size(); ++rank)
    devices[rank].limit_bytes = limit_of_rank(options, rank);
  return devices;
}

std::vector<parallel::DeviceBudget> device_budgets(const ModelOptions& options,
                                                   device::Platform& platform,
                                                   const std::vector<int>& indices,
                                                   DeviceMemory memory) {
  if (!options.cards.empty()) return card_budgets(options);
  std::vector<parallel::DeviceBudget> devices;
  for (std::size_t rank = 0; rank < indices.size(); ++rank) {
    const device::MemoryInfo info = platform.memory(indices[rank]);
    parallel::DeviceBudget budget;
    budget.name = fmt::format("{}:{}", device::to_string(platform.kind()), indices[rank]);
    budget.total_bytes = info.total_bytes;
    budget.free_bytes = info.free_bytes;
    budget.limit_bytes = limit_of_rank(options, rank);
    budget.speed = nominal_speed(platform.describe(indices[rank]));
    devices.push_back(budget);
  }
  if (platform.kind() == device::DeviceKind::cpu) {
    share_host_memory(devices, memory);
  } else if (memory == DeviceMemory::as_limits) {
    for (parallel::DeviceBudget& device : devices) {
      if (device.limit_bytes.value_or(0) <= device.free_bytes) continue;
      device.total_bytes = device.free_bytes = *device.limit_bytes;
      device.described = true;
    }
  }
  return devices;
}

/// --max-model-len, or the model's own context, or as much of it as fits.
void choose_context(const ModelOptions& options,
                    const model::ModelConfig& config,
                    parallel::PlanRequest& request) {
  const std::int64_t made_for = config.max_position_embeddings;
  if (options.max_model_len > 0) {
    request.max_model_len = options.max_model_len;
    if (options.max_model_len > made_for)
      log::warn("{}",
                say_with("--max-model-len {}: the model was made for {}; expect worse answers "
                         "beyond",
                         "--max-model-len {}：模型的设计长度是 {}；超出后回答质量会下降",
                         options.max_model_len,
                         made_for));
    return;
  }
  request.max_model_len = made_for;
  // Of copies, the first stands for all.
  const std::int64_t fits = parallel::largest_model_len(
      parallel::request_of_replica(request, std::max(options.parallel.num_replicas, 1), 0));
  if (fits >= made_for) return;
  request.max_model_len = std::clamp(fits, std::min(kLeastAutomaticContext, made_for), made_for);
  if (fits >= request.max_model_len)
    log::warn("{}",
              say_with("context shortened to {} of the model's {} tokens, which do not fit",
                       "完整上下文放不下：缩短为 {}（模型的设计长度是 {}）",
                       fits,
                       made_for));
}

class DescribedPlatform final : public device::Platform {
 public:
  DescribedPlatform(device::DeviceKind kind, int num_devices)
      : kind_(kind), num_devices_(num_devices) {}
  device::DeviceKind kind() const override { return kind_; }
  int num_devices() override { return num_devices_; }
  std::string unavailable_reason() override {
    return say("described, not devices of this machine", "仅为描述，不是本机的设备");
  }
  device::DeviceInfo describe(int index) override {
    return {.kind = kind_, .index = index, .physical_index = index, .name = "described"};
  }
  device::MemoryInfo memory(int) override { return {}; }
  std::unique_ptr<device::Device> open(int) override {
    fail("--device {}: {}", device::to_string(kind_), unavailable_reason());
  }

 private:
  const device::DeviceKind kind_;
  const int num_devices_;
};

bool is_described(const device::Platform& platform) {
  return dynamic_cast<const DescribedPlatform*>(&platform) != nullptr;
}

/// What the operations of these devices take beside their arguments is asked of them, where there
/// are cards to ask; else it is an estimate.
ops::OpsTraits measured_traits(const ModelOptions& options,
                               device::Platform& platform,
                               const PlannedModel& planned) {
  const parallel::PlanRequest& request = planned.request;
  ops::OpsTraits traits =
      ops::traits(platform.kind(), platform.describe(planned.devices.front()).has_bf16);
  if (platform.kind() != device::DeviceKind::npu || is_described(platform)) return traits;
  const std::unique_ptr<device::Device> card = platform.open(planned.devices.front());
  const std::unique_ptr<ops::Ops> card_ops = ops::create_ops(*card);
  const model::StepLimits limits{.max_num_tokens = request.max_num_batched_tokens,
                                 .max_num_seqs = request.max_num_seqs,
                                 .max_logits_rows = request.max_logits_rows};
  const std::int64_t context =
      options.max_model_len > 0 ? options.max_model_len : planned.config.max_position_embeddings;
  ops::LargestStep step =
      model::largest_step(planned.config,
                          parallel::whole_share(model::tensor_axes(planned.config, traits)),
                          planned.dtype,
                          limits,
                          context);
  // However the cards will share the tensors, or not: what their meetings take is counted.
  step.group_size = static_cast<std::int64_t>(planned.devices.size());
  traits.scratch_bytes = card_ops->measure_scratch(step);
  return traits;
}

/// Sizes of `planned`'s configuration in its request.
void set_sizes(const ModelOptions& options, device::Platform& platform, PlannedModel& planned) {
  parallel::PlanRequest& request = planned.request;
  const ops::OpsTraits traits = measured_traits(options, platform, planned);
  request.axes = model::tensor_axes(planned.config, traits);
  request.sizes_of_share =
      [config = planned.config, dtype = planned.dtype, traits, graphs = planned.has_graphs](
          const parallel::TensorShare& share, int steps_in_flight) {
        parallel::ModelSizes sizes = model::model_sizes(config, dtype, traits, share);
        engine::add_step_buffers(sizes, {.max_outstanding = steps_in_flight, .graphs = graphs});
        return sizes;
      };
  request.sizes =
      request.sizes_of_share(parallel::whole_share(request.axes), request.steps_in_flight);
}

/// Whether 8-bit weights in place of 16-bit ones make a plan.
bool fits_in_8_bits(const ModelOptions& options,
                    device::Platform& platform,
                    const PlannedModel& planned) {
  if (!model::quantizations(planned.config).empty()) return false;
  PlannedModel smaller = planned;
  model::quantize(smaller.config, model::Quantization::w8a16);
  set_sizes(options, platform, smaller);
  return parallel::plan_replicas(smaller.request, options.parallel.num_replicas).has_value();
}

}  // namespace

parallel::Surroundings surroundings_of(const ModelOptions& options,
                                       device::Platform& platform,
                                       const PlannedModel& planned,
                                       DeviceMemory memory) {
  parallel::Surroundings found{.are_named_cards = !options.cards.empty(),
                               .fits_in_8_bits = fits_in_8_bits(options, platform, planned)};
  if (found.are_named_cards) {
    for (const parallel::DeviceBudget& card : options.cards)
      found.device_bytes.emplace_back(card.free_bytes);
  } else if (planned.kind == device::DeviceKind::npu && !is_described(platform)) {
    found.num_devices_there = platform.num_devices();
    found.indices = planned.devices;
    found.collective_bytes = ops::traits(planned.kind).collective_bytes;
    // Without the limits that this platform reports.
    const std::unique_ptr<device::Platform> cards = device::create_npu_platform({});
    for (std::size_t rank = 0; rank < planned.devices.size(); ++rank)
      found.device_bytes.push_back(
          planned.request.devices[rank].described
              ? std::nullopt
              : std::optional(cards->memory(planned.devices[rank]).total_bytes));
  } else if (planned.kind == device::DeviceKind::cpu) {
    // A plan takes limits at their word, whatever this machine has.
    if (memory == DeviceMemory::present || options.max_gpu_memory.empty())
      found.shared_bytes = device::host_memory().total_bytes;
  }
  return found;
}

std::unique_ptr<device::Platform> describe_platform(const ModelOptions& options,
                                                    device::DeviceKind kind) {
  return std::make_unique<DescribedPlatform>(kind, num_platform_devices(options));
}

PlannedModel prepare_plan(const ModelOptions& options,
                          device::Platform& platform,
                          DeviceMemory memory) {
  PlannedModel planned;
  planned.config = read_config(options);
  planned.kind = platform.kind();
  planned.dtype = resolve_dtype(options, planned.config, planned.kind);
  planned.devices = device_indices(options, platform);
  for (const int index : planned.devices) {
    const device::DeviceInfo info = platform.describe(index);
    check(planned.dtype != device::DType::bf16 || info.has_bf16,
          fmt::runtime(text("--dtype bfloat16: {} has no bf16; use --dtype float16",
                            "--dtype bfloat16：{} 不支持 bf16；请用 --dtype float16")),
          info.name);
  }

  const auto num_devices = static_cast<int>(planned.devices.size());
  const parallel::ParallelRequest& asked = options.parallel.request;
  if (const int copies = options.parallel.num_replicas;
      copies > 0 && (copies > num_devices || num_devices % copies != 0)) {
    const int unit = copies * std::max(asked.pipeline_size, 1) * std::max(asked.tensor_size, 1);
    throw UsageFailure(
        say_with("--data-parallel-size {}: {} device(s) cannot be shared equally by {} copies "
                 "(--num-gpus {} would do)",
                 "--data-parallel-size {}：{} 个设备不能平均分给 {} 个副本（可用 --num-gpus {}）",
                 copies,
                 num_devices,
                 copies,
                 (num_devices + unit - 1) / unit * unit));
  }

  parallel::PlanRequest& request = planned.request;
  request.steps_in_flight = engine::ModelRunnerOptions{}.max_outstanding;
  // A card computes 512 in about the time that starting the operations takes. A pipeline shares out
  // what one device would do at once, or its stages would wait for the first.
  constexpr std::int64_t kLeastTokens = 512, kMostTokens = 2048;
  const bool is_pipeline = asked.mode == parallel::ParallelMode::pipeline;
  const std::int64_t usual_tokens =
      platform.kind() != device::DeviceKind::npu ? kLeastTokens
      : is_pipeline ? std::max(kLeastTokens, kMostTokens / std::max(1, num_devices))
                    : kMostTokens;
  request.max_num_batched_tokens =
      options.max_num_batched_tokens > 0 ? options.max_num_batched_tokens : usual_tokens;
  request.max_num_seqs = options.max_num_seqs;
  request.max_logits_rows = std::max(request.max_logits_rows, options.max_num_seqs);
  planned.has_graphs = platform.kind() == device::DeviceKind::npu && !options.enforce_eager;
  set_sizes(options, platform, planned);
  request.parallel = asked;
  request.devices = device_budgets(options, platform, planned.devices, memory);
  request.kv_cache_bytes = options.kv_cache_bytes;
  request.memory_utilization = options.gpu_memory_utilization;
  request.shared_memory = platform.kind() == device::DeviceKind::cpu;
  choose_context(options, planned.config, request);
  request.workload = options.parallel.workload;
  // Requests that the promised context holds.
  parallel::Workload& workload = request.workload;
  if (workload.prompt_len + workload.gen_len > request.max_model_len) {
    workload.gen_len =
        std::min(workload.gen_len, std::max<std::int64_t>(1, request.max_model_len / 2));
    workload.prompt_len = std::max<std::int64_t>(1, request.max_model_len - workload.gen_len);
  }
  return planned;
}

PlannedModel prepare_plan(const ModelOptions& options, device::Platform& platform) {
  return prepare_plan(options, platform, DeviceMemory::present);
}

}  // namespace fastchat::serve
