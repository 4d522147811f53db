// Rows of checkpoint tensors in host memory, as packing wants them: whatever device packs.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/cpu/kernels.h"
#include "ops/ops.h"

namespace fastchat::ops {

/// Reads rows of one slice, which outlives it. One thread.
class RowReader {
 public:
  RowReader(const cpu::Kernels& kernels, const WeightSlice& slice);

  /// Row `row` as numbers.   out f32 [slice.columns]
  void read(std::int64_t row, float* out) const;
  /// Row `row` rounded to a floating-point dtype.   out [slice.columns]
  void read(std::int64_t row, DType dtype, void* out);
  /// Row `row` as whole numbers times the scale that is returned: those of an i8 slice as they
  /// are, else as LinearFormat says. NaN for a row with what is no finite number.
  /// out i8 [slice.columns]
  float quantize(std::int64_t row, std::int8_t* out);

 private:
  const void* row_data(std::int64_t row) const;

  const cpu::Kernels& kernels_;
  WeightSlice slice_;
  std::vector<float> numbers_;  // of the row being worked on
};

}  // namespace fastchat::ops
