// WaitWord: a 32-bit value that threads wait on, first spinning, then asleep in the kernel.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace fastchat::device {

/// Tells the core that this is a spin loop; the other hardware thread and the power budget profit.
inline void spin_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Host threads do not poll: the devices' threads have the cores, and one of them runs what the
/// host waits for. A task, a record and a wait for it took 85 us (median, 2 cores) with 40 us of
/// polling here, and 1.5 us without.
inline constexpr std::chrono::microseconds kHostSpin{0};

/// Any thread. Sequentially consistent throughout: a waiter that announces itself and then reads
/// the value, and a writer that writes the value and then looks for waiters, cannot both miss each
/// other.
class alignas(64) WaitWord {
 public:
  explicit WaitWord(std::uint32_t value = 0) : value_(value) {}

  std::uint32_t load() const { return value_.load(); }
  /// Writes without waking anyone; call wake() when a waiter's condition may hold.
  void store(std::uint32_t value) { value_.store(value); }
  void store_and_wake(std::uint32_t value) {
    value_.store(value);
    wake();
  }
  void add(std::uint32_t amount) { value_.fetch_add(amount); }
  /// Subtracts and returns what is left.
  std::uint32_t subtract(std::uint32_t amount) { return value_.fetch_sub(amount) - amount; }
  void wake() {
    if (num_sleepers_.load() != 0) value_.notify_all();
  }

  /// Blocks until done(value) and returns that value. Polls for `spin`, then sleeps until wake().
  template <typename Done>
  std::uint32_t wait(std::chrono::microseconds spin, Done&& done) {
    std::uint32_t seen = load();
    if (done(seen)) return seen;
    if (spin.count() > 0) {
      const auto deadline = std::chrono::steady_clock::now() + spin;
      do {
        for (int i = 0; i < kPausesPerClockRead; ++i) {
          spin_pause();
          seen = load();
          if (done(seen)) return seen;
        }
      } while (std::chrono::steady_clock::now() < deadline);
    }
    num_sleepers_.fetch_add(1);
    while (!done(seen = load())) value_.wait(seen);
    num_sleepers_.fetch_sub(1);
    return seen;
  }

 private:
  // A pause takes 10 to 150 cycles depending on the core, a clock read about 60.
  static constexpr int kPausesPerClockRead = 16;

  std::atomic<std::uint32_t> value_;
  std::atomic<std::uint32_t> num_sleepers_{0};
};

}  // namespace fastchat::device
