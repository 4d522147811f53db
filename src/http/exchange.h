// One request and its answer, as a handler sees them.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "http/headers.h"
#include "http/url.h"

namespace fastchat::http {

namespace asio = boost::asio;

struct Request {
  std::string method;  // as sent: "GET", "POST", …
  std::string target;  // as sent
  std::string path;    // see Target
  std::vector<QueryParameter> query;
  Headers headers;
  std::string body;
  std::string remote_address;                   // "127.0.0.1", "::1"
  std::string id;                               // the client's X-Request-Id, or a random one
  std::chrono::steady_clock::time_point began;  // when its first byte was there

  /// The first header, or query parameter, of that name.
  std::optional<std::string_view> header(std::string_view name) const { return headers.find(name); }
  std::optional<std::string_view> query_value(std::string_view name) const;
};

/// The server adds Content-Length or Transfer-Encoding, Connection and X-Request-Id; `headers` may
/// not hold them, nor Content-Type, nor line ends. An empty `content_type` sends none.
struct Response {
  // No aggregate: GCC 12 destroys the parts of one twice that is a temporary in a co_await.
  Response() = default;
  Response(int a_status, std::string a_content_type = {}, std::string a_body = {})
      : status(a_status), content_type(std::move(a_content_type)), body(std::move(a_body)) {}

  int status = 200;
  std::string content_type;
  std::string body;
  Headers headers;
};

/// Owned by the connection, alive until the handler's coroutine has returned. All calls are made on
/// executor()'s thread, one after another: answer whole with respond(), or in pieces with
/// begin_stream(), write()…, end_stream(). What is passed by reference lives until the co_await is
/// over.
///
/// Calls that send throw boost::system::system_error when the client is gone, or has read nothing
/// for the write timeout; std::logic_error when called out of order; std::invalid_argument for a
/// status below 200 or a header that may not be there.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const = 0;
  /// For other threads, to post to the connection's thread.
  virtual asio::any_io_executor executor() const = 0;

  virtual asio::awaitable<void> respond(const Response& response) = 0;

  /// Sends the head. The pieces follow in chunks, or to an HTTP/1.0 client until the connection
  /// closes. To a HEAD request the head alone is sent, and the pieces are dropped.
  virtual asio::awaitable<void> begin_stream(int status,
                                             std::string_view content_type,
                                             const Headers& headers = {}) = 0;
  /// Returns when the system has taken `piece`, so a slow reader slows its handler down.
  virtual asio::awaitable<void> write(std::string_view piece) = 0;
  /// `last` saves a packet where there is a last piece.
  virtual asio::awaitable<void> end_stream(std::string_view last = {}) = 0;

  /// `callback` is called on executor()'s thread, once, as soon as the client is seen to be gone,
  /// and at once if it already is. Gone means: it closed the connection or its sending half (a
  /// client that still reads after that is not told apart), reset it, or was cut off. The server
  /// reads ahead to see this; a client that sends more than the read-ahead of pipelined requests is
  /// seen to be gone by a failing write only.
  virtual void on_disconnect(std::function<void()> callback) = 0;
  virtual bool client_gone() const = 0;
};

/// Runs on the connection's thread; the thread serves others whenever it waits. It may wait on what
/// Asio can cancel (timers, sockets, Signal, everything of Exchange): a drain that runs out of time
/// and stop() cancel it, whereupon it throws boost::system::system_error.
using Handler = std::function<asio::awaitable<void>(Exchange&)>;

}  // namespace fastchat::http
