// The loading bar, on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace fastchat::serve {

/// A bar that redraws itself on a terminal; elsewhere a line now and then, at least kLineEvery
/// apart, and one at the end. update() from any thread.
class LoadProgress {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kRedrawEvery{100};
  static constexpr std::chrono::seconds kLineEvery{10};

  /// Writes to the file descriptor `fd`.
  LoadProgress(int fd, bool is_terminal, Clock::time_point now = Clock::now());
  /// Ends the bar's line when loading ended early.
  ~LoadProgress();
  LoadProgress(const LoadProgress&) = delete;
  LoadProgress& operator=(const LoadProgress&) = delete;

  void update(std::uint64_t done_bytes,
              std::uint64_t total_bytes,
              Clock::time_point now = Clock::now());

 private:
  void print(const std::string& text);
  std::string state(std::uint64_t done_bytes,
                    std::uint64_t total_bytes,
                    Clock::time_point now) const;

  std::mutex mutex_;
  int fd_;
  bool is_terminal_;
  bool bar_open_ = false;
  bool finished_ = false;
  Clock::time_point started_;
  Clock::time_point last_;
};

}  // namespace fastchat::serve
