// Listening sockets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "http/worker.h"

namespace fastchat::http {

/// Accepts on one or more addresses. Constructed by any thread; start() and close() are called on
/// the io_context's.
class Listener {
 public:
  using tcp = boost::asio::ip::tcp;

  /// Listens from here on. Port 0 takes one that is free on all addresses. Throws Failure.
  Listener(boost::asio::io_context& io,
           const std::vector<std::string>& addresses,
           std::uint16_t port);

  std::uint16_t port() const { return port_; }

  /// `next` names the worker for the next socket, which then belongs to that worker's io_context
  /// and is given to `deal`.
  void start(std::function<Worker&()> next, std::function<void(Worker&, tcp::socket)> deal);
  void close();

 private:
  boost::asio::awaitable<void> accept_from(tcp::acceptor& acceptor);

  boost::asio::io_context& io_;
  std::vector<tcp::acceptor> acceptors_;
  boost::asio::steady_timer pause_;
  std::uint16_t port_ = 0;
  std::function<Worker&()> next_;
  std::function<void(Worker&, tcp::socket)> deal_;
};

}  // namespace fastchat::http
