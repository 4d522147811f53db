// An HTTP/1.1 server: sockets, TLS, limits, time-outs. What is asked and answered is the handler's.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/exchange.h"

namespace fastchat::http {

/// Files in PEM: the certificate first and then those that lead to its issuer; the key unencrypted.
struct TlsOptions {
  std::string certificate_chain_file;
  std::string key_file;
};

struct ServerLimits {
  std::size_t header_bytes = 64 << 10;                  // more: 431
  std::size_t body_bytes = 64 << 20;                    // more: 413
  std::size_t max_connections = 8192;                   // more are answered 503 and closed
  std::chrono::milliseconds header_timeout{10'000};     // TLS handshake; first to last byte: 408
  std::chrono::milliseconds body_timeout{120'000};      // the whole body: 408
  std::chrono::milliseconds body_idle_timeout{30'000};  // between two parts of it: 408
  std::chrono::milliseconds idle_timeout{75'000};       // between two requests: closed
  std::chrono::milliseconds write_timeout{30'000};      // the client takes nothing: cut off
};

/// How one exchange went.
struct AccessRecord {
  std::string_view method;  // empty, as is path, when the header could not be read
  std::string_view path;
  int status = 0;              // 0: no answer was begun
  std::uint64_t bytes_in = 0;  // header and body, before encryption
  std::uint64_t bytes_out = 0;
  std::chrono::nanoseconds duration{0};                        // first byte in to last byte out
  std::optional<std::chrono::nanoseconds> time_to_first_byte;  // first byte in to first byte out
  std::string_view remote_address;
  std::string_view request_id;
  bool client_gone = false;  // before the answer was complete
};

struct ErrorBody {
  std::string content_type;
  std::string body;
};

/// Called on the server's threads, several at a time.
struct ServerHooks {
  /// The answer where a handler has thrown before answering; nullptr: it returned without one.
  /// Default: 500, a line of text that does not quote the exception.
  std::function<Response(const Request&, std::exception_ptr)> on_unhandled;
  /// The body of answers that no handler is asked for: 400, 408, 413, 417, 431, 501, 503, 505.
  /// Default: the message as text.
  std::function<ErrorBody(int status, std::string_view message)> protocol_error_body;
  std::function<void(const AccessRecord&)> access_log;
};

struct ServerOptions {
  std::vector<std::string> addresses = {"127.0.0.1"};  // IPv4, IPv6; "::" is IPv6 only
  std::uint16_t port = 0;                              // 0: one that is free on all addresses
  int threads = 2;                                     // a connection stays on its thread
  std::optional<TlsOptions> tls;
  ServerLimits limits;
  ServerHooks hooks;
};

struct ServerStats {
  std::atomic<std::int64_t> open_connections{0};
  std::atomic<std::int64_t> requests_in_flight{0};  // a handler runs
  std::atomic<std::uint64_t> accepted{0};           // connections
  std::atomic<std::uint64_t> refused{0};            // connections, over max_connections
  std::atomic<std::uint64_t> timeouts{0};           // requests that came too slowly
  std::atomic<std::uint64_t> cut_off{0};  // answers cut: write timeout, end of a drain, stop
};

/// Serves from construction to stop(). Constructed, drained, stopped, destroyed by threads that are
/// not its own.
class Server {
 public:
  /// Throws Failure: port taken, bad address, bad certificate.
  Server(ServerOptions options, Handler handler);
  ~Server();  // stops
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;

  /// Reads the certificate files again, for handshakes from now on. An error says what is wrong
  /// with them; the server then keeps the certificate it had. Any thread.
  Result<void> reload_tls();

  /// Stops accepting, closes idle connections, lets running exchanges finish, closing their
  /// connections, and cuts those that have not by `deadline`. Returns the number of answers cut.
  std::size_t drain(std::chrono::steady_clock::time_point deadline);

  /// Cuts everything, cancels handlers and waits until they have returned.
  void stop();

  const ServerStats& stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastchat::http
