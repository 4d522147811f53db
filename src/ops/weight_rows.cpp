#include "ops/weight_rows.h"

#include <cstring>

#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {

RowReader::RowReader(const cpu::Kernels& kernels, const WeightSlice& slice)
    : kernels_(kernels), slice_(slice), numbers_(static_cast<std::size_t>(slice.columns)) {}

const void* RowReader::row_data(std::int64_t row) const {
  return static_cast<const char*>(slice_.data) +
         row * slice_.row_stride * static_cast<std::int64_t>(device::size_of(slice_.dtype));
}

void RowReader::read(std::int64_t row, float* out) const {
  if (slice_.dtype != DType::i8) {
    kernels_.convert(
        row_data(row), cpu::element_of(slice_.dtype), out, cpu::Element::f32, slice_.columns);
    return;
  }
  const auto* whole = static_cast<const std::int8_t*>(row_data(row));
  for (std::int64_t i = 0; i < slice_.columns; ++i)
    out[i] = static_cast<float>(whole[i]) * slice_.row_scales[row];
}

void RowReader::read(std::int64_t row, DType dtype, void* out) {
  const void* source = row_data(row);
  cpu::Element element = cpu::Element::f32;
  if (slice_.dtype == DType::i8) {
    read(row, numbers_.data());
    source = numbers_.data();
  } else {
    element = cpu::element_of(slice_.dtype);
  }
  kernels_.convert(source, element, out, cpu::element_of(dtype), slice_.columns);
}

float RowReader::quantize(std::int64_t row, std::int8_t* out) {
  if (slice_.dtype == DType::i8) {
    std::memcpy(out, row_data(row), static_cast<std::size_t>(slice_.columns));
    return slice_.row_scales[row];
  }
  read(row, numbers_.data());
  return kernels_.quantize_row(numbers_.data(), slice_.columns, out);
}

}  // namespace fastchat::ops
