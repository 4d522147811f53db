#include "ops/cpu/reference/reference_ops.h"

#include <vector>

namespace fastchat::ops::reference {

TensorView unpacked(const PackedLinear& weight) {
  return weight.storage.view(weight.dtype, {weight.out_features, weight.in_features});
}

void linear(TensorView x, TensorView weight, TensorView bias, TensorView out) {
  const std::int64_t depth = weight.dim(1);
  std::vector<double> weight_row(static_cast<std::size_t>(depth));
  for (std::int64_t column = 0; column < weight.rows(); ++column) {
    for (std::int64_t k = 0; k < depth; ++k)
      weight_row[static_cast<std::size_t>(k)] = get(weight, column, k);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      double sum = bias.empty() ? 0.0 : bias.as<const float>()[column];
      for (std::int64_t k = 0; k < depth; ++k)
        sum += get(x, row, k) * weight_row[static_cast<std::size_t>(k)];
      set(out, row, column, sum);
    }
  }
}

}  // namespace fastchat::ops::reference
