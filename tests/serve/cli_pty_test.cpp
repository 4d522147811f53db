// The terminal chat as a person meets it: through a pseudo-terminal, with scripted answers.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "serve/cli/chat_loop.h"
#include "serve/cli/interrupts.h"
#include "serve/language.h"
#include "tests/serve/pty_session.h"
#include "tests/serve/scripted_backend.h"

namespace fastchat::serve {
namespace {

using Pieces = std::vector<std::string>;
const std::string kWait = ScriptedBackend::kWait;

// The last question decides; the number of turns shows what the model was given.
Result<Pieces> scripted_answer(std::span<const ChatTurn> turns) {
  const std::string& question = turns.back().content;
  if (question == "stream") return Pieces{"你", kWait, "好", kWait, "！"};
  if (question == "forever") return Pieces{"once ", kWait, "never shown"};
  if (question == "silent") return Pieces{kWait, "never shown"};
  if (question == "evil") return Pieces{"a\x1b[2Jb"};
  if (question == "too long") return Error{ErrorCode::context_too_long, "9999 tokens, 4096 fit"};
  return Pieces{"<", question, "|turns ", std::to_string(turns.size()), ">"};
}

struct ChatSetup {
  ChatOptions options;
  Language language = Language::english;
  bool editing = true;  // libedit, else the terminal driver's lines
  int gate_fd = -1;     // a byte from here opens kWait
  engine::FinishReason finish_reason = engine::FinishReason::stop;
  Conversation fresh;
};

int chat(const ChatSetup& setup) {
  set_language(setup.language);
  const Interrupts interrupts;
  Console console;
  ScriptedBackend backend(scripted_answer, [&] {
    char byte = 0;
    return setup.gate_fd >= 0 && read(setup.gate_fd, &byte, 1) == 1;
  });
  backend.finish_reason = setup.finish_reason;
  std::unique_ptr<LineReader> reader;
  if (setup.editing) {
    reader = make_edit_line_reader();
    if (!reader) return 99;  // the terminal must be good enough
  } else {
    reader = make_plain_line_reader(console);
  }
  ChatLoop(backend, console, *reader, setup.options, setup.fresh).run();
  return 0;
}

// Both ways of reading lines must behave alike.
class ChatTerminal : public ::testing::TestWithParam<bool> {
 protected:
  ChatSetup setup() const { return {.editing = GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Readers, ChatTerminal, ::testing::Bool(), [](const auto& reader) {
  return std::string(reader.param ? "Editing" : "Plain");
});

#define EXPECT_ON(session, text) \
  EXPECT_TRUE((session).expect(text)) << "screen so far:\n" << (session).screen()
#define ASSERT_ON(session, text) \
  ASSERT_TRUE((session).expect(text)) << "screen so far:\n" << (session).screen()

TEST_P(ChatTerminal, AnswersAndRemembersTurns) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("hello\n");
  EXPECT_ON(session, "ASSISTANT:");
  EXPECT_ON(session, "<hello|turns 1>");
  ASSERT_ON(session, "USER:");
  session.type("again\n");
  EXPECT_ON(session, "<again|turns 3>");
  ASSERT_ON(session, "USER:");
  session.type("!!exit\n");
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
}

TEST_P(ChatTerminal, ChineseStreamsCharacterByCharacterUnderLangC) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_NONBLOCK), 0);
  PtySession session([&] {
    ChatSetup gated = setup();
    gated.gate_fd = gate[0];
    return chat(gated);
  });
  ASSERT_ON(session, "USER:");
  session.type("stream\n");
  ASSERT_ON(session, "你");
  EXPECT_EQ(session.unseen().find("好"), std::string::npos);
  ASSERT_EQ(write(gate[1], "x", 1), 1);
  ASSERT_ON(session, "好");
  EXPECT_EQ(session.unseen().find("！"), std::string::npos);
  ASSERT_EQ(write(gate[1], "x", 1), 1);
  EXPECT_ON(session, "！");
  close(gate[0]);
  close(gate[1]);
}

