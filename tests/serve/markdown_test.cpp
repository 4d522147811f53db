// Markdown as lines for a terminal: text, blocks, tables, code, and how it is cut while it streams.
#include "serve/cli/markdown.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "serve/cli/code_highlighter.h"
#include "serve/cli/markdown_splitter.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

std::string plain(const StyledText& text) {
  std::string out;
  for (const StyledRun& run : text) out += run.text;
  return out;
}

std::string plain(const std::vector<StyledText>& lines) {
  std::string out;
  for (const StyledText& line : lines) out += plain(line) + "\n";
  return out;
}

std::string rendered(std::string_view source, int width = 80) {
  return plain(render_markdown(source, width));
}

/// The style of the run that holds `part`.
TextStyle style_of(const std::vector<StyledText>& lines, std::string_view part) {
  for (const StyledText& line : lines)
    for (const StyledRun& run : line)
      if (run.text.find(part) != std::string::npos) return run.style;
  ADD_FAILURE() << "no run with " << part << " in\n" << plain(lines);
  return {};
}

std::vector<StyledText> wrapped(std::string_view text, int width) {
  StyledText styled;
  append(styled, text, {});
  return wrap(styled, width);
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("中文，"), 6);
  EXPECT_EQ(display_width("e\u0301"), 1);  // é of two characters
  EXPECT_EQ(display_width("😀"), 2);
  EXPECT_EQ(display_width("a\nb"), 2);
}

TEST(Wrap, BreaksAtSpacesAndDropsThem) {
  EXPECT_EQ(plain(wrapped("one two  three", 7)), "one two\nthree\n");
  EXPECT_EQ(plain(wrapped("one two  three", 8)), "one two\nthree\n");
  EXPECT_EQ(plain(wrapped("a\n\nb", 8)), "a\n\nb\n");
  EXPECT_EQ(plain(wrapped("", 8)), "\n");
}

TEST(Wrap, BreaksAWordOnlyWhenItIsTooLong) {
  EXPECT_EQ(plain(wrapped("a longestword", 10)), "a\nlongestwor\nd\n");
}

TEST(Wrap, ChineseBreaksAnywhereButNotBeforePunctuation) {
  EXPECT_EQ(plain(wrapped("天空是蓝色的", 6)), "天空是\n蓝色的\n");
  EXPECT_EQ(plain(wrapped("天空是蓝，的", 8)), "天空是\n蓝，的\n");
  EXPECT_EQ(plain(wrapped("天空（蓝色", 6)), "天空\n（蓝色\n");
  EXPECT_EQ(plain(wrapped("天空abc蓝", 6)), "天空\nabc蓝\n");
}

TEST(Wrap, NoLineIsWiderAndNothingIsLost) {
  std::mt19937 random(7);
  const std::vector<std::string> parts = {
      "word", " ", "中", "，", "（", "a", "😀", "e\u0301", "\n", "longlonglongword", "  ", "。"};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (unsigned count = random() % 40; count > 0; --count) text += parts[random() % parts.size()];
    const int width = 2 + static_cast<int>(random() % 20);
    std::string joined;
    for (const StyledText& line : wrapped(text, width)) {
      EXPECT_LE(display_width(line), width) << text;
      joined += plain(line);
    }
    const auto without_space = [](std::string s) {
      std::erase_if(s, [](char c) { return c == ' ' || c == '\n'; });
      return s;
    };
    EXPECT_EQ(without_space(joined), without_space(text));
  }
}

TEST(Styles, BecomeEscapeSequencesThatEnd) {
  StyledText text;
  append(text, "a", {.bold = true, .colour = 35});
  append(text, "b", {});
  EXPECT_EQ(to_terminal(text, true), "\x1b[1;35ma\x1b[0mb");
  EXPECT_EQ(to_terminal(text, false), "\x1b[1ma\x1b[0mb");
}

TEST(Markdown, InlineStyles) {
  const auto lines =
      render_markdown("a **bold** *slanted* ~~gone~~ `code` [text](https://x.y)", 80);
  EXPECT_EQ(plain(lines), "a bold slanted gone code text (https://x.y)\n");
  EXPECT_TRUE(style_of(lines, "bold").bold);
  EXPECT_TRUE(style_of(lines, "slanted").italic);
  EXPECT_TRUE(style_of(lines, "gone").strike);
  EXPECT_NE(style_of(lines, "code").colour, 0);
  EXPECT_TRUE(style_of(lines, "text").underline);
}

TEST(Markdown, AnAddressIsSaidOnce) {
  EXPECT_EQ(rendered("see https://x.y/z now"), "see https://x.y/z now\n");
  EXPECT_EQ(rendered("<https://x.y>"), "https://x.y\n");
  EXPECT_EQ(rendered("![](a.png)"), "(a.png)\n");
}

