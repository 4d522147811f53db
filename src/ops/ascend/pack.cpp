// Weights on their way to a card: converted on the host, in pinned pieces.
#include <algorithm>
#include <cstring>

#include "ops/ascend/npu_ops.h"
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/weight_rows.h"

namespace fastchat::ops::ascend {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{16} << 20;

/// Rows on their way to consecutive memory of a card, through a pinned piece of the host's.
class Uploader {
 public:
  Uploader(Stream& stream, Buffer staging, void* destination, std::size_t row_bytes)
      : stream_(stream),
        staging_(std::move(staging)),
        destination_(static_cast<char*>(destination)),
        row_bytes_(row_bytes),
        rows_at_once_(staging_.size_bytes() / row_bytes) {}

  /// Room for the next row, to be filled before the next call.
  void* next_row() {
    if (num_rows_ == rows_at_once_) flush();
    return static_cast<char*>(staging_.data()) + num_rows_++ * row_bytes_;
  }
  void flush() {
    if (num_rows_ == 0) return;
    stream_.copy_from_host(destination_, staging_.data(), num_rows_ * row_bytes_);
    stream_.synchronize();
    destination_ += num_rows_ * row_bytes_;
    num_rows_ = 0;
  }

 private:
  Stream& stream_;
  Buffer staging_;
  char* destination_;
  std::size_t row_bytes_;
  std::size_t rows_at_once_;
  std::size_t num_rows_ = 0;
};

const cpu::Kernels& host_kernels() { return cpu::kernels_of(device::default_cpu_isa()); }

}  // namespace

void NpuOps::upload(Stream& stream,
                    std::span<const WeightSlice> slices,
                    DType dtype,
                    const Buffer& weights) {
  const std::size_t row_bytes = static_cast<std::size_t>(slices.front().columns) * size_of(dtype);
  Uploader uploader(
      stream, device_.allocate_host(std::max(kStagingBytes, row_bytes)), weights.data(), row_bytes);
  for (const WeightSlice& slice : slices) {
    RowReader reader(host_kernels(), slice);
    for (std::int64_t row = 0; row < slice.rows; ++row)
      reader.read(row, dtype, uploader.next_row());
  }
  uploader.flush();
}

// Scales are in what the product's operator takes: the dtype of 16-bit inputs, f32 beside 8-bit
// ones.
void NpuOps::upload_quantized(Stream& stream,
                              std::span<const WeightSlice> slices,
                              const PackedLinear& packed) {
  const auto row_bytes = static_cast<std::size_t>(packed.in_features);
  Uploader uploader(stream,
                    device_.allocate_host(std::max(kStagingBytes, row_bytes)),
                    packed.storage.data(),
                    row_bytes);
  const DType dtype = packed.format.input == DType::i8 ? DType::f32 : packed.format.input;
  const std::size_t scale_bytes = size_of(dtype);
  const Buffer scales =
      device_.allocate_host(static_cast<std::size_t>(packed.out_features) * scale_bytes);
  auto* next_scale = static_cast<char*>(scales.data());
  for (const WeightSlice& slice : slices) {
    RowReader reader(host_kernels(), slice);
    for (std::int64_t row = 0; row < slice.rows; ++row) {
      const float scale = reader.quantize(row, static_cast<std::int8_t*>(uploader.next_row()));
      host_kernels().convert(&scale, cpu::Element::f32, next_scale, cpu::element_of(dtype), 1);
      next_scale += scale_bytes;
    }
  }
  uploader.flush();
  stream.copy_from_host(static_cast<char*>(packed.storage.data()) +
                            row_scales_offset(traits_, packed.out_features, packed.in_features),
                        scales.data(),
                        scales.size_bytes());
  stream.synchronize();
}

PackedLinear NpuOps::pack_linear(Stream& stream,
                                 std::span<const WeightSlice> slices,
                                 LinearFormat format) {
  const SliceShape shape = check_slices("pack_linear", slices, format);
  check(!format.is_quantized() || format.input != DType::f32,
        "pack_linear: 8-bit weights go with inputs of f16, bf16 or i8 on npu, not f32");
  PackedLinear packed;
  packed.format = format;
  packed.out_features = shape.rows;
  packed.in_features = shape.columns;
  packed.storage =
      device_.allocate(packed_linear_bytes(traits_, shape.rows, shape.columns, format), "weights");
  if (format.is_quantized()) {
    upload_quantized(stream, slices, packed);
  } else {
    upload(stream, slices, format.weight, packed.storage);
  }
  return packed;
}

Buffer NpuOps::pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype) {
  const SliceShape shape = check_slices("pack_plain", slices, dtype);
  Buffer buffer = device_.allocate(
      static_cast<std::size_t>(shape.rows * shape.columns) * size_of(dtype), "weights");
  upload(stream, slices, dtype, buffer);
  return buffer;
}

}  // namespace fastchat::ops::ascend
