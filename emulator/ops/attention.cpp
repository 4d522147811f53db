#include "emulator/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "emulator/ops/kernels/kernels.h"

namespace emulator {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

float softmax_row(float* row, int64_t count) {
  const float max = *std::max_element(row, row + count);
  const float sum = kernels().exponentials(row, count, max);
  const float factor = 1.0f / sum;
  for (int64_t i = 0; i < count; ++i) row[i] *= factor;
  return max + std::log(sum);
}

void attend(const AttentionBlock& block) {
  const auto keys = block.num_keys;
  std::fill_n(block.out, block.num_rows * block.value_dim, 0.0f);
  if (keys == 0) {
    if (block.log_sum_exp != nullptr) std::fill_n(block.log_sum_exp, block.num_rows, kInfinity);
    return;
  }
  std::vector<float> scores(static_cast<size_t>(block.num_rows * keys), 0.0f);
  kernels().dot_float(block.queries,
                      block.key_dim,
                      block.num_rows,
                      block.keys,
                      block.key_dim,
                      keys,
                      block.key_dim,
                      scores.data(),
                      keys);
  std::vector<bool> masked(static_cast<size_t>(block.num_rows));
  for (int64_t row = 0; row < block.num_rows; ++row) {
    float* line = scores.data() + row * keys;
    for (int64_t i = 0; i < keys; ++i) line[i] *= block.scale;
    if (block.shape_scores) block.shape_scores(row, line);
    if (*std::max_element(line, line + keys) == -kInfinity) {
      masked[static_cast<size_t>(row)] = true;
      std::fill_n(line, keys, 0.0f);
      if (block.log_sum_exp != nullptr) block.log_sum_exp[row] = kInfinity;
      continue;
    }
    const float lse = softmax_row(line, keys);
    if (block.log_sum_exp != nullptr) block.log_sum_exp[row] = lse;
  }
  kernels().combine(scores.data(),
                    keys,
                    block.num_rows,
                    block.values,
                    block.value_dim,
                    block.value_dim,
                    keys,
                    block.out,
                    block.value_dim);
  if (block.repair_masked_rows) return;
  for (int64_t row = 0; row < block.num_rows; ++row) {
    if (!masked[static_cast<size_t>(row)]) continue;
    std::fill_n(block.out + row * block.value_dim,
                block.value_dim,
                std::numeric_limits<float>::quiet_NaN());
  }
}

}  // namespace emulator
