// Requests out of bytes, however these are cut.
#include <cstdio>
#include <random>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "http/request_parser.h"

namespace fastchat::http {
namespace {

const std::string kChunked =
    "POST /v1/x?q=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;name=\"v\"\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Request-Id: trailer\r\n\r\n";

// Feeds `bytes` as a connection does; returns what was not taken.
std::string feed(RequestParser& parser, std::string pending, std::string_view more) {
  pending += more;
  while (!parser.error() && !parser.done()) {
    const std::size_t taken = parser.feed(pending);
    if (taken == 0) break;
    pending.erase(0, taken);
  }
  return pending;
}

TEST(RequestParser, TakesRequestsCutAnywhere) {
  const std::string bytes = kChunked + "GET";
  for (std::size_t first = 0; first <= bytes.size(); ++first) {
    for (std::size_t second = first; second <= bytes.size(); second += 7) {
      RequestParser parser(1000, 1000);
      std::string pending = feed(parser, "", bytes.substr(0, first));
      pending = feed(parser, pending, bytes.substr(first, second - first));
      pending = feed(parser, pending, bytes.substr(second));
      ASSERT_FALSE(parser.error()) << first << " " << second << " " << parser.error()->message;
      ASSERT_TRUE(parser.done()) << first << " " << second;
      EXPECT_EQ(pending, "GET");
      const Request request = parser.take_request();
      EXPECT_EQ(request.body, "hello world");
      EXPECT_EQ(request.path, "/v1/x");
      // Trailers are no headers: they would come after those were acted upon.
      EXPECT_FALSE(request.header("X-Request-Id"));
    }
  }
}

TEST(RequestParser, KnowsWhetherTheConnectionStays) {
  const auto keeps = [](const std::string& head) {
    RequestParser parser(1000, 1000);
    feed(parser, "", head + "\r\n");
    EXPECT_TRUE(parser.done());
    return parser.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: a\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n"));
}

TEST(RequestParser, SurvivesMutatedBytesCutAnywhere) {
  constexpr unsigned kSeed = 20250802;
  std::printf("seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  int understood = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = kChunked;
    for (unsigned left = random() % 4; left > 0; --left) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
      bytes.erase(random() % bytes.size(), random() % 2);
    }
    RequestParser parser(1000, 1000);
    std::string pending;
    for (std::size_t at = 0; at < bytes.size() && !parser.error() && !parser.done();) {
      const std::size_t size = 1 + random() % 40;
      pending = feed(parser, pending, std::string_view(bytes).substr(at, size));
      at += size;
    }
    understood += parser.done() ? 1 : 0;
  }
  EXPECT_GT(understood, 0);
}

}  // namespace
}  // namespace fastchat::http
