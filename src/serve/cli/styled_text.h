// Text with attributes, measured and broken into lines for a terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastchat::serve {

struct TextStyle {
  bool bold = false;
  bool dim = false;
  bool italic = false;
  bool underline = false;
  bool strike = false;
  int colour = 0;  // SGR number of a foreground, 30 to 37 or 90 to 97; 0: the terminal's own
  bool operator==(const TextStyle&) const = default;
};

struct StyledRun {
  std::string text;  // well-formed UTF-8 without control characters other than newline
  TextStyle style;
};
using StyledText = std::vector<StyledRun>;

/// Columns that `text` takes on a terminal: East-Asian wide characters and emoji two, combining
/// ones none. A newline counts nothing.
int display_width(std::string_view text);
int display_width(const StyledText& text);

/// Adds to the last run where the style is the same.
void append(StyledText& text, std::string_view more, const TextStyle& style);
void append(StyledText& text, const StyledText& more);

/// `text` in lines of at most `width` columns (at least 2): broken at newlines, at spaces, between
/// East-Asian characters (but not before closing or after opening punctuation), and inside a word
/// only where the word alone is too long. Spaces at a break are dropped, nothing else. At least one
/// line.
std::vector<StyledText> wrap(const StyledText& text, int width);
/// The same, broken wherever a line is full: for code, where every space counts.
std::vector<StyledText> chop(const StyledText& text, int width);

/// With escape sequences for the attributes, all of them off again at the end. Without `colour`,
/// colours are left out; bold, underline and the like stay.
std::string to_terminal(const StyledText& text, bool colour);

}  // namespace fastchat::serve
