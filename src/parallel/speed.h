// How long a device takes for a stage's work: what the planner compares modes and splits by. A
// roofline with the costs of starting operations and of meeting other devices; bounds, not
// promises.
#pragma once

#include <cstdint>
#include <string>

namespace fastchat::parallel {

/// What a device can do at best. Zeros: unknown; then all devices count as equal.
struct DeviceSpeed {
  double read_bytes_per_s = 0.0;
  double flops_per_s = 0.0;       // 16-bit matrix products; a multiply-add is two
  double link_bytes_per_s = 0.0;  // to another device
  double op_s = 0.0;              // from one operation of a step to the next
  double all_reduce_s = 0.0;      // latency of one
  bool nominal = false;           // good for comparing only: no figure per second is quoted
};

/// The requests that modes are compared for.
struct Workload {
  std::int64_t num_streams = 1;  // requests at once
  std::int64_t prompt_len = 512;
  std::int64_t gen_len = 256;
};

/// What a placement gives at most for a workload, all its devices reaching their best.
struct SpeedBound {
  double prefill_tokens_per_s = 0.0;  // prompt tokens of all streams together
  double decode_tokens_per_s = 0.0;   // generated tokens of all streams together
  /// Beside one device like the fastest that had room for the whole model, for the same workload.
  double prefill_speedup = 0.0;
  double decode_speedup = 0.0;
  /// Of the whole workload, with the costs of starting operations and of meeting: what modes are
  /// compared by.
  double estimated_s = 0.0;
};

}  // namespace fastchat::parallel
