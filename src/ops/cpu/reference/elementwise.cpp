#include "ops/cpu/reference/reference_ops.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

namespace fastchat::ops::reference {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case Activation::gelu_tanh: {
      const double sqrt_2_over_pi = std::sqrt(2.0 / std::numbers::pi);
      return 0.5 * x * (1.0 + std::tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    }
  }
  return kNan;
}

}  // namespace

void embedding(TensorView table, TensorView ids, TensorView out) {
  for (std::int64_t row = 0; row < ids.rows(); ++row) {
    const std::int32_t id = get_index(ids, row);
    const bool known = id >= 0 && id < table.rows();
    for (std::int64_t i = 0; i < table.dim(1); ++i)
      set(out, row, i, known ? get(table, id, i) : kNan);
  }
}

void gather_rows(TensorView x, TensorView indices, TensorView out) {
  const auto element = static_cast<std::int64_t>(device::size_of(x.dtype()));
  const auto bytes = static_cast<std::size_t>(x.dim(1) * element);
  for (std::int64_t row = 0; row < indices.rows(); ++row) {
    const std::int32_t index = get_index(indices, row);
    char* target = out.as<char>() + row * out.row_stride() * element;
    if (index >= 0 && index < x.rows()) {
      std::memcpy(target, x.as<char>() + index * x.row_stride() * element, bytes);
    } else {
      std::memset(target, 0xFF, bytes);
    }
  }
}

void resolve_tokens(TensorView ids, TensorView rows, TensorView sources, TensorView sampled) {
  for (std::int64_t i = 0; i < sources.rows(); ++i) {
    const std::int32_t source = get_index(sources, i);
    const std::int64_t row = rows.empty() ? i : get_index(rows, i);
    if (row < 0 || row >= ids.rows()) continue;
    const bool is_there = source >= 0 && source < sampled.rows();
    ids.as<std::int32_t>()[row] = is_there ? get_index(sampled, source) : -1;
  }
}

void add(TensorView out, TensorView x) {
  for (std::int64_t row = 0; row < x.rows(); ++row)
    for (std::int64_t i = 0; i < x.dim(1); ++i) set(out, row, i, get(out, row, i) + get(x, row, i));
}

void rotary_table(TensorView positions,
                  TensorView inverse_frequencies,
                  float scale,
                  TensorView out) {
  const std::int64_t half = inverse_frequencies.rows();
  for (std::int64_t row = 0; row < positions.rows(); ++row) {
    for (std::int64_t i = 0; i < half; ++i) {
      // The angle is rounded to f32: part of the contract, as the models' own code does so.
      const float angle =
          static_cast<float>(get_index(positions, row)) * inverse_frequencies.as<const float>()[i];
      set(out, row, i, std::cos(static_cast<double>(angle)) * scale);
      set(out, row, half + i, std::sin(static_cast<double>(angle)) * scale);
    }
  }
}

void rotary(TensorView x, std::int64_t head_dim, TensorView table, TensorView out) {
  const std::int64_t half = table.dim(1) / 2;
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    for (std::int64_t head = 0; head < x.dim(1) / head_dim; ++head) {
      for (std::int64_t i = 0; i < half; ++i) {
        const std::int64_t first = head * head_dim + i;
        const double a = get(x, row, first);
        const double b = get(x, row, first + half);
        const double cosine = get(table, row, i);
        const double sine = get(table, row, half + i);
        set(out, row, first, a * cosine - b * sine);
        set(out, row, first + half, b * cosine + a * sine);
      }
      for (std::int64_t i = 2 * half; i < head_dim; ++i)
        set(out, row, head * head_dim + i, get(x, row, head * head_dim + i));
    }
  }
}

void gated_activation(TensorView gate_up, Activation activation, TensorView out) {
  const std::int64_t width = out.dim(1);
  for (std::int64_t row = 0; row < out.rows(); ++row)
    for (std::int64_t i = 0; i < width; ++i)
      set(out, row, i, activate(activation, get(gate_up, row, i)) * get(gate_up, row, width + i));
}

}  // namespace fastchat::ops::reference
