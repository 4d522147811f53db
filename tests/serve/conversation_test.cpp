#include "serve/cli/conversation.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "serve/language.h"

namespace fastchat::serve {
namespace {

class ConversationFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "fastchat-test-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

// What FastChat 0.2.36 writes for `!!save` with the template one_shot: examples before the offset,
// escaped text.
constexpr const char* kSavedByPython =
    R"({"template_name": "one_shot", "system_message": "A chat between a curious human and an artificial intelligence )"
    R"(assistant.", "roles": ["Human", "Assistant"], "messages": [["Human", "Got any creative ideas?"], ["Assistant", )"
    R"("Of course!"], ["Human", "\u4f60\u597d"], ["Assistant", "\u4f60\u597d\uff01\ud83d\ude00"]], "offset": 2})";

TEST(Conversation, TurnsBeginWithTheSystemMessage) {
  Conversation conversation("zero_shot", {"Human", "Assistant"}, "Be brief.");
  conversation.add_user("Hi");
  conversation.add_assistant("Hello.", false);
  const std::vector<ChatTurn> turns = conversation.turns();
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_EQ(turns[0].role, "system");
  EXPECT_EQ(turns[0].content, "Be brief.");
  EXPECT_EQ(turns[1].role, "user");
  EXPECT_EQ(turns[2].role, "assistant");
}

TEST(Conversation, ExamplesOfATemplateAreForTheModelAndTheFile) {
  Conversation conversation(
      "one_shot", {"Human", "Assistant"}, "Be brief.", {"Any ideas?", "Of course."});
  EXPECT_TRUE(conversation.empty());
  EXPECT_FALSE(conversation.remove_last_exchange());
  EXPECT_FALSE(conversation.take_last_question());
  conversation.add_user("Hi");
  conversation.add_assistant("Hello.", false);
  const std::vector<ChatTurn> turns = conversation.turns();
  ASSERT_EQ(turns.size(), 5u);
  EXPECT_EQ(turns[1].role, "user");
  EXPECT_EQ(turns[1].content, "Any ideas?");
  EXPECT_EQ(turns[2].role, "assistant");
  EXPECT_TRUE(conversation.remove_last_exchange());
  EXPECT_FALSE(conversation.remove_last_exchange());

  const nlohmann::json saved = nlohmann::json::parse(conversation.to_json());
  EXPECT_EQ(saved["offset"], 2);
  EXPECT_EQ(saved["messages"],
            nlohmann::json::parse(R"([["Human", "Any ideas?"], ["Assistant", "Of course."]])"));
  const Result<Conversation> loaded = Conversation::from_json(conversation.to_json());
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->empty());
  EXPECT_EQ(loaded->turns().size(), 3u);
}

TEST(Conversation, SpeakersOfEqualNamesTakeTurns) {
  Conversation conversation("billa", {"Person", "Person"}, "");
  conversation.add_user("one");
  conversation.add_assistant("1", false);
  conversation.add_user("two");
  const Result<Conversation> loaded = Conversation::from_json(conversation.to_json());
  ASSERT_TRUE(loaded) << loaded.error().message;
  const std::vector<ChatTurn> turns = loaded->turns();
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_EQ(turns[0].role, "user");
  EXPECT_EQ(turns[1].role, "assistant");
  EXPECT_EQ(turns[2].role, "user");
}

TEST(Conversation, RemoveDropsAnAnswerWithItsQuestion) {
  Conversation conversation;
  EXPECT_FALSE(conversation.remove_last_exchange());
  conversation.add_user("one");
  conversation.add_assistant("1", false);
  conversation.add_user("two");
  conversation.add_assistant("2", true);
  EXPECT_TRUE(conversation.remove_last_exchange());
  ASSERT_EQ(conversation.messages().size(), 2u);
  EXPECT_EQ(conversation.messages()[1].text, "1");
}

TEST(Conversation, TheLastQuestionIsTakenWithoutItsAnswer) {
  Conversation conversation;
  EXPECT_EQ(conversation.take_last_question(), std::nullopt);
  conversation.add_user("one");
  conversation.add_assistant("1", false);
  EXPECT_EQ(conversation.take_last_question(), "one");
  EXPECT_TRUE(conversation.empty());
}

TEST(Conversation, ReadsAFileOfPythonFastChat) {
  Result<Conversation> read = Conversation::from_json(kSavedByPython);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->offset(), 2u);
  ASSERT_EQ(read->messages().size(), 4u);
  EXPECT_EQ(read->messages()[2].text, "你好");
  EXPECT_EQ(read->messages()[3].text, "你好！😀");
  EXPECT_EQ(read->turns().size(), 5u);
  // Examples before the offset are not the user's to remove.
  EXPECT_TRUE(read->remove_last_exchange());
  EXPECT_FALSE(read->remove_last_exchange());
  EXPECT_EQ(read->messages().size(), 2u);
}

