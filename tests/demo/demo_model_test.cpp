// The bundled demo model: its held-out prompts, and the same answers on every number of devices and
// in every batch.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/demo/answers.h"

namespace fastchat::demo_test {
namespace {

struct HeldOut {
  std::string category;
  nlohmann::json messages;
  std::vector<std::string> accept;    // the whole answer is one of these
  std::vector<std::string> contains;  // or holds all of these
};

std::vector<HeldOut> read_held_out() {
  std::ifstream file(FASTCHAT_SOURCE_DIR "/models/demo/heldout.jsonl");
  std::vector<HeldOut> items;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json item = nlohmann::json::parse(line);
    items.push_back({.category = item.at("category"),
                     .messages = item.at("messages"),
                     .accept = item.value("accept", std::vector<std::string>{}),
                     .contains = item.value("contains", std::vector<std::string>{})});
  }
  return items;
}

bool is_right(const HeldOut& item, const std::string& answer) {
  for (const std::string& accepted : item.accept)
    if (answer == accepted) return true;
  if (item.contains.empty()) return false;
  for (const std::string& part : item.contains)
    if (answer.find(part) == std::string::npos) return false;
  return true;
}

std::vector<std::int32_t> prompt_tokens(const serve::ModelInstance& model,
                                        const nlohmann::json& messages) {
  const Result<std::string> prompt =
      model.chat_template()->render(messages, {.add_generation_prompt = true});
  EXPECT_TRUE(prompt) << prompt.error().message;
  const auto tokens = model.tokenizer()->encode(prompt.value(), false);
  EXPECT_TRUE(tokens) << tokens.error().message;
  return tokens.value();
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

engine::SamplingParams greedy() {
  engine::SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 96;
  return params;
}

TEST(DemoModel, AnswersAtLeast95PercentOfItsHeldOutPrompts) {
  serve::ModelInstance model(demo_options(1, "auto"), {});
  const std::vector<HeldOut> items = read_held_out();
  ASSERT_GE(items.size(), 400u);
  std::vector<std::vector<std::int32_t>> prompts;
  for (const HeldOut& item : items) prompts.push_back(prompt_tokens(model, item.messages));

  const std::vector<Answer> answers = generate(model, prompts, greedy());
  ASSERT_EQ(answers.size(), items.size());
  std::map<std::string, std::pair<int, int>> by_category;  // right, all
  int right = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto text = model.tokenizer()->decode(answers[i].tokens, true);
    ASSERT_TRUE(text) << text.error().message;
    const bool correct = answers[i].finish_reason == engine::FinishReason::stop &&
                         is_right(items[i], trimmed(text.value()));
    right += correct ? 1 : 0;
    by_category[items[i].category].first += correct ? 1 : 0;
    by_category[items[i].category].second += 1;
  }
  for (const auto& [category, counts] : by_category)
    std::printf("%-12s %d of %d\n", category.c_str(), counts.first, counts.second);
  std::printf("all          %d of %zu\n", right, items.size());
  EXPECT_GE(right * 100, static_cast<int>(items.size()) * 95);
}

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
  const engine::EngineStats stats = model.engine().stats();
  EXPECT_GT(stats.num_cached_prompt_tokens, 0u);
  EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
}

}  // namespace
}  // namespace fastchat::demo_test
