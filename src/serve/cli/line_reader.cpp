#include "serve/cli/line_reader.h"

#include <cerrno>

#include <poll.h>
#include <unistd.h>

#include "serve/cli/interrupts.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

class PlainLineReader : public LineReader {
 public:
  explicit PlainLineReader(Console& console) : console_(console) {}

  Line read_line(std::string_view role) override {
    if (!role.empty()) console_.write_role(role);
    for (;;) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos)
        return take(end, end + 1);
      if (Interrupts::interrupted()) {
        Interrupts::clear();
        return {.kind = Line::Kind::interrupted, .text = ""};
      }
      if (!read_more()) {
        // A last line without its newline is a line; the end comes with the next call. (A terminal
        // can go on after Ctrl-D, so the end is asked for again each time.)
        if (!buffer_.empty()) return take(buffer_.size(), buffer_.size());
        if (!role.empty()) console_.write("\n");
        return {.kind = Line::Kind::end_of_input, .text = ""};
      }
    }
  }

  void remember(std::string_view) override {}

 private:
  Line take(std::size_t length, std::size_t consumed) {
    std::string text = buffer_.substr(0, length);
    buffer_.erase(0, consumed);
    if (text.ends_with('\r')) text.pop_back();
    return {.kind = Line::Kind::text, .text = replace_invalid_utf8(text)};
  }

  // False at the end of input. An interrupted wait is true: the caller looks at the flag.
  bool read_more() {
    pollfd inputs[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                       {.fd = Interrupts::wake_fd(), .events = POLLIN, .revents = 0}};
    if (poll(inputs, 2, -1) < 0) return true;
    if (inputs[1].revents != 0) Interrupts::drain();
    if (inputs[0].revents == 0) return true;
    char bytes[4096];
    const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
    if (count > 0) buffer_.append(bytes, static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
  }

  Console& console_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<LineReader> make_plain_line_reader(Console& console) {
  return std::make_unique<PlainLineReader>(console);
}

}  // namespace fastchat::serve
