// Colours for source code, line by line as it streams: comments, strings, numbers, keywords.
#pragma once

#include <string>
#include <string_view>

#include "serve/cli/styled_text.h"

namespace fastchat::serve {

struct CodeLanguage;

/// Good enough to read by, and no parser. Keeps what is open at the end of a line (a block comment,
/// a string of several lines), so that lines come in order.
class CodeHighlighter {
 public:
  /// `language` is the word behind the fence, such as "python" or "C++"; an unknown one gives plain
  /// text.
  explicit CodeHighlighter(std::string_view language);

  /// `line` without its newline.
  StyledText highlight(std::string_view line);

 private:
  const CodeLanguage* language_ = nullptr;
  std::string_view open_until_;  // what ends the comment or string that is open; empty: none is
  bool open_is_comment_ = false;
};

}  // namespace fastchat::serve
