// One request out of bytes, within limits.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/exchange.h"

namespace fastchat::http {

/// A request that the server answers itself, and closes the connection.
struct ProtocolError {
  int status = 400;
  std::string message;  // what was expected, what came
};

/// Fed in any portions: header first, then body. What is not taken has to be there again, with
/// more behind it.
class RequestParser {
 public:
  RequestParser(std::size_t max_header_bytes, std::size_t max_body_bytes);
  ~RequestParser();

  /// Returns how many bytes it took: those of the header until header_done(), then those of the
  /// body; nothing past the end of the request, and nothing after an error.
  std::size_t feed(std::string_view bytes);

  bool header_done() const { return header_done_; }
  bool done() const;
  const std::optional<ProtocolError>& error() const { return error_; }
  /// Also for what the caller finds: a client that is too slow.
  void fail(int status, std::string message);

  // From here on: once header_done().
  /// The client waits for "100 Continue" before it sends the body.
  bool expects_continue() const;
  bool keep_alive() const;
  bool http_1_0() const;
  /// All but body, remote address, id, time.
  const Request& request() const { return request_; }

  /// With the body, once done().
  Request take_request();

 private:
  void finish_header();
  void check_header();

  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::size_t max_header_bytes_;
  std::size_t max_body_bytes_;
  bool header_done_ = false;
  std::optional<ProtocolError> error_;
  Request request_;
};

}  // namespace fastchat::http
