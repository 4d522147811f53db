// Clients that go, and clients that do not read.
#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "http/signal.h"
#include "tests/http/raw_client.h"
#include "tests/http/small_server.h"

namespace fastchat::http {
namespace {

// Waits until its client goes, then tries to write.
struct WaitingHandler {
  Event running;
  Event told;
  Event write_failed;
  std::atomic<int> times_told{0};

  asio::awaitable<void> operator()(Exchange& exchange) {
    if (exchange.request().path != "/wait") {
      co_await answer_by_path(exchange);
      co_return;
    }
    Signal gone(exchange.executor());
    exchange.on_disconnect([this, notifier = gone.notifier()] {
      ++times_told;
      told.set();
      notifier.notify();
    });
    co_await exchange.begin_stream(200, "text/plain");
    running.set();
    co_await gone.wait();
    EXPECT_TRUE(exchange.client_gone());
    try {
      co_await exchange.write("too late");
    } catch (const boost::system::system_error&) {
      write_failed.set();
    }
    exchange.on_disconnect([this] { ++times_told; });  // at once
  }
};

// What a client does once its handler runs, and whether the handler notices.
template <typename Leave>
void expect_noticed(Leave leave) {
  WaitingHandler handler;
  AccessLog log;
  ServerOptions options;
  options.hooks.access_log = [&](const AccessRecord& record) { log.add(record); };
  Server server(std::move(options), [&](Exchange& exchange) { return handler(exchange); });
  RawClient client(server.port());
  client.send(get("/wait"));
  ASSERT_TRUE(handler.running.wait());
  leave(client);
  EXPECT_TRUE(handler.told.wait());
  EXPECT_TRUE(handler.write_failed.wait());
  const auto entries = log.wait_for(1);
  ASSERT_EQ(entries.size(), 1);
  EXPECT_TRUE(entries[0].record.client_gone);
  EXPECT_EQ(entries[0].record.status, 200);
  EXPECT_EQ(handler.times_told, 2);
  EXPECT_EQ(server.stats().requests_in_flight, 0);
  EXPECT_EQ(RawClient(server.port()).ask(get("/show")).status, 200);
}

TEST(Disconnect, CloseIsNoticedWhileAHandlerRuns) {
  expect_noticed([](RawClient& client) { client.close(); });
}

TEST(Disconnect, ResetIsNoticed) {
  expect_noticed([](RawClient& client) { client.reset(); });
}

TEST(Disconnect, EndOfSendingCountsAsGone) {
  expect_noticed([](RawClient& client) { client.end_sending(); });
}

TEST(Disconnect, IsNoticedBehindAPipelinedRequest) {
  expect_noticed([](RawClient& client) {
    client.send(get("/show"));
    client.close();
  });
}

TEST(Disconnect, BytesReadAheadAreTheNextRequest) {
  Event running;
  Event go_on;
  Server server({}, [&](Exchange& exchange) -> asio::awaitable<void> {
    if (exchange.request().path == "/wait") {
      running.set();
      Signal never(exchange.executor());
      while (!go_on.happened()) {
        co_await never.wait(Signal::Clock::now() + std::chrono::milliseconds(1));
      }
    }
    co_await answer_by_path(exchange);
  });
  RawClient client(server.port());
  client.send(get("/wait"));
  ASSERT_TRUE(running.wait());
  client.send(post("/echo", "next"));
  go_on.set();
  EXPECT_EQ(client.read_answer().status, 404);
  EXPECT_EQ(client.read_answer().body, "next");
}

TEST(Disconnect, ReaderOfNothingIsCutOffAndHoldsUpNobody) {
  Event blocked_writer_failed;
  Event told;
  ServerOptions options;
  options.threads = 1;
  options.limits.write_timeout = std::chrono::milliseconds(300);
  Server server(std::move(options), [&](Exchange& exchange) -> asio::awaitable<void> {
    if (exchange.request().path != "/flood") {
      co_await answer_by_path(exchange);
      co_return;
    }
    exchange.on_disconnect([&] { told.set(); });
    co_await exchange.begin_stream(200, "text/plain");
    const std::string piece(100'000, 'x');
    try {
      while (true) co_await exchange.write(piece);
    } catch (const boost::system::system_error&) {
      blocked_writer_failed.set();
    }
  });
  RawClient slow(server.port());
  slow.send(get("/flood"));
  RawClient fast(server.port());
  int answers = 0;
  while (!blocked_writer_failed.happened()) {
    ASSERT_EQ(fast.ask(get("/stream")).body, "one two three");
    ++answers;
  }
  EXPECT_TRUE(told.wait());
  EXPECT_GT(answers, 0);
  EXPECT_EQ(fast.ask(get("/show")).status, 200);
  EXPECT_EQ(server.stats().cut_off, 1);
}

}  // namespace
}  // namespace fastchat::http
