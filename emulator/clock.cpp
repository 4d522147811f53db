#include "emulator/clock.h"

#include <algorithm>
#include <thread>

#include "emulator/settings.h"

namespace emulator {

PacedClock::PacedClock(double dilation)
    : dilation_(dilation), start_(std::chrono::steady_clock::now()) {}

Simulated PacedClock::now() const { return simulated(std::chrono::steady_clock::now() - start_); }

WallTime PacedClock::wall_time(Simulated at) const {
  return start_ + std::chrono::duration_cast<WallTime::duration>(at * dilation_);
}

PacedClock& paced_clock() {
  static PacedClock& clock = *new PacedClock(settings().dilation);  // workers may outlive main
  return clock;
}

Simulated HostClock::spend(Simulated cost) {
  const PacedClock& clock = paced_clock();
  if (!clock.holds()) return at_ += cost;
  const Simulated now = clock.now();
  at_ = std::max(at_, now - clock.simulated(kMaxBehind)) + cost;
  if (at_ > now + clock.simulated(kMaxAhead)) std::this_thread::sleep_until(clock.wall_time(at_));
  return at_;
}

void HostClock::wait_until(Simulated at) { at_ = std::max(at_, at); }

HostClock& host_clock() {
  thread_local HostClock clock;
  return clock;
}

}  // namespace emulator
