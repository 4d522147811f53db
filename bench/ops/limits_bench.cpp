// What this machine can do at best, for the other figures to be read against: reads from memory,
// and multiply-adds on registers.
#include "device/cpu/cpu_device.h"
#include "ops/cpu/cpu_ops.h"

#include <benchmark/benchmark.h>

#include <memory>

namespace fastchat::ops {
namespace {

struct Cores {
  std::unique_ptr<device::Platform> platform = device::create_cpu_platform({});
  std::unique_ptr<Device> device = platform->open(0);
  std::unique_ptr<device::Stream> stream = device->create_stream();
};

/// A sum over 1 GiB of 64-bit words, by all threads.
void read_bandwidth(benchmark::State& state) {
  Cores cores;
  constexpr std::int64_t kWords = (std::int64_t{1} << 30) / 8;
  const Buffer buffer = cores.device->allocate(kWords * 8, "bandwidth");
  cores.stream->fill(buffer.data(), 1, kWords * 8);
  cores.stream->synchronize();
  auto& stream = dynamic_cast<device::CpuStream&>(*cores.stream);
  std::uint64_t total = 0;
  for (auto _ : state) {
    stream.enqueue([words = static_cast<const std::uint64_t*>(buffer.data()),
                    result = &total](device::CpuTeam& team) {
      team.parallel_for(kWords, 1 << 16, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
        // 16 sums, so that additions do not wait for each other; software prefetch across pages.
        std::uint64_t sums[16] = {};
        for (std::int64_t i = begin; i + 16 <= end; i += 16) {
          __builtin_prefetch(words + i + 512);
          __builtin_prefetch(words + i + 520);
          for (int lane = 0; lane < 16; ++lane) sums[lane] += words[i + lane];
        }
        for (const std::uint64_t sum : sums) __atomic_fetch_add(result, sum, __ATOMIC_RELAXED);
      });
    });
    stream.synchronize();
  }
  benchmark::DoNotOptimize(total);
  state.counters["bytes/s"] = benchmark::Counter(
      8.0 * kWords * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(read_bandwidth)->UseRealTime()->Unit(benchmark::kMillisecond);

#if defined(__x86_64__)
/// Independent fused multiply-adds of the widest f32 vectors, in registers only.
[[gnu::target("avx512f")]] void multiply_adds_avx512(std::int64_t count) {
  typedef float Vector __attribute__((vector_size(64)));
  Vector sums[12] = {};
  Vector a = {1.0f};
  Vector b = {1e-9f};
  for (std::int64_t i = 0; i < count; ++i) {
    for (auto& sum : sums) asm volatile("vfmadd231ps %1, %2, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
}
[[gnu::target("avx2,fma")]] void multiply_adds_avx2(std::int64_t count) {
  typedef float Vector __attribute__((vector_size(32)));
  Vector sums[12] = {};
  Vector a = {1.0f};
  Vector b = {1e-9f};
  for (std::int64_t i = 0; i < count; ++i) {
    for (auto& sum : sums) asm volatile("vfmadd231ps %1, %2, %0" : "+x"(sum) : "x"(a), "x"(b));
  }
}

void f32_peak(benchmark::State& state) {
  Cores cores;
  auto& stream = dynamic_cast<device::CpuStream&>(*cores.stream);
  const device::CpuIsa isa = device::default_cpu_isa();
  if (isa != device::CpuIsa::avx512 && isa != device::CpuIsa::avx2) {
    state.SkipWithError("measured for AVX2 and AVX-512 only");
    return;
  }
  constexpr std::int64_t kPieces = 64;
  constexpr std::int64_t kRounds = 100'000;
  for (auto _ : state) {
    stream.enqueue([isa](device::CpuTeam& team) {
      team.parallel_for(kPieces, 1, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
        isa == device::CpuIsa::avx512 ? multiply_adds_avx512((end - begin) * kRounds)
                                      : multiply_adds_avx2((end - begin) * kRounds);
      });
    });
    stream.synchronize();
  }
  const double lanes = isa == device::CpuIsa::avx512 ? 16 : 8;
  state.counters["FLOP/s"] = benchmark::Counter(
      2.0 * 12 * lanes * kPieces * kRounds * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate);
}
BENCHMARK(f32_peak)->UseRealTime()->Unit(benchmark::kMillisecond);
#endif

}  // namespace
}  // namespace fastchat::ops
