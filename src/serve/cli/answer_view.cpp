#include "serve/cli/answer_view.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

#include "serve/cli/code_highlighter.h"
#include "serve/cli/interrupts.h"
#include "serve/cli/live_region.h"
#include "serve/cli/markdown.h"
#include "serve/cli/markdown_splitter.h"
#include "serve/cli/quiet_terminal.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRedrawEvery{40};
// A window smaller than this shows blocks when they are finished.
constexpr int kMinColumns = 16;
constexpr int kMinRows = 4;
constexpr int kTabStop = 4;

struct Window {
  int columns = 80;
  int rows = 24;
};

Window window_size() {
  Window window;
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    window.columns = size.ws_col;
    window.rows = size.ws_row;
  }
  return window;
}

class PlainAnswerView : public AnswerView {
 public:
  explicit PlainAnswerView(Console& console) : console_(console) {}
  void begin(Place) override {}
  void add(std::string_view piece) override { console_.write_foreign(piece); }
  void tick() override {}
  void finish() override { console_.write("\n"); }

 private:
  Console& console_;
};

class RichAnswerView : public AnswerView {
 public:
  explicit RichAnswerView(Console& console)
      : console_(console),
        colour_(colour_wanted()),
        region_([this](std::string_view text) { console_.write(text); }) {}

  void begin(Place place) override {
    if (place == Place::behind_role) console_.write("\n");
    terminal_.silence();
    splitter_ = {};
    region_ = LiveRegion([this](std::string_view text) { console_.write(text); });
    anything_shown_ = false;
    drawn_ = {};
  }

  void add(std::string_view piece) override {
    std::string text = without_control_characters(without_returns(piece));
    for (const MarkdownSplitter::Piece& finished : splitter_.push(text)) take(finished);
    dirty_ = true;
    tick();
  }

  void tick() override {
    const bool changed = Interrupts::take_terminal_changed();
    if (changed) {
      terminal_.silence();  // a shell may have had it meanwhile
      region_.invalidate();
    }
    const Clock::time_point now = Clock::now();
    if (!changed && (!dirty_ || now - drawn_ < kRedrawEvery)) return;
    drawn_ = now;
    draw();
  }

  void finish() override {
    for (const MarkdownSplitter::Piece& rest : splitter_.finish()) take(rest);
    draw();
    console_.write("\n");
    terminal_.restore();
  }

 private:
  // "\r\n" is a newline; a carriage return alone would be shown as U+FFFD.
  static std::string without_returns(std::string_view piece) {
    std::string text(piece);
    std::erase(text, '\r');
    return text;
  }

  // Rows beside the last column: a full row would leave the cursor in doubt.
  int text_width() const { return std::max(window_size().columns - 1, 2); }

  std::string line(const StyledText& text) const { return to_terminal(text, colour_); }

  void separate() {
    if (std::exchange(anything_shown_, true)) finished_.emplace_back();
  }

  void take(const MarkdownSplitter::Piece& piece) {
    switch (piece.kind) {
      case MarkdownSplitter::Kind::block:
        separate();
        for (const StyledText& text : render_markdown(piece.text, text_width()))
          finished_.push_back(line(text));
        break;
      case MarkdownSplitter::Kind::code_begin:
        separate();
        highlighter_ = CodeHighlighter(piece.text);
        finished_.push_back(line(code_header(piece.text, text_width())));
        break;
      case MarkdownSplitter::Kind::code_line:
        // Not broken by us: the terminal does it, and copies the line as one.
        finished_.push_back(line(highlighter_.highlight(piece.text)));
        break;
      case MarkdownSplitter::Kind::code_end:
        finished_.push_back(line(code_footer(text_width())));
        break;
    }
  }

  void draw() {
    const Window window = window_size();
    std::vector<std::string> open;
    if (window.columns >= kMinColumns && window.rows >= kMinRows) open = open_lines();
    const auto most = static_cast<std::size_t>(std::max(window.rows - 1, 1));
    if (open.size() > most)
      open.erase(open.begin(), open.end() - static_cast<std::ptrdiff_t>(most));
    region_.draw(std::exchange(finished_, {}), std::move(open));
    dirty_ = false;
  }

  std::vector<std::string> open_lines() const {
    std::vector<std::string> lines;
    const std::string_view source = splitter_.open();
    if (source.empty()) return lines;
    if (splitter_.in_code()) {
      CodeHighlighter ahead = highlighter_;  // the line will come again, whole
      for (const StyledText& text : chop(ahead.highlight(with_spaces(source)), text_width()))
        lines.push_back(line(text));
      return lines;
    }
    if (anything_shown_) lines.emplace_back();
    for (const StyledText& text : render_markdown(source, text_width()))
      lines.push_back(line(text));
    return lines;
  }

  static std::string with_spaces(std::string_view text) {
    std::string out;
    for (const char c : text)
      if (c == '\t')
        out.append(kTabStop, ' ');
      else
        out += c;
    return out;
  }

  Console& console_;
  bool colour_;
  LiveRegion region_;
  QuietTerminal terminal_;
  MarkdownSplitter splitter_;
  CodeHighlighter highlighter_{""};
  std::vector<std::string> finished_;  // lines to print for good with the next drawing
  bool anything_shown_ = false;
  bool dirty_ = false;
  Clock::time_point drawn_;
};

}  // namespace

std::unique_ptr<AnswerView> make_plain_answer_view(Console& console) {
  return std::make_unique<PlainAnswerView>(console);
}

std::unique_ptr<AnswerView> make_rich_answer_view(Console& console) {
  const char* term = std::getenv("TERM");
  if (!console.output_is_terminal() || term == nullptr || *term == '\0' ||
      std::string_view(term) == "dumb")
    return make_plain_answer_view(console);
  return std::make_unique<RichAnswerView>(console);
}

}  // namespace fastchat::serve
