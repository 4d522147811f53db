// A deadline that is set anew all the time and seldom reached.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>

namespace fastchat::http {

/// Setting and clearing are assignments: the timer behind it is armed again only when it fires, or
/// for an earlier deadline than it was armed for. A stream sets one per token.
/// On the executor's thread only.
class MovingDeadline {
 public:
  using Clock = std::chrono::steady_clock;

  /// `passed` is called on the executor's thread each time a deadline is reached; it is cleared
  /// then.
  MovingDeadline(const boost::asio::any_io_executor& executor, std::function<void()> passed);
  ~MovingDeadline();
  MovingDeadline(const MovingDeadline&) = delete;
  MovingDeadline& operator=(const MovingDeadline&) = delete;

  void set(Clock::time_point deadline);
  void clear();

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the timer's handler, which may run later than this
};

}  // namespace fastchat::http
