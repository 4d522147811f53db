#include "http/response_head.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>

#include <fmt/format.h>
#include <boost/beast/http/status.hpp>

namespace fastchat::http {
namespace {

constexpr std::array<std::string_view, 5> kServersOwn = {
    "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "X-Request-Id"};

bool name_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool value_character(char c) {
  return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f');
}

void check_value(std::string_view name, std::string_view value) {
  if (!std::all_of(value.begin(), value.end(), value_character)) {
    throw std::invalid_argument(fmt::format("header {} has a control character", name));
  }
}

void check_header(const Header& header) {
  if (header.name.empty() || !std::all_of(header.name.begin(), header.name.end(), name_character)) {
    throw std::invalid_argument(fmt::format("'{}' is no header name", header.name));
  }
  for (const std::string_view own : kServersOwn) {
    if (equal_ignoring_case(header.name, own)) {
      throw std::invalid_argument(fmt::format("header {} is the server's to write", own));
    }
  }
  check_value(header.name, header.value);
}

}  // namespace

std::string to_bytes(const ResponseHead& head) {
  if (head.status < 200 || head.status > 599) {
    throw std::invalid_argument(fmt::format("status {}, expected 200 to 599", head.status));
  }
  const auto reason =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(head.status));
  std::string bytes;
  bytes.reserve(512);
  const auto out = std::back_inserter(bytes);
  fmt::format_to(
      out, "HTTP/1.1 {} {}\r\n", head.status, std::string_view(reason.data(), reason.size()));
  if (!head.content_type.empty()) {
    check_value("Content-Type", head.content_type);
    fmt::format_to(out, "Content-Type: {}\r\n", head.content_type);
  }
  if (may_have_body(head.status)) {
    if (head.content_length) fmt::format_to(out, "Content-Length: {}\r\n", *head.content_length);
    if (head.chunked) bytes += "Transfer-Encoding: chunked\r\n";
  }
  // Said in both cases: HTTP/1.0 clients close unless told otherwise.
  bytes += head.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  fmt::format_to(out, "X-Request-Id: {}\r\n", head.request_id);
  if (head.headers != nullptr) {
    for (const Header& header : head.headers->fields) {
      check_header(header);
      fmt::format_to(out, "{}: {}\r\n", header.name, header.value);
    }
  }
  bytes += "\r\n";
  return bytes;
}

bool may_have_body(int status) { return status != 204 && status != 304; }

}  // namespace fastchat::http
