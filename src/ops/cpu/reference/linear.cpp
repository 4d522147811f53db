#include "ops/cpu/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fastchat::ops::reference {

TensorView unpacked(const PackedLinear& weight) {
  return weight.storage.view(weight.format.weight, {weight.out_features, weight.in_features});
}

TensorView row_scales(const PackedLinear& weight, const OpsTraits& traits) {
  if (!weight.format.is_quantized()) return {};
  return weight.storage.view(DType::f32,
                             {weight.out_features},
                             row_scales_offset(traits, weight.out_features, weight.in_features));
}

float quantize(TensorView x, std::int64_t row, std::vector<double>& out) {
  float largest = 0.0f;
  bool is_finite = true;
  for (std::int64_t k = 0; k < x.dim(1); ++k) {
    const auto value = static_cast<float>(get(x, row, k));
    is_finite = is_finite && std::isfinite(value);
    largest = std::max(largest, std::abs(value));
  }
  const float scale = !is_finite       ? std::numeric_limits<float>::quiet_NaN()
                      : largest > 0.0f ? largest / 127.0f
                                       : 1.0f;
  out.resize(static_cast<std::size_t>(x.dim(1)));
  // In f32, as every implementation: which of two whole numbers is nearest depends on it.
  for (std::int64_t k = 0; k < x.dim(1); ++k)
    out[static_cast<std::size_t>(k)] =
        is_finite ? std::nearbyint(static_cast<float>(get(x, row, k)) / scale) : 0.0;
  return scale;
}

void linear(TensorView x,
            TensorView weight,
            TensorView scales,
            bool quantizes,
            TensorView bias,
            TensorView out) {
  const std::int64_t depth = weight.dim(1);
  const std::int64_t num_rows = x.rows();
  std::vector<std::vector<double>> inputs(static_cast<std::size_t>(num_rows));
  std::vector<double> input_scales(static_cast<std::size_t>(num_rows), 1.0);
  for (std::int64_t row = 0; row < num_rows; ++row) {
    std::vector<double>& input = inputs[static_cast<std::size_t>(row)];
    if (quantizes) {
      input_scales[static_cast<std::size_t>(row)] = quantize(x, row, input);
      continue;
    }
    for (std::int64_t k = 0; k < depth; ++k) input.push_back(get(x, row, k));
  }
  std::vector<double> weight_row(static_cast<std::size_t>(depth));
  for (std::int64_t column = 0; column < weight.rows(); ++column) {
    for (std::int64_t k = 0; k < depth; ++k)
      weight_row[static_cast<std::size_t>(k)] = get(weight, column, k);
    const double scale = scales.empty() ? 1.0 : scales.as<const float>()[column];
    for (std::int64_t row = 0; row < num_rows; ++row) {
      const std::vector<double>& input = inputs[static_cast<std::size_t>(row)];
      double sum = 0.0;
      for (std::int64_t k = 0; k < depth; ++k)
        sum += input[static_cast<std::size_t>(k)] * weight_row[static_cast<std::size_t>(k)];
      sum *= scale * input_scales[static_cast<std::size_t>(row)];
      set(out, row, column, sum + (bias.empty() ? 0.0 : get(bias, column, 0)));
    }
  }
}

}  // namespace fastchat::ops::reference
