// --style rich as a person meets it: what is on the screen while an answer streams and after it.
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <termios.h>
#include <unistd.h>

#include "serve/cli/chat_loop.h"
#include "serve/cli/interrupts.h"
#include "serve/cli/markdown.h"
#include "tests/serve/pty_session.h"
#include "tests/serve/scripted_backend.h"
#include "tests/serve/terminal_screen.h"

namespace fastchat::serve {
namespace {

const std::string kWait = ScriptedBackend::kWait;

#define EXPECT_ON(session, text) \
  EXPECT_TRUE((session).expect(text)) << "screen so far:\n" << (session).screen()
#define ASSERT_ON(session, text) \
  ASSERT_TRUE((session).expect(text)) << "screen so far:\n" << (session).screen()

const std::string kAnswer =
    "# 标题 Title\n\nSome **bold** text that is long enough to be wrapped in a narrow "
    "window，以及中文"
    "内容，也要换行。\n\n- one\n- two\n  1. deep\n\n| 名称 | n |\n|---|--:|\n| 苹果 | 12 |\n| pear "
    "| 3 "
    "|\n\n```python\nfor x in range(10):  # count\n    print(x)\n```\n\nThe end.";

struct RichSetup {
  std::string answer = kAnswer;
  std::size_t step = 2;  // characters of one piece
  bool waits = false;    // after each piece, for a byte from `gate_fd` or Ctrl-C
  int gate_fd = -1;
  int columns = 80;
  int rows = 24;
};

int rich_chat(const RichSetup& setup) {
  winsize size = {};
  size.ws_row = static_cast<unsigned short>(setup.rows);
  size.ws_col = static_cast<unsigned short>(setup.columns);
  ioctl(STDOUT_FILENO, TIOCSWINSZ, &size);
  const Interrupts interrupts;
  Console console;
  ScriptedBackend backend(
      [&](std::span<const ChatTurn>) -> Result<std::vector<std::string>> {
        std::vector<std::string> pieces;
        std::string_view rest = setup.answer;
        while (!rest.empty()) {
          std::size_t length = 0;
          for (std::size_t n = 0; n < setup.step && length < rest.size(); ++n)
            length += std::max<std::size_t>(1, utf8_length(rest.substr(length)));
          pieces.emplace_back(rest.substr(0, length));
          rest.remove_prefix(length);
          if (setup.waits) pieces.push_back(kWait);
        }
        return pieces;
      },
      [&] {
        char byte = 0;
        return setup.gate_fd >= 0 && read(setup.gate_fd, &byte, 1) == 1;
      });
  ChatOptions options;
  options.rich = true;
  const std::unique_ptr<LineReader> reader = make_plain_line_reader(console);
  ChatLoop(backend, console, *reader, options, Conversation()).run();
  return 0;
}

std::string expected_screen(const RichSetup& setup) {
  std::string out = "USER: q\nASSISTANT:\n";
  for (const StyledText& line : render_markdown(setup.answer, setup.columns - 1)) {
    std::string text;
    for (const StyledRun& run : line) text += run.text;
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out + "\nUSER:\nexit...\n\n";
}

TEST(RichChat, TheScreenEndsUpWithTheWholeAnswerInEveryWindow) {
  for (const auto& [columns, rows] : {std::pair{80, 24}, {40, 6}, {32, 4}, {200, 50}}) {
    RichSetup setup{.columns = columns, .rows = rows};
    PtySession session([&] { return rich_chat(setup); });
    ASSERT_ON(session, "USER:");
    session.type("q\n");
    ASSERT_ON(session, "USER:");
    session.press_ctrl_d();
    EXPECT_EQ(session.wait(), 0);
    TerminalScreen screen(rows, columns);
    screen.feed(session.screen());
    EXPECT_EQ(screen.text(), expected_screen(setup)) << columns << "x" << rows;
    EXPECT_EQ(screen.num_unknown, 0);
  }
}

TEST(RichChat, AWindowTooSmallForDrawingGetsFinishedBlocks) {
  PtySession session([] { return rich_chat({.columns = 10, .rows = 2}); });
  ASSERT_ON(session, "USER:");
  session.type("q\n");
  ASSERT_ON(session, "USER:");
  EXPECT_EQ(session.screen().find("\x1b[A"), std::string::npos);
  EXPECT_NE(session.screen().find("The end."), std::string::npos);
}

TEST(RichChat, AnOpenBlockIsSeenBeforeItEnds) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_NONBLOCK), 0);
  PtySession session([&] {
    return rich_chat(
        {.answer = "one **two** three", .step = 11, .waits = true, .gate_fd = gate[0]});
  });
  ASSERT_ON(session, "USER:");
  session.type("q\n");
  EXPECT_ON(session, "\x1b[1mtwo\x1b[0m");
  EXPECT_EQ(session.unseen().find("three"), std::string::npos);
  ASSERT_EQ(write(gate[1], "xx", 2), 2);
  EXPECT_ON(session, "three");
  close(gate[0]);
  close(gate[1]);
}

