// Every way to use several devices gives the answers of one: bit for bit where only layers are
// dealt out, within what sums in another order differ by where tensors are split.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/demo/answers.h"
#include "tests/demo/compare.h"
#include "tests/demo/held_out.h"
#include "tests/demo/shape_folder.h"

namespace fastchat::demo_test {
namespace {

using parallel::ParallelMode;

struct Way {
  std::string name;
  ParallelMode mode = ParallelMode::layer;
  int num_devices = 1;
  int tensor_size = 0;
  bool is_bit_exact = true;
};

std::vector<Way> ways() {
  return {{"layer2", ParallelMode::layer, 2},
          {"pipeline2", ParallelMode::pipeline, 2},
          {"pipeline3", ParallelMode::pipeline, 3},
          {"tensor2", ParallelMode::tensor, 2, 0, false},
          {"tensor3", ParallelMode::tensor, 3, 0, false},
          {"pipeline2xtensor2", ParallelMode::pipeline, 4, 2, false},
          {"layer2xtensor2", ParallelMode::layer, 4, 2, false}};
}

serve::ModelOptions with(serve::ModelOptions options, const Way& way) {
  options.num_gpus = way.num_devices;
  options.parallel.request = {.mode = way.mode, .tensor_size = way.tensor_size};
  return options;
}

class ParallelModes : public testing::TestWithParam<std::string> {};

TEST_P(ParallelModes, DemoModelAnswersAsOnOneDevice) {
  const std::vector<HeldOut> items = read_held_out();
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<Answer> expected;
  {
    serve::ModelInstance single(demo_options(1, GetParam()), {});
    for (std::size_t i = 0; i < items.size(); i += items.size() / 12)
      prompts.push_back(prompt_tokens(single, items[i].messages));
    for (const auto& prompt : prompts)
      expected.push_back(generate(single, {prompt}, greedy_with_logprobs(96)).front());
  }
  for (const Way& way : ways()) {
    SCOPED_TRACE(way.name);
    serve::ModelInstance model(with(demo_options(1, GetParam()), way), {});
    ASSERT_EQ(model.plan().tensor_size,
              way.tensor_size > 0                ? way.tensor_size
              : way.mode == ParallelMode::tensor ? way.num_devices
                                                 : 1);
    const std::vector<Answer> together = generate(model, prompts, greedy_with_logprobs(96));
    ASSERT_EQ(together.size(), expected.size());
    for (std::size_t i = 0; i < together.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "prompt " << i);
      expect_same(together[i], expected[i], way.is_bit_exact ? 0 : tolerance(GetParam()));
    }
    // Also among themselves: alone and together, the sums are the same ones.
    const Answer alone = generate(model, {prompts[1]}, greedy_with_logprobs(96)).front();
    expect_same(alone, together[1], 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         ParallelModes,
                         testing::Values("float32", "float16", "bfloat16"),
                         [](const auto& info) { return info.param; });

void expect_shape_answers(const ShapeFolder& folder,
                          const std::string& dtype,
                          const std::vector<Way>& ways_to_try,
                          std::int32_t vocab_size) {
  const auto prompts = made_up_prompts(vocab_size);
  engine::SamplingParams params = greedy_with_logprobs(12);
  params.ignore_eos = true;
  std::vector<Answer> expected;
  {
    serve::ModelInstance single(folder.options(dtype), {});
    expected = generate(single, prompts, params);
  }
  for (const Way& way : ways_to_try) {
    SCOPED_TRACE(way.name);
    serve::ModelInstance model(with(folder.options(dtype), way), {});
    const std::vector<Answer> answers = generate(model, prompts, params);
    for (std::size_t i = 0; i < answers.size(); ++i)
      expect_same(answers[i], expected[i], way.is_bit_exact ? 0 : tolerance(dtype));
  }
}

// Qwen2-0.5B's heads: 14 for queries, 2 for keys and values, over four ranks.
TEST(ParallelShapes, FourteenHeadsOverFourUnevenRanks) {
  const ShapeFolder folder(R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 2,
    "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 1024,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "eos_token_id": 0, "use_sliding_window": false})");
  const Way tensor4{"tensor4", ParallelMode::tensor, 4, 0, false};
  expect_shape_answers(folder, "float32", {tensor4}, 1024);
  {
    serve::ModelInstance model(with(folder.options("float32"), tensor4), {});
    const parallel::TensorSplit& split = model.plan().placement.stages.front().split;
    EXPECT_EQ(split.heads.boundaries, (std::vector<std::int64_t>{0, 4, 7, 11, 14}));
  }
  // Devices of unequal memory: the first has no room for an equal part.
  serve::ModelOptions uneven = with(folder.options("float32"), tensor4);
  uneven.max_gpu_memory = {24ULL << 20, 48ULL << 20, 96ULL << 20, 96ULL << 20};
  uneven.kv_cache_bytes.reset();
  const auto prompts = made_up_prompts(1024);
  engine::SamplingParams params = greedy_with_logprobs(12);
  params.ignore_eos = true;
  serve::ModelInstance single(folder.options("float32"), {});
  const std::vector<Answer> expected = generate(single, prompts, params);
  serve::ModelInstance model(uneven, {});
  const parallel::TensorSplit& split = model.plan().placement.stages.front().split;
  EXPECT_LT(2 * split.intermediate.part(0).count, split.intermediate.part(3).count);
  const std::vector<Answer> answers = generate(model, prompts, params);
  for (std::size_t i = 0; i < answers.size(); ++i)
    expect_same(answers[i], expected[i], tolerance("float32"));
}

// Label "slow" does not reach single cases: this one runs where FASTCHAT_SLOW_TESTS is set.
TEST(ParallelShapes, FourLayersOfTheSevenBillionShape) {
  if (std::getenv("FASTCHAT_SLOW_TESTS") == nullptr)
    GTEST_SKIP()
        << "2 GB of made-up weights, five times: set FASTCHAT_SLOW_TESTS=1 (test-slow does)";
  const ShapeFolder folder(kFourLayersOfSevenBillion);
  expect_shape_answers(folder,
                       "bfloat16",
                       {{"layer2", ParallelMode::layer, 2},
                        {"pipeline2", ParallelMode::pipeline, 2},
                        {"tensor2", ParallelMode::tensor, 2, 0, false},
                        {"pipeline2xtensor2", ParallelMode::pipeline, 4, 2, false}},
                       8192);
}

}  // namespace
}  // namespace fastchat::demo_test
