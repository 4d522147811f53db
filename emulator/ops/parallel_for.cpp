#include "emulator/ops/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace emulator {
namespace {

class Helpers {
 public:
  Helpers() {
    const unsigned cores = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
    for (unsigned i = 1; i < cores; ++i) std::thread([this] { serve(); }).detach();
    num_helpers_ = static_cast<int>(cores) - 1;
  }

  /// False when another operator, or a loop around this one, has the helpers.
  bool run(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
    if (num_helpers_ == 0 || busy_.test_and_set(std::memory_order_acquire)) return false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      body_ = &body;
      count_ = count;
      grain_ = grain;
      next_ = 0;
      open_ = true;
    }
    started_.notify_all();
    work();
    {
      // Helpers that have not woken up by now are not waited for.
      std::unique_lock<std::mutex> lock(mutex_);
      open_ = false;
      finished_.wait(lock, [this] { return active_ == 0; });
    }
    busy_.clear(std::memory_order_release);
    return true;
  }

 private:
  void work() {
    while (true) {
      const int64_t begin = next_.fetch_add(grain_);
      if (begin >= count_) return;
      (*body_)(begin, std::min(begin + grain_, count_));
    }
  }

  void serve() {
    while (true) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        started_.wait(lock, [this] { return open_ && next_ < count_; });
        ++active_;
      }
      work();
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--active_ == 0) finished_.notify_one();
    }
  }

  std::atomic_flag busy_;
  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable finished_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_ = 0;
  int num_helpers_ = 0;
  int active_ = 0;
  bool open_ = false;
};

}  // namespace

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  // Never destroyed: its threads may be inside at exit.
  static auto* const kHelpers = new Helpers;
  if (count > grain && kHelpers->run(count, grain, body)) return;
  if (count > 0) body(0, count);
}

}  // namespace emulator
