#include "serve/cli/console.h"

#include <cerrno>
#include <cstdlib>

#include <poll.h>
#include <unistd.h>

#include "base/check.h"
#include "serve/cli/utf8.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

// 0, or the errno that ended it.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // somebody made the terminal non-blocking: wait for room
      pollfd room = {.fd = fd, .events = POLLOUT, .revents = 0};
      poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

bool colour_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return (no_color == nullptr || *no_color == '\0') && term != nullptr &&
         std::string_view(term) != "dumb";
}

Console::Console(RoleStyle role_style)
    : role_style_(role_style),
      output_is_terminal_(isatty(STDOUT_FILENO) == 1),
      colour_(output_is_terminal_ && colour_wanted()) {}

void Console::write(std::string_view text) {
  const int error = write_all(STDOUT_FILENO, text);
  // EIO is a terminal that hung up.
  if (error == EPIPE || error == EIO) throw OutputClosed();
  check(error == 0,
        fmt::runtime(serve::text("cannot write to standard output: {}", "无法写入标准输出：{}")),
        system_text(error));
}

void Console::write_foreign(std::string_view text) {
  if (output_is_terminal_)
    write(without_control_characters(text));
  else
    write(text);
}

void Console::write_role(std::string_view role) {
  if (role_style_ == RoleStyle::programmatic) return write("[!OP:" + std::string(role) + "]: ");
  const std::string label = std::string(role) + ":";
  if (colour_)
    write("\x1b[1m" + label + "\x1b[0m ");
  else
    write(label + " ");
}

void Console::note(std::string_view line) { write_all(STDERR_FILENO, std::string(line) + "\n"); }

}  // namespace fastchat::serve
