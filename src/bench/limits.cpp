#include "bench/limits.h"

#include <algorithm>
#include <chrono>

#include "base/bytes.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

device::CpuStream& as_cpu(device::Stream& stream) {
  return dynamic_cast<device::CpuStream&>(stream);
}

double median_of(const std::vector<Limits>& readings, double Limits::*figure) {
  std::vector<double> values;
  values.reserve(readings.size());
  for (const Limits& reading : readings) values.push_back(reading.*figure);
  return median(std::move(values));
}

}  // namespace

LimitsMeter::LimitsMeter()
    : platform_(device::create_cpu_platform({})),
      device_(platform_->open(0)),
      stream_(device_->create_stream()),
      buffer_(device_->allocate(kGiB, "reading bandwidth")) {
  stream_->fill(buffer_.data(), 1, buffer_.size_bytes());
  stream_->synchronize();
}

Limits LimitsMeter::measure() {
  const ops::cpu::Kernels& kernels =
      ops::cpu::kernels_of(dynamic_cast<device::CpuDevice&>(*device_).isa());
  Limits limits;
  limits.read_gb_s = read_bandwidth() / 1e9;
  limits.f32_gflop_s = 2.0 * multiply_adds(kernels.multiply_adds_f32) / 1e9;
  limits.bf16_gflop_s = kernels.multiply_adds_bf16 == nullptr
                            ? limits.f32_gflop_s
                            : 2.0 * multiply_adds(kernels.multiply_adds_bf16) / 1e9;
  limits.int8_gop_s = 2.0 * multiply_adds(kernels.multiply_adds_int8) / 1e9;
  return limits;
}

/// Bytes per second: a sum over the buffer's words, by all threads.
double LimitsMeter::read_bandwidth() {
  constexpr std::int64_t kWords = kGiB / 8;
  std::uint64_t total = 0;
  const Clock::time_point start = Clock::now();
  as_cpu(*stream_).enqueue([words = static_cast<const std::uint64_t*>(buffer_.data()),
                            result = &total](device::CpuTeam& team) {
    team.parallel_for(kWords, 1 << 16, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
      // 16 sums, so that additions do not wait for each other. 4 KiB ahead: the hardware's own
      // prefetch stops at page borders.
      std::uint64_t sums[16] = {};
      for (std::int64_t i = begin; i + 16 <= end; i += 16) {
        __builtin_prefetch(words + i + 512);
        __builtin_prefetch(words + i + 520);
        for (int lane = 0; lane < 16; ++lane) sums[lane] += words[i + lane];
      }
      for (const std::uint64_t sum : sums) __atomic_fetch_add(result, sum, __ATOMIC_RELAXED);
    });
  });
  stream_->synchronize();
  const double seconds = seconds_since(start);
  check(total != 0, "the sum of what was read is wrong");
  return static_cast<double>(kGiB) / seconds;
}

/// Multiply-adds per second on all threads.
double LimitsMeter::multiply_adds(std::int64_t (*run)(std::int64_t rounds)) {
  constexpr std::int64_t kPieces = 64;
  constexpr std::int64_t kRounds = 50'000;
  std::int64_t done = 0;
  const Clock::time_point start = Clock::now();
  as_cpu(*stream_).enqueue([run, result = &done](device::CpuTeam& team) {
    team.parallel_for(kPieces, 1, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
      __atomic_fetch_add(result, run((end - begin) * kRounds), __ATOMIC_RELAXED);
    });
  });
  stream_->synchronize();
  return static_cast<double>(done) / seconds_since(start);
}

Limits median(const std::vector<Limits>& readings) {
  return {.read_gb_s = median_of(readings, &Limits::read_gb_s),
          .f32_gflop_s = median_of(readings, &Limits::f32_gflop_s),
          .bf16_gflop_s = median_of(readings, &Limits::bf16_gflop_s),
          .int8_gop_s = median_of(readings, &Limits::int8_gop_s)};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace fastchat::bench
