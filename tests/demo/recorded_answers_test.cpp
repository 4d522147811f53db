// From text to text, the demo model answers as recorded on x86. tokens_test.cpp checks the same
// without text, where there is no tokenizer yet.
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/demo/answers.h"
#include "tests/demo/held_out.h"
#include "tests/demo/recorded.h"

namespace fastchat::demo_test {
namespace {

std::vector<RecordedAnswer> answers_now(serve::ModelInstance& model,
                                        const std::vector<std::vector<std::int32_t>>& prompts) {
  std::vector<RecordedAnswer> now;
  for (const Answer& answer : generate(model, prompts, greedy()))
    now.push_back(
        {.tokens = answer.tokens, .text = model.tokenizer()->decode(answer.tokens, true).value()});
  return now;
}

TEST(RecordedAnswers, AreGivenInEveryDtype) {
  const std::vector<HeldOut> items = read_held_out();
  Recorded now;
  for (const std::string& dtype : kDtypes) {
    serve::ModelInstance model(demo_options(1, dtype), {});
    if (now.prompts.empty())
      for (std::size_t i = 0; i < items.size(); i += items.size() / 24)
        now.prompts.push_back(prompt_tokens(model, items[i].messages));
    now.by_dtype[dtype] = answers_now(model, now.prompts);
  }
  if (is_recording()) write_recorded(now);
  const Recorded recorded = read_recorded();
  EXPECT_EQ(now.prompts, recorded.prompts);
  for (const std::string& dtype : kDtypes) {
    const std::vector<RecordedAnswer>& expected = recorded.by_dtype.at(dtype);
    ASSERT_EQ(now.by_dtype[dtype].size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(now.by_dtype[dtype][i].tokens, expected[i].tokens) << dtype << ", prompt " << i;
      EXPECT_EQ(now.by_dtype[dtype][i].text, expected[i].text) << dtype << ", prompt " << i;
    }
  }
}

// The whole program, as a script drives it: the same words in every dtype.
class ScriptedChat : public testing::TestWithParam<std::string> {};

TEST_P(ScriptedChat, PrintsWhatWasRecorded) {
  const std::string end = " __END_OF_A_MESSAGE_47582648__\\n";
  std::string typed;
  for (const char* message : {"My name is Alice.",
                              "What is the capital of France?",
                              "48 + 47 = ?",
                              "请从1数到6。",
                              "墨西哥的首都是哪里？",
                              "56减去44等于多少？",
                              "How do you spell window?",
                              "What is my name?"})
    typed += message + end;
  const std::string command =
      "printf '" + typed +
      "' | env LC_ALL=C '" FASTCHAT_BINARY "' cli --model-path '" FASTCHAT_SOURCE_DIR
      "/models/demo' --device cpu --temperature 0 --style programmatic --dtype " +
      GetParam() + " 2>/dev/null";
  std::FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 1024> bytes;
  while (const std::size_t count = std::fread(bytes.data(), 1, bytes.size(), pipe))
    output.append(bytes.data(), count);
  EXPECT_EQ(pclose(pipe), 0);

  const std::string name = FASTCHAT_SOURCE_DIR "/tests/demo/goldens/chat.txt";
  if (is_recording()) std::ofstream(name) << output;
  std::ostringstream expected;
  expected << std::ifstream(name).rdbuf();
  EXPECT_FALSE(output.empty());
  EXPECT_EQ(output, expected.str());
}

INSTANTIATE_TEST_SUITE_P(All, ScriptedChat, testing::ValuesIn(kDtypes), [](const auto& info) {
  return info.param;
});

}  // namespace
}  // namespace fastchat::demo_test