TEST_P(ChatTerminal, ChineseIsTypedUnderLangC) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("中国的首都？\n");
  EXPECT_ON(session, "<中国的首都？|turns 1>");
}

TEST_P(ChatTerminal, CtrlCStopsTheAnswerAndKeepsTheChat) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("forever\n");
  ASSERT_ON(session, "once ");
  session.press_ctrl_c();
  EXPECT_ON(session, "stopped generation.");
  ASSERT_ON(session, "USER:");
  session.type("next\n");
  // The question and the part that was said stay.
  EXPECT_ON(session, "<next|turns 3>");
  EXPECT_EQ(session.screen().find("never shown"), std::string::npos);
}

TEST_P(ChatTerminal, CtrlCBeforeAnyTextDropsTheQuestion) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("silent\n");
  ASSERT_ON(session, "ASSISTANT:");
  session.press_ctrl_c();
  EXPECT_ON(session, "stopped generation.");
  ASSERT_ON(session, "USER:");
  session.type("next\n");
  EXPECT_ON(session, "<next|turns 1>");
}

TEST_P(ChatTerminal, CtrlCAtThePromptSaysHowToLeaveAndTheSecondLeaves) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.press_ctrl_c();
  EXPECT_ON(session, "!!exit");
  ASSERT_ON(session, "USER:");
  session.type("still here\n");
  EXPECT_ON(session, "<still here|turns 1>");
  ASSERT_ON(session, "USER:");
  session.press_ctrl_c();
  ASSERT_ON(session, "USER:");
  session.press_ctrl_c();
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
}

TEST_P(ChatTerminal, EndOfInputLeaves) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.press_ctrl_d();
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
}

TEST_P(ChatTerminal, EndOfInputTypedDuringAnAnswerLeavesAfterIt) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_NONBLOCK), 0);
  PtySession session([&] {
    ChatSetup gated = setup();
    gated.gate_fd = gate[0];
    return chat(gated);
  });
  ASSERT_ON(session, "USER:");
  session.type("stream\n");
  ASSERT_ON(session, "你");
  session.press_ctrl_d();
  ASSERT_EQ(write(gate[1], "xx", 2), 2);
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
  close(gate[0]);
  close(gate[1]);
}

TEST_P(ChatTerminal, AnEmptyLineLeaves) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("\n");
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
}

TEST_P(ChatTerminal, ResetRemoveAndRegen) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("!!remove\n");
  EXPECT_ON(session, "No messages to remove.");
  ASSERT_ON(session, "USER:");
  session.type("!!regen\n");
  EXPECT_ON(session, "No messages to regenerate.");
  ASSERT_ON(session, "USER:");
  session.type("one\n");
  ASSERT_ON(session, "<one|turns 1>");
  ASSERT_ON(session, "USER:");
  session.type("two\n");
  ASSERT_ON(session, "<two|turns 3>");
  ASSERT_ON(session, "USER:");
  session.type("!!regen\n");
  EXPECT_ON(session, "<two|turns 3>");
  ASSERT_ON(session, "USER:");
  session.type("!!remove\n");
  EXPECT_ON(session, "<one|turns 1>");  // printed again
  ASSERT_ON(session, "USER:");
  session.type("three\n");
  EXPECT_ON(session, "<three|turns 3>");
  ASSERT_ON(session, "USER:");
  session.type("!!reset\n");
  EXPECT_ON(session, "resetting...");
  ASSERT_ON(session, "USER:");
  session.type("four\n");
  EXPECT_ON(session, "<four|turns 1>");
  ASSERT_ON(session, "USER:");
  session.type("!!rest\n");
  EXPECT_ON(session, "Did you mean !!reset?");
}

