// A client that sends exactly the bytes it is told to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

#include "http/headers.h"

namespace fastchat::http {

struct Answer {
  int status = 0;
  Headers headers;
  std::string body;

  std::string header(std::string_view name) const;
};

/// Blocking. Reads give up after a minute, with an exception, so that a hanging test ends.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, const std::string& address = "127.0.0.1");
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;

  /// Speaks TLS from here on; any certificate will do. False if the handshake fails.
  bool start_tls();
  /// The name in the certificate that was presented.
  std::string certificate_name() const;

  /// False when the server has closed.
  bool send(std::string_view bytes);
  /// Whole answers to a request, one after another. `to_head`: of which only the head is sent.
  /// Throws std::runtime_error if the connection ends before.
  Answer read_answer(bool to_head = false);
  Answer ask(std::string_view request);
  /// Up to and with `end`, as sent. Throws as above.
  std::string read_until(std::string_view end);
  std::string read_to_close();

  void end_sending();
  void close();
  /// The server gets a reset.
  void reset();

 private:
  struct FreeTls {
    void operator()(SSL* tls) const { SSL_free(tls); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  // False at the end, or after a reset.
  bool receive();
  std::string take(std::size_t size);

  int socket_ = -1;
  std::string input_;
  std::unique_ptr<SSL_CTX, FreeTls> context_;
  std::unique_ptr<SSL, FreeTls> tls_;
};

}  // namespace fastchat::http
