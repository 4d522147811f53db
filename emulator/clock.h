// Modelled time, of the paced mode. Streams and host threads each carry a modelled clock; the wall
// clock only holds them back, so that what a sleep overshoots is not added up.
#pragma once

#include <chrono>

namespace emulator {

/// Simulated seconds; as a point in time, since the emulator was loaded.
using Simulated = std::chrono::duration<double>;
using WallTime = std::chrono::steady_clock::time_point;

/// What a thread may be ahead of the wall clock before it is held, and a thread of the client
/// behind it before the rest counts: its own work hides within. Wall time.
constexpr std::chrono::microseconds kMaxAhead{1000};
constexpr std::chrono::microseconds kMaxBehind{2000};

/// Converts between modelled and wall time by the one factor of the settings. Any thread.
class PacedClock {
 public:
  /// `dilation`: wall seconds per simulated second. 0: modelled times are kept, and nothing waits.
  explicit PacedClock(double dilation);

  /// Whether the wall clock counts at all.
  bool holds() const { return dilation_ > 0; }
  /// Where the wall clock stands in modelled time. For a clock that holds, as the next ones.
  Simulated now() const;
  /// When the wall clock gets there.
  WallTime wall_time(Simulated at) const;
  /// A stretch of wall time in modelled time.
  Simulated simulated(std::chrono::duration<double> wall) const { return wall / dilation_; }

 private:
  double dilation_;
  WallTime start_;
};

PacedClock& paced_clock();

/// The modelled clock of a thread that calls the runtime. That thread only.
class HostClock {
 public:
  /// The thread spends `cost` in a call: holds it back where it runs ahead of the wall clock.
  /// Returns when the call is done.
  Simulated spend(Simulated cost);
  /// The thread waited for something that ended `at`.
  void wait_until(Simulated at);

 private:
  Simulated at_{0};
};

/// Of the calling thread.
HostClock& host_clock();

}  // namespace emulator
