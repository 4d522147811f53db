// The real program with the demo model, through a terminal: a conversation with memory, in both
// languages.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/serve/pty_session.h"

namespace fastchat::serve {
namespace {

#define EXPECT_ON(session, text) \
  EXPECT_TRUE((session).expect(text)) << "screen so far:\n" << (session).screen()
#define ASSERT_ON(session, text) \
  ASSERT_TRUE((session).expect(text)) << "screen so far:\n" << (session).screen()

const std::string kDemo = FASTCHAT_SOURCE_DIR "/models/demo";

std::vector<std::string> chat_command(std::vector<std::string> more = {}) {
  std::vector<std::string> command = {
      FASTCHAT_BINARY, "cli", "--model-path", kDemo, "--device", "cpu", "--temperature", "0"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

class DemoChat : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kDemo + "/model.safetensors"))
      GTEST_SKIP() << "models/demo/model.safetensors is absent; models/demo/train.py makes it";
  }
};

TEST_F(DemoChat, RemembersANameOverTurnsInEnglish) {
  PtySession session(chat_command({"--debug"}));
  ASSERT_ON(session, "USER:");
  session.type("My name is Alice.\n");
  EXPECT_ON(session, "Alice");  // as typed
  EXPECT_ON(session, "finish: stop");
  ASSERT_ON(session, "USER:");
  session.type("What is my name?\n");
  ASSERT_ON(session, "ASSISTANT:");
  EXPECT_ON(session, "Alice");
  EXPECT_ON(session, "finish: stop");
  ASSERT_ON(session, "USER:");
  session.type("!!exit\n");
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
}

TEST_F(DemoChat, RemembersANameOverTurnsInChineseUnderLangC) {
  PtySession session(chat_command({"--lang", "zh"}));
  ASSERT_ON(session, "用户");
  session.type("我叫小明。\n");
  ASSERT_ON(session, "助手");
  ASSERT_ON(session, "用户");
  session.type("我叫什么名字？\n");
  ASSERT_ON(session, "助手");
  EXPECT_ON(session, "小明");
  ASSERT_ON(session, "用户");
  session.press_ctrl_d();
  EXPECT_ON(session, "再见");
  EXPECT_EQ(session.wait(), 0);
}

TEST_F(DemoChat, ALaterTurnFindsItsBeginningInTheCache) {
  PtySession session(chat_command({"--debug"}));
  ASSERT_ON(session, "USER:");
  session.type("Hello!\n");
  ASSERT_ON(session, " 0 of them cached");
  ASSERT_ON(session, "USER:");
  session.type("What is the capital of France?\n");
  EXPECT_ON(session, "Paris");
  ASSERT_ON(session, " of them cached");
  EXPECT_EQ(session.screen().rfind(" 0 of them cached"), session.screen().find(" 0 of them cached"))
      << session.screen();
}

TEST_F(DemoChat, OneMessageGivesItsAnswerOnStandardOutputAlone) {
  // The terminal is standard error too: the shell takes that away.
  std::string shell = "'" FASTCHAT_BINARY "' cli --model-path '" + kDemo +
                      "' --device cpu --temperature 0 -m '3 + 4 = ?' 2>/dev/null; echo status $?";
  PtySession session(std::vector<std::string>{"/bin/sh", "-c", shell});
  EXPECT_EQ(session.wait(), 0);
  EXPECT_NE(session.screen().find('7'), std::string::npos) << session.screen();
  EXPECT_NE(session.screen().find("status 0"), std::string::npos) << session.screen();
  EXPECT_EQ(session.screen().find("ASSISTANT"), std::string::npos) << session.screen();
}

TEST_F(DemoChat, AContextThatIsFullEndsNeitherTheChatNorTheProgram) {
  PtySession session(chat_command({"--max-model-len", "64"}));
  ASSERT_ON(session, "USER:");
  session.type(std::string(300, '7') + "\n");
  ASSERT_ON(session, "!!reset");
  ASSERT_ON(session, "USER:");
  session.type("Hello!\n");
  ASSERT_ON(session, "ASSISTANT:");
  ASSERT_ON(session, "USER:");
}

}  // namespace
}  // namespace fastchat::serve