TEST(Markdown, ChineseEmphasisNeedsNoSpaces) {
  for (const char* source : {"**注意：**请看", "他说**“你好”**然后走了", "**注意:**请看"}) {
    const auto lines = render_markdown(source, 80);
    EXPECT_EQ(plain(lines).find('*'), std::string::npos) << plain(lines);
    bool has_bold = false;
    for (const StyledRun& run : lines.front()) has_bold = has_bold || run.style.bold;
    EXPECT_TRUE(has_bold) << source;
  }
  EXPECT_EQ(rendered("**注意：**请看"), "注意：请看\n");
  EXPECT_EQ(rendered("他说**“你好”**然后走了"), "他说“你好”然后走了\n");
  EXPECT_EQ(rendered("**注意:**请看"), "注意:请看\n");
  EXPECT_EQ(rendered("2 * 3，4 * 5"), "2 * 3，4 * 5\n");
}

TEST(Markdown, HeadingsAreBold) {
  const auto lines = render_markdown("# One\n## Two\ntext", 80);
  EXPECT_EQ(plain(lines), "One\n\nTwo\n\ntext\n");
  EXPECT_TRUE(style_of(lines, "One").bold);
  EXPECT_TRUE(style_of(lines, "One").underline);
  EXPECT_TRUE(style_of(lines, "Two").bold);
}

TEST(Markdown, ANewlineStaysOne) {
  EXPECT_EQ(rendered("床前明月光\n疑是地上霜"), "床前明月光\n疑是地上霜\n");
}

TEST(Markdown, ListsNestAndAlign) {
  EXPECT_EQ(rendered("- a\n- b\n  1. c\n  2. d\n"), "• a\n• b\n  1. c\n  2. d\n");
  EXPECT_EQ(rendered("9. a\n10. b\n"), " 9. a\n10. b\n");
  EXPECT_EQ(rendered("- one two three\n", 9), "• one two\n  three\n");
  EXPECT_EQ(rendered("- a\n\n- b\n"), "• a\n\n• b\n");
  EXPECT_EQ(rendered("- [x] a\n- [ ] b\n"), "• [x] a\n• [ ] b\n");
}

TEST(Markdown, QuotesHaveABar) {
  EXPECT_EQ(rendered("> a\n> b\n>\n> c"), "│ a\n│ b\n│\u0020\n│ c\n");
}

TEST(Markdown, TablesAlignByDisplayWidth) {
  EXPECT_EQ(rendered("|名称|n|m|\n|:--|--:|:-:|\n|苹果汁|12|a|\n|b|3|cde|\n"),
            "名称   │  n │  m\u0020\n"
            "───────┼────┼────\n"
            "苹果汁 │ 12 │  a\u0020\n"
            "b      │  3 │ cde\n");
}

TEST(Markdown, WideTablesAreWrappedThenPrintedAsRecords) {
  const std::string table = "|k|v|\n|---|---|\n|a|one two three|\n";
  EXPECT_EQ(rendered(table, 12), "k │ v\n──┼─────────\na │ one two\n  │ three\n");
  EXPECT_EQ(rendered("|k|v|w|x|y|\n|---|---|---|---|---|\n|aaaaaa|bbbbbb|cccccc|dddddd|e|\n", 20),
            "k: aaaaaa\nv: bbbbbb\nw: cccccc\nx: dddddd\ny: e\n");
}

TEST(Markdown, CodeIsHighlightedAndKeptAsItIs) {
  const auto lines = render_markdown("```python\nif  x:  # why\n    return \"a\" + 1\n```", 80);
  EXPECT_EQ(plain(lines[1]), "if  x:  # why");
  EXPECT_EQ(plain(lines[2]), "    return \"a\" + 1");
  EXPECT_NE(style_of(lines, "if").colour, 0);
  EXPECT_TRUE(style_of(lines, "# why").dim);
  EXPECT_NE(style_of(lines, "\"a\"").colour, style_of(lines, "return").colour);
}

TEST(Markdown, HtmlIsText) { EXPECT_EQ(rendered("<b>x</b> & y"), "<b>x</b> & y\n"); }

TEST(Markdown, EntitiesNeverBecomeControlCharacters) {
  EXPECT_EQ(rendered("&lt;&amp;&#65;&#x4e2d;"), "<&A中\n");
  EXPECT_EQ(rendered("&#27;[2J &#x9b;1m &#0; &#x110000; &#xD800; &#13;&unknown;"),
            "\uFFFD[2J \uFFFD1m \uFFFD \uFFFD \uFFFD \uFFFD&unknown;\n");
}

TEST(Markdown, DeepNestingAndNarrowWindowsStayInside) {
  std::string deep(2000, '>');
  for (int width : {2, 5, 20})
    for (const std::string& source : {deep + " text",
                                      std::string("- - - - - - - - - - x y z"),
                                      std::string("|a|b|\n|---|---|\n|中文中文|d|\n")})
      for (const StyledText& line : render_markdown(source, width))
        EXPECT_LE(display_width(line), width);
  EXPECT_NE(rendered(deep + " text").find("text"), std::string::npos);
}