TEST(Conversation, WritesBackWhatPythonWrote) {
  const Result<Conversation> read = Conversation::from_json(kSavedByPython);
  ASSERT_TRUE(read);
  EXPECT_EQ(nlohmann::json::parse(read->to_json()), nlohmann::json::parse(kSavedByPython));
}

TEST(Conversation, AnAnswerNotYetGivenIsLeftOut) {
  const Result<Conversation> read =
      Conversation::from_json(R"({"roles": ["a", "b"], "messages": [["a", "hi"], ["b", null]]})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->messages().size(), 1u);
}

TEST(Conversation, BrokenFilesAreErrorsThatNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not JSON"},
      {"{\"messages\": [", "not JSON"},
      {"[]", "not a saved chat"},
      {"{}", "not a saved chat"},
      {R"({"messages": "no"})", "not a saved chat"},
      {R"({"messages": [["Human"]]})", "messages[0]"},
      {R"({"messages": [["Human", 5]]})", "messages[0]"},
      {R"({"messages": [["Human", "a"], ["Nobody", "b"]]})", "'Nobody'"},
      {R"({"roles": ["one"], "messages": []})", "roles"},
      {R"({"messages": [], "offset": 1})", "offset"},
      {R"({"messages": [], "offset": -1})", "offset"},
  };
  for (const auto& [json, expected] : cases) {
    const Result<Conversation> read = Conversation::from_json(json);
    ASSERT_FALSE(read) << json;
    EXPECT_NE(read.error().message.find(expected), std::string::npos)
        << json << ": " << read.error().message;
  }
}

TEST_F(ConversationFile, SavingAndLoadingKeepsEverything) {
  Conversation conversation("qwen-7b-chat", {"<|im_start|>user", "<|im_start|>assistant"}, "系统");
  conversation.add_user("first\nsecond line");
  conversation.add_assistant("答案", true);
  const std::filesystem::path file = folder_ / "chat.json";
  const Result<void> saved = save_conversation(conversation, file);
  ASSERT_TRUE(saved) << saved.error().message;
  const Result<Conversation> loaded = load_conversation(file);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->to_json(), conversation.to_json());
  EXPECT_TRUE(loaded->messages()[1].stopped);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1)
      << "a temporary file stayed";
}

TEST_F(ConversationFile, SavingWhereNothingCanBeWrittenIsAnError) {
  const Result<void> saved =
      save_conversation(Conversation(), folder_ / "no" / "such" / "folder.json");
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find("No such file"), std::string::npos) << saved.error().message;
  set_language(Language::chinese);
  const Result<void> in_chinese =
      save_conversation(Conversation(), folder_ / "no" / "such" / "folder.json");
  set_language(Language::english);
  EXPECT_NE(in_chinese.error().message.find("没有这个文件"), std::string::npos)
      << in_chinese.error().message;
}

TEST_F(ConversationFile, LoadingTakesInvalidBytesAsReplacementCharacters) {
  const auto file =
      write("bad.json", "{\"roles\": [\"a\", \"b\"], \"messages\": [[\"a\", \"x\xFFy\"]]}");
  const Result<Conversation> loaded = load_conversation(file);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->messages()[0].text, "x\xEF\xBF\xBDy");
}

TEST_F(ConversationFile, NamesGetTheirExtensionAsInFastChat) {
  EXPECT_EQ(save_name("chat"), "chat.json");
  EXPECT_EQ(save_name("chat.txt"), "chat.txt");
  EXPECT_EQ(save_name("v1.5/chat"), "v1.5/chat.json");
  const auto file = write("chat.json", "{}");
  const std::string bare = (folder_ / "chat").string();
  EXPECT_EQ(existing_name(bare), file);
  EXPECT_EQ(existing_name(file.string()), file);
  EXPECT_EQ(existing_name((folder_ / "other").string()), std::nullopt);
}

}  // namespace
}  // namespace fastchat::serve
