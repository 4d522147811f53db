// Weights on their way to a card: converted on the host, in pinned pieces.
#include <algorithm>
#include <cstring>

#include "ops/ascend/npu_ops.h"
#include "ops/checks.h"

namespace fastchat::ops::ascend {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{16} << 20;

float read_element(const void* row, DType dtype, std::int64_t index) {
  switch (dtype) {
    case DType::f16:
      return device::f16_to_f32(static_cast<const std::uint16_t*>(row)[index]);
    case DType::bf16:
      return device::bf16_to_f32(static_cast<const std::uint16_t*>(row)[index]);
    default:
      return static_cast<const float*>(row)[index];
  }
}

void write_element(void* row, DType dtype, std::int64_t index, float value) {
  switch (dtype) {
    case DType::f16:
      static_cast<std::uint16_t*>(row)[index] = device::f32_to_f16(value);
      return;
    case DType::bf16:
      static_cast<std::uint16_t*>(row)[index] = device::f32_to_bf16(value);
      return;
    default:
      static_cast<float*>(row)[index] = value;
  }
}

void convert_row(const WeightSlice& slice, std::int64_t row, void* out, DType dtype) {
  const auto* const source =
      static_cast<const char*>(slice.data) +
      static_cast<std::size_t>(row * slice.row_stride) * size_of(slice.dtype);
  if (slice.dtype == dtype) {
    std::memcpy(out, source, static_cast<std::size_t>(slice.columns) * size_of(dtype));
    return;
  }
  for (std::int64_t i = 0; i < slice.columns; ++i)
    write_element(out, dtype, i, read_element(source, slice.dtype, i));
}

}  // namespace

Buffer NpuOps::upload(Stream& stream,
                      std::span<const WeightSlice> slices,
                      DType dtype,
                      std::size_t size_bytes) {
  Buffer weights = device_.allocate(size_bytes, "weights");
  const std::size_t row_bytes =
      slices.empty() ? 0 : static_cast<std::size_t>(slices.front().columns) * size_of(dtype);
  if (row_bytes == 0) return weights;
  const Buffer staging = device_.allocate_host(std::max(kStagingBytes, row_bytes));
  const std::size_t rows_at_once = staging.size_bytes() / row_bytes;
  auto* const staged = static_cast<char*>(staging.data());
  std::size_t staged_rows = 0;
  std::size_t written_bytes = 0;
  const auto flush = [&] {
    stream.copy_from_host(
        static_cast<char*>(weights.data()) + written_bytes, staged, staged_rows * row_bytes);
    stream.synchronize();
    written_bytes += staged_rows * row_bytes;
    staged_rows = 0;
  };
  for (const WeightSlice& slice : slices) {
    for (std::int64_t row = 0; row < slice.rows; ++row) {
      convert_row(slice, row, staged + staged_rows * row_bytes, dtype);
      if (++staged_rows == rows_at_once) flush();
    }
  }
  flush();
  return weights;
}

PackedLinear NpuOps::pack_linear(Stream& stream, std::span<const WeightSlice> slices, DType dtype) {
  const SliceShape shape = check_slices("pack_linear", slices, dtype);
  PackedLinear packed{.dtype = dtype, .out_features = shape.rows, .in_features = shape.columns};
  packed.storage =
      upload(stream, slices, dtype, packed_linear_bytes(traits_, shape.rows, shape.columns, dtype));
  return packed;
}

Buffer NpuOps::pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype) {
  const SliceShape shape = check_slices("pack_plain", slices, dtype);
  return upload(
      stream, slices, dtype, static_cast<std::size_t>(shape.rows * shape.columns) * size_of(dtype));
}

}  // namespace fastchat::ops::ascend
