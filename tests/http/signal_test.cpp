// Waking coroutines from other threads.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "http/moving_deadline.h"
#include "http/signal.h"

namespace fastchat::http {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(Signal, NotificationsBeforeAWaitCoalesce) {
  asio::io_context io(1);
  Signal signal(io.get_executor());
  std::vector<bool> results;
  const auto body = [&]() -> asio::awaitable<void> {
    signal.notify();
    signal.notify();
    results.push_back(co_await signal.wait());
    results.push_back(co_await signal.wait(Clock::now() + milliseconds(1)));
    results.push_back(co_await signal.wait(Clock::now() - milliseconds(1)));
    signal.notify();
    results.push_back(co_await signal.wait(Clock::now() - milliseconds(1)));
  };
  asio::co_spawn(io, body, asio::detached);
  io.run();
  EXPECT_EQ(results, (std::vector<bool>{true, false, false, true}));
}

TEST(Signal, LaterDeadlineFollowsAnEarlierOne) {
  asio::io_context io(1);
  Signal signal(io.get_executor());
  int waits = 0;
  const auto body = [&]() -> asio::awaitable<void> {
    for (const int wait_ms : {5, 1, 10, 0, 3}) {
      const auto deadline = Clock::now() + milliseconds(wait_ms);
      const bool notified = co_await signal.wait(deadline);
      EXPECT_FALSE(notified);
      EXPECT_GE(Clock::now(), deadline);
      ++waits;
    }
  };
  asio::co_spawn(io, body, asio::detached);
  io.run();
  EXPECT_EQ(waits, 5);
}

// The waker announces each number; whatever the waits end by, the last number is seen.
TEST(Signal, NoNotificationIsLostWhileWaitsTimeOut) {
  constexpr int kLast = 50'000;
  asio::io_context io(1);
  std::atomic<int> announced{0};
  std::optional<Signal> signal(io.get_executor());
  int by_notification = 0;
  int by_time = 0;
  const auto body = [&]() -> asio::awaitable<void> {
    for (int round = 0; announced.load(std::memory_order_relaxed) < kLast; ++round) {
      const auto deadline =
          round % 3 == 0 ? Clock::time_point::max() : Clock::now() + microseconds(round % 7);
      const bool notified = co_await signal->wait(deadline);
      ++(notified ? by_notification : by_time);
    }
    signal.reset();
  };
  asio::co_spawn(io, body, asio::detached);
  std::thread waker([&, notifier = signal->notifier()] {
    for (int number = 1; number <= kLast; ++number) {
      announced.store(number, std::memory_order_relaxed);
      notifier.notify();
      // At full speed for a while, then with pauses about as long as the waits.
      const auto pause_end = Clock::now() + microseconds(number % 1000 < 500 ? 0 : number % 11);
      while (Clock::now() < pause_end) {
      }
    }
    // The coroutine may have ended, and its signal with it.
    for (int i = 0; i < 1000; ++i) notifier.notify();
  });
  io.run();
  waker.join();
  EXPECT_GT(by_notification, 0);
  std::printf("%d by notification, %d by time\n", by_notification, by_time);
}

TEST(Signal, OneThreadWakesManyCoroutines) {
  constexpr int kStreams = 500;
  constexpr int kTokens = 50;
  struct Stream {
    explicit Stream(const asio::any_io_executor& executor) : signal(executor) {}
    Signal signal;
    std::atomic<int> produced{0};
    int taken = 0;
  };
  asio::io_context io(1);
  std::vector<std::unique_ptr<Stream>> streams;
  int ended = 0;
  const auto body = [&](Stream& stream) -> asio::awaitable<void> {
    while (stream.taken < kTokens) {
      co_await stream.signal.wait(Clock::now() + std::chrono::seconds(15));
      stream.taken = stream.produced;
    }
    if (++ended == kStreams) io.stop();  // not before the deadlines, by itself
  };
  for (int i = 0; i < kStreams; ++i) {
    streams.push_back(std::make_unique<Stream>(io.get_executor()));
    asio::co_spawn(io, body(*streams.back()), asio::detached);
  }
  std::thread engine([&] {
    for (int token = 0; token < kTokens; ++token) {
      for (const auto& stream : streams) {
        ++stream->produced;
        stream->signal.notify();
      }
    }
  });
  io.run();
  engine.join();
  for (const auto& stream : streams) EXPECT_EQ(stream->taken, kTokens);
}

TEST(Signal, CancelledWaitThrows) {
  asio::io_context io(1);
  asio::cancellation_signal cancellation;
  bool cancelled = false;
  const auto body = [&]() -> asio::awaitable<void> {
    Signal signal(io.get_executor());
    try {
      co_await signal.wait();
    } catch (const boost::system::system_error&) {
      cancelled = true;
    }
  };
  asio::co_spawn(
      io, body, asio::bind_cancellation_slot(cancellation.slot(), [](const std::exception_ptr&) {
      }));
  asio::post(io, [&] { cancellation.emit(asio::cancellation_type::terminal); });
  io.run();
  EXPECT_TRUE(cancelled);
}

TEST(Signal, CancellationMayMeetANotification) {
  for (int round = 0; round < 2000; ++round) {
    asio::io_context io(1);
    asio::cancellation_signal cancellation;
    std::optional<Signal> signal(io.get_executor());
    bool ended = false;
    const auto body = [&]() -> asio::awaitable<void> {
      try {
        while (true) co_await signal->wait();
      } catch (const boost::system::system_error&) {
        ended = true;
      }
      signal.reset();
    };
    std::atomic<bool> stop{false};
    asio::co_spawn(
        io, body, asio::bind_cancellation_slot(cancellation.slot(), [&](const std::exception_ptr&) {
          stop = true;
        }));
    std::thread waker([&, notifier = signal->notifier()] {
      asio::post(io, [&] { cancellation.emit(asio::cancellation_type::terminal); });
      while (!stop) notifier.notify();
    });
    io.run();
    waker.join();
    EXPECT_TRUE(ended);
  }
}

TEST(Signal, NotifierOutlivesSignalAndExecutor) {
  std::optional<Signal::Notifier> notifier;
  {
    asio::io_context io(1);
    Signal signal(io.get_executor());
    notifier = signal.notifier();
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> { co_await signal.wait(Clock::now() + milliseconds(1)); },
        asio::detached);
    io.run();
  }
  notifier->notify();
}

TEST(MovingDeadline, PassesOncePerDeadline) {
  asio::io_context io(1);
  std::vector<Clock::time_point> passed;
  MovingDeadline deadline(io.get_executor(), [&] { passed.push_back(Clock::now()); });
  const auto start = Clock::now();
  for (int i = 0; i < 1000; ++i) deadline.set(start + std::chrono::hours(1));
  deadline.set(start + milliseconds(1));
  deadline.set(start + milliseconds(5));  // armed for the earlier one, and armed again
  io.run();
  ASSERT_EQ(passed.size(), 1);
  EXPECT_GE(passed[0], start + milliseconds(5));
  io.restart();
  deadline.set(Clock::now() + milliseconds(1));
  deadline.clear();
  io.run();
  EXPECT_EQ(passed.size(), 1);
}

}  // namespace
}  // namespace fastchat::http
