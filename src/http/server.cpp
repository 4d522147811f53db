#include "http/server.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include <boost/asio/ip/tcp.hpp>

#include "base/check.h"
#include "base/log.h"
#include "http/listener.h"
#include "http/server_context.h"
#include "http/tls.h"
#include "http/worker.h"

namespace fastchat::http {
namespace {

using tcp = boost::asio::ip::tcp;

// So many of the connections above the limit are answered 503; any more are closed unanswered.
constexpr std::int64_t kMaxRefusing = 64;

// Handlers that are cancelled return in no time. One that does not is worth a line in the log.
constexpr std::chrono::seconds kPatience{10};

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, Handler handler) : context_{std::move(options), std::move(handler)} {
    check(context_.options.threads > 0,
          "expected at least one HTTP thread, got {}",
          context_.options.threads);
    if (context_.options.tls) certificate_.emplace(*context_.options.tls);
    for (int i = 0; i < context_.options.threads; ++i) {
      workers_.push_back(std::make_unique<Worker>(
          context_, [this](const Connection& connection) { connection_ended(connection); }));
    }
    listener_.emplace(workers_[0]->io(), context_.options.addresses, context_.options.port);
    workers_[0]->call([this] {
      listener_->start(
          [this]() -> Worker& { return *workers_[next_worker_++ % workers_.size()]; },
          [this](Worker& worker, tcp::socket socket) { deal(worker, std::move(socket)); });
    });
  }

  ~Impl() {
    stop();
    for (const auto& worker : workers_) worker->stop();
  }

  std::uint16_t port() const { return listener_->port(); }
  const ServerStats& stats() const { return context_.stats; }

  Result<void> reload_tls() {
    if (!certificate_) {
      return Error{ErrorCode::unsupported, "this server was started without TLS"};
    }
    return certificate_->reload();
  }

  std::size_t drain(std::chrono::steady_clock::time_point deadline) {
    const std::lock_guard lock(closing_);
    close_to_new();
    for (const auto& worker : workers_) worker->begin_drain();
    if (wait_for_end(deadline)) return 0;
    return cut_all();
  }

  void stop() {
    const std::lock_guard lock(closing_);
    close_to_new();
    cut_all();
  }

 private:
  // Accepts no more, on worker 0's thread.
  void close_to_new() {
    for (const auto& worker : workers_) {
      FASTCHAT_ASSERT(!worker->is_this_thread(), "a server is closed by one of its own threads");
    }
    context_.draining = true;
    workers_[0]->call([this] { listener_->close(); });
  }

  // On worker 0's thread; the socket belongs to `worker`.
  void deal(Worker& worker, tcp::socket socket) {
    if (context_.draining) return;
    ServerStats& stats = context_.stats;
    ++stats.accepted;
    const auto max_connections = static_cast<std::int64_t>(context_.options.limits.max_connections);
    const bool refused = stats.open_connections >= max_connections;
    if (refused) {
      ++stats.refused;
      if (num_refusing_ >= kMaxRefusing) return;
    }
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    ++(refused ? num_refusing_ : stats.open_connections);
    {
      const std::lock_guard lock(live_mutex_);
      ++num_live_;
    }
    worker.adopt({std::move(socket), certificate_ ? certificate_->current() : nullptr, refused});
  }

  std::size_t cut_all() {
    std::size_t answers_cut = 0;
    for (const auto& worker : workers_) answers_cut += worker->cut_all();
    while (!wait_for_end(std::chrono::steady_clock::now() + kPatience)) {
      log::error("http: cancelled handlers still run after {} s", kPatience.count());
    }
    return answers_cut;
  }

  bool wait_for_end(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(live_mutex_);
    return all_ended_.wait_until(lock, deadline, [this] { return num_live_ == 0; });
  }

  void connection_ended(const Connection& connection) {
    --(connection.refused() ? num_refusing_ : context_.stats.open_connections);
    const std::lock_guard lock(live_mutex_);
    if (--num_live_ == 0) all_ended_.notify_all();
  }

  ServerContext context_;
  std::optional<TlsCertificate> certificate_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::optional<Listener> listener_;  // runs on worker 0
  std::size_t next_worker_ = 0;       // worker 0's thread
  std::atomic<std::int64_t> num_refusing_{0};
  std::mutex closing_;  // one drain or stop at a time
  std::mutex live_mutex_;
  std::condition_variable all_ended_;
  std::int64_t num_live_ = 0;  // connections, refused ones too
};

Server::Server(ServerOptions options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {}

Server::~Server() = default;

std::uint16_t Server::port() const { return impl_->port(); }

Result<void> Server::reload_tls() { return impl_->reload_tls(); }

std::size_t Server::drain(std::chrono::steady_clock::time_point deadline) {
  return impl_->drain(deadline);
}

void Server::stop() { impl_->stop(); }

const ServerStats& Server::stats() const { return impl_->stats(); }

}  // namespace fastchat::http
