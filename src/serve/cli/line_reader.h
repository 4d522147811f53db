// Where the user's lines come from: a terminal with editing (libedit), or anything else.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "serve/cli/console.h"

namespace fastchat::serve {

struct Line {
  enum class Kind { text, end_of_input, interrupted };
  Kind kind = Kind::end_of_input;
  std::string text;        // UTF-8, well-formed, without its newline
  bool discarded = false;  // with interrupted: there was something typed, which is gone
};

class LineReader {
 public:
  virtual ~LineReader() = default;
  /// Shows `role` and reads one line. An empty `role` shows nothing (further lines of --multiline).
  /// Ctrl-C discards what was typed and gives Kind::interrupted.
  virtual Line read_line(std::string_view role) = 0;
  /// Puts `text` where the arrow-up key finds it.
  virtual void remember(std::string_view text) = 0;
};

/// Reads standard input, as a file, a pipe, or a terminal whose driver does the editing. Needs
/// Interrupts.
std::unique_ptr<LineReader> make_plain_line_reader(Console& console);

/// For --style programmatic, where a program writes: a message ends with kEndOfMessage and a
/// newline and may have any number of lines; it is echoed behind its role. Needs Interrupts.
std::unique_ptr<LineReader> make_programmatic_line_reader(Console& console);
/// FastChat's mark, with the space before it.
inline constexpr std::string_view kEndOfMessage = " __END_OF_A_MESSAGE_47582648__";

/// Editing, history, and completion of `!!` commands with Tab on a terminal; a paste of several
/// lines, and Alt-Enter (or ESC and Enter), make one message.
/// nullptr when standard input or output is no terminal, the terminal cannot move its cursor, or
/// the C library has no UTF-8 locale at all. Sets LC_CTYPE. Needs Interrupts. One at a time.
std::unique_ptr<LineReader> make_edit_line_reader();

}  // namespace fastchat::serve
