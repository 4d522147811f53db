// Softmax attention on f32 copies of a few query rows and of the keys they see.
#pragma once

#include <cstdint>
#include <functional>

namespace emulator {

struct AttentionBlock {
  int64_t num_rows = 0;  // query rows: positions × the heads that share the key head
  int64_t num_keys = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;
  const float* queries = nullptr;  // [num_rows, key_dim]
  const float* keys = nullptr;     // [num_keys, key_dim]
  const float* values = nullptr;   // [num_keys, value_dim]
  float scale = 1.0f;
  /// Adds the bias of one row to its scores and writes -inf where a key is masked.
  std::function<void(int64_t row, float* scores)> shape_scores;
  /// What a row gets whose keys are all masked: zeros, or NaN where the vendor documents no result.
  bool repair_masked_rows = false;
  float* out = nullptr;          // [num_rows, value_dim]
  float* log_sum_exp = nullptr;  // [num_rows] or null; +inf for a row without keys
};

void attend(const AttentionBlock& block);

/// Softmax of one row in place: e^(x - max) / Σ. Returns max + ln Σ, -inf for a row of -inf, which
/// becomes NaN.
float softmax_row(float* row, int64_t count);

}  // namespace emulator