TEST(RichChat, AnswersCannotCommandTheTerminal) {
  PtySession session(
      [] { return rich_chat({.answer = "a\x1b[2Jb &#27;[2J\n\n```\n\x1b]0;x\x07\n```\n"}); });
  ASSERT_ON(session, "USER:");
  session.type("q\n");
  ASSERT_ON(session, "USER:");
  EXPECT_EQ(session.screen().find("\x1b[2J"), std::string::npos);
  EXPECT_EQ(session.screen().find("\x1b]"), std::string::npos);
  EXPECT_EQ(session.screen().find('\x07'), std::string::npos);
  EXPECT_NE(session.screen().find("\uFFFD[2Jb \uFFFD[2J"), std::string::npos) << session.screen();
}

TEST(RichChat, CtrlCLeavesACleanTerminalAndTheChatGoesOn) {
  PtySession session([] { return rich_chat({.answer = "go on", .waits = true}); });
  ASSERT_ON(session, "USER:");
  EXPECT_TRUE(session.echoes());
  session.type("q\n");
  ASSERT_ON(session, "ASSISTANT:");
  ASSERT_ON(session, "go");
  EXPECT_FALSE(session.echoes());
  session.press_ctrl_c();
  ASSERT_ON(session, "stopped generation.\r\n");
  ASSERT_ON(session, "USER:");
  EXPECT_TRUE(session.echoes());
  EXPECT_EQ(session.screen().find("^C"), std::string::npos);
  session.press_ctrl_d();
  EXPECT_EQ(session.wait(), 0);
}

TEST(RichChat, AForcedEndRestoresTheTerminal) {
  PtySession session([] { return rich_chat({.answer = "go on", .waits = true}); });
  ASSERT_ON(session, "USER:");
  session.type("q\n");
  ASSERT_ON(session, "go");
  ASSERT_FALSE(session.echoes());
  session.terminate();
  EXPECT_ON(session, "\x1b[0m");
  EXPECT_TRUE(session.echoes());
  EXPECT_EQ(session.wait(), 128 + SIGTERM);
}

TEST(RichChat, ChangesOfTheWindowLoseNothing) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_NONBLOCK), 0);
  PtySession session(
      [&] { return rich_chat({.answer = "go\n\n" + kAnswer, .waits = true, .gate_fd = gate[0]}); });
  ASSERT_ON(session, "USER:");
  session.type("q\n");
  ASSERT_ON(session, "go");
  for (const unsigned short columns : {40, 12, 1, 30, 100}) {
    session.resize(columns > 20 ? 24 : 3, columns);
    for (int n = 0; n < 20; ++n) ASSERT_EQ(write(gate[1], "x", 1), 1);
    ::usleep(100'000);
  }
  const std::string rest(500, 'x');
  ASSERT_EQ(write(gate[1], rest.data(), rest.size()), static_cast<ssize_t>(rest.size()));
  EXPECT_ON(session, "The end.");
  ASSERT_ON(session, "USER:");
  close(gate[0]);
  close(gate[1]);
}

TEST(RichChat, SavedAnswersAreDrawnAgain) {
  PtySession session([] { return rich_chat({.answer = "a **b**"}); });
  for (int time = 0; time < 2; ++time) {
    ASSERT_ON(session, "USER:");
    session.type("q\n");
    ASSERT_ON(session, "\x1b[1mb\x1b[0m");
  }
  ASSERT_ON(session, "USER:");
  session.type("!!remove\n");
  EXPECT_ON(session, "\x1b[1mb\x1b[0m");
}

}  // namespace
}  // namespace fastchat::serve
