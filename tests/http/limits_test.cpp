// What the server answers itself: requests that are too large, too slow, or no HTTP.
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/http/raw_client.h"
#include "tests/http/small_server.h"

namespace fastchat::http {
namespace {

using std::chrono::milliseconds;

ServerOptions small_limits() {
  ServerOptions options;
  options.limits.header_bytes = 1000;
  options.limits.body_bytes = 1000;
  return options;
}

TEST(Limits, TooLargeABodyIs413) {
  Server server(small_limits(), answer_by_path);
  RawClient fitting(server.port());
  EXPECT_EQ(fitting.ask(post("/echo", std::string(1000, 'x'))).status, 200);
  const Answer answer = fitting.ask(post("/echo", std::string(1001, 'x')));
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(answer.body, "the request's body exceeds 1000 bytes\n");
  EXPECT_EQ(fitting.read_to_close(), "");
}

TEST(Limits, TooLargeAChunkedBodyIs413) {
  Server server(small_limits(), answer_by_path);
  RawClient client(server.port());
  std::string request = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) request += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_EQ(client.ask(request + "0\r\n\r\n").status, 413);
}

TEST(Limits, AClientThatGoesOnSendingStillSeesThe413) {
  Server server(small_limits(), answer_by_path);
  RawClient client(server.port());
  client.send(post("/echo", std::string(5 << 20, 'x')));
  EXPECT_EQ(client.read_answer().status, 413);
}

TEST(Limits, TooLargeAHeaderIs431) {
  Server server(small_limits(), answer_by_path);
  const std::string long_header = "X: " + std::string(2000, 'x') + "\r\n";
  EXPECT_EQ(RawClient(server.port()).ask(get("/show", long_header)).status, 431);
  EXPECT_EQ(RawClient(server.port()).ask("GET /" + std::string(2000, 'x')).status, 431);
}

TEST(Limits, SlowHeaderIs408) {
  ServerOptions options;
  options.limits.header_timeout = milliseconds(300);
  Server server(std::move(options), answer_by_path);
  RawClient client(server.port());
  const Answer answer = client.ask("GET /show HT");
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(answer.header("Connection"), "close");
  RawClient silent(server.port());
  EXPECT_EQ(silent.read_to_close(), "");
  EXPECT_EQ(server.stats().timeouts, 1);
}

TEST(Limits, SlowBodyIs408) {
  const std::string begun = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12";
  ServerOptions idle;
  idle.limits.body_idle_timeout = milliseconds(50);
  Server idle_server(std::move(idle), answer_by_path);
  EXPECT_EQ(RawClient(idle_server.port()).ask(begun).status, 408);
  ServerOptions total;
  total.limits.body_timeout = milliseconds(50);
  Server total_server(std::move(total), answer_by_path);
  EXPECT_EQ(RawClient(total_server.port()).ask(begun).status, 408);
}

TEST(Limits, IdleConnectionsAreClosed) {
  ServerOptions options;
  options.limits.idle_timeout = milliseconds(50);
  Server server(std::move(options), answer_by_path);
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get("/show")).status, 200);
  EXPECT_EQ(client.read_to_close(), "");
}

TEST(Limits, ConnectionsBeyondTheMostAre503) {
  ServerOptions options;
  options.limits.max_connections = 1;
  Server server(std::move(options), answer_by_path);
  RawClient served(server.port());
  EXPECT_EQ(served.ask(get("/show")).status, 200);
  RawClient refused(server.port());
  const Answer answer = refused.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_EQ(refused.read_to_close(), "");
  EXPECT_EQ(served.ask(get("/show")).status, 200);
  EXPECT_EQ(server.stats().refused, 1);
  EXPECT_EQ(server.stats().open_connections, 1);
}

TEST(Limits, MalformedRequestsAreRefused) {
  Server server({}, answer_by_path);
  const auto status_of = [&](const std::string& request) {
    return RawClient(server.port()).ask(request).status;
  };
  EXPECT_EQ(status_of("nonsense\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);  // no Host
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  const std::string post_head = "POST /echo HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(status_of(post_head + "Content-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status_of(post_head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
  EXPECT_EQ(status_of(post_head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400);
  EXPECT_EQ(status_of(post_head + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"), 400);
  EXPECT_EQ(status_of(post_head + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(
      status_of(post_head + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(100'000, 'x')),
      400);
  EXPECT_EQ(status_of(get("/echo", "Expect: miracles\r\n")), 417);
}

TEST(Limits, ProtocolErrorsAreShapedByTheHook) {
  ServerOptions options;
  options.hooks.protocol_error_body = [](int status, std::string_view message) {
    return ErrorBody{"application/json", fmt::format("{{\"{}\": \"{}\"}}", status, message)};
  };
  Server server(std::move(options), answer_by_path);
  RawClient client(server.port());
  const Answer answer = client.ask("GET / HTTP/1.1\r\nX-Request-Id: 7\r\n\r\n");
  EXPECT_EQ(answer.body, R"({"400": "expected one Host header, got 0"})");
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_EQ(answer.header("X-Request-Id"), "7");
}

TEST(Limits, BodyIsAskedForWhereTheClientWaits) {
  Server server(small_limits(), answer_by_path);
  const auto head = [](int size) {
    return fmt::format(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: {}\r\n\r\n",
        size);
  };
  RawClient client(server.port());
  client.send(head(5));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.ask("hello").body, "hello");
  EXPECT_EQ(client.ask(head(0)).status, 200);
  // Too large a body is refused before it is sent.
  EXPECT_EQ(client.ask(head(1001)).status, 413);
}

// The end of the requests is followed by one that closes, in case all before it was understood.
TEST(Limits, MutatedRequestsGetAnAnswerOrAClose) {
  constexpr unsigned kSeed = 20250801;
  constexpr int kBatches = 40;
  constexpr int kClients = 50;
  std::printf("seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  const std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: 1\r\n\r\n";
  const std::vector<std::string> requests = {
      get("/show?a=1&b=%20", "Accept: */*\r\nX-Request-Id: abc\r\n"),
      post("/echo", R"({"model": "demo"})"),
      chunked,
      "POST /stream HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
      "HEAD /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  };
  const std::string last = get("/show", "Connection: close\r\n");
  ServerOptions options;
  options.limits.header_timeout = milliseconds(100);
  options.limits.body_idle_timeout = milliseconds(100);
  Server server(std::move(options), answer_by_path);
  for (int batch = 0; batch < kBatches; ++batch) {
    std::vector<RawClient> clients;
    for (int i = 0; i < kClients; ++i) {
      std::string bytes = requests[random() % requests.size()];
      for (unsigned left = 1 + random() % 4; left > 0; --left) {
        const std::size_t at = random() % bytes.size();
        switch (random() % 4) {
          case 0:
            bytes[at] = static_cast<char>(random());
            break;
          case 1:
            bytes.erase(at, 1 + random() % 3);
            break;
          case 2:
            bytes.insert(at, bytes.substr(random() % bytes.size(), 1 + random() % 20));
            break;
          case 3:
            bytes.insert(at, 1, "\r\n: \t0;%"[random() % 8]);
            break;
        }
        if (bytes.empty()) bytes = "x";
      }
      clients.emplace_back(server.port());
      clients.back().send(bytes + last);
    }
    for (RawClient& client : clients) {
      const std::string answer = client.read_to_close();
      EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 ")) << answer;
    }
  }
  EXPECT_EQ(RawClient(server.port()).ask(post("/echo", "alive")).body, "alive");
}

}  // namespace
}  // namespace fastchat::http
