#include "http/connection_exchange.h"

#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "http/response_head.h"

namespace fastchat::http {
namespace {

// A body up to this size is copied behind its head, to leave in one packet train and one call.
constexpr std::size_t kMaxCopiedBody = 64 << 10;

Response default_unhandled() { return {500, "text/plain; charset=utf-8", "internal error\n"}; }

}  // namespace

ConnectionExchange::ConnectionExchange(Connection& connection,
                                       Request request,
                                       bool http_1_0,
                                       bool keep_alive)
    : connection_(connection),
      request_(std::move(request)),
      http_1_0_(http_1_0),
      keep_alive_(keep_alive) {}

asio::awaitable<void> ConnectionExchange::respond(const Response& response) {
  expect(State::unanswered, "respond");
  const bool keep_alive = keep_alive_ && !connection_.context().draining;
  const bool with_body = !is_head() && may_have_body(response.status);
  out_ = to_bytes({.status = response.status,
                   .content_type = response.content_type,
                   .headers = &response.headers,
                   .request_id = request_.id,
                   .content_length = response.body.size(),
                   .keep_alive = keep_alive});
  state_ = State::streaming;
  status_ = response.status;
  keep_alive_ = keep_alive;
  const bool copied = with_body && response.body.size() <= kMaxCopiedBody;
  if (copied) out_ += response.body;
  co_await connection_.send(out_);
  if (with_body && !copied) co_await connection_.send(response.body);
  state_ = State::complete;
}

asio::awaitable<void> ConnectionExchange::begin_stream(int status,
                                                       std::string_view content_type,
                                                       const Headers& headers) {
  expect(State::unanswered, "begin_stream");
  const bool keep_alive = keep_alive_ && !http_1_0_ && !connection_.context().draining;
  out_ = to_bytes({.status = status,
                   .content_type = content_type,
                   .headers = &headers,
                   .request_id = request_.id,
                   .chunked = !http_1_0_,
                   .keep_alive = keep_alive});
  state_ = State::streaming;
  status_ = status;
  keep_alive_ = keep_alive;
  sends_body_ = !is_head() && may_have_body(status);
  co_await connection_.send(out_);
}

asio::awaitable<void> ConnectionExchange::write(std::string_view piece) {
  expect(State::streaming, "write");
  if (!sends_body_ || piece.empty()) co_return;
  out_.clear();
  append_piece(piece);
  co_await connection_.send(out_);
}

asio::awaitable<void> ConnectionExchange::end_stream(std::string_view last) {
  expect(State::streaming, "end_stream");
  if (sends_body_) {
    out_.clear();
    if (!last.empty()) append_piece(last);
    if (!http_1_0_) out_ += "0\r\n\r\n";
    co_await connection_.send(out_);
  }
  state_ = State::complete;
}

void ConnectionExchange::append_piece(std::string_view piece) {
  if (http_1_0_) {
    out_ += piece;
    return;
  }
  fmt::format_to(std::back_inserter(out_), "{:x}\r\n", piece.size());
  out_ += piece;
  out_ += "\r\n";
}

void ConnectionExchange::on_disconnect(std::function<void()> callback) {
  on_disconnect_ = std::move(callback);
  if (client_gone()) tell_disconnect();
}

void ConnectionExchange::tell_disconnect() {
  const auto callback = std::exchange(on_disconnect_, nullptr);
  if (!callback) return;
  try {
    callback();
  } catch (const std::exception& failure) {
    log::error("request {}: on_disconnect failed: {}", request_.id, failure.what());
  }
}

asio::awaitable<void> ConnectionExchange::respond_unhandled(std::exception_ptr failure) {
  Response response = default_unhandled();
  try {
    const auto& hook = connection_.context().options.hooks.on_unhandled;
    if (hook) response = hook(request_, std::move(failure));
  } catch (const std::exception& hook_failure) {
    log::error("request {}: on_unhandled failed: {}", request_.id, hook_failure.what());
  }
  co_await respond(response);
}

void ConnectionExchange::expect(State state, std::string_view call) const {
  if (state_ == state) return;
  throw std::logic_error(fmt::format("{} called on an answer that is {}",
                                     call,
                                     state_ == State::unanswered  ? "not begun"
                                     : state_ == State::streaming ? "under way"
                                                                  : "complete"));
}

}  // namespace fastchat::http