TEST(CodeHighlighter, CarriesWhatIsOpenToTheNextLine) {
  CodeHighlighter highlighter("C++");
  EXPECT_TRUE(highlighter.highlight("int a; /* one").back().style.dim);
  EXPECT_TRUE(highlighter.highlight("two").back().style.dim);
  const StyledText last = highlighter.highlight("three */ int b;");
  EXPECT_TRUE(last.front().style.dim);
  EXPECT_FALSE(last.back().style.dim);
}

TEST(CodeHighlighter, LosesNothing) {
  std::mt19937 random(11);
  const std::string bytes = "\"'`/*#-<>!\\ aif1.中_\t{}";
  for (const char* language : {"python", "js", "sql", "html", "rust", "nonsense", ""}) {
    CodeHighlighter highlighter(language);
    for (int round = 0; round < 300; ++round) {
      std::string line;
      for (unsigned count = random() % 20; count > 0; --count)
        line += bytes[random() % bytes.size()];
      line = replace_invalid_utf8(line);
      EXPECT_EQ(plain(highlighter.highlight(line)), line) << language;
    }
  }
}

// ---- cutting the stream into blocks

std::vector<std::string> pieces_of(std::string_view source, std::size_t step) {
  MarkdownSplitter splitter;
  std::vector<std::string> out;
  const auto take = [&](const std::vector<MarkdownSplitter::Piece>& pieces) {
    constexpr const char* kNames[] = {"block", "begin", "line", "end"};
    for (const auto& piece : pieces)
      out.push_back(std::string(kNames[static_cast<int>(piece.kind)]) + ":" + piece.text);
  };
  for (; !source.empty(); source.remove_prefix(std::min(step, source.size())))
    take(splitter.push(source.substr(0, step)));
  take(splitter.finish());
  return out;
}

using Pieces = std::vector<std::string>;

TEST(MarkdownSplitter, BlocksEndWhereTheNextBegins) {
  EXPECT_EQ(pieces_of("# T\ntext\nmore\n\nnext", 1),
            (Pieces{"block:# T\n", "block:text\nmore\n\n", "block:next"}));
}

TEST(MarkdownSplitter, AListStaysOneBlockOverEmptyLines) {
  EXPECT_EQ(pieces_of("1. a\n\n2. b\n\n   c\n\nd", 1),
            (Pieces{"block:1. a\n\n2. b\n\n   c\n\n", "block:d"}));
}

TEST(MarkdownSplitter, CodeComesLineByLine) {
  EXPECT_EQ(
      pieces_of("see:\n```py x\na\n\n# no heading\n``` \nb", 1),
      (Pieces{
          "block:see:\n", "begin:py", "line:a", "line:", "line:# no heading", "end:", "block:b"}));
  EXPECT_EQ(pieces_of("~~~\n```\n", 1), (Pieces{"begin:", "line:```", "end:"}));
  EXPECT_EQ(pieces_of("````\n```\n````", 1), (Pieces{"begin:", "line:```", "end:"}));
}

TEST(MarkdownSplitter, ABlockIsOnlyFinishedOnceNothingCanChangeIt) {
  MarkdownSplitter splitter;
  EXPECT_TRUE(splitter.push("1. a\n\n2").empty());  // "2. b" may follow
  EXPECT_TRUE(splitter.push(". b\n\n").empty());
  EXPECT_EQ(splitter.push("t").size(), 1u);
  EXPECT_EQ(splitter.open(), "t");
  EXPECT_TRUE(splitter.push("itle\n").empty());
  EXPECT_TRUE(splitter.push("===\n").empty());  // a heading after all
}

TEST(MarkdownSplitter, PiecesDoNotDependOnHowTheTextArrives) {
  std::mt19937 random(5);
  const std::vector<std::string> parts = {"- a\n",
                                          "1. b\n",
                                          "\n",
                                          "text\n",
                                          "    x\n",
                                          "# h\n",
                                          "> q\n",
                                          "|a|b|\n",
                                          "|---|---|\n",
                                          "===\n",
                                          "```\n",
                                          "  y\n"};
  for (int round = 0; round < 300; ++round) {
    std::string source;
    for (unsigned count = random() % 14; count > 0; --count)
      source += parts[random() % parts.size()];
    const Pieces whole = pieces_of(source, source.size() + 1);
    EXPECT_EQ(pieces_of(source, 1), whole) << source;
    EXPECT_EQ(pieces_of(source, 5), whole) << source;
    // Cut or not, it looks the same: blocks are what md4c says they are.
    if (source.find("```") != source.npos) continue;
    std::string apart;
    for (const std::string& piece : whole)
      apart += (apart.empty() ? "" : "\n") + rendered(piece.substr(std::string("block:").size()));
    EXPECT_EQ(apart, rendered(source)) << source;
  }
}

}  // namespace
}  // namespace fastchat::serve