TEST_P(ChatTerminal, SaveAndLoad) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  std::ofstream(folder / "broken.json") << "{";
  PtySession session([&] {
    std::filesystem::current_path(folder);
    return chat(setup());
  });
  ASSERT_ON(session, "USER:");
  session.type("你好\n");
  ASSERT_ON(session, "<你好|turns 1>");
  ASSERT_ON(session, "USER:");
  session.type("!!save\n");
  EXPECT_ON(session, "usage: !!save");
  session.type("!!save mine\n");
  EXPECT_ON(session, "saved mine.json");
  session.type("!!save no/where\n");
  EXPECT_ON(session, "cannot save no/where.json");
  session.type("!!load nothing\n");
  EXPECT_ON(session, "file not found: nothing");
  session.type("!!load broken\n");
  EXPECT_ON(session, "not JSON");
  EXPECT_ON(session, "kept");
  session.type("next\n");
  EXPECT_ON(session, "<next|turns 3>");
  session.type("!!load mine\n");
  EXPECT_ON(session, "loaded mine.json");
  EXPECT_ON(session, "<你好|turns 1>");
  ASSERT_ON(session, "USER:");
  session.type("after\n");
  EXPECT_ON(session, "<after|turns 3>");
  EXPECT_TRUE(std::filesystem::exists(folder / "mine.json"));
  std::filesystem::remove_all(folder);
}

TEST_P(ChatTerminal, AContextThatIsFullIsExplainedAndTheChatGoesOn) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("too long\n");
  EXPECT_ON(session, "9999 tokens, 4096 fit");
  EXPECT_ON(session, "!!reset");
  ASSERT_ON(session, "USER:");
  session.type("short\n");
  EXPECT_ON(session, "<short|turns 1>");
}

TEST_P(ChatTerminal, ExamplesAreGivenToTheModelAndNotPrinted) {
  PtySession session([this] {
    ChatSetup with_examples = setup();
    with_examples.fresh = {"one_shot", {"Human", "Assistant"}, "", {"example?", "example."}};
    return chat(with_examples);
  });
  ASSERT_ON(session, "USER:");
  session.type("!!remove\n");
  EXPECT_ON(session, "No messages to remove.");
  for (const char* question : {"one", "two"}) {
    ASSERT_ON(session, "USER:");
    session.type(std::string(question) + "\n");
    ASSERT_ON(session, "ASSISTANT:");
  }
  EXPECT_ON(session, "<two|turns 5>");
  ASSERT_ON(session, "USER:");
  session.type("!!remove\n");
  EXPECT_ON(session, "<one|turns 3>");  // printed again
  ASSERT_ON(session, "USER:");
  EXPECT_EQ(session.screen().find("example"), std::string::npos) << session.screen();
}

TEST_P(ChatTerminal, AFileOfSomebodyElseIsOverwrittenTheSecondTimeOnly) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  std::ofstream(folder / "thesis.json") << "precious";
  const auto content = [&] {
    std::ifstream in(folder / "thesis.json");
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  };
  PtySession session([&] {
    std::filesystem::current_path(folder);
    return chat(setup());
  });
  for (const char* line : {"!!save thesis", "!!help", "!!save thesis"}) {
    ASSERT_ON(session, "USER:");
    session.type(std::string(line) + "\n");
  }
  EXPECT_ON(session, "not saved");  // again, as !!help was between
  ASSERT_ON(session, "USER:");
  EXPECT_EQ(content(), "precious");
  session.type("!!save thesis\n");
  EXPECT_ON(session, "saved thesis.json");
  ASSERT_ON(session, "USER:");
  EXPECT_NE(content(), "precious");
  session.type("!!save thesis\n");  // ours now
  EXPECT_ON(session, "saved thesis.json");
  std::filesystem::remove_all(folder);
}

TEST_P(ChatTerminal, AFailedAnswerIsReportedAndTheChatGoesOn) {
  PtySession session([this] {
    ChatSetup failing = setup();
    failing.finish_reason = engine::FinishReason::error;
    return chat(failing);
  });
  ASSERT_ON(session, "USER:");
  session.type("one\n");
  EXPECT_ON(session, "device 1 failed");
  ASSERT_ON(session, "USER:");
  session.type("two\n");
  EXPECT_ON(session, "<two|turns 1>");
}

