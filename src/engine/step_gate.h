// Tells threads how far another has come.
#pragma once

#include <atomic>
#include <cstdint>

namespace fastchat::engine {

/// One rank's thread posts the steps whose parts it has enqueued, in order; others wait for one, so
/// that events recorded there may be waited for. No locks: every step passes several.
class StepGate {
 public:
  void post(std::uint64_t step_id) {
    posted_.store(step_id, std::memory_order_release);
    posted_.notify_all();
  }
  void wait(std::uint64_t step_id) const {
    for (std::uint64_t seen; (seen = posted_.load(std::memory_order_acquire)) < step_id;)
      posted_.wait(seen, std::memory_order_acquire);
  }

 private:
  std::atomic<std::uint64_t> posted_{0};
};

}  // namespace fastchat::engine
