// One client's connection: requests in, answers out, one after another.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "http/client_input.h"
#include "http/moving_deadline.h"
#include "http/request_parser.h"
#include "http/server_context.h"
#include "http/transport.h"

namespace fastchat::http {

class ConnectionExchange;

/// On its worker's thread only. Alive while its coroutine runs or a read is under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  struct Setup {
    boost::asio::ip::tcp::socket socket;
    std::shared_ptr<boost::asio::ssl::context> tls;  // null: plain
    bool refused = false;                            // too many: answered 503, whatever it asks
  };

  /// `ended` is called once, when the connection is closed and its handler has returned.
  Connection(ServerContext& context, Setup setup, std::function<void(Connection&)> ended);

  void start();

  /// Closes it if it is idle. If not, the running exchange is its last.
  void begin_drain();

  /// Closes it, and cancels its handler. True if that cut an answer.
  bool cut();

  bool refused() const { return refused_; }

  // For the exchange.
  const asio::any_io_executor& executor() const { return executor_; }
  const ServerContext& context() const { return context_; }
  /// Returns when the system has taken all. Throws system_error if the client is gone.
  asio::awaitable<void> send(std::string_view bytes);
  bool client_gone() const { return client_gone_; }

 private:
  asio::awaitable<void> run();
  asio::awaitable<bool> open();
  asio::awaitable<bool> serve_next();
  asio::awaitable<bool> first_byte();
  asio::awaitable<bool> read_request(RequestParser& parser);
  asio::awaitable<bool> read_header(RequestParser& parser);
  asio::awaitable<bool> read_body(RequestParser& parser);
  asio::awaitable<void> refuse(const RequestParser& parser);
  asio::awaitable<bool> exchange(Request request, bool http_1_0, bool keep_alive);
  asio::awaitable<void> say_good_bye();

  void feed(RequestParser& parser);
  void lose_client();
  void on_write_deadline();
  void log_access(const Request& request, int status);
  void ended(const std::exception_ptr& failure);

  ServerContext& context_;
  const ServerLimits& limits_;
  const asio::any_io_executor executor_;
  const bool refused_;
  std::function<void(Connection&)> ended_;
  std::string remote_address_;
  Transport transport_;
  asio::cancellation_signal cancellation_;
  bool idle_ = true;  // nothing of a request is there
  bool served_any_ = false;
  bool answer_was_last_ = false;  // so the client is given time to take it
  bool cut_ = false;
  bool client_gone_ = false;
  ConnectionExchange* exchange_ = nullptr;  // while a handler runs

  ClientInput input_;
  MovingDeadline write_deadline_;

  // Of the present request.
  Clock::time_point began_;
  std::optional<Clock::time_point> first_byte_sent_;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace fastchat::http
