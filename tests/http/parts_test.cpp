// The small parts: targets, headers, request ids, heads of answers.
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "http/exchange.h"
#include "http/headers.h"
#include "http/request_id.h"
#include "http/response_head.h"
#include "http/url.h"

namespace fastchat::http {
namespace {

TEST(Target, IsPathAndDecodedQuery) {
  const Target target = parse_target("/v1/models/a%2Fb?x=1&y=a+b%26&&z&x=2#fragment");
  EXPECT_EQ(target.path, "/v1/models/a%2Fb");
  ASSERT_EQ(target.query.size(), 4);
  EXPECT_EQ(target.query[0].value, "1");
  EXPECT_EQ(target.query[1].value, "a b&");
  EXPECT_EQ(target.query[2].name, "z");
  EXPECT_EQ(target.query[3].value, "2");
}

TEST(Request, FindsQueryParametersByName) {
  Request request;
  request.query = parse_target("/?a=1&b=2&a=3&c").query;
  EXPECT_EQ(request.query_value("a"), "1");
  EXPECT_EQ(request.query_value("c"), "");
  EXPECT_FALSE(request.query_value("A"));
}

TEST(Target, MayBeAWholeUrl) {
  EXPECT_EQ(parse_target("http://host:80/path?q").path, "/path");
  EXPECT_EQ(parse_target("http://host").path, "/");
  EXPECT_EQ(parse_target("http://host?q=1").path, "/");
  EXPECT_EQ(parse_target("http://host?q=1").query.size(), 1);
  EXPECT_EQ(parse_target("/a?u=http://x/y").path, "/a");
  EXPECT_EQ(parse_target("*").path, "*");
}

TEST(Target, InvalidEscapesStay) {
  EXPECT_EQ(percent_decode("a%2Fb+%41%"), "a/b+A%");
  EXPECT_EQ(percent_decode("%4"), "%4");
  EXPECT_EQ(percent_decode("%xy%4g"), "%xy%4g");
}

TEST(Headers, AreFoundInAnyCase) {
  Headers headers;
  headers.add("Content-Type", "a");
  headers.add("content-type", "b");
  EXPECT_EQ(headers.find("CONTENT-TYPE"), "a");
  EXPECT_FALSE(headers.find("Content"));
}

TEST(RequestId, IsTheSentOneIfPrintable) {
  EXPECT_EQ(request_id("a b~"), "a b~");
  EXPECT_NE(request_id("a\tb"), "a\tb");
  EXPECT_NE(request_id(""), "");
  EXPECT_NE(request_id(std::nullopt), request_id(std::nullopt));
}

TEST(ResponseHead, IsWritten) {
  Headers headers;
  headers.add("Retry-After", "1");
  EXPECT_EQ(to_bytes({.status = 429,
                      .content_type = "text/plain",
                      .headers = &headers,
                      .request_id = "7",
                      .content_length = 3,
                      .keep_alive = false}),
            "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
            "Connection: close\r\nX-Request-Id: 7\r\nRetry-After: 1\r\n\r\n");
}

TEST(ResponseHead, RefusesWhatWouldBreakIt) {
  const auto with = [](const std::string& name, const std::string& value) {
    Headers headers;
    headers.add(name, value);
    return to_bytes({.headers = &headers});
  };
  EXPECT_NO_THROW(with("X-Name", "value \xc3\xa9"));
  EXPECT_THROW(with("", "x"), std::invalid_argument);
  EXPECT_THROW(with("X Name", "x"), std::invalid_argument);
  EXPECT_THROW(with("X", "a\nb"), std::invalid_argument);
  EXPECT_THROW(with("content-length", "1"), std::invalid_argument);
  EXPECT_THROW(to_bytes({.status = 100}), std::invalid_argument);
  EXPECT_THROW(to_bytes({.content_type = "a\r\nb"}), std::invalid_argument);
}

}  // namespace
}  // namespace fastchat::http
