// Servers for tests.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "http/server.h"

namespace fastchat::http {

/// What a handler and its test tell each other.
class Event {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    happened_ = true;
    changed_.notify_all();
  }
  /// False if it does not happen within a minute.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [this] { return happened_; });
  }
  bool happened() {
    const std::lock_guard lock(mutex_);
    return happened_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool happened_ = false;
};

/// Collects what the access log is told.
struct LoggedAccess {
  std::string method;
  std::string path;
  std::string request_id;
  std::string remote_address;
  AccessRecord record;  // its views are not valid any more
};
class AccessLog {
 public:
  void add(const AccessRecord& record);
  /// Waits until there are `count`, a minute at most.
  std::vector<LoggedAccess> wait_for(std::size_t count);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<LoggedAccess> entries_;
};

/// By path:
///   /echo          200, the body back; header "Method" has the method
///   /show          200, what the request was parsed to, a line each
///   /stream        200, "one ", "two ", "three", streamed
///   /throw, /late  throws before, after beginning a stream
///   /nothing       returns without answering
/// All else 404.
asio::awaitable<void> answer_by_path(Exchange& exchange);

/// A request without a body.
std::string get(const std::string& path, const std::string& more_headers = "");
std::string post(const std::string& path, const std::string& body);

}  // namespace fastchat::http
