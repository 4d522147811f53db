#include "serve/model_instance.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/log.h"
#include "engine/engine_group.h"
#include "engine/model_runner.h"
#include "model/models.h"
#include "model/weight_source.h"
#include "ops/ops.h"
#include "serve/exit_status.h"
#include "serve/language.h"
#include "serve/model_path.h"
#include "serve/prepare_plan.h"

namespace fastchat::serve {
namespace {

/// FASTCHAT_GRAPH_LENGTHS: "padded", "exact", or "auto", which is what saves time.
std::optional<std::int64_t> most_bytes_in_vain() {
  const char* const value = std::getenv("FASTCHAT_GRAPH_LENGTHS");
  const std::string_view lengths = value == nullptr ? "" : value;
  if (lengths == "padded") return std::nullopt;
  if (lengths == "exact") return 0;
  check(lengths.empty() || lengths == "auto",
        "FASTCHAT_GRAPH_LENGTHS is '{}', expected auto, padded or exact",
        lengths);
  return engine::ModelRunnerOptions{}.most_bytes_in_vain;
}

std::unique_ptr<model::WeightSource> open_weights(const ModelOptions& options,
                                                  const model::ModelConfig& config,
                                                  const parallel::Placement& placement,
                                                  device::DType dtype) {
  if (options.load_format == LoadFormat::dummy) return model::dummy_weights(dtype);
  if (options.load_format == LoadFormat::repeated_rows) return model::repeated_row_weights(dtype);
  // The ranks of a group take their parts of the same tensors; a tied embedding is used again as
  // the head.
  std::size_t group_size = 1;
  for (const parallel::StagePlacement& stage : placement.stages)
    group_size = std::max(group_size, stage.devices.size());
  const std::string_view tied =
      config.tie_word_embeddings
          ? model::family_of(config.architecture, "config.json").names.embedding
          : std::string_view();
  model::SafetensorsOptions safetensors;
  safetensors.strategy = options.load_strategy;
  safetensors.num_uses = [group_size, tied](std::string_view name) {
    return static_cast<int>(group_size) * (name == tied ? 2 : 1);
  };
  return model::open_checkpoint(options.model_path, config, safetensors);
}

}  // namespace

// Members are in the order in which they depend on each other; the engine goes first.
struct ModelInstance::Impl {
  std::string name;
  std::unique_ptr<device::Platform> platform;
  PlannedModel planned;
  parallel::ReplicaPlan plan;
  std::vector<std::unique_ptr<device::Device>> devices;
  std::vector<std::unique_ptr<ops::Ops>> ops;
  std::vector<std::unique_ptr<engine::ModelRunner>> runners;  // of each copy
  std::unique_ptr<engine::RequestQueue> engine;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<text::ChatTemplate> chat_template;

