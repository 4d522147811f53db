// One of the server's threads, with its connections.
#pragma once

#include <cstddef>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <unordered_set>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "http/connection.h"
#include "http/server_context.h"

namespace fastchat::http {

/// Any thread but its own, except where said otherwise.
class Worker {
 public:
  /// `connection_ended` is called on this worker's thread.
  Worker(ServerContext& context, std::function<void(const Connection&)> connection_ended);
  ~Worker();  // stops
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  boost::asio::io_context& io() { return io_; }

  /// Takes over a connection whose socket belongs to io(). Any thread.
  void adopt(Connection::Setup setup);

  /// Each connection closes now if idle, else after the exchange that runs.
  void begin_drain();
  /// Cuts all connections; returns how many answers that cut. Their handlers may still run.
  std::size_t cut_all();

  /// Ends the thread. There are no connections any more.
  void stop();

  bool is_this_thread() const { return thread_.get_id() == std::this_thread::get_id(); }

  /// Runs `task` on the worker's thread and waits for it.
  template <typename Task>
  void call(Task task) {
    std::latch done(1);
    boost::asio::post(io_, [&] {
      task();
      done.count_down();
    });
    done.wait();
  }

 private:
  void run();

  ServerContext& context_;
  std::function<void(const Connection&)> connection_ended_;
  boost::asio::io_context io_{1};  // run by one thread
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keep_running_;
  std::unordered_set<Connection*> connections_;  // its own thread only
  std::thread thread_;
};

}  // namespace fastchat::http
