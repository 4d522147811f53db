// A blocking queue of fixed capacity between threads. Pushing and popping allocate nothing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace fastchat {

/// Any thread. T is default-constructible and movable.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : ring_(capacity) {}

  /// Blocks while the queue is full. False, and the value is dropped, when it is closed.
  bool push(T value) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [&] { return closed_ || size_ < ring_.size(); });
    if (closed_) return false;
    ring_[(first_ + size_) % ring_.size()] = std::move(value);
    ++size_;
    not_empty_.notify_one();
    return true;
  }

  /// Blocks while the queue is empty. Nothing once it is closed and drained.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return closed_ || size_ > 0; });
    if (size_ == 0) return std::nullopt;
    T value = std::move(ring_[first_]);
    first_ = (first_ + 1) % ring_.size();
    --size_;
    not_full_.notify_one();
    return value;
  }

  /// No more pushes; pops drain what is left.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    not_full_.notify_all();
    not_empty_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable not_empty_;
  std::vector<T> ring_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  bool closed_ = false;
};

}  // namespace fastchat
