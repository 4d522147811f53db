// The small parts of the terminal chat: command words, UTF-8, names of verbs, the loading bar.
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "serve/cli/chat_command.h"
#include "serve/cli/load_progress.h"
#include "serve/cli/utf8.h"
#include "serve/verb_names.h"

namespace fastchat::serve {
namespace {

using Kind = ChatCommand::Kind;

TEST(ChatCommand, WholeLinesAreCommands) {
  EXPECT_EQ(parse_chat_command("!!exit").kind, Kind::exit);
  EXPECT_EQ(parse_chat_command("!!reset ").kind, Kind::reset);
  EXPECT_EQ(parse_chat_command("!!remove").kind, Kind::remove);
  EXPECT_EQ(parse_chat_command("!!regen").kind, Kind::regen);
  EXPECT_EQ(parse_chat_command("!!help").kind, Kind::help);
}

TEST(ChatCommand, SaveAndLoadTakeAFileWithSpacesInIt) {
  EXPECT_EQ(parse_chat_command("!!save my chat").argument, "my chat");
  EXPECT_EQ(parse_chat_command("!!load  a.json ").argument, "a.json");
  EXPECT_EQ(parse_chat_command("!!save").kind, Kind::save);
  EXPECT_EQ(parse_chat_command("!!save").argument, "");
}

TEST(ChatCommand, OtherLinesAreMessages) {
  for (const char* line : {"hello",
                           "!!",
                           "!!!",
                           "!! exit",
                           "!!exit now",
                           "!!what a day",
                           "tell me about !!exit",
                           "你好"})
    EXPECT_EQ(parse_chat_command(line).kind, Kind::none) << line;
}

TEST(ChatCommand, ASlipIsNotSentToTheModel) {
  const ChatCommand command = parse_chat_command("!!rest");
  EXPECT_EQ(command.kind, Kind::misspelt);
  EXPECT_EQ(command.argument, "!!reset");
}

TEST(ChatCommand, ALoneUnknownWordIsNotSentEither) {
  EXPECT_EQ(parse_chat_command("!!foo").kind, Kind::unknown);
  EXPECT_EQ(parse_chat_command("!!foo").argument, "!!foo");
}

TEST(Utf8, WellFormedTextStays) {
  const std::string text = "aé中😀\n";
  EXPECT_EQ(replace_invalid_utf8(text), text);
  EXPECT_EQ(utf8_length("中"), 3u);
  EXPECT_EQ(first_character("😀"), U'😀');
  std::string built;
  for (const char32_t character : {U'a', U'é', U'中', U'😀', U'\n'}) append_utf8(built, character);
  EXPECT_EQ(built, text);
}

TEST(Utf8, IllFormedPartsAreReplacedOnceEach) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid_utf8("a\xFFz"), "a" + bad + "z");
  EXPECT_EQ(replace_invalid_utf8("\xE4\xB8"), bad);  // half of 中
  EXPECT_EQ(replace_invalid_utf8("\xE4\xB8z"), bad + "z");
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF"), bad + bad);                      // overlong
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
}

TEST(Utf8, TerminalsGetNothingToObey) {
  EXPECT_EQ(without_control_characters("a\tb\nc中"), "a\tb\nc中");
  EXPECT_EQ(without_control_characters("\x1b[2Jx"), "\xEF\xBF\xBD[2Jx");
  EXPECT_EQ(without_control_characters("\xC2\x9B"
                                       "1m"),
            "\xEF\xBF\xBD"
            "1m");  // CSI as one character
}

TEST(VerbNames, TheNearestIsSuggested) {
  constexpr std::string_view kNames[] = {"cli", "devices", "plan"};
  EXPECT_EQ(nearest_name("device", kNames), "devices");
  EXPECT_EQ(nearest_name("paln", kNames), "plan");
  EXPECT_EQ(nearest_name("clii", kNames), "cli");
  EXPECT_EQ(nearest_name("teapot", kNames), "");
  EXPECT_TRUE(is_planned_verb("worker"));
  EXPECT_FALSE(is_planned_verb("cli"));
}

// What LoadProgress writes for updates at given seconds.
std::string progress_output(bool is_terminal,
                            std::initializer_list<std::pair<int, std::uint64_t>> updates,
                            std::uint64_t total_bytes = 4'000'000) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  {
    const LoadProgress::Clock::time_point start{};
    LoadProgress progress(ends[1], is_terminal, start);
    for (const auto& [second, bytes] : updates)
      progress.update(bytes, total_bytes, start + std::chrono::seconds(second));
  }
  close(ends[1]);
  std::string out(65536, '\0');
  out.resize(static_cast<std::size_t>(read(ends[0], out.data(), out.size())));
  close(ends[0]);
  return out;
}

TEST(LoadProgress, ATerminalGetsABarThatEndsItsLine) {
  const std::string out = progress_output(true, {{1, 1'000'000}, {2, 4'000'000}});
  EXPECT_NE(out.find("\rloading [######..................]  25%"), std::string::npos) << out;
  EXPECT_NE(out.find("1 MB/s"), std::string::npos);
  EXPECT_NE(out.find("100% 3.81 MiB / 3.81 MiB, 2 MB/s\x1b[K\n"), std::string::npos) << out;
  EXPECT_TRUE(progress_output(true, {{1, 1'000'000}}).ends_with("\n"));
}

TEST(LoadProgress, AnUnknownTotalIsLeftOut) {
  EXPECT_EQ(progress_output(true, {{1, 1'000'000}, {2, 4'000'000}}, 0),
            "\rloading 976.56 KiB, 1 MB/s\x1b[K\rloading 3.81 MiB, 2 MB/s\x1b[K\n");
}

TEST(LoadProgress, ElsewhereThereAreFewLines) {
  EXPECT_EQ(
      progress_output(false, {{1, 1'000'000}, {2, 2'000'000}, {4, 4'000'000}, {4, 4'000'000}}),
      "loading 3.81 MiB / 3.81 MiB, 1 MB/s\n");
  EXPECT_EQ(progress_output(false, {{20, 2'000'000}, {21, 3'000'000}}),
            "loading 1.91 MiB / 3.81 MiB, 0 MB/s\n");
}

}  // namespace
}  // namespace fastchat::serve
