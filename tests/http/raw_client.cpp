#include "tests/http/raw_client.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace fastchat::http {
namespace {

sockaddr_storage socket_address(const std::string& address, std::uint16_t port, socklen_t* size) {
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *size = sizeof(*v6);
  } else {
    throw std::runtime_error("no address: " + address);
  }
  return storage;
}

}  // namespace

std::string Answer::header(std::string_view name) const {
  return std::string(headers.find(name).value_or("(none)"));
}

RawClient::RawClient(std::uint16_t port, const std::string& address) {
  socklen_t size = 0;
  const sockaddr_storage target = socket_address(address, port, &size);
  socket_ = ::socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&target), size) != 0) {
    const std::string reason = std::strerror(errno);
    ::close(socket_);
    throw std::runtime_error(fmt::format("connect to {}:{}: {}", address, port, reason));
  }
}

RawClient::RawClient(RawClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      input_(std::move(other.input_)),
      context_(std::move(other.context_)),
      tls_(std::move(other.tls_)) {}

RawClient::~RawClient() { close(); }

bool RawClient::start_tls() {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  tls_.reset(SSL_new(context_.get()));
  SSL_set_fd(tls_.get(), socket_);
  return SSL_connect(tls_.get()) == 1;
}

std::string RawClient::certificate_name() const {
  X509* certificate = SSL_get1_peer_certificate(tls_.get());
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
  X509_free(certificate);
  return name;
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                           : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawClient::receive() {
  char chunk[16384];
  errno = 0;
  const auto size =
      tls_ ? SSL_read(tls_.get(), chunk, sizeof(chunk)) : ::recv(socket_, chunk, sizeof(chunk), 0);
  if (size > 0) input_.append(chunk, static_cast<std::size_t>(size));
  if (size <= 0 && errno == EAGAIN) throw std::runtime_error("the server sends nothing");
  return size > 0;
}

std::string RawClient::take(std::size_t size) {
  while (input_.size() < size) {
    if (!receive()) {
      throw std::runtime_error(fmt::format("the connection ended after '{}'", input_));
    }
  }
  std::string taken = input_.substr(0, size);
  input_.erase(0, size);
  return taken;
}

std::string RawClient::read_until(std::string_view end) {
  std::size_t at = input_.find(end);
  while (at == std::string::npos) {
    if (!receive()) {
      throw std::runtime_error(fmt::format("the connection ended after '{}'", input_));
    }
    at = input_.find(end);
  }
  return take(at + end.size());
}

Answer RawClient::read_answer(bool to_head) {
  Answer answer;
  std::string head = read_until("\r\n\r\n");
  answer.status = std::stoi(head.substr(head.find(' ') + 1, 3));
  head.erase(0, head.find("\r\n") + 2);
  while (head != "\r\n") {
    const std::string line = head.substr(0, head.find("\r\n"));
    head.erase(0, line.size() + 2);
    const std::size_t colon = line.find(": ");
    answer.headers.add(line.substr(0, colon), line.substr(colon + 2));
  }
  if (to_head) return answer;
  if (const auto length = answer.headers.find("Content-Length")) {
    answer.body = take(std::stoul(std::string(*length)));
  } else if (answer.headers.contains("Transfer-Encoding")) {
    while (true) {
      const std::size_t size = std::stoul(read_until("\r\n"), nullptr, 16);
      answer.body += take(size);
      take(2);
      if (size == 0) break;
    }
  }
  return answer;
}

Answer RawClient::ask(std::string_view request) {
  if (!send(request)) throw std::runtime_error("the server has closed");
  return read_answer();
}

std::string RawClient::read_to_close() {
  while (receive()) {
  }
  return std::exchange(input_, {});
}

void RawClient::end_sending() { ::shutdown(socket_, SHUT_WR); }

void RawClient::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void RawClient::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close();
}

}  // namespace fastchat::http
