// The inner loop of linear on bf16 rows and weights, where the instruction set multiplies pairs of
// bf16: no widening, twice the multiply-adds of f32 per instruction.
#pragma once

#include "ops/cpu/kernels.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

/// c[r][j] (+)= Σ_k x[r][k] w[k][j], pair after pair of k, all in bf16 but for the f32 sums. Each
/// pair adds two products, in the order and with the rounding of the instruction; an odd last k
/// makes a pair with 0. So a sum depends on its row, its column and the depth only. Subnormal
/// elements and sums count as 0.
struct PairProduct {
  const void* x = nullptr;  // rows of bf16 as they lie in memory
  std::int64_t x_stride = 0;
  std::int64_t rows = 0;
  const void* w = nullptr;        // panels of kPanelColumns columns; see PanelProduct
  std::int64_t panel_stride = 0;  // elements from panel to panel
  std::int64_t panels = 0;
  std::int64_t depth = 0;  // even, unless it ends with the last k
  float* c = nullptr;      // rows c_pitch apart, panels kPanelColumns apart
  std::int64_t c_pitch = 0;
  bool accumulate = false;
};

void pair_product(const PairProduct& product);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
