#include "http/worker.h"

#include <exception>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "base/log.h"

namespace fastchat::http {

Worker::Worker(ServerContext& context, std::function<void(const Connection&)> connection_ended)
    : context_(context),
      connection_ended_(std::move(connection_ended)),
      keep_running_(io_.get_executor()),
      thread_([this] { run(); }) {}

Worker::~Worker() { stop(); }

void Worker::stop() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

void Worker::run() {
  while (true) {
    try {
      io_.run();
      return;
    } catch (const std::exception& failure) {
      log::error("http worker: {}", failure.what());
    } catch (...) {
      log::error("http worker: unknown exception");
    }
  }
}

void Worker::adopt(Connection::Setup setup) {
  boost::asio::post(io_, [this, setup = std::move(setup)]() mutable {
    const auto connection =
        std::make_shared<Connection>(context_, std::move(setup), [this](Connection& ended) {
          connections_.erase(&ended);
          connection_ended_(ended);
        });
    connections_.insert(connection.get());
    connection->start();
  });
}

void Worker::begin_drain() {
  call([this] {
    for (Connection* connection : connections_) connection->begin_drain();
  });
}

std::size_t Worker::cut_all() {
  std::size_t answers_cut = 0;
  call([&] {
    // Held: a connection that is cut may end at once.
    std::vector<std::shared_ptr<Connection>> connections;
    for (Connection* connection : connections_)
      connections.push_back(connection->shared_from_this());
    for (const auto& connection : connections) answers_cut += connection->cut() ? 1 : 0;
  });
  return answers_cut;
}

}  // namespace fastchat::http
