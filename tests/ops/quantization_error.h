// What 8 bits may cost a linear layer: the error of every output against the exact product of the
// numbers before they were quantized, within what rounding to the nearest of 255 whole numbers
// explains. Run on the cpu's kernels and on cards.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cases/op_case.h"

namespace fastchat::ops::quantization_test {

/// Where one channel in a thousand is 50 times as large as the others.
enum class Outliers { none, inputs, weights, both };

inline std::string to_string(Outliers outliers) {
  switch (outliers) {
    case Outliers::none:
      return "no outliers";
    case Outliers::inputs:
      return "outlier channels of x";
    case Outliers::weights:
      return "outlier channels of the weight";
    case Outliers::both:
      return "outlier channels of both";
  }
  return {};
}

struct Shape {
  std::int64_t in = 0;
  std::int64_t out = 0;
};

/// Of normal distribution (the sum of 12 uniform draws), rounded to `dtype`.
inline std::vector<float> normal_values(std::uint64_t seed, std::int64_t count, DType dtype) {
  std::vector<float> values(static_cast<std::size_t>(count), 0.0f);
  for (std::uint64_t draw = 0; draw < 12; ++draw) {
    const std::vector<float> uniform = cases::random_values(seed * 12 + draw, count, 0.5f);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += uniform[i];
  }
  for (float& value : values) {
    if (dtype == DType::f16) value = device::f16_to_f32(device::f32_to_f16(value));
    if (dtype == DType::bf16) value = device::bf16_to_f32(device::f32_to_bf16(value));
  }
  return values;
}

/// Channels 500, 1500, …; of few columns, the middle one.
inline void scale_channels(std::vector<float>& rows, std::int64_t columns) {
  for (std::size_t row = 0; row < rows.size(); row += static_cast<std::size_t>(columns))
    for (std::int64_t channel = std::min<std::int64_t>(500, columns / 2); channel < columns;
         channel += 1000)
      rows[row + static_cast<std::size_t>(channel)] *= 50.0f;
}

/// max|row| / 127, as LinearFormat has it.
inline double scale_of(const float* row, std::int64_t columns) {
  double largest = 0;
  for (std::int64_t i = 0; i < columns; ++i)
    largest = std::max(largest, std::abs(static_cast<double>(row[i])));
  return largest / 127.0;
}

/// The bound of an output is, with s the scale of the weight's row, t that of x's row and w' the
/// weight as it was rounded:
///   s / 2 * sum|x|                    of the weight's rounding
///   + t / 2 * sum|w'|                 of x's rounding, with 8-bit inputs
///   + `rounding` * sum|x w'|          of the arithmetic itself (the scale may be of 16 bits)
/// Returns the root mean square of the errors beside that of the exact outputs.
inline double expect_error_within_bound(Ops& ops,
                                        DType dtype,
                                        LinearFormat format,
                                        const Shape& shape,
                                        Outliers outliers,
                                        double rounding) {
  constexpr std::int64_t kRows = 3;
  std::vector<float> weights = normal_values(1, shape.in * shape.out, dtype);
  std::vector<float> inputs = normal_values(2, kRows * shape.in, dtype);
  if (outliers == Outliers::weights || outliers == Outliers::both)
    scale_channels(weights, shape.in);
  if (outliers == Outliers::inputs || outliers == Outliers::both) scale_channels(inputs, shape.in);

  cases::Rig rig(ops);
  const PackedLinear& packed = rig.pack(weights, DType::f32, {shape.out}, shape.in, format);
  const TensorView x = rig.upload(inputs, dtype, {kRows, shape.in});
  const TensorView out = rig.blank(DType::f32, {kRows, shape.out});
  ops.linear(rig.stream(), x, packed, {}, out);
  const std::vector<float> found = rig.download(out);

  double error_squares = 0;
  double squares = 0;
  for (std::int64_t row = 0; row < kRows; ++row) {
    const float* x_row = inputs.data() + row * shape.in;
    const double t = format.input == DType::i8 ? scale_of(x_row, shape.in) : 0.0;
    for (std::int64_t column = 0; column < shape.out; ++column) {
      const float* w_row = weights.data() + column * shape.in;
      const double s = scale_of(w_row, shape.in);
      double exact = 0, sum_x = 0, sum_w = 0, sum_products = 0;
      for (std::int64_t k = 0; k < shape.in; ++k) {
        const double w = w_row[k];
        const double rounded = std::abs(w) + s / 2;
        exact += x_row[k] * w;
        sum_x += std::abs(x_row[k]);
        sum_w += rounded;
        sum_products += std::abs(x_row[k]) * rounded;
      }
      const double error = found[static_cast<std::size_t>(row * shape.out + column)] - exact;
      EXPECT_LE(std::abs(error), s / 2 * sum_x + t / 2 * sum_w + rounding * sum_products)
          << "row " << row << ", output " << column << ", " << to_string(outliers);
      error_squares += error * error;
      squares += exact * exact;
    }
  }
  return std::sqrt(error_squares / squares);
}

}  // namespace fastchat::ops::quantization_test
