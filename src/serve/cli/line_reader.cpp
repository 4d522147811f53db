#include "serve/cli/line_reader.h"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "serve/cli/interrupts.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

// Bytes of standard input up to a mark.
class InputBuffer {
 public:
  // A terminal is opened anew, so that its reads can be non-blocking without changing the one that
  // the shell and our output share: Ctrl-C takes back what was typed, also after poll() saw it, and
  // a read that waits then would not hear of the signal that came just before.
  InputBuffer() {
    const char* const terminal = ttyname(STDIN_FILENO);
    if (terminal != nullptr) own_ = open(terminal, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own_ >= 0) input_ = own_;
  }
  ~InputBuffer() {
    if (own_ >= 0) close(own_);
  }
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  /// Up to `mark`, which is taken too; what is left of an input that ends without it; or why there
  /// is nothing.
  Line read_to(std::string_view mark) {
    for (;;) {
      if (const std::size_t end = buffer_.find(mark); end != std::string::npos)
        return take(end, end + mark.size());
      if (Interrupts::interrupted()) {
        Interrupts::clear();
        return {.kind = Line::Kind::interrupted, .text = ""};
      }
      if (!read_more()) {
        // A last line without its newline is a line; the end comes with the next call. (A terminal
        // can go on after Ctrl-D, so the end is asked for again each time.)
        if (!buffer_.empty()) return take(buffer_.size(), buffer_.size());
        return {.kind = Line::Kind::end_of_input, .text = ""};
      }
    }
  }

 private:
  Line take(std::size_t length, std::size_t consumed) {
    std::string text = buffer_.substr(0, length);
    buffer_.erase(0, consumed);
    if (text.ends_with('\r')) text.pop_back();
    return {.kind = Line::Kind::text, .text = replace_invalid_utf8(text)};
  }

  // False at the end of input. An interrupted wait is true: the caller looks at the flag.
  bool read_more() {
    pollfd inputs[] = {{.fd = input_, .events = POLLIN, .revents = 0},
                       {.fd = Interrupts::wake_fd(), .events = POLLIN, .revents = 0}};
    if (poll(inputs, 2, -1) < 0) return true;
    if (inputs[1].revents != 0) Interrupts::drain();
    if (inputs[0].revents == 0) return true;
    char bytes[4096];
    const ssize_t count = read(input_, bytes, sizeof bytes);
    if (count > 0) buffer_.append(bytes, static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
  }

  int own_ = -1;
  int input_ = STDIN_FILENO;
  std::string buffer_;
};

class PlainLineReader : public LineReader {
 public:
  explicit PlainLineReader(Console& console) : console_(console) {}

  Line read_line(std::string_view role) override {
    if (!role.empty()) console_.write_role(role);
    Line line = input_.read_to("\n");
    if (line.kind == Line::Kind::end_of_input && !role.empty()) console_.write("\n");
    return line;
  }
  void remember(std::string_view) override {}

 private:
  Console& console_;
  InputBuffer input_;
};

class ProgrammaticLineReader : public LineReader {
 public:
  explicit ProgrammaticLineReader(Console& console) : console_(console) {}

  Line read_line(std::string_view role) override {
    Line message = input_.read_to(std::string(kEndOfMessage) + "\n");
    if (message.kind != Line::Kind::text) return message;
    // The input may end right behind the mark, without its newline.
    if (message.text.ends_with(kEndOfMessage))
      message.text.resize(message.text.size() - kEndOfMessage.size());
    console_.write_role(role);
    console_.write_foreign(message.text + "\n");
    return message;
  }
  void remember(std::string_view) override {}

 private:
  Console& console_;
  InputBuffer input_;
};

}  // namespace

std::unique_ptr<LineReader> make_plain_line_reader(Console& console) {
  return std::make_unique<PlainLineReader>(console);
}

std::unique_ptr<LineReader> make_programmatic_line_reader(Console& console) {
  return std::make_unique<ProgrammaticLineReader>(console);
}

}  // namespace fastchat::serve
