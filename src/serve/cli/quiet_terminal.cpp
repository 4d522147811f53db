#include "serve/cli/quiet_terminal.h"

#include <unistd.h>

namespace fastchat::serve {

void QuietTerminal::silence() {
  termios now = {};
  if (tcgetattr(STDIN_FILENO, &now) != 0) return;
  if (!silent_) before_ = now;
  now.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL);
  silent_ = tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
}

void QuietTerminal::restore() {
  if (silent_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  silent_ = false;
}

}  // namespace fastchat::serve
