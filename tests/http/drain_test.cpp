// Ends of a server: drained, stopped, destroyed.
#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "http/signal.h"
#include "tests/http/raw_client.h"
#include "tests/http/small_server.h"

namespace fastchat::http {
namespace {

using Clock = std::chrono::steady_clock;

// Streams "begun ", and "done" when told to.
struct HeldHandler {
  Event running;
  Event cancelled;
  Event told;
  std::mutex mutex;
  std::optional<Signal::Notifier> go_on;

  asio::awaitable<void> operator()(Exchange& exchange) {
    if (exchange.request().path != "/hold") {
      co_await answer_by_path(exchange);
      co_return;
    }
    Signal signal(exchange.executor());
    {
      const std::lock_guard lock(mutex);
      go_on = signal.notifier();
    }
    exchange.on_disconnect([this] { told.set(); });
    co_await exchange.begin_stream(200, "text/plain");
    co_await exchange.write("begun ");
    running.set();
    try {
      co_await signal.wait();
    } catch (const boost::system::system_error& error) {
      EXPECT_EQ(error.code(), asio::error::operation_aborted);
      cancelled.set();
      throw;
    }
    co_await exchange.end_stream("done");
  }

  void release() {
    const std::lock_guard lock(mutex);
    go_on->notify();
  }
};

// Until the server does not accept any more.
void wait_for_drain(std::uint16_t port) {
  try {
    while (true) {
      RawClient probe(port);
      std::this_thread::yield();
    }
  } catch (const std::runtime_error&) {
  }
}

TEST(Drain, LetsAStreamFinish) {
  HeldHandler handler;
  Server server({}, [&](Exchange& exchange) { return handler(exchange); });
  RawClient client(server.port());
  RawClient idle(server.port());
  EXPECT_EQ(idle.ask(get("/show")).status, 200);
  client.send(get("/hold"));
  ASSERT_TRUE(handler.running.wait());
  auto cut = std::async(std::launch::async,
                        [&] { return server.drain(Clock::now() + std::chrono::minutes(1)); });
  wait_for_drain(server.port());
  EXPECT_EQ(idle.read_to_close(), "");
  handler.release();
  EXPECT_EQ(client.read_answer().body, "begun done");
  EXPECT_EQ(client.read_to_close(), "");
  client.close();
  EXPECT_EQ(cut.get(), 0);
  EXPECT_EQ(server.stats().open_connections, 0);
  EXPECT_FALSE(handler.told.happened());
}

TEST(Drain, AnswersThatBeginLaterSayClose) {
  Event running;
  Event go_on;
  Server server({}, [&](Exchange& exchange) -> asio::awaitable<void> {
    running.set();
    asio::steady_timer timer(exchange.executor());
    while (!go_on.happened()) {
      timer.expires_after(std::chrono::milliseconds(1));
      co_await timer.async_wait(asio::use_awaitable);
    }
    co_await exchange.respond({});
  });
  RawClient client(server.port());
  client.send(get("/"));
  ASSERT_TRUE(running.wait());
  auto cut = std::async(std::launch::async,
                        [&] { return server.drain(Clock::now() + std::chrono::minutes(1)); });
  wait_for_drain(server.port());
  go_on.set();
  EXPECT_EQ(client.read_answer().header("Connection"), "close");
  client.close();
  EXPECT_EQ(cut.get(), 0);
}

TEST(Drain, RequestThatHasBegunIsAnswered) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  client.read_until("100 Continue\r\n\r\n");
  auto cut = std::async(std::launch::async,
                        [&] { return server.drain(Clock::now() + std::chrono::minutes(1)); });
  wait_for_drain(server.port());
  const Answer answer = client.ask("hello");
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.header("Connection"), "close");
  client.close();
  EXPECT_EQ(cut.get(), 0);
}

TEST(Drain, CutsWhatDoesNotEnd) {
  HeldHandler handler;
  Server server({}, [&](Exchange& exchange) { return handler(exchange); });
  RawClient client(server.port());
  client.send(get("/hold"));
  ASSERT_TRUE(handler.running.wait());
  EXPECT_EQ(server.drain(Clock::now() + std::chrono::milliseconds(50)), 1);
  EXPECT_TRUE(handler.cancelled.happened());
  EXPECT_TRUE(handler.told.happened());
  EXPECT_TRUE(client.read_to_close().ends_with("6\r\nbegun \r\n"));
  EXPECT_EQ(server.stats().cut_off, 1);
  EXPECT_EQ(server.stats().requests_in_flight, 0);
  EXPECT_EQ(server.drain(Clock::now()), 0);
}

TEST(Drain, DestructorCancelsHandlers) {
  HeldHandler handler;
  std::optional<Server> server;
  server.emplace(ServerOptions(), [&](Exchange& exchange) { return handler(exchange); });
  RawClient client(server->port());
  RawClient half(server->port());
  half.send("POST / HTTP/1.1\r\nHos");
  client.send(get("/hold"));
  ASSERT_TRUE(handler.running.wait());
  server.reset();
  EXPECT_TRUE(handler.cancelled.happened());
  handler.release();  // an engine that has not heard of it yet
  EXPECT_TRUE(client.read_to_close().ends_with("6\r\nbegun \r\n"));
}

TEST(Drain, StopMayBeRepeated) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get("/show")).status, 200);
  server.stop();
  server.stop();
  EXPECT_EQ(client.read_to_close(), "");
}

// Connections come, ask and go while the server ends.
TEST(Drain, UnderLoadLosesNobody) {
  for (int round = 0; round < 10; ++round) {
    std::optional<Server> server;
    server.emplace(ServerOptions(), answer_by_path);
    const std::uint16_t port = server->port();
    std::vector<std::thread> clients;
    std::atomic<int> answered{0};
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        try {
          while (true) {
            RawClient client(port);
            for (int request = 0; request < 5; ++request) {
              EXPECT_EQ(client.ask(get("/stream")).body, "one two three");
              ++answered;
            }
          }
        } catch (const std::runtime_error&) {
        }
      });
    }
    while (answered < 20) std::this_thread::yield();
    EXPECT_EQ(server->drain(Clock::now() + std::chrono::minutes(1)), 0);
    EXPECT_EQ(server->stats().open_connections, 0);
    server.reset();
    for (std::thread& client : clients) client.join();
  }
}

}  // namespace
}  // namespace fastchat::http
