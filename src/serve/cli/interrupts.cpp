#include "serve/cli/interrupts.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"

namespace fastchat::serve {
namespace {

// A signal handler can reach globals only; these are lock-free, and write() is async-signal-safe.
std::atomic<int> num_interrupts{0};
std::atomic<bool> terminal_changed{false};
int wake_pipe[2] = {-1, -1};
struct sigaction previous[4];
constexpr int kSignals[] = {SIGINT, SIGWINCH, SIGCONT, SIGPIPE};
constexpr int kInterruptedStatus = 130;  // what shells report for a program ended by Ctrl-C

void on_signal(int signal) {
  const int saved_errno = errno;
  if (signal == SIGINT) {
    if (num_interrupts.fetch_add(1) >= 1) _exit(kInterruptedStatus);
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
  for (int index = 0; index < 4; ++index) {
    struct sigaction action = {};
    action.sa_handler = kSignals[index] == SIGPIPE ? SIG_IGN : on_signal;
    sigemptyset(&action.sa_mask);  // no SA_RESTART: reads return with EINTR
    sigaction(kSignals[index], &action, &previous[index]);
  }
}

Interrupts::~Interrupts() {
  for (int index = 0; index < 4; ++index) sigaction(kSignals[index], &previous[index], nullptr);
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
