// Requests that come and go at random, in every way to use the cards: each gets the tokens that it
// gets alone on the cpu.
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/demo/answers.h"
#include "tests/demo/compare.h"
#include "tests/demo/shape_folder.h"
#include "tests/npu/ways.h"

namespace fastchat::demo_test {
namespace {

constexpr const char* kTiny = R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 192,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "float16",
    "eos_token_id": 0, "use_sliding_window": false})";

constexpr std::size_t kPrompts = 48;
constexpr std::int32_t kMostTokens = 12;

/// Some share their beginnings, some go past a block of KV.
std::vector<std::vector<std::int32_t>> random_prompts(std::mt19937& random) {
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::size_t i = 0; i < kPrompts; ++i) {
    std::vector<std::int32_t> prompt;
    if (i > 0 && random() % 2 == 0) {
      const std::vector<std::int32_t>& other = prompts[random() % i];
      prompt.assign(other.begin(),
                    other.begin() + static_cast<std::ptrdiff_t>(1 + random() % other.size()));
    }
    const std::size_t more = 1 + random() % (random() % 8 == 0 ? 150 : 12);
    for (std::size_t token = 0; token < more && prompt.size() < 240; ++token)
      prompt.push_back(static_cast<std::int32_t>(1 + random() % 191));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

serve::ModelOptions tiny_options(const ShapeFolder& folder) {
  serve::ModelOptions options = folder.options("float16");
  options.max_model_len = 256;
  options.max_num_seqs = 5;
  options.max_num_batched_tokens = 24;
  options.kv_cache_bytes = 16 * 1024 * 1024;
  return options;
}

/// Ten thousand in all ways together where FASTCHAT_SLOW_TESTS is set, half of them on recorded
/// steps that take lengths along.
std::size_t schedules_per_model() {
  const char* const slow = std::getenv("FASTCHAT_SLOW_TESTS");
  const std::size_t all = slow != nullptr && *slow != 0 ? 10000 : 20;
  return (all + 2 * ways().size() - 1) / (2 * ways().size());
}

void run_schedule(serve::ModelInstance& model,
                  const std::vector<std::vector<std::int32_t>>& prompts,
                  const std::vector<Answer>& expected,
                  std::mt19937& random) {
  struct Running {
    std::size_t prompt = 0;
    bool is_cancelled = false;
    std::shared_ptr<Collector> collector = std::make_shared<Collector>();
  };
  std::vector<Running> all(1 + random() % 8);
  engine::SamplingParams params = greedy_with_logprobs(kMostTokens);
  params.ignore_eos = true;
  for (Running& one : all) {
    one.prompt = random() % prompts.size();
    params.max_tokens = 1 + static_cast<std::int32_t>(random() % kMostTokens);
    const Result<engine::RequestId> id = model.engine().submit(
        {.prompt = prompts[one.prompt], .sampling = params, .listener = one.collector});
    ASSERT_TRUE(id) << id.error().message;
    if (random() % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    if (random() % 6 == 0) {
      one.is_cancelled = true;
      model.engine().cancel(*id);
    }
  }
  for (Running& one : all) {
    Answer answer = one.collector->wait();
    Answer whole = expected[one.prompt];
    ASSERT_LE(answer.tokens.size(), whole.tokens.size());
    whole.tokens.resize(answer.tokens.size());
    whole.logprobs.resize(answer.tokens.size());
    if (!one.is_cancelled) {
      ASSERT_EQ(answer.finish_reason, engine::FinishReason::length);
    }
    SCOPED_TRACE(testing::Message() << "prompt " << one.prompt);
    expect_same(answer, whole, 0.05);
  }
}

TEST(NpuRandomSchedules, GiveNoWrongToken) {
  const ShapeFolder folder(kTiny);
  std::mt19937 random(20);
  const std::vector<std::vector<std::int32_t>> prompts = random_prompts(random);
  std::vector<Answer> expected;
  {
    serve::ModelInstance cpu(tiny_options(folder), {});
    engine::SamplingParams params = greedy_with_logprobs(kMostTokens);
    params.ignore_eos = true;
    expected = generate(cpu, prompts, params);
  }
  const std::vector<Way> all_ways = ways();
  for (std::size_t w = 0; w < 2 * all_ways.size(); ++w) {
    const Way& way = all_ways[w / 2];
    const Steps steps = w % 2 == 0 ? Steps::recorded : Steps::with_lengths;
    SCOPED_TRACE(fmt::format("{}, {}", way.name, to_string(steps)));
    serve::ModelInstance model(on_cards(tiny_options(folder), way, steps), {});
    for (std::size_t i = 0; i < schedules_per_model() && !HasFailure(); ++i) {
      SCOPED_TRACE(testing::Message() << "schedule " << i);
      run_schedule(model, prompts, expected, random);
    }
    // Cancelled ones leave too, and all blocks are free again, or only kept for prompts to come.
    const auto is_busy = [&] {
      const engine::EngineStats stats = model.engine().stats();
      return stats.num_running + stats.num_waiting > 0;
    };
    while (is_busy()) std::this_thread::yield();
    const engine::EngineStats stats = model.engine().stats();
    EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
  }
}

}  // namespace
}  // namespace fastchat::demo_test
