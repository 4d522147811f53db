#include "serve/stop_signals.h"

#include <csignal>
#include <cstdlib>
#include <utility>

#include <pthread.h>
#include <unistd.h>

namespace fastchat::serve {
namespace {

sigset_t watched_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t signals = watched_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a client that has gone is an error of a write
  thread_ = std::thread([this] { run(); });
}

StopSignals::~StopSignals() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGHUP);
  thread_.join();
}

void StopSignals::begin_serving(std::function<void()> on_hangup) {
  const std::lock_guard lock(mutex_);
  on_hangup_ = std::move(on_hangup);
  is_serving_ = true;
}

void StopSignals::wait_for_stop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_stopped_; });
}

void StopSignals::run() {
  const sigset_t signals = watched_signals();
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    std::function<void()> on_hangup;
    {
      const std::lock_guard lock(mutex_);
      if (is_over_) return;
      if (signal == SIGHUP) {
        // Without a terminal, and before there is anything to read again, it is no reason to end.
        on_hangup = on_hangup_;
      } else {
        if (!is_serving_ || is_stopped_) _exit(128 + signal);
        is_stopped_ = true;
        changed_.notify_all();
      }
    }
    if (on_hangup) on_hangup();
  }
}

}  // namespace fastchat::serve
