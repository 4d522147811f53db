// A blocking queue of fixed capacity from one thread to another. Pushing and popping allocate
// nothing and take no lock; who has nothing to do sleeps.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace fastchat {

/// One thread pushes at a time, one pops. T is default-constructible and movable.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : ring_(capacity) {}

  /// Blocks while the queue is full. False, and the value is dropped, when it is closed.
  bool push(T value) {
    for (;;) {
      const std::uint32_t seen = pops_.load(std::memory_order_acquire);
      if (is_closed_.load(std::memory_order_acquire)) return false;
      if (num_pushed_ - num_popped_.load(std::memory_order_acquire) < ring_.size()) break;
      pops_.wait(seen, std::memory_order_acquire);
    }
    ring_[num_pushed_ % ring_.size()] = std::move(value);
    num_visible_.store(++num_pushed_, std::memory_order_release);
    pushes_.fetch_add(1, std::memory_order_release);
    pushes_.notify_one();
    return true;
  }

  /// Blocks while the queue is empty. Nothing once it is closed and drained.
  std::optional<T> pop() {
    const std::size_t first = num_popped_.load(std::memory_order_relaxed);
    for (;;) {
      const std::uint32_t seen = pushes_.load(std::memory_order_acquire);
      const bool is_closed = is_closed_.load(std::memory_order_acquire);
      if (num_visible_.load(std::memory_order_acquire) != first) break;
      if (is_closed) return std::nullopt;
      pushes_.wait(seen, std::memory_order_acquire);
    }
    T value = std::move(ring_[first % ring_.size()]);
    num_popped_.store(first + 1, std::memory_order_release);
    pops_.fetch_add(1, std::memory_order_release);
    pops_.notify_one();
    return value;
  }

  /// Any thread. No more pushes; pops drain what is left.
  void close() {
    is_closed_.store(true, std::memory_order_release);
    pushes_.fetch_add(1, std::memory_order_release);
    pops_.fetch_add(1, std::memory_order_release);
    pushes_.notify_all();
    pops_.notify_all();
  }

 private:
  std::vector<T> ring_;
  std::size_t num_pushed_ = 0;  // of the pushing thread
  std::atomic<std::size_t> num_visible_{0};
  std::atomic<std::size_t> num_popped_{0};
  // Waited on; closing counts too.
  std::atomic<std::uint32_t> pushes_{0}, pops_{0};
  std::atomic<bool> is_closed_{false};
};

}  // namespace fastchat
