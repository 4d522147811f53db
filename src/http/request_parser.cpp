#include "http/request_parser.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace fastchat::http {

namespace beast = boost::beast;

struct RequestParser::Parser : beast::http::request_parser<beast::http::string_body> {};

RequestParser::RequestParser(std::size_t max_header_bytes, std::size_t max_body_bytes)
    : parser_(std::make_unique<Parser>()),
      max_header_bytes_(max_header_bytes),
      max_body_bytes_(max_body_bytes) {
  parser_->header_limit(static_cast<std::uint32_t>(max_header_bytes));
  parser_->body_limit(max_body_bytes);
}

RequestParser::~RequestParser() = default;

bool RequestParser::done() const { return header_done_ && parser_->is_done(); }

std::size_t RequestParser::feed(std::string_view bytes) {
  std::size_t taken = 0;
  while (!error_ && taken < bytes.size() && !parser_->is_done()) {
    beast::error_code error;
    const std::size_t portion =
        parser_->put(boost::asio::const_buffer(bytes.data() + taken, bytes.size() - taken), error);
    taken += portion;
    if (error && error != beast::http::error::need_more) {
      if (error == beast::http::error::header_limit) {
        fail(431, fmt::format("the request's header exceeds {} bytes", max_header_bytes_));
      } else if (error == beast::http::error::body_limit ||
                 error == beast::http::error::buffer_overflow) {
        fail(413, fmt::format("the request's body exceeds {} bytes", max_body_bytes_));
      } else if (error == beast::http::error::bad_version) {
        fail(505, "expected HTTP/1.1 or HTTP/1.0");
      } else {
        fail(400, fmt::format("no valid HTTP request: {}", error.message()));
      }
    }
    if (!error_ && !header_done_ && parser_->is_header_done()) {
      finish_header();
      break;
    }
    if (portion == 0) break;
  }
  return taken;
}

void RequestParser::fail(int status, std::string message) {
  error_ = ProtocolError{status, std::move(message)};
}

void RequestParser::finish_header() {
  header_done_ = true;
  parser_->eager(true);
  const auto& message = parser_->get();
  request_.method = std::string(message.method_string());
  request_.target = std::string(message.target());
  Target target = parse_target(request_.target);
  request_.path = std::move(target.path);
  request_.query = std::move(target.query);
  // Copied now: Beast would put the trailers of a chunked body among them.
  for (const auto& field : message) {
    request_.headers.add(std::string(field.name_string()), std::string(field.value()));
  }
  check_header();
}

// What Beast lets pass. A request whose end two servers would see in different places is refused.
void RequestParser::check_header() {
  const auto count = [&](std::string_view name) {
    return std::count_if(
        request_.headers.fields.begin(), request_.headers.fields.end(), [&](const Header& field) {
          return equal_ignoring_case(field.name, name);
        });
  };
  if (const auto coding = request_.header("Transfer-Encoding")) {
    if (http_1_0()) return fail(400, "HTTP/1.0 has no Transfer-Encoding");
    if (count("Transfer-Encoding") > 1 || !equal_ignoring_case(*coding, "chunked")) {
      return fail(501, fmt::format("expected Transfer-Encoding: chunked, got '{}'", *coding));
    }
  }
  const auto hosts = count("Host");
  if (hosts > 1 || (hosts == 0 && !http_1_0())) {
    return fail(400, fmt::format("expected one Host header, got {}", hosts));
  }
  const auto expectation = request_.header("Expect");
  if (expectation && !equal_ignoring_case(*expectation, "100-continue")) {
    return fail(417, fmt::format("expected Expect: 100-continue, got '{}'", *expectation));
  }
}

bool RequestParser::expects_continue() const {
  return !parser_->is_done() && !http_1_0() && request_.headers.contains("Expect");
}

bool RequestParser::keep_alive() const { return parser_->keep_alive(); }

bool RequestParser::http_1_0() const { return parser_->get().version() < 11; }

Request RequestParser::take_request() {
  request_.body = std::move(parser_->get().body());
  return std::move(request_);
}

}  // namespace fastchat::http
