// The ranks of a real model when something goes wrong: what a failed step may take with it, and
// what it may not.
#include "engine/model_runner.h"

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "device/cpu/cpu_device.h"
#include "model/weight_source.h"
#include "tests/engine/hooked_ops.h"

namespace fastchat::engine {
namespace {

using testing::HookedOps;

constexpr device::DType kDtype = device::DType::f32;

model::ModelConfig small_config() {
  return model::parse_model_config(nlohmann::json::parse(R"({
      "architectures": ["Qwen2ForCausalLM"], "hidden_size": 32, "intermediate_size": 64,
      "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
      "vocab_size": 64, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
      "rope_theta": 10000.0, "hidden_act": "silu", "torch_dtype": "float32",
      "use_sliding_window": false, "eos_token_id": 0})"),
                                   "config.json");
}

/// A small model with dummy weights, its layers one after another on `num_devices` cpu devices.
class RunnerFixture {
 public:
  explicit RunnerFixture(int num_devices)
      : platform_(device::create_cpu_platform({.num_devices = num_devices})),
        weights_(model::dummy_weights(kDtype)) {
    for (int i = 0; i < num_devices; ++i) {
      devices_.push_back(platform_->open(i));
      ops_.push_back(std::make_unique<HookedOps>(ops::create_ops(*devices_.back())));
    }
    parallel::PlanRequest request;
    request.sizes = model::model_sizes(config_, kDtype, ops::traits(device::DeviceKind::cpu));
    add_step_buffers(request.sizes, {});
    request.steps_in_flight = ModelRunnerOptions{}.max_outstanding;
    request.devices.assign(static_cast<std::size_t>(num_devices),
                           {.total_bytes = 1 << 24, .free_bytes = 1 << 24});
    request.max_model_len = 32;
    request.max_num_seqs = 2;
    request.max_num_batched_tokens = 16;
    plan_ = parallel::make_plan(request).value();
  }

  /// `num_given` devices of those that the plan needs.
  std::unique_ptr<ModelRunner> start(std::size_t num_given, const ModelRunnerOptions& options) {
    std::vector<ops::Ops*> given;
    for (std::size_t i = 0; i < num_given; ++i) given.push_back(ops_[i].get());
    return std::make_unique<ModelRunner>(
        config_, plan_, kDtype, given, *weights_, nullptr, options);
  }
  std::unique_ptr<ModelRunner> start() { return start(ops_.size(), {}); }

  /// A prompt whose last row is sampled.
  StepInput step(std::uint64_t step_id) const {
    constexpr std::int32_t kNumTokens = 5;
    StepInput input;
    input.step_id = step_id;
    input.tokens = {3, 1, 4, 1, 5};
    input.positions.resize(kNumTokens);
    std::iota(input.positions.begin(), input.positions.end(), 0);
    input.slots = input.positions;
    input.query_starts = {0, kNumTokens};
    input.context_lens = {kNumTokens};
    input.block_table = {0};
    input.max_blocks = 1;
    input.logits_rows = {kNumTokens - 1};
    input.sampling = {{.temperature = 0.0f}};
    return input;
  }

  HookedOps& ops(std::size_t device) { return *ops_[device]; }
  device::Device& device(std::size_t index) { return *devices_[index]; }
  const parallel::Plan& plan() const { return plan_; }

