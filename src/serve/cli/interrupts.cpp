#include "serve/cli/interrupts.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <string_view>

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/check.h"

namespace fastchat::serve {
namespace {

// A signal handler can reach globals only; these are lock-free, and write() is async-signal-safe.
std::atomic<int> num_interrupts{0};
std::atomic<bool> terminal_changed{false};
int wake_pipe[2] = {-1, -1};
constexpr int kSignals[] = {SIGINT, SIGWINCH, SIGCONT, SIGTERM, SIGPIPE};
constexpr std::size_t kNumSignals = std::size(kSignals);
struct sigaction previous[kNumSignals];
constexpr int kInterruptedStatus = 130;  // what shells report for a program ended by Ctrl-C

// The terminal as it was, for ends that nothing else comes after: without keys echoed, or with
// colours on, the shell would be hard to use.
termios terminal_before;
bool has_terminal = false;

void restore_terminal() {
  if (!has_terminal) return;
  tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
  constexpr std::string_view kPlain = "\x1b[0m\x1b[?2004l\r\n";
  if (isatty(STDOUT_FILENO) == 1) [[maybe_unused]]
    const ssize_t written = write(STDOUT_FILENO, kPlain.data(), kPlain.size());
}

void on_signal(int signal) {
  const int saved_errno = errno;
  if (signal == SIGTERM) {
    restore_terminal();
    std::signal(SIGTERM, SIG_DFL);
    std::raise(SIGTERM);
  } else if (signal == SIGINT) {
    if (num_interrupts.fetch_add(1) >= 1) {
      restore_terminal();
      _exit(kInterruptedStatus);
    }
  } else {
    terminal_changed = true;
  }
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
  errno = saved_errno;
}

}  // namespace

Interrupts::Interrupts() {
  check(pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) == 0,
        "no pipe for signals: {}",
        std::strerror(errno));
  clear();
  has_terminal = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
  for (std::size_t index = 0; index < kNumSignals; ++index) {
    struct sigaction action = {};
    action.sa_handler = kSignals[index] == SIGPIPE ? SIG_IGN : on_signal;
    sigemptyset(&action.sa_mask);  // no SA_RESTART: reads return with EINTR
    sigaction(kSignals[index], &action, &previous[index]);
  }
}

Interrupts::~Interrupts() {
  for (std::size_t index = 0; index < kNumSignals; ++index)
    sigaction(kSignals[index], &previous[index], nullptr);
  close(wake_pipe[0]);
  close(wake_pipe[1]);
  wake_pipe[0] = wake_pipe[1] = -1;
}

bool Interrupts::interrupted() { return num_interrupts > 0; }
void Interrupts::clear() { num_interrupts = 0; }
bool Interrupts::take_terminal_changed() { return terminal_changed.exchange(false); }
int Interrupts::wake_fd() { return wake_pipe[0]; }

void Interrupts::drain() {
  char bytes[64];
  while (read(wake_pipe[0], bytes, sizeof bytes) > 0) {
  }
}

}  // namespace fastchat::serve
