// What a card did and when, for the report and the timeline.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/clock.h"

namespace emulator {

enum class TaskKind { op, copy, event, callback, collective, graph, control };

/// The link that a task's bytes pass.
enum class Route { none, host_to_card, card_to_host, peer, collective };
constexpr size_t kNumRoutes = 5;

struct Interval {
  Simulated begin{0};
  Simulated end{0};
};

/// One of a card. Any thread. In the compute mode it counts operators, and no times.
class Ledger {
 public:
  struct Entry {
    TaskKind kind = TaskKind::op;
    const std::string& name;  // of the call's duration
    int32_t stream = 0;       // 0: a blocking call
    Route route = Route::none;
    double bytes = 0;
    Interval time;
  };
  /// Does nothing when neither a report nor a timeline is asked for.
  void note(const Entry& entry);

  struct Total {
    uint64_t runs = 0;
    Simulated time{0};
  };
  struct Bar {  // of the timeline
    TaskKind kind;
    const std::string* name;  // a key of `operations` or `copies`
    int32_t stream;
    Interval time;
  };
  struct Record {
    std::map<std::string, Total> operations;  // and collectives
    std::map<std::string, Total> copies;
    std::array<double, kNumRoutes> route_bytes{};
    std::map<int32_t, std::vector<Interval>> busy;  // by stream, in order
    std::vector<Interval> loads;                    // copies from the host of kLoadBytes or more
    std::deque<Bar> bars;                           // the last kMaxBars
    uint64_t dropped_bars = 0;
  };
  /// Reads the record while nobody writes it.
  template <typename Reader>
  void read(const Reader& reader) const {
    const std::lock_guard lock(mutex_);
    reader(record_);
  }

  static constexpr double kLoadBytes = 1 << 20;  // weights come in such pieces, inputs do not
  static constexpr size_t kMaxBars = 20000;

 private:
  mutable std::mutex mutex_;
  Record record_;
};

}  // namespace emulator
