// The demo model on emulated cards answers as on a cpu device: in 16 bits and with weights in 8.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "tests/demo/answers.h"
#include "tests/demo/compare.h"
#include "tests/demo/overflow_folder.h"

namespace fastchat::demo_test {
namespace {

using model::Quantization;
using parallel::ParallelMode;

struct Numbers {
  const char* dtype;
  Quantization quantization;
};

std::string name_of(const Numbers& numbers) {
  return std::string(numbers.dtype) + "_" + std::string(model::to_string(numbers.quantization));
}

serve::ModelOptions on_cpu(const Numbers& numbers) {
  serve::ModelOptions options = demo_options(1, numbers.dtype);
  options.quantization = numbers.quantization;
  return options;
}

serve::ModelOptions on_cards(int num_cards, ParallelMode mode, const Numbers& numbers) {
  serve::ModelOptions options = on_cpu(numbers);
  options.num_gpus = num_cards;
  options.device = "npu";
  options.parallel.request.mode = mode;
  return options;
}

/// How far logprobs may be from the cpu's. Each operator rounds to 16 bits where the cpu's keep f32
/// sums; and with inputs in 8 bits such a rounding decides at times which of two whole numbers is
/// the nearest, a step of 1/254 of the largest.
double npu_tolerance(const Numbers& numbers) {
  const double rounding = std::string(numbers.dtype) == "float16" ? 0.05 : 0.4;
  return numbers.quantization == Quantization::w8a8 ? rounding + 0.4 : rounding;
}

bool all_prompts() {
  const char* const slow = std::getenv("FASTCHAT_SLOW_TESTS");
  return slow != nullptr && *slow != 0;
}

class NpuDemo : public testing::TestWithParam<Numbers> {};

// Nine of the held-out prompts; all of them where FASTCHAT_SLOW_TESTS is set.
TEST_P(NpuDemo, AnswersAsOnTheCpu) {
  const std::vector<HeldOut> items = read_held_out();
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<Answer> expected;
  {
    serve::ModelInstance cpu(on_cpu(GetParam()), {});
    for (std::size_t i = 0; i < items.size(); i += all_prompts() ? 1 : items.size() / 8)
      prompts.push_back(prompt_tokens(cpu, items[i].messages));
    expected = generate(cpu, prompts, greedy_with_logprobs(64));
  }
  struct Way {
    int num_cards;
    ParallelMode mode;
  };
  for (const Way way : {Way{1, ParallelMode::layer},
                        Way{2, ParallelMode::layer},
                        Way{4, ParallelMode::layer},
                        Way{3, ParallelMode::pipeline}}) {
    // Pairs of numbers and ways, where not all prompts are asked.
    const bool is_quantized = GetParam().quantization != Quantization::none;
    if (!all_prompts() && is_quantized && (way.num_cards == 2 || way.num_cards == 3)) continue;
    SCOPED_TRACE(testing::Message() << way.num_cards << " cards, " << to_string(way.mode));
    serve::ModelInstance npu(on_cards(way.num_cards, way.mode, GetParam()), {});
    const std::vector<Answer> answers = generate(npu, prompts, greedy_with_logprobs(64));
    ASSERT_EQ(answers.size(), expected.size());
    std::size_t num_same = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "prompt " << i);
      expect_same(answers[i], expected[i], npu_tolerance(GetParam()));
      num_same += answers[i].tokens == expected[i].tokens ? 1 : 0;
    }
    std::printf("%s, %d cards, %s: %zu of %zu answers are the same text\n",
                name_of(GetParam()).c_str(),
                way.num_cards,
                std::string(to_string(way.mode)).c_str(),
                num_same,
                answers.size());
    EXPECT_GE(num_same * 100, answers.size() * 88);
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers,
                         NpuDemo,
                         testing::Values(Numbers{"float16", Quantization::none},
                                         Numbers{"bfloat16", Quantization::none},
                                         Numbers{"float16", Quantization::w8a16},
                                         Numbers{"bfloat16", Quantization::w8a16},
                                         Numbers{"float16", Quantization::w8a8},
                                         Numbers{"bfloat16", Quantization::w8a8}),
                         [](const auto& info) { return name_of(info.param); });

TEST(NpuModel, TensorModeAndF32AreRefusedWithWhatToDo) {
  const Numbers f16{"float16", Quantization::none};
  EXPECT_THROW(serve::ModelInstance(on_cards(2, ParallelMode::tensor, f16), {}), Failure);
  try {
    const Numbers f32{"float32", Quantization::none};
    const serve::ModelInstance model(on_cards(1, ParallelMode::layer, f32), {});
    FAIL() << "did not throw";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("float16"), std::string::npos) << failure.what();
  }
}

// f16 is the default on cards; these have bf16 too.
TEST(NpuModel, SwitchesToBf16WhereF16Overflows) {
  const OverflowFolder folder;
  serve::ModelOptions options = on_cards(2, ParallelMode::layer, {"auto", Quantization::none});
  options.model_path = folder.path();
  serve::ModelInstance model(options, {});
  EXPECT_EQ(model.planned().dtype, device::DType::bf16);
  const std::vector<std::int32_t> prompt = {1, 2, 3};
  const Answer answer = generate(model, {prompt}, greedy()).front();
  EXPECT_EQ(answer.error, "");
  EXPECT_FALSE(answer.tokens.empty());
  options.dtype = "float16";
  EXPECT_THROW(serve::ModelInstance(options, {}), Failure);
}

TEST(NpuModel, StaysInF16WhereItHasRoom) {
  const serve::ModelInstance model(on_cards(1, ParallelMode::layer, {"auto", Quantization::none}),
                                   {});
  EXPECT_EQ(model.planned().dtype, device::DType::f16);
}

// The planner's scratch is what phase 1 says, not a guess.
TEST(NpuModel, ScratchIsMeasured) {
  serve::ModelOptions small = on_cards(1, ParallelMode::layer, {"float16", Quantization::none});
  serve::ModelOptions large = small;
  large.max_num_batched_tokens = 8192;
  const auto fixed_bytes = [](const serve::ModelOptions& options) {
    const std::unique_ptr<device::Platform> platform = serve::open_platform(options);
    return serve::prepare_plan(options, *platform).request.sizes.fixed_bytes;
  };
  EXPECT_LT(fixed_bytes(small), std::uint64_t{256} << 20);
  EXPECT_GT(fixed_bytes(small), std::uint64_t{1} << 20);
  EXPECT_GT(fixed_bytes(large), fixed_bytes(small));
}

}  // namespace
}  // namespace fastchat::demo_test
