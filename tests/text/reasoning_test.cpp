#include "text/reasoning.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace fastchat::text {
namespace {

struct Parts {
  std::string reasoning, content;
  bool operator==(const Parts&) const = default;
};

void PrintTo(const Parts& parts, std::ostream* out) {
  *out << "[" << parts.reasoning << "] [" << parts.content << "]";
}

Parts split(std::string_view text, bool is_thinking, std::size_t piece_size) {
  ReasoningSplitter splitter(is_thinking);
  Parts all;
  const auto add = [&](const ReasoningSplitter::Parts& parts) {
    all.reasoning += parts.reasoning;
    all.content += parts.content;
  };
  for (std::size_t i = 0; i < text.size(); i += piece_size)
    add(splitter.push(text.substr(i, piece_size)));
  add(splitter.finish());
  return all;
}

struct Case {
  std::string_view text;
  bool is_thinking;
  Parts expected;
};

TEST(ReasoningSplitter, TellsThoughtsFromTheAnswerHoweverTheTextIsCut) {
  const Case cases[] = {
      {"<think>\nhm, 4\n</think>\n\n4", false, {"hm, 4", "4"}},
      {"hm, 4\n</think>\n\n4", true, {"hm, 4", "4"}},
      {"\n<think>a</think>b", false, {"a", "b"}},
      {"<think></think>b", false, {"", "b"}},
      {"<think>\n\n</think>\n\nb", false, {"", "b"}},
      {"an answer alone", false, {"", "an answer alone"}},
      {"  spaces stay", false, {"", "  spaces stay"}},
      {"<thin ice", false, {"", "<thin ice"}},
      {"<thin", false, {"", "<thin"}},
      {"cut off in thou", true, {"cut off in thou", ""}},
      {"a </thin b < c </think>d", true, {"a </thin b < c", "d"}},
      {"a </", true, {"a </", ""}},
      {"a  \n b</think>c </think> d", true, {"a  \n b", "c </think> d"}},
      {"b <think> is no tag here", false, {"", "b <think> is no tag here"}},
      {"", true, {"", ""}},
      {"", false, {"", ""}},
      {"   ", false, {"", "   "}},
  };
  for (const Case& each : cases)
    for (std::size_t size = 1; size <= each.text.size() + 1; ++size)
      EXPECT_EQ(split(each.text, each.is_thinking, size), each.expected)
          << "'" << each.text << "' in pieces of " << size;
}

TEST(ReasoningSplitter, APromptMayEndInsideOfThoughts) {
  EXPECT_TRUE(ends_thinking("<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(ends_thinking("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(ends_thinking("<|im_start|>assistant\n"));
}

}  // namespace
}  // namespace fastchat::text
