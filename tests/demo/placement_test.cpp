// The planner's promise, kept by the engine: what it says fits runs to the end of the promised
// context, inside the devices' limits; what does not fit is refused by a message.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/demo/answers.h"
#include "tests/demo/promise.h"

namespace fastchat::demo_test {
namespace {

// A wide vocabulary makes the embedding weigh as much as several layers, so that an even split of
// layers is uneven in bytes.
constexpr const char* kConfig = R"({
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
  "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 8,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096,
  "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
  "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "float32",
  "eos_token_id": 0, "use_sliding_window": false})";

class PlacementPromise : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("fastchat_placement_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "config.json") << kConfig;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  serve::ModelOptions options(std::int64_t max_model_len) const {
    serve::ModelOptions options;
    options.model_path = folder_;
    options.load_format = serve::LoadFormat::dummy;
    options.device = "cpu";
    options.num_gpus = 2;
    options.parallel.request.mode = parallel::ParallelMode::layer;
    options.dtype = "float32";
    options.max_model_len = max_model_len;
    options.max_num_batched_tokens = 64;
    options.max_num_seqs = 2;
    return options;
  }

  /// Bytes that a device needs for `num_layers` layers at the promised context.
  static std::uint64_t needed(const parallel::PlanRequest& request, int num_layers, bool is_first) {
    const parallel::ModelSizes& sizes = request.sizes;
    const auto layers = static_cast<std::uint64_t>(num_layers);
    const auto blocks = static_cast<std::uint64_t>(
        (request.max_model_len + sizes.kv_block_size - 1) / sizes.kv_block_size);
    return layers * (sizes.layer_weight_bytes.front() +
                     blocks * sizes.layer_kv_bytes_per_block.front()) +
           (is_first ? sizes.embedding_bytes : sizes.head_bytes) +
           parallel::workspace_bytes(sizes, request, !is_first);
  }

  std::filesystem::path folder_;
};

TEST_F(PlacementPromise, APlanThatAnEvenSplitWouldOverflowCompletesThePromisedContext) {
  constexpr std::int64_t kContext = 2048;
  serve::ModelOptions tight = options(kContext);
  parallel::PlanRequest request;
  {
    const std::unique_ptr<device::Platform> platform = serve::open_platform(tight);
    request = serve::prepare_plan(tight, *platform).request;
  }
  // Just enough for 3 + 5 layers.
  tight.max_gpu_memory = {needed(request, 3, true), needed(request, 5, false)};
  ASSERT_GT(needed(request, 4, true), tight.max_gpu_memory[0]) << "an even split must overflow";

  serve::ModelInstance model(tight, {});
  ASSERT_EQ(model.plan().placement.stages.size(), 2u);
  EXPECT_EQ(model.plan().placement.stages[0].num_layers, 3);
  EXPECT_EQ(model.plan().max_model_len, kContext);

  expect_context_and_no_more(model, tight, kContext);
}

// Random models on random devices in every mode: what the planner promises runs, to the end of the
// promised context and inside the devices' limits, which the devices enforce.
TEST_F(PlacementPromise, HoldsForRandomModelsAndDevicesInEveryMode) {
  const std::uint64_t first_seed = 42;
  std::cout << "seeds " << first_seed << " to " << first_seed + 39 << "\n";
  int num_run = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto between = [&](int low, int high) {
      return std::uniform_int_distribution<int>(low, high)(random);
    };
    const int num_kv_heads = between(1, 3);
    const int num_heads = num_kv_heads * between(1, 4);
    std::ofstream(folder_ / "config.json") << fmt::format(
        R"({{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "hidden_size": {}, "intermediate_size": {}, "num_hidden_layers": {},
        "num_attention_heads": {}, "num_key_value_heads": {}, "vocab_size": {},
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": {}, "torch_dtype": "float32",
        "eos_token_id": 0, "use_sliding_window": false}})",
        16 * num_heads,
        32 * between(2, 9),
        between(1, 6),
        num_heads,
        num_kv_heads,
        between(100, 3000),
        between(0, 1) == 1);
    constexpr std::int64_t kContext = 160;
    serve::ModelOptions tight = options(kContext);
    tight.num_gpus = between(1, 4);
    tight.parallel.request.mode = static_cast<parallel::ParallelMode>(between(0, 3));
    parallel::PlanRequest request;
    {
      const std::unique_ptr<device::Platform> platform = serve::open_platform(tight);
      request = serve::prepare_plan(tight, *platform).request;
    }
    // Limits around what an equal share would take.
    std::uint64_t total = request.sizes.embedding_bytes + request.sizes.head_bytes;
    for (const std::uint64_t bytes : request.sizes.layer_weight_bytes) total += bytes;
    const auto share = static_cast<double>(total) / tight.num_gpus +
                       static_cast<double>(workspace_bytes(request.sizes, request, true));
    for (int device = 0; device < tight.num_gpus; ++device)
      tight.max_gpu_memory.push_back(
          static_cast<std::uint64_t>(share * (0.8 + 0.1 * between(0, 12))));
    try {
      serve::ModelInstance model(tight, {});
      engine::SamplingParams sampling;
      sampling.temperature = 0;
      sampling.ignore_eos = true;
      const std::vector<std::int32_t> prompt(kContext - 8, 7);
      const Answer answer = generate(model, {prompt}, sampling).front();
      ASSERT_EQ(answer.finish_reason, engine::FinishReason::length) << answer.error;
      ASSERT_EQ(prompt.size() + answer.tokens.size(), static_cast<std::size_t>(kContext));
      ++num_run;
    } catch (const OutOfMemory& failure) {
      FAIL() << "a promise broken: " << failure.what();
    } catch (const Failure& failure) {
      const std::string why = failure.what();
      ASSERT_TRUE(why.find("not fit") != std::string::npos ||
                  why.find("cannot share") != std::string::npos)
          << why;
    }
  }
  EXPECT_GT(num_run, 12);
  EXPECT_LT(num_run, 40);
}

TEST_F(PlacementPromise, LongRequestsOnDevicesWithLittleRoomArePreemptedNotLost) {
  serve::ModelOptions small = options(512);
  small.kv_cache_bytes = 0;
  parallel::PlanRequest request;
  {
    const std::unique_ptr<device::Platform> platform = serve::open_platform(small);
    request = serve::prepare_plan(small, *platform).request;
  }
  // Room for one and a half of the two sequences that run at once.
  std::uint64_t kv_bytes_per_block = 0;
  for (const std::uint64_t bytes : request.sizes.layer_kv_bytes_per_block)
    kv_bytes_per_block += bytes;
  small.kv_cache_bytes = kv_bytes_per_block * (768 / request.sizes.kv_block_size);
  serve::ModelInstance model(small, {});
  engine::SamplingParams sampling;
  sampling.temperature = 0;
  sampling.ignore_eos = true;
  std::vector<std::vector<std::int32_t>> prompts;
  for (int i = 0; i < 3; ++i) prompts.push_back(std::vector<std::int32_t>(128, 5 + i));
  const std::vector<Answer> together = generate(model, prompts, sampling);
  EXPECT_GT(model.engine().stats().num_preemptions, 0u);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(together[i].finish_reason, engine::FinishReason::length) << together[i].error;
    EXPECT_EQ(generate(model, {prompts[i]}, sampling).front().tokens, together[i].tokens) << i;
  }
}

}  // namespace
}  // namespace fastchat::demo_test
