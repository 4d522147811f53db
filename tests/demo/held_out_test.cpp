// How many of its held-out prompts the bundled demo model answers rightly.
#include <map>

#include "tests/demo/answers.h"
#include "tests/demo/held_out.h"

namespace fastchat::demo_test {
namespace {

bool is_right(const HeldOut& item, const std::string& answer) {
  for (const std::string& accepted : item.accept)
    if (answer == accepted) return true;
  if (item.contains.empty()) return false;
  for (const std::string& part : item.contains)
    if (answer.find(part) == std::string::npos) return false;
  return true;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

/// Right answers of the model with weights held like that, in percent.
double percent_right(model::Quantization quantization) {
  serve::ModelOptions options = demo_options(1, "auto");
  options.quantization = quantization;
  serve::ModelInstance model(options, {});
  const std::vector<HeldOut> items = read_held_out();
  EXPECT_GE(items.size(), 400u);
  std::vector<std::vector<std::int32_t>> prompts;
  for (const HeldOut& item : items) prompts.push_back(prompt_tokens(model, item.messages));

  const std::vector<Answer> answers = generate(model, prompts, greedy());
  std::map<std::string, std::pair<int, int>> by_category;  // right, all
  int right = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto text = model.tokenizer()->decode(answers[i].tokens, true);
    EXPECT_TRUE(text) << text.error().message;
    const bool correct = answers[i].finish_reason == engine::FinishReason::stop &&
                         is_right(items[i], trimmed(text.value()));
    right += correct ? 1 : 0;
    by_category[items[i].category].first += correct ? 1 : 0;
    by_category[items[i].category].second += 1;
  }
  for (const auto& [category, counts] : by_category)
    std::printf("%-12s %d of %d\n", category.c_str(), counts.first, counts.second);
  std::printf("all          %d of %zu\n", right, items.size());
  return 100.0 * right / static_cast<double>(items.size());
}

TEST(DemoModel, AnswersAtLeast95PercentOfItsHeldOutPrompts) {
  EXPECT_GE(percent_right(model::Quantization::none), 95.0);
}

TEST(DemoModel, KeepsItsAnswersWithWeightsInEightBits) {
  EXPECT_GE(percent_right(model::Quantization::w8a16), 94.0);
}

TEST(DemoModel, KeepsItsAnswersWithWeightsAndInputsInEightBits) {
  EXPECT_GE(percent_right(model::Quantization::w8a8), 94.0);
}

}  // namespace
}  // namespace fastchat::demo_test