TEST_P(ChatTerminal, ChineseMessages) {
  PtySession session([this] {
    ChatSetup chinese = setup();
    chinese.language = Language::chinese;
    return chat(chinese);
  });
  ASSERT_ON(session, "用户");
  session.type("!!help\n");
  EXPECT_ON(session, "停止当前回答");
  ASSERT_ON(session, "用户");
  session.type("forever\n");
  ASSERT_ON(session, "once ");
  session.press_ctrl_c();
  EXPECT_ON(session, "已停止生成");
}

TEST_P(ChatTerminal, WithoutHistoryEveryMessageIsTheFirstAndRegenStillWorks) {
  PtySession session([this] {
    ChatSetup forgetful = setup();
    forgetful.options.keep_history = false;
    return chat(forgetful);
  });
  ASSERT_ON(session, "USER:");
  session.type("one\n");
  ASSERT_ON(session, "<one|turns 1>");
  session.type("two\n");
  EXPECT_ON(session, "<two|turns 1>");
  session.type("!!regen\n");
  EXPECT_ON(session, "<two|turns 1>");
}

TEST_P(ChatTerminal, DebugShowsSpeeds) {
  PtySession session([this] {
    ChatSetup debugging = setup();
    debugging.options.debug = true;
    return chat(debugging);
  });
  ASSERT_ON(session, "USER:");
  session.type("one\n");
  // 8 tokens computed in 4 ms; 4 tokens after the first in 8 ms.
  EXPECT_ON(
      session,
      "prompt 40 tokens, 32 of them cached; first token after 4.0 ms, prefill 2000.0 tokens/s");
  EXPECT_ON(session, "decode 500.0 tokens/s; finish: stop");
}

TEST_P(ChatTerminal, AnswersCannotCommandTheTerminal) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("evil\n");
  EXPECT_ON(session, "a\xEF\xBF\xBD[2Jb");
}

TEST_P(ChatTerminal, SurvivesChangesOfTheWindow) {
  PtySession session([this] { return chat(setup()); });
  ASSERT_ON(session, "USER:");
  session.type("half ");
  for (const unsigned short columns : {20, 200, 1, 80}) session.resize(24, columns);
  session.type("done\n");
  EXPECT_ON(session, "<half done|turns 1>");
}

TEST(ChatEditing, BackspaceTakesAWholeChineseCharacter) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.type("你好吗\x7F\x7F们\n");
  EXPECT_ON(session, "<你们|turns 1>");
}

TEST(ChatEditing, ArrowUpBringsBackTheLastLine) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.type("hello\n");
  ASSERT_ON(session, "<hello|turns 1>");
  ASSERT_ON(session, "USER:");
  session.type("\x1b[A!\n");
  EXPECT_ON(session, "<hello!|turns 3>");
}

TEST(ChatEditing, APasteOfSeveralLinesIsOneMessage) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "\x1b[?2004h");
  session.type("\x1b[200~line 1\rline\t2\x01\nend\x1b[201~.\n");
  EXPECT_ON(session, "<line 1\r\nline 2\r\nend.|turns 1>");
}

TEST(ChatEditing, AltEnterMakesANewLine) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.type("one\x1b\rtwo\n");
  EXPECT_ON(session, "<one\r\ntwo|turns 1>");
}

TEST(ChatEditing, EscapeThenEnterMakesANewLineToo) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.type("one");
  ASSERT_ON(session, "one");
  session.type("\x1b");
  ::usleep(100'000);  // a person's two keys
  session.type("\rtwo\n");
  EXPECT_ON(session, "<one\r\ntwo|turns 1>");
}

TEST(ChatEditing, TabCompletesCommands) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.type("!!h\t\n");
  EXPECT_ON(session, "this list");
  ASSERT_ON(session, "USER:");
  session.type("!!r\t\t");  // "re", and then there are several
  EXPECT_ON(session, "!!reset  !!remove  !!regen");
  session.type("g\t\n");
  EXPECT_ON(session, "No messages to regenerate.");
  ASSERT_ON(session, "USER:");
  session.type("a\tb\n");  // elsewhere it is a tab
  EXPECT_ON(session, "<a\tb|turns 1>");
}

