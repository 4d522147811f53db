// The bundled demo model gives the same answers on every number of devices, alone and in every
// batch.
#include "tests/demo/answers.h"
#include "tests/demo/held_out.h"

namespace fastchat::demo_test {
namespace {

class DemoModelDtypes : public testing::TestWithParam<std::string> {};

TEST_P(DemoModelDtypes, AnswersAreTheSameOnOneTwoAndThreeDevicesAloneAndInAnyBatch) {
  const std::vector<HeldOut> items = read_held_out();
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<Answer> expected;
  for (const int num_devices : {1, 2, 3}) {
    serve::ModelInstance model(demo_options(num_devices, GetParam()), {});
    ASSERT_EQ(model.plan().placement.stages.size(), static_cast<std::size_t>(num_devices));
    if (prompts.empty()) {
      for (std::size_t i = 0; i < items.size(); i += items.size() / 24)
        prompts.push_back(prompt_tokens(model, items[i].messages));
      for (const auto& prompt : prompts)
        expected.push_back(generate(model, {prompt}, greedy()).front());
    }
    const std::vector<Answer> answers = generate(model, prompts, greedy());
    ASSERT_EQ(answers.size(), expected.size());
    for (std::size_t i = 0; i < answers.size(); ++i)
      EXPECT_EQ(answers[i].tokens, expected[i].tokens) << num_devices << " devices, prompt " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         DemoModelDtypes,
                         testing::Values("float32", "float16", "bfloat16"),
                         [](const auto& info) { return info.param; });

TEST(DemoModel, AnswersAreTheSameWhenFilesAreReadAsFromANetwork) {
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> expected;
  const std::vector<HeldOut> items = read_held_out();
  for (const model::LoadStrategy strategy :
       {model::LoadStrategy::lazy, model::LoadStrategy::eager}) {
    serve::ModelOptions options = demo_options(2, "auto");
    options.load_strategy = strategy;
    serve::ModelInstance model(options, {});
    if (prompts.empty())
      for (std::size_t i = 0; i < items.size(); i += items.size() / 6)
        prompts.push_back(prompt_tokens(model, items[i].messages));
    std::vector<std::vector<std::int32_t>> answers;
    for (const Answer& answer : generate(model, prompts, greedy()))
      answers.push_back(answer.tokens);
    if (expected.empty()) expected = answers;
    EXPECT_EQ(answers, expected);
  }
}

TEST(DemoModel, SampledAnswersOfASeedDoNotDependOnTheBatch) {
  serve::ModelInstance model(demo_options(2, "auto"), {});
  const std::vector<HeldOut> items = read_held_out();
  engine::SamplingParams sampling = greedy();
  sampling.temperature = 1.5f;
  sampling.top_p = 0.98f;
  sampling.repetition_penalty = 1.05f;
  sampling.seed = 7;
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::size_t i = 0; i < items.size(); i += items.size() / 12)
    prompts.push_back(prompt_tokens(model, items[i].messages));
  const std::vector<Answer> together = generate(model, prompts, sampling);
  ASSERT_EQ(together.size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(generate(model, {prompts[i]}, sampling).front().tokens, together[i].tokens) << i;
}

TEST(DemoModel, ALaterTurnFindsTheEarlierOnesInThePrefixCache) {
  serve::ModelInstance model(demo_options(1, "auto"), {});
  nlohmann::json messages = {{{"role", "user"}, {"content", "My name is Bob."}}};
  const Answer first = generate(model, {prompt_tokens(model, messages)}, greedy()).front();
  messages.push_back(
      {{"role", "assistant"}, {"content", model.tokenizer()->decode(first.tokens, true).value()}});
  messages.push_back({{"role", "user"}, {"content", "What is my name?"}});
  generate(model, {prompt_tokens(model, messages)}, greedy());
  EXPECT_GT(model.engine().stats().num_cached_prompt_tokens, 0u);
}

}  // namespace
}  // namespace fastchat::demo_test
