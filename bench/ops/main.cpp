// Measures the machine's limits, then runs the micro-benchmarks of operations. Flags are Google
// Benchmark's.
#include "bench/ops/bench.h"

#include "base/log.h"
#include "device/cpu/cpu_device.h"

#include <memory>
#include <string>

namespace fastchat::ops {

Ops& bench_ops() {
  struct Bench {
    std::unique_ptr<device::Platform> platform = device::create_cpu_platform({});
    std::unique_ptr<Device> device = platform->open(0);
    std::unique_ptr<Ops> ops = create_ops(*device);
  };
  static Bench instance;
  return *instance.ops;
}

const bench::Limits& limits() {
  static const bench::Limits kMeasured = [] {
    bench::LimitsMeter meter;
    return bench::median({meter.measure(), meter.measure(), meter.measure()});
  }();
  return kMeasured;
}

}  // namespace fastchat::ops

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  try {
    const fastchat::bench::Limits& limits = fastchat::ops::limits();
    benchmark::AddCustomContext("operations", std::string(fastchat::ops::bench_ops().name()));
    benchmark::AddCustomContext("read limit, GB/s", fmt::format("{:.1f}", limits.read_gb_s));
    benchmark::AddCustomContext("f32 peak, GFLOP/s", fmt::format("{:.0f}", limits.f32_gflop_s));
    benchmark::AddCustomContext("bf16 peak, GFLOP/s", fmt::format("{:.0f}", limits.bf16_gflop_s));
    benchmark::RunSpecifiedBenchmarks();
  } catch (const fastchat::Failure& failure) {
    fastchat::log::error("ops_bench: {}", failure.what());
    return 1;
  }
  return 0;
}
