#include "http/client_input.h"

#include <utility>

#include <boost/asio/buffer.hpp>

namespace fastchat::http {

namespace asio = boost::asio;

ClientInput::ClientInput(Transport& transport,
                         const asio::any_io_executor& executor,
                         std::size_t max_bytes,
                         std::function<void()> on_end)
    : transport_(transport), max_bytes_(max_bytes), on_end_(std::move(on_end)), signal_(executor) {}

void ClientInput::start(std::weak_ptr<void> owner) {
  owner_ = std::move(owner);
  read();
}

void ClientInput::take(std::size_t size) {
  bytes_.erase(0, size);
  read();
}

void ClientInput::discard() {
  discarding_ = true;
  take(bytes_.size());
}

asio::awaitable<ClientInput::Event> ClientInput::more(
    std::chrono::steady_clock::time_point deadline) {
  const std::uint64_t before = received_;
  while (received_ == before) {
    if (ended_) co_return Event::ended;
    const bool notified = co_await signal_.wait(deadline);
    if (!notified) co_return Event::timed_out;
  }
  co_return Event::arrived;
}

void ClientInput::read() {
  if (reading_ || ended_ || full()) return;
  reading_ = true;
  transport_.async_read_some(
      asio::buffer(chunk_),
      [this, owner = owner_.lock()](boost::system::error_code error, std::size_t size) {
        on_read(error, size);
      });
}

void ClientInput::on_read(boost::system::error_code error, std::size_t size) {
  reading_ = false;
  received_ += size;
  if (!discarding_) bytes_.append(chunk_.data(), size);
  if (error) {
    ended_ = true;
    on_end_();
  }
  signal_.notify();
  read();
}

}  // namespace fastchat::http
