// Where the threads of ranks and the engine's meet outside of steps: at the start, for recovery, at
// the end.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>

namespace fastchat::engine {

/// Any thread.
class RankRendezvous {
 public:
  explicit RankRendezvous(std::size_t num_ranks) : num_ranks_(num_ranks) {}

  /// A rank has done what was asked of all.
  void answer() {
    const std::lock_guard lock(mutex_);
    ++num_answered_;
    changed_.notify_all();
  }
  void await_answers() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return num_answered_ == num_ranks_; });
    num_answered_ = 0;
  }

  void let_load() {
    const std::lock_guard lock(mutex_);
    may_load_ = true;
    changed_.notify_all();
  }
  /// False: the end has come first.
  bool await_load() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return may_load_ || is_stopping_; });
    return may_load_;
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    changed_.notify_all();
  }

  /// One more thread has been started, before let_load() or stop().
  void add_thread() {
    const std::lock_guard lock(mutex_);
    ++num_threads_;
  }
  /// Of a thread that uses its device no more: returns when all are so far.
  void await_idle_threads() {
    std::unique_lock lock(mutex_);
    ++num_idle_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return num_idle_ == num_threads_; });
  }

  /// Runs `work` and keeps the first failure of all; true: there was none.
  template <typename Work>
  bool attempt(Work&& work) {
    try {
      work();
      return true;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      return false;
    }
  }
  std::exception_ptr failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  const std::size_t num_ranks_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t num_answered_ = 0;
  std::size_t num_threads_ = 0;
  std::size_t num_idle_ = 0;
  bool may_load_ = false;
  bool is_stopping_ = false;
  std::exception_ptr failure_;
};

}  // namespace fastchat::engine
