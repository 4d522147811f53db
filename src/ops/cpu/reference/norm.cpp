#include "ops/cpu/reference/reference_ops.h"

#include <cmath>

namespace fastchat::ops::reference {

void rms_norm(TensorView x, TensorView weight, float eps, TensorView out) {
  const std::int64_t width = weight.rows();
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    for (std::int64_t group = 0; group < x.row_elements(); group += width) {
      double squares = 0.0;
      for (std::int64_t i = group; i < group + width; ++i)
        squares += get(x, row, i) * get(x, row, i);
      const double factor = 1.0 / std::sqrt(squares / static_cast<double>(width) + eps);
      for (std::int64_t i = 0; i < width; ++i)
        set(out, row, group + i, get(x, row, group + i) * factor * get(weight, i, 0));
    }
  }
}

void layer_norm(TensorView x, TensorView weight, TensorView bias, float eps, TensorView out) {
  const std::int64_t width = x.dim(1);
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < width; ++i) sum += get(x, row, i);
    const double mean = sum / static_cast<double>(width);
    double squares = 0.0;
    for (std::int64_t i = 0; i < width; ++i)
      squares += (get(x, row, i) - mean) * (get(x, row, i) - mean);
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(width) + eps);
    for (std::int64_t i = 0; i < width; ++i) {
      const double shift = bias.empty() ? 0.0 : get(bias, i, 0);
      set(out, row, i, (get(x, row, i) - mean) * factor * get(weight, i, 0) + shift);
    }
  }
}

}  // namespace fastchat::ops::reference
