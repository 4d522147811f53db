// What a client sends, read ahead of what is asked for.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/system/error_code.hpp>

#include "http/signal.h"
#include "http/transport.h"

namespace fastchat::http {

/// Reads by itself while there is room, so that a client that goes is noticed at any time: also
/// while a handler runs and nobody waits for bytes. On the executor's thread only.
class ClientInput {
 public:
  enum class Event { arrived, ended, timed_out };

  /// `on_end` is called once, when the client has closed, or the transport has been closed here.
  ClientInput(Transport& transport,
              const boost::asio::any_io_executor& executor,
              std::size_t max_bytes,
              std::function<void()> on_end);

  /// Reads from here on. `owner` owns this and the transport; each read keeps it alive.
  void start(std::weak_ptr<void> owner);

  /// Arrived, not taken.
  std::string_view bytes() const { return bytes_; }
  bool full() const { return bytes_.size() >= max_bytes_; }
  bool ended() const { return ended_; }
  void take(std::size_t size);
  /// Drops what is there, and what comes.
  void discard();

  /// Waits for further bytes. `ended`: no more follow, and all that came before has been reported.
  boost::asio::awaitable<Event> more(std::chrono::steady_clock::time_point deadline);

 private:
  void read();
  void on_read(boost::system::error_code error, std::size_t size);

  Transport& transport_;
  const std::size_t max_bytes_;
  std::function<void()> on_end_;
  std::weak_ptr<void> owner_;
  std::string bytes_;
  std::array<char, 16384> chunk_;  // one TLS record; of the read under way
  Signal signal_;
  bool reading_ = false;
  bool ended_ = false;
  bool discarding_ = false;
  std::uint64_t received_ = 0;
};

}  // namespace fastchat::http
