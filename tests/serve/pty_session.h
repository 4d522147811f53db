// A program, or a function in a child process, at the other end of a pseudo-terminal.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace fastchat::serve {

class PtySession {
 public:
  static constexpr std::chrono::seconds kPatience{30};  // sanitizers on a busy machine

  /// Runs `body` in a child whose standard streams are the terminal; its result is the exit status.
  explicit PtySession(const std::function<int()>& body, const char* lang = "C") {
    winsize size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    std::fflush(nullptr);  // or the child would write it again
    pid_ = forkpty(&fd_, nullptr, nullptr, &size);
    if (pid_ != 0) return;
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LC_MESSAGES"}) unsetenv(name);
    setenv("LANG", lang, 1);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    int status = 1;
    try {
      status = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    std::fflush(nullptr);
    _exit(status);
  }
  /// Runs a program.
  explicit PtySession(std::vector<std::string> arguments, const char* lang = "C")
      : PtySession(
            [&] {
              std::vector<char*> argv;
              for (std::string& argument : arguments) argv.push_back(argument.data());
              argv.push_back(nullptr);
              execv(argv[0], argv.data());
              return 127;
            },
            lang) {}
  ~PtySession() {
    if (pid_ > 0 && !exited_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (fd_ >= 0) close(fd_);
  }
  PtySession(const PtySession&) = delete;
  PtySession& operator=(const PtySession&) = delete;

  void type(std::string_view keys) {
    while (!keys.empty()) {
      const ssize_t written = write(fd_, keys.data(), keys.size());
      if (written <= 0) return;
      keys.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  /// Waits until the program has read every whole line that was typed and has been echoed: Ctrl-C
  /// takes back what it has not. False when patience ends first.
  bool wait_until_read() {
    const int terminal = open(ptsname(fd_), O_RDONLY | O_NOCTTY | O_CLOEXEC);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    int unread_bytes = 1;
    while (ioctl(terminal, FIONREAD, &unread_bytes) == 0 && unread_bytes > 0 &&
           std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    close(terminal);
    return unread_bytes == 0;
  }
  void press_ctrl_c() { type("\x03"); }
  void press_ctrl_d() { type("\x04"); }
  void resize(unsigned short rows, unsigned short columns) {
    winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ioctl(fd_, TIOCSWINSZ, &size);
  }
  void terminate() { kill(pid_, SIGTERM); }
  /// Whether the terminal shows what is typed.
  bool echoes() const {
    termios state = {};
    return tcgetattr(fd_, &state) == 0 && (state.c_lflag & ECHO) != 0;
  }

  /// Waits until `wanted` appears after what the last expect() found. False when patience or the
  /// program ends first.
  bool expect(std::string_view wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      if (const std::size_t found = screen_.find(wanted, seen_); found != std::string::npos) {
        seen_ = found + wanted.size();
        return true;
      }
      if (!read_more(deadline)) return false;
    }
  }
  /// What came since the last expect() found something.
  std::string unseen() const { return screen_.substr(seen_); }
  /// Everything so far, for messages of failing tests.
  const std::string& screen() const { return screen_; }

  /// Reads to the end and gives the exit status; 128 + signal when a signal ended it.
  int wait() {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (read_more(deadline)) {
    }
    if (std::chrono::steady_clock::now() >= deadline) return -1;
    int status = 0;
    waitpid(pid_, &status, 0);
    exited_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool read_more(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd input = {.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&input, 1, static_cast<int>(left.count())) <= 0) return errno == EINTR;
    char bytes[4096];
    const ssize_t count = read(fd_, bytes, sizeof bytes);
    if (count <= 0) return false;  // EIO: the child has closed the terminal
    screen_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  int fd_ = -1;
  pid_t pid_ = -1;
  bool exited_ = false;
  std::string screen_;
  std::size_t seen_ = 0;
};

}  // namespace fastchat::serve
