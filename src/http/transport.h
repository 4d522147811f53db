// A connection's bytes: plain, or through TLS.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace fastchat::http {

/// One read and one write may be under way at a time, both on the executor's thread.
class Transport {
 public:
  /// Without `tls`: plain.
  Transport(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> tls)
      : socket_(std::move(socket)), context_(std::move(tls)) {
    if (context_) tls_.emplace(socket_, *context_);
  }

  bool encrypted() const { return tls_.has_value(); }

  template <typename Token>
  auto async_handshake(Token&& token) {
    return tls_->async_handshake(boost::asio::ssl::stream_base::server, std::forward<Token>(token));
  }
  /// Says good-bye inside TLS, and waits for the client's.
  template <typename Token>
  auto async_shutdown(Token&& token) {
    return tls_->async_shutdown(std::forward<Token>(token));
  }
  template <typename Token>
  auto async_read_some(boost::asio::mutable_buffer buffer, Token&& token) {
    if (tls_) return tls_->async_read_some(buffer, std::forward<Token>(token));
    return socket_.async_read_some(buffer, std::forward<Token>(token));
  }
  template <typename Token>
  auto async_write_some(boost::asio::const_buffer buffer, Token&& token) {
    if (tls_) return tls_->async_write_some(buffer, std::forward<Token>(token));
    return socket_.async_write_some(buffer, std::forward<Token>(token));
  }

  /// No more bytes to the client.
  void end_sending() {
    boost::system::error_code ignored;
    socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  }
  /// What is under way ends with an error. The system still delivers what it has taken.
  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  /// The same, and the system forgets what the client has not taken.
  void abort() {
    boost::system::error_code ignored;
    socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
  }

 private:
  boost::asio::ip::tcp::socket socket_;
  std::shared_ptr<boost::asio::ssl::context> context_;  // OpenSSL counts, Asio's callbacks do not
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
};

}  // namespace fastchat::http
