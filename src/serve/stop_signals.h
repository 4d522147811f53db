// SIGINT, SIGTERM and SIGHUP of a server, taken by a thread of their own.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace fastchat::serve {

/// Made before any other thread, which inherit that these signals are blocked. Until
/// begin_serving() a signal to stop ends the process at once, as it would without this; so does the
/// second one later.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// `on_hangup`: called for each SIGHUP, on the thread of the signals.
  void begin_serving(std::function<void()> on_hangup);
  /// Until SIGINT or SIGTERM has come.
  void wait_for_stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_serving_ = false;
  bool is_stopped_ = false;
  bool is_over_ = false;
  std::function<void()> on_hangup_;
  std::thread thread_;
};

}  // namespace fastchat::serve
