#include "ops/cpu/reference/reference_ops.h"

namespace fastchat::ops::reference {

TensorView unpacked(const PackedLinear& weight) {
  return weight.storage.view(weight.dtype, {weight.out_features, weight.in_features});
}

void linear(TensorView x, TensorView weight, TensorView bias, TensorView out) {
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    for (std::int64_t column = 0; column < weight.rows(); ++column) {
      double sum = bias.empty() ? 0.0 : bias.as<const float>()[column];
      for (std::int64_t k = 0; k < weight.dim(1); ++k)
        sum += get(x, row, k) * get(weight, column, k);
      set(out, row, column, sum);
    }
  }
}

}  // namespace fastchat::ops::reference