TEST(ChatEditing, CtrlCDiscardsWhatWasTyped) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.type("rubbish");
  ASSERT_ON(session, "rubbish");
  session.press_ctrl_c();
  ASSERT_ON(session, "USER:");
  session.type("clean\n");
  EXPECT_ON(session, "<clean|turns 1>");
}

TEST(ChatEditing, CtrlCThatClearsALineIsNoWishToLeave) {
  PtySession session([] { return chat({}); });
  ASSERT_ON(session, "USER:");
  session.press_ctrl_c();
  EXPECT_ON(session, "!!exit");
  ASSERT_ON(session, "USER:");
  session.type("more");
  ASSERT_ON(session, "more");
  session.press_ctrl_c();
  ASSERT_ON(session, "USER:");
  session.type("still here\n");
  EXPECT_ON(session, "<still here|turns 1>");
}

TEST(ChatMultiline, AMessageEndsAtTheEndOfInputAndCommandsAtOnce) {
  PtySession session([] {
    ChatSetup multiline{.editing = false};
    multiline.options.multiline = true;
    return chat(multiline);
  });
  ASSERT_ON(session, "USER");
  session.type("one\n  two\n");
  session.press_ctrl_d();
  EXPECT_ON(session, "<one\r\n  two|turns 1>");
  ASSERT_ON(session, "USER");
  session.type("!!exit\n");
  EXPECT_ON(session, "exit...");
  EXPECT_EQ(session.wait(), 0);
}

TEST(ChatMultiline, CtrlCDropsTheMessageAndIsNoWishToLeave) {
  PtySession session([] {
    ChatSetup multiline{.editing = false};
    multiline.options.multiline = true;
    return chat(multiline);
  });
  for (int time = 0; time < 2; ++time) {
    ASSERT_ON(session, "USER");
    session.type("begun\n");
    ASSERT_ON(session, "begun");  // shown: the terminal has it, and the program can read it
    ASSERT_TRUE(session.wait_until_read());
    session.press_ctrl_c();
  }
  ASSERT_ON(session, "USER");
  session.type("kept\n");
  session.press_ctrl_d();
  EXPECT_ON(session, "<kept|turns 1>");
  session.type("!!exit\n");
  EXPECT_EQ(session.wait(), 0);
}

// Standard streams of a child as files, no terminal.
std::string piped(const std::string& input, int* status = nullptr, bool close_output = false) {
  int in[2];
  int out[2];
  EXPECT_EQ(pipe(in), 0);
  EXPECT_EQ(pipe(out), 0);
  EXPECT_EQ(write(in[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
  close(in[1]);
  if (close_output) close(out[0]);
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    int result = 3;
    try {
      result = chat({.editing = false});
    } catch (const OutputClosed&) {
      result = 0;
    }
    _exit(result);
  }
  close(in[0]);
  close(out[1]);
  std::string text;
  char bytes[4096];
  if (!close_output) {
    for (ssize_t count = 0; (count = read(out[0], bytes, sizeof bytes)) > 0;)
      text.append(bytes, static_cast<std::size_t>(count));
    close(out[0]);
  }
  int wait_status = 0;
  waitpid(pid, &wait_status, 0);
  if (status != nullptr)
    *status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  return text;
}

TEST(ChatPiped, HasNoColoursAndEndsWithItsInput) {
  int status = -1;
  EXPECT_EQ(piped("hi\r\nlast line without newline", &status),
            "USER: ASSISTANT: <hi|turns 1>\n"
            "USER: ASSISTANT: <last line without newline|turns 3>\n"
            "USER: \nexit...\n");
  EXPECT_EQ(status, 0);
}

TEST(ChatPiped, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  EXPECT_NE(piped("a\xFFz\n").find("<a\xEF\xBF\xBDz|turns 1>"), std::string::npos);
}

TEST(ChatPiped, AClosedOutputEndsQuietly) {
  int status = -1;
  piped("hi\n", &status, /*close_output=*/true);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace fastchat::serve
