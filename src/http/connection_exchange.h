// The Exchange of a connection.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "http/connection.h"
#include "http/exchange.h"

namespace fastchat::http {

class ConnectionExchange final : public Exchange {
 public:
  ConnectionExchange(Connection& connection, Request request, bool http_1_0, bool keep_alive);

  const Request& request() const override { return request_; }
  asio::any_io_executor executor() const override { return connection_.executor(); }
  asio::awaitable<void> respond(const Response& response) override;
  asio::awaitable<void> begin_stream(int status,
                                     std::string_view content_type,
                                     const Headers& headers) override;
  asio::awaitable<void> write(std::string_view piece) override;
  asio::awaitable<void> end_stream(std::string_view last) override;
  void on_disconnect(std::function<void()> callback) override;
  bool client_gone() const override { return connection_.client_gone(); }

  // For the connection.
  /// The handler has thrown `failure` before answering, or has returned without (null).
  asio::awaitable<void> respond_unhandled(std::exception_ptr failure);
  void tell_disconnect();
  bool answer_begun() const { return state_ != State::unanswered; }
  bool answer_complete() const { return state_ == State::complete; }
  bool keep_alive() const { return keep_alive_; }
  int status() const { return status_; }

 private:
  enum class State { unanswered, streaming, complete };

  void expect(State state, std::string_view call) const;
  void append_piece(std::string_view piece);
  bool is_head() const { return request_.method == "HEAD"; }

  Connection& connection_;
  const Request request_;
  const bool http_1_0_;
  bool keep_alive_;
  bool sends_body_ = true;  // of a stream
  State state_ = State::unanswered;
  int status_ = 0;
  std::string out_;  // kept, for its memory
  std::function<void()> on_disconnect_;
};

}  // namespace fastchat::http
