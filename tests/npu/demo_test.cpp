// The demo model on emulated cards answers as on a cpu device.
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "tests/demo/answers.h"
#include "tests/demo/compare.h"

namespace fastchat::demo_test {
namespace {

using parallel::ParallelMode;

serve::ModelOptions on_cards(int num_cards, ParallelMode mode, const std::string& dtype) {
  serve::ModelOptions options = demo_options(num_cards, dtype);
  options.device = "npu";
  options.parallel.request.mode = mode;
  return options;
}

/// Each operator rounds to 16 bits where the cpu's keep f32 sums.
double npu_tolerance(const std::string& dtype) { return dtype == "float16" ? 0.05 : 0.4; }

class NpuDemo : public testing::TestWithParam<std::string> {};

TEST_P(NpuDemo, AnswersAsOnTheCpu) {
  const std::vector<HeldOut> items = read_held_out();
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<Answer> expected;
  {
    serve::ModelInstance cpu(demo_options(1, GetParam()), {});
    for (std::size_t i = 0; i < items.size(); i += items.size() / 8)
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
    SCOPED_TRACE(testing::Message() << way.num_cards << " cards, " << to_string(way.mode));
    serve::ModelInstance npu(on_cards(way.num_cards, way.mode, GetParam()), {});
    const std::vector<Answer> answers = generate(npu, prompts, greedy_with_logprobs(64));
    ASSERT_EQ(answers.size(), expected.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "prompt " << i);
      expect_same(answers[i], expected[i], npu_tolerance(GetParam()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes,
                         NpuDemo,
                         testing::Values("float16", "bfloat16"),
                         [](const auto& info) { return info.param; });

TEST(NpuModel, TensorModeAndF32AreRefusedWithWhatToDo) {
  EXPECT_THROW(serve::ModelInstance(on_cards(2, ParallelMode::tensor, "float16"), {}), Failure);
  try {
    const serve::ModelInstance model(on_cards(1, ParallelMode::layer, "float32"), {});
    FAIL() << "did not throw";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("float16"), std::string::npos) << failure.what();
  }
}

}  // namespace
}  // namespace fastchat::demo_test
