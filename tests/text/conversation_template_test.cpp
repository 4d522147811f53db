// FastChat's conversation templates against prompts recorded from FastChat itself
// (record_conversation_goldens.py).
#include "text/conversation_template.h"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fastchat::text {
namespace {

using nlohmann::json;

json goldens() {
  std::ifstream file(FASTCHAT_SOURCE_DIR "/tests/text/goldens/conversations.json");
  return json::parse(file);
}

std::vector<std::string> conversation_of(const ConversationTemplate& conversation,
                                         const std::vector<std::string>& turns,
                                         std::size_t num_questions) {
  std::vector<std::string> all(conversation.examples.begin(), conversation.examples.end());
  all.insert(
      all.end(), turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(2 * num_questions - 1));
  return all;
}

std::string fnv1a(std::string_view text) {
  std::uint64_t value = 14695981039346656037ULL;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return fmt::format("{:016x}", value);
}

TEST(ConversationTemplate, AllPromptsEqualThoseOfFastChat) {
  const json recorded = goldens();
  const std::vector<std::string> turns = recorded.at("turns");
  const std::string other_system = recorded.at("other_system");
  ASSERT_EQ(recorded.at("templates").size(), 102u);
  ASSERT_EQ(conversation_templates().size(), 102u);
  for (const json& entry : recorded.at("templates")) {
    const std::string name = entry.at("name");
    const auto found = find_conversation_template(name);
    ASSERT_TRUE(found) << name;
    const ConversationTemplate& conversation = **found;
    EXPECT_EQ(static_cast<int>(conversation.style), entry.at("style").get<int>()) << name;
    EXPECT_EQ(json(conversation.stop_strings), entry.at("stop_strings")) << name;
    EXPECT_EQ(json(conversation.stop_token_ids), entry.at("stop_token_ids")) << name;
    if (entry.at("prompts").is_null()) {
      EXPECT_EQ(render(conversation, "", turns).error().code, ErrorCode::unsupported) << name;
      continue;
    }
    EXPECT_EQ(render(conversation, other_system, conversation_of(conversation, turns, 2)).value(),
              entry.at("text").get<std::string>())
        << name;
    std::size_t i = 0;
    for (const std::string& system :
         {std::string(conversation.system_message), other_system, std::string()}) {
      for (std::size_t num_questions = 1; num_questions <= 5; ++num_questions, ++i) {
        const std::string prompt =
            render(conversation, system, conversation_of(conversation, turns, num_questions))
                .value();
        EXPECT_EQ(json({prompt.size(), fnv1a(prompt)}), entry.at("prompts").at(i))
            << name << ", " << num_questions << " questions, system '" << system << "'\n"
            << prompt;
      }
    }
    EXPECT_EQ(i, entry.at("prompts").size());
  }
}

TEST(ConversationTemplate, AnUnknownNameGetsSimilarOnes) {
  const auto found = find_conversation_template("vicuna_v2");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::not_found);
  EXPECT_NE(found.error().message.find("vicuna_v1.1"), std::string::npos) << found.error().message;
}

}  // namespace
}  // namespace fastchat::text