 private:
  model::ModelConfig config_ = small_config();
  std::unique_ptr<device::Platform> platform_;
  std::unique_ptr<model::WeightSource> weights_;
  std::vector<std::unique_ptr<device::Device>> devices_;
  std::vector<std::unique_ptr<HookedOps>> ops_;
  parallel::Plan plan_;
};

// Also where the next step is enqueued already; and the step after them is not touched by it.
TEST(ModelRunner, LogitsThatAreNoNumbersNameTheLayer) {
  RunnerFixture fixture(2);
  const std::unique_ptr<ModelRunner> runner = fixture.start();
  runner->submit(fixture.step(1));
  const StepOutput good = runner->wait();
  ASSERT_EQ(good.error, "");
  EXPECT_EQ(good.overflow, "");

  std::atomic<bool> overflows = true;
  fixture.ops(1).after_linear(
      [&](device::Stream& stream, const ops::PackedLinear& weight, const ops::TensorView& out) {
        const bool is_down = weight.in_features == 64 && weight.out_features == 32;
        if (is_down && overflows) stream.fill(out.data(), 0xFF, out.size_bytes());
      });
  runner->submit(fixture.step(2));
  runner->submit(fixture.step(3));
  for (int i = 0; i < 2; ++i) {
    const StepOutput bad = runner->wait();
    EXPECT_EQ(bad.error, "");
    EXPECT_EQ(bad.tokens, (std::vector<std::int32_t>{-1}));
    EXPECT_NE(bad.overflow.find("the MLP of layer 1 gives"), std::string::npos) << bad.overflow;
  }
  overflows = false;
  runner->submit(fixture.step(4));
  const StepOutput again = runner->wait();
  EXPECT_EQ(again.error, "");
  EXPECT_EQ(again.tokens, good.tokens);
}

TEST(ModelRunner, ADryRunTakesAStepAndFindsOverflow) {
  RunnerFixture fixture(2);
  const std::unique_ptr<ModelRunner> runner = fixture.start();
  EXPECT_EQ(runner->next_step_id(), 1u);
  EXPECT_EQ(runner->dry_run({1, 2, 3}), "");
  EXPECT_EQ(runner->next_step_id(), 2u);
  fixture.ops(0).after_linear(
      [](device::Stream& stream, const ops::PackedLinear& weight, const ops::TensorView& out) {
        const bool is_attention_output = weight.in_features == 32 && weight.out_features == 32;
        if (is_attention_output) stream.fill(out.data(), 0xFF, out.size_bytes());
      });
  const std::string defect = runner->dry_run({1, 2, 3});
  EXPECT_NE(defect.find("the attention of layer 0 gives"), std::string::npos) << defect;
}

// What else may go wrong is not taken for an overflow: not in a dry run, and not while the layer is
// looked for.
TEST(ModelRunner, FailuresAreNotTakenForOverflow) {
  RunnerFixture fixture(2);
  const std::unique_ptr<ModelRunner> runner = fixture.start();
  fixture.ops(0).before_layers([](device::Stream&) { throw Failure("no room"); });
  EXPECT_THROW(runner->dry_run({1, 2, 3}), Failure);

  int num_passes = 0;
  fixture.ops(0).before_layers([&](device::Stream&) {
    if (++num_passes > 1) throw Failure("no room");
  });
  fixture.ops(1).before_layers([](device::Stream&) {});
  fixture.ops(1).after_linear(
      [](device::Stream& stream, const ops::PackedLinear& weight, const ops::TensorView& out) {
        const bool is_head = weight.out_features == 64 && weight.in_features == 32 &&
                             out.dtype() == device::DType::f32 && out.rows() == 1;
        if (is_head) stream.fill(out.data(), 0xFF, out.size_bytes());
      });
  const std::string defect = runner->dry_run({1, 2, 3});
  EXPECT_EQ(num_passes, 2);
  EXPECT_EQ(defect.find("no room"), std::string::npos) << defect;
  EXPECT_NE(defect.find("the logits are beyond the range"), std::string::npos) << defect;
}

TEST(ModelRunner, AStepThatWasBeingEnqueuedWhenAnotherFailedIsNotTrusted) {
  RunnerFixture fixture(1);
  const std::unique_ptr<ModelRunner> runner = fixture.start();
  std::promise<void> first_was_taken;
  int num_steps = 0;
  fixture.ops(0).before_layers([&](device::Stream& stream) {
    ++num_steps;
    if (num_steps == 1)
      static_cast<device::CpuStream&>(stream).enqueue(
          [](device::CpuTeam&) { fail("the device lost its way"); });
    if (num_steps == 2) first_was_taken.get_future().wait();
  });
  runner->submit(fixture.step(1));
  runner->submit(fixture.step(2));
  StepOutput first = runner->wait();
  EXPECT_NE(first.error.find("lost its way"), std::string::npos) << first.error;
  first_was_taken.set_value();
  StepOutput second = runner->wait();
  EXPECT_NE(second.error, "") << "half of the step was dropped";

  // Its input may still be read, so it is not given back.
  EXPECT_TRUE(runner->recycle(std::move(first)).tokens.empty());
  EXPECT_TRUE(runner->recycle(std::move(second)).tokens.empty());

  runner->submit(fixture.step(3));
  StepOutput third = runner->wait();
  EXPECT_EQ(third.error, "");
  EXPECT_EQ(third.tokens.size(), 1u);
  EXPECT_EQ(runner->recycle(std::move(third)).tokens, fixture.step(3).tokens);
}

TEST(ModelRunner, NoRankGivesItsMemoryBackWhileAnotherMayReadIt) {
  RunnerFixture fixture(2);
  ASSERT_EQ(fixture.plan().placement.stages.size(), 2u);
  std::unique_ptr<ModelRunner> runner = fixture.start();
  struct Watch {
    device::Device& device;
    std::uint64_t allocated_bytes;
    std::atomic<bool> was_freed{false};
  } watch{fixture.device(0), fixture.device(0).memory().allocated_bytes};
  // The second rank fails with work on its stream, which the step's output does not wait for.
  fixture.ops(1).before_layers([&watch](device::Stream& stream) {
    static_cast<device::CpuStream&>(stream).enqueue([watched = &watch](device::CpuTeam&) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
      while (!watched->was_freed && std::chrono::steady_clock::now() < deadline)
        watched->was_freed = watched->device.memory().allocated_bytes < watched->allocated_bytes;
    });
    fail("no more of this step");
  });
  runner->submit(fixture.step(1));
  EXPECT_NE(runner->wait().error, "");
  runner.reset();
  EXPECT_FALSE(watch.was_freed);
}

TEST(ModelRunner, AStartThatFailsHalfWayEndsItsThreads) {
  RunnerFixture fixture(2);
  EXPECT_ANY_THROW(fixture.start(1, {}));
}

TEST(ModelRunner, ANumberOfStepsBelowOneIsRefused) {
  RunnerFixture fixture(1);
  for (const int wrong : {0, -1})
    EXPECT_THROW(fixture.start(1, {.max_outstanding = wrong}), Failure) << wrong;
}

}  // namespace
}  // namespace fastchat::engine
