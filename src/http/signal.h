// Wakes a coroutine from another thread.
#pragma once

#include <chrono>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "http/moving_deadline.h"

namespace fastchat::http {

namespace asio = boost::asio;

/// Lives in a coroutine; all calls but notify() are made on the executor's thread. Notifications
/// coalesce: any number of them before a wait() end one wait(). The waker first stores what it has
/// (in its own queue), then notifies; the woken takes everything that is there.
///
/// A notification that meets no waiting coroutine is one atomic exchange. One that does puts the
/// signal into a lock-free list, and posts to the executor if the list was empty: a thread that
/// notifies many signals in a row pays for few posts. One coroutine waits at a time.
class Signal {
  class Core;
  class WakeList;

 public:
  using Clock = std::chrono::steady_clock;

  /// Any thread, copies freely. May outlive the signal and its executor; then it has no effect.
  class Notifier {
   public:
    void notify() const;

   private:
    friend class Signal;
    explicit Notifier(std::shared_ptr<Core> core);
    std::shared_ptr<Core> core_;
  };

  /// `executor` is that of an io_context which one thread runs. The context lives until a waiting
  /// coroutine has ended; to end one early, cancel it.
  explicit Signal(const asio::any_io_executor& executor);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  Notifier notifier() const;
  void notify() const;  // any thread

  /// True when notified since the last wait(), false when `deadline` passed first. A cancelled wait
  /// throws boost::system::system_error, as Asio's own operations do.
  asio::awaitable<bool> wait(Clock::time_point deadline = Clock::time_point::max());

 private:
  std::shared_ptr<Core> core_;
  MovingDeadline deadline_;
};

}  // namespace fastchat::http
