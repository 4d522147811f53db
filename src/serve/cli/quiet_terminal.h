// A terminal that does not echo keys while an answer is drawn: they would get between its lines.
#pragma once

#include <termios.h>

namespace fastchat::serve {

/// What is typed meanwhile is kept for the next prompt; Ctrl-C and Ctrl-Z work as ever. Restores
/// the terminal when it goes. Does nothing where standard input is no terminal.
class QuietTerminal {
 public:
  QuietTerminal() = default;
  ~QuietTerminal() { restore(); }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;

  void silence();
  void restore();

 private:
  termios before_ = {};
  bool silent_ = false;
};

}  // namespace fastchat::serve