  void load_text(const ModelOptions& options);
  void place(const ModelOptions& options);
  void load_stages(const ModelOptions& options, const LoadObserver& observer);
  std::unique_ptr<engine::ModelRunner> load_copy(const ModelOptions& options,
                                                 const parallel::Replica& replica,
                                                 const LoadObserver& observer);
  std::string find_overflow() const;
  void start_engines();
  void unload();
};

void ModelInstance::Impl::load_text(const ModelOptions& options) {
  const std::filesystem::path folder = options.model_path;
  const bool optional = options.load_format != LoadFormat::automatic;
  if (folder.empty()) return;
  Result<text::Tokenizer> read_tokenizer = text::Tokenizer::from_folder(folder);
  if (!read_tokenizer) {
    if (optional) return;
    fail("{}", read_tokenizer.error().message);
  }
  tokenizer = std::make_unique<text::Tokenizer>(std::move(read_tokenizer).value());
  Result<text::ChatTemplate> read_template = text::ChatTemplate::from_folder(folder);
  if (read_template) {
    chat_template = std::make_unique<text::ChatTemplate>(std::move(read_template).value());
  } else {
    check(read_template.error().code == ErrorCode::not_found, "{}", read_template.error().message);
    log::debug("{}", read_template.error().message);
  }
}

void ModelInstance::Impl::load_stages(const ModelOptions& options, const LoadObserver& observer) {
  for (const int index : planned.devices) {
    devices.push_back(platform->open(index));
    ops.push_back(ops::create_ops(*devices.back()));
  }
  // All copies at once: each waits for its own devices.
  const std::size_t num_copies = plan.replicas.size();
  runners.resize(num_copies);
  std::mutex mutex;
  std::uint64_t done_bytes = 0;
  std::uint64_t all_bytes = 0;
  std::exception_ptr failure;
  const auto load = [&](std::size_t copy) {
    try {
      runners[copy] =
          load_copy(options, plan.replicas[copy], [&](std::uint64_t bytes, std::uint64_t total) {
            const std::lock_guard lock(mutex);
            done_bytes += bytes;
            all_bytes = total * num_copies;
            if (observer) observer(done_bytes, all_bytes);
          });
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::size_t copy = 1; copy < num_copies; ++copy) others.emplace_back(load, copy);
  load(0);
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
  // A checkpoint may have tensors that nothing loads.
  if (observer && done_bytes < all_bytes) observer(all_bytes, all_bytes);
}

/// `observer` gets the bytes since its last call, and those of the whole copy.
std::unique_ptr<engine::ModelRunner> ModelInstance::Impl::load_copy(
    const ModelOptions& options, const parallel::Replica& replica, const LoadObserver& observer) {
  std::vector<ops::Ops*> device_ops;
  for (const int position : replica.devices)
    device_ops.push_back(ops[static_cast<std::size_t>(position)].get());
  const std::unique_ptr<model::WeightSource> weights =
      open_weights(options, planned.config, replica.plan.placement, planned.dtype);
  const std::uint64_t total_bytes = weights->total_bytes();
  return std::make_unique<engine::ModelRunner>(
      planned.config,
      replica.plan,
      planned.dtype,
      device_ops,
      *weights,
      [&](std::uint64_t bytes) { observer(bytes, total_bytes); },
      engine::ModelRunnerOptions{.max_outstanding = replica.plan.steps_in_flight,
                                 .graphs = planned.has_graphs,
                                 .host_passes_tokens = planned.kind == device::DeviceKind::npu,
                                 .most_bytes_in_vain = most_bytes_in_vain()});
}

void ModelInstance::Impl::place(const ModelOptions& options) {
  planned = prepare_plan(options, *platform);
  const int num_replicas = options.parallel.num_replicas;
  Result<parallel::ReplicaPlan> made = parallel::plan_replicas(planned.request, num_replicas);
  if (!made) {
    const auto [refused, refusal] = parallel::explain_refusal(planned.request, num_replicas);
    if (refusal.reason == parallel::RefusalReason::bad_request)
      throw UsageFailure(parallel::to_text(refusal, refused, text));
    throw DoesNotFit(
        parallel::to_text(refusal,
                          refused,
                          surroundings_of(options, *platform, planned, DeviceMemory::present),
                          text));
  }
  plan = std::move(made).value();
  const std::string choice = choice_text(plan, planned.request.workload);
  if (!choice.empty()) log::info("{}", std::string_view(choice).substr(0, choice.size() - 1));
}

/// Models made in bf16 may have activations that f16 cannot hold; a few tokens tell. Empty: they
/// fit, or the dtype has their range.
std::string ModelInstance::Impl::find_overflow() const {
  if (planned.dtype != device::DType::f16) return {};
  std::vector<std::int32_t> tokens;
  if (chat_template != nullptr) {
    const Result<std::string> prompt =
        chat_template->render({{{"role", "user"}, {"content", "Hello! 你好！ 1 + 1 = ?"}}},
                              {.add_generation_prompt = true});
    if (prompt) {
      const auto encoded = tokenizer->encode(prompt.value(), false);
      if (encoded) tokens = encoded.value();
    }
  }
  constexpr std::int32_t kEnough = 64;
  const parallel::Plan& first = plan.replicas.front().plan;
  const auto most = static_cast<std::size_t>(
      std::min<std::int64_t>({kEnough, first.max_num_batched_tokens, first.max_model_len}));
  for (std::size_t i = 0; tokens.size() < most / 2; ++i)
    tokens.push_back(
        static_cast<std::int32_t>(i * 7919 % static_cast<std::size_t>(planned.config.vocab_size)));
  tokens.resize(std::min(tokens.size(), most));
  for (const auto& runner : runners)
    if (std::string defect = runner->dry_run(tokens); !defect.empty()) return defect;
  return {};
}

void ModelInstance::Impl::unload() {
  runners.clear();
  ops.clear();
  devices.clear();
}

ModelInstance::ModelInstance(const ModelOptions& options, const LoadObserver& observer)
    : impl_(std::make_unique<Impl>()) {
  impl_->name = display_name(options);
  impl_->platform = open_platform(options);
  impl_->place(options);
  // Text first: a missing tokenizer is found before minutes of loading.
  impl_->load_text(options);
  impl_->load_stages(options, observer);
  if (const std::string defect = impl_->find_overflow(); !defect.empty()) {
    const bool has_bf16 = impl_->devices.front()->info().has_bf16;
    if (options.dtype != "auto" || !has_bf16)
      fail("{}",
           say_with("f16 cannot hold this model's numbers: {}{}",
                    "f16 无法容纳此模型的数值：{}{}",
                    defect,
                    has_bf16 ? text("; use --dtype bfloat16", "；请用 --dtype bfloat16")
                             : text("; this device has no bf16; --device cpu can run this model",
                                    "；该设备不支持 bf16；可用 --device cpu 运行此模型")));
    log::warn("{}",
              say_with("f16 cannot hold this model's numbers ({}): bf16 is used instead",
                       "f16 无法容纳此模型的数值（{}）：改用 bf16",
                       defect));
    impl_->unload();
    ModelOptions wider = options;
    wider.dtype = "bfloat16";
    impl_->place(wider);
    impl_->load_stages(wider, observer);
  }

  impl_->start_engines();
}

void ModelInstance::Impl::start_engines() {
  std::vector<std::unique_ptr<engine::Engine>> engines;
  for (std::size_t i = 0; i < runners.size(); ++i) {
    const parallel::Plan& of_replica = plan.replicas[i].plan;
    if (const std::string defect = runners[i]->check_graphs(); !defect.empty())
      log::warn("decode steps are not recorded: {}", defect);
    engine::SchedulerConfig scheduler;
    scheduler.num_blocks = of_replica.num_kv_blocks;
    scheduler.block_size = of_replica.kv_block_size;
    scheduler.max_model_len = of_replica.max_model_len;
    scheduler.max_num_batched_tokens = of_replica.max_num_batched_tokens;
    scheduler.max_num_seqs = of_replica.max_num_seqs;
    scheduler.max_logits_rows = of_replica.max_logits_rows;
    scheduler.num_micro_batches = of_replica.num_micro_batches;
    scheduler.vocab_size = planned.config.vocab_size;
    scheduler.first_step_id = runners[i]->next_step_id();
    scheduler.eos_token_ids = planned.config.eos_token_ids;
    engines.push_back(std::make_unique<engine::Engine>(scheduler, *runners[i]));
  }
  if (engines.size() == 1)
    engine = std::move(engines.front());
  else
    engine = std::make_unique<engine::EngineGroup>(std::move(engines));
}

ModelInstance::~ModelInstance() = default;

engine::RequestQueue& ModelInstance::engine() { return *impl_->engine; }
engine::ModelRunner& ModelInstance::runner(std::size_t replica) {
  return *impl_->runners.at(replica);
}
const parallel::Plan& ModelInstance::plan() const { return impl_->plan.replicas.front().plan; }
const std::vector<parallel::Replica>& ModelInstance::replicas() const {
  return impl_->plan.replicas;
}
const parallel::ReplicaPlan& ModelInstance::replica_plan() const { return impl_->plan; }
const PlannedModel& ModelInstance::planned() const { return impl_->planned; }
const model::ModelConfig& ModelInstance::config() const { return impl_->planned.config; }
const text::Tokenizer* ModelInstance::tokenizer() const { return impl_->tokenizer.get(); }
const text::ChatTemplate* ModelInstance::chat_template() const {
  return impl_->chat_template.get();
}
std::string ModelInstance::name() const { return impl_->name; }

}  // namespace fastchat::serve
