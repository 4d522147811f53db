// From tokens to tokens, the demo model answers as recorded on x86: the engine without its text,
// for machines and cross builds where the tokenizer's Rust crate is not built.
#include <memory>
#include <string>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "engine/model_runner.h"
#include "model/weight_source.h"
#include "tests/demo/generate.h"
#include "tests/demo/recorded.h"

namespace fastchat::demo_test {
namespace {

constexpr std::int64_t kMaxModelLen = 1024;
constexpr std::int64_t kMaxSequences = 16;

device::DType dtype_of(const std::string& name) {
  if (name == "bfloat16") return device::DType::bf16;
  return name == "float16" ? device::DType::f16 : device::DType::f32;
}

/// The demo model on one cpu device.
class DemoEngine {
 public:
  explicit DemoEngine(device::DType dtype)
      : config_(model::read_model_config(kFolder)),
        platform_(device::create_cpu_platform({})),
        device_(platform_->open(0)),
        ops_(ops::create_ops(*device_)) {
    const parallel::Plan plan = make_plan(dtype);
    const std::unique_ptr<model::WeightSource> weights = model::open_safetensors(kFolder);
    runner_ = std::make_unique<engine::ModelRunner>(
        config_,
        plan,
        dtype,
        std::vector<ops::Ops*>{ops_.get()},
        *weights,
        [](std::uint64_t) {},
        engine::ModelRunnerOptions{});
    engine_ = std::make_unique<engine::Engine>(
        engine::SchedulerConfig{.num_blocks = plan.num_kv_blocks,
                                .block_size = plan.kv_block_size,
                                .max_model_len = plan.max_model_len,
                                .max_num_batched_tokens = plan.max_num_batched_tokens,
                                .max_num_seqs = plan.max_num_seqs,
                                .max_logits_rows = plan.max_logits_rows,
                                .vocab_size = config_.vocab_size,
                                .eos_token_ids = config_.eos_token_ids},
        *runner_);
  }
  engine::Engine& operator*() { return *engine_; }

 private:
  static constexpr const char* kFolder = FASTCHAT_SOURCE_DIR "/models/demo";

  parallel::Plan make_plan(device::DType dtype) {
    parallel::PlanRequest request;
    request.sizes = model::model_sizes(config_, dtype, ops::traits(device::DeviceKind::cpu));
    const engine::ModelRunnerOptions runner;
    engine::add_step_buffers(request.sizes, runner);
    request.steps_in_flight = runner.max_outstanding;
    const device::MemoryInfo memory = platform_->memory(0);
    request.devices = {
        {.name = "cpu:0", .total_bytes = memory.total_bytes, .free_bytes = memory.free_bytes}};
    request.kv_cache_bytes = 64 << 20;
    request.max_model_len = kMaxModelLen;
    request.max_num_seqs = kMaxSequences;
    request.shared_memory = true;
    const Result<parallel::Plan> plan = parallel::make_plan(request);
    if (!plan) fail("{}", plan.error().message);
    return plan.value();
  }

  model::ModelConfig config_;
  std::unique_ptr<device::Platform> platform_;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<ops::Ops> ops_;
  std::unique_ptr<engine::ModelRunner> runner_;
  std::unique_ptr<engine::Engine> engine_;
};

class RecordedTokens : public testing::TestWithParam<std::string> {};

// A third of the prompts, as an emulated machine takes a minute for all; demo_test asks all.
TEST_P(RecordedTokens, AreGivenOnThisMachine) {
  constexpr std::size_t kEach = 3;
  const Recorded recorded = read_recorded();
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<RecordedAnswer> expected;
  for (std::size_t i = 0; i < recorded.prompts.size(); i += kEach) {
    prompts.push_back(recorded.prompts[i]);
    expected.push_back(recorded.by_dtype.at(GetParam()).at(i));
  }
  DemoEngine engine(dtype_of(GetParam()));
  const std::vector<Answer> answers = generate(*engine, prompts, greedy());
  ASSERT_FALSE(answers.empty());
  ASSERT_EQ(answers.size(), expected.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].error, "");
    EXPECT_EQ(answers[i].tokens, expected[i].tokens)
        << "prompt " << i * kEach << ": " << expected[i].text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecordedTokens, testing::ValuesIn(kDtypes), [](const auto& info) {
  return info.param;
});

}  // namespace
}  // namespace fastchat::demo_test
