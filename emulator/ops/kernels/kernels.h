// The loops that carry the emulator's time: conversions of rows, dot products of rows,
// exponentials. Compiled once per instruction set; kernels() picks the best of what this machine
// runs.
#pragma once

#include <cstdint>

#include "emulator/ops/half.h"

namespace emulator {

struct Kernels {
  void (*widen_half)(const Half* in, int64_t count, float* out);
  void (*widen_brain)(const Brain* in, int64_t count, float* out);
  void (*narrow_half)(const float* in, int64_t count, Half* out);
  void (*narrow_brain)(const float* in, int64_t count, Brain* out);

  /// out[i][j] += Σ_c x[i][c] · w[j][c] for i < m, j < n, c < k; f32 sums. Rows are contiguous,
  /// `*_stride` apart.
  template <typename W>
  using Dot = void (*)(const float* x,
                       int64_t x_stride,
                       int64_t m,
                       const W* w,
                       int64_t w_stride,
                       int64_t n,
                       int64_t k,
                       float* out,
                       int64_t out_stride);
  Dot<float> dot_float;
  Dot<Half> dot_half;
  Dot<Brain> dot_brain;
  Dot<int8_t> dot_int8;

  /// As Dot with whole numbers: exact, as the cube unit's int32 sums are.
  void (*dot_exact)(const int8_t* x,
                    int64_t x_stride,
                    int64_t m,
                    const int8_t* w,
                    int64_t w_stride,
                    int64_t n,
                    int64_t k,
                    int32_t* out,
                    int64_t out_stride);

  /// out[i][j] += Σ_c weights[i][c] · values[c][j] for i < m, j < n, c < k.
  void (*combine)(const float* weights,
                  int64_t weights_stride,
                  int64_t m,
                  const float* values,
                  int64_t values_stride,
                  int64_t n,
                  int64_t k,
                  float* out,
                  int64_t out_stride);

  /// row[i] = e^(row[i] - shift), relative error about 2e-7; returns the sum. -inf gives 0.
  float (*exponentials)(float* row, int64_t count, float shift);
};

const Kernels& kernels();

}  // namespace emulator
