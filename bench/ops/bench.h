// What the micro-benchmarks of operations share: the device, the machine's limits, and the report
// of a speed beside them.
#pragma once

#include "bench/limits.h"
#include "ops/cases/op_case.h"
#include "ops/ops.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>

namespace fastchat::ops {

// Shapes of Qwen2-0.5B.
inline constexpr std::int64_t kHidden = 896;
inline constexpr std::int64_t kIntermediate = 4864;
inline constexpr std::int64_t kHeads = 14;
inline constexpr std::int64_t kKvHeads = 2;
inline constexpr std::int64_t kHeadDim = 64;
inline constexpr std::int64_t kVocab = 151936;

/// The operations of one cpu device on all cores, for all benchmarks.
Ops& bench_ops();
/// What the machine can do at best, measured once, before the benchmarks.
const bench::Limits& limits();

/// What one call must do. 0 = not counted.
struct Work {
  double bytes = 0.0;  // read and written
  double flops = 0.0;  // a multiply-add is two
  /// What flops are quoted against; f32, too, where 16-bit numbers are widened first.
  DType arithmetic = DType::f32;
};

/// Times run(), with what it enqueued on the rig's stream, and reports GB/s beside the read limit
/// and GFLOP/s beside the peak. What fits the caches may read faster than the limit, which is of
/// memory.
template <typename Run>
void measure(benchmark::State& state, cases::Rig& rig, const Work& work, Run&& run) {
  rig.stream().synchronize();
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    run();
    rig.stream().synchronize();
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const double calls_per_ns = static_cast<double>(state.iterations()) / elapsed.count() / 1e9;
  if (work.bytes > 0.0) {
    state.counters["GB/s"] = work.bytes * calls_per_ns;
    state.counters["%read"] = 100.0 * work.bytes * calls_per_ns / limits().read_gb_s;
  }
  if (work.flops > 0.0) {
    const double peak =
        work.arithmetic == DType::bf16 ? limits().bf16_gflop_s : limits().f32_gflop_s;
    state.counters["GFLOP/s"] = work.flops * calls_per_ns;
    state.counters["%peak"] = 100.0 * work.flops * calls_per_ns / peak;
  }
}

}  // namespace fastchat::ops
