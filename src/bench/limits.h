// What this machine can do at best: the figures that speeds are quoted against.
#pragma once

#include <memory>
#include <vector>

#include "device/cpu/cpu_device.h"

namespace fastchat::bench {

/// Of all cores together. Multiply-adds count as two operations. Where the instruction set in use
/// has no bf16 products, bf16 is computed in f32 and has its peak.
struct Limits {
  double read_gb_s = 0.0;  // 10^9 bytes per second, a stream of 1 GiB
  double f32_gflop_s = 0.0;
  double bf16_gflop_s = 0.0;
  double int8_gop_s = 0.0;
};

/// Takes the readings on a cpu device of its own, so that they can alternate with a model's runs.
/// One thread.
class LimitsMeter {
 public:
  /// Throws OutOfMemory where there is no 1 GiB to read.
  LimitsMeter();
  /// One reading; some 0.3 s.
  Limits measure();

 private:
  double read_bandwidth();
  double multiply_adds(std::int64_t (*run)(std::int64_t rounds));

  std::unique_ptr<device::Platform> platform_;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<device::Stream> stream_;
  device::Buffer buffer_;
};

/// Of each figure by itself. `readings` is not empty.
Limits median(const std::vector<Limits>& readings);
/// The middle value, or the mean of the two in the middle. `values` is not empty.
double median(std::vector<double> values);

}  // namespace fastchat::bench
