#include "http/listener.h"

#include <chrono>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/check.h"
#include "base/log.h"

namespace fastchat::http {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

// With several addresses, the port that is free on the first may be taken on another.
constexpr int kFreePortTries = 20;

// Out of descriptors or memory: accepting again at once would fail again at once.
constexpr std::chrono::milliseconds kPauseAfterFailure{100};

asio::ip::address parse_address(const std::string& text) {
  boost::system::error_code error;
  auto address = asio::ip::make_address(text, error);
  check(!error,
        "cannot listen on '{}': expected an IPv4 or IPv6 address, such as 127.0.0.1, ::1, 0.0.0.0 "
        "or ::",
        text);
  return address;
}

std::string explain(const boost::system::error_code& error, std::uint16_t port) {
  if (error == asio::error::address_in_use) {
    return fmt::format("port {} is in use; stop the program that uses it, or take another port",
                       port);
  }
  if (error == asio::error::access_denied) {
    return fmt::format("port {} is not open to this user; take one above 1023", port);
  }
  return error.message();
}

boost::system::error_code open(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  boost::system::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // So that "0.0.0.0" and "::" can both be given.
  if (!error && endpoint.protocol() == tcp::v6()) {
    acceptor.set_option(asio::ip::v6_only(true), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  return error;
}

}  // namespace

Listener::Listener(asio::io_context& io,
                   const std::vector<std::string>& addresses,
                   std::uint16_t port)
    : io_(io), pause_(io) {
  check(!addresses.empty(), "cannot listen: expected at least one address, got none");
  for (int tries_left = port == 0 ? kFreePortTries : 1; acceptors_.empty(); --tries_left) {
    port_ = port;
    for (const std::string& text : addresses) {
      tcp::acceptor acceptor(io_);
      const auto error = open(acceptor, tcp::endpoint(parse_address(text), port_));
      if (error == asio::error::address_in_use && tries_left > 1) {
        acceptors_.clear();
        break;
      }
      check(!error, "cannot listen on {}: {}", text, explain(error, port_));
      port_ = acceptor.local_endpoint().port();
      acceptors_.push_back(std::move(acceptor));
    }
  }
}

void Listener::start(std::function<Worker&()> next,
                     std::function<void(Worker&, tcp::socket)> deal) {
  next_ = std::move(next);
  deal_ = std::move(deal);
  for (tcp::acceptor& acceptor : acceptors_) {
    asio::co_spawn(io_, accept_from(acceptor), asio::detached);
  }
}

void Listener::close() {
  for (tcp::acceptor& acceptor : acceptors_) {
    boost::system::error_code ignored;
    acceptor.close(ignored);
  }
  pause_.cancel();
}

asio::awaitable<void> Listener::accept_from(tcp::acceptor& acceptor) {
  while (acceptor.is_open()) {
    Worker& worker = next_();
    boost::system::error_code error;
    tcp::socket socket =
        co_await acceptor.async_accept(asio::any_io_executor(worker.io().get_executor()),
                                       asio::redirect_error(asio::use_awaitable, error));
    if (!error) {
      deal_(worker, std::move(socket));
    } else if (acceptor.is_open() && error != asio::error::connection_aborted) {
      log::warn("cannot accept a connection: {}", error.message());
      pause_.expires_after(kPauseAfterFailure);
      co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

}  // namespace fastchat::http
