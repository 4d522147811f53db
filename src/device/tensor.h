// TensorView: a typed look at memory of a device. It owns nothing.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/check.h"
#include "device/dtype.h"

namespace fastchat::device {

/// Up to four dimensions, row-major. Rows (dimension 0) may lie further apart than they are long,
/// so that a slice of columns is a view too; all inner dimensions are dense.
class TensorView {
 public:
  static constexpr int kMaxRank = 4;

  TensorView() = default;
  /// A dense view of `data`, which is a pointer of the device that holds it.
  TensorView(void* data, DType dtype, std::initializer_list<std::int64_t> shape);

  bool empty() const { return data_ == nullptr; }
  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  DType dtype() const { return dtype_; }
  int rank() const { return rank_; }
  std::int64_t dim(int index) const { return shape_[static_cast<std::size_t>(index)]; }
  std::int64_t rows() const { return rank_ == 0 ? 1 : shape_[0]; }
  /// Elements of one row: the product of all dimensions but the first.
  std::int64_t row_elements() const;
  /// Elements from the start of one row to the start of the next.
  std::int64_t row_stride() const { return row_stride_; }
  bool is_dense() const { return rank_ == 0 || row_stride_ == row_elements() || rows() <= 1; }
  std::int64_t num_elements() const { return rows() * row_elements(); }
  std::size_t size_bytes() const {
    return static_cast<std::size_t>(num_elements()) * size_of(dtype_);
  }

  /// Rows [first, first + count).
  TensorView slice_rows(std::int64_t first, std::int64_t count) const;
  /// Columns [first, first + count) of a rank-2 view.
  TensorView slice_columns(std::int64_t first, std::int64_t count) const;
  /// The same memory under another shape of as many elements per row and as many rows; needs a
  /// dense view unless only the row's inner shape changes.
  TensorView reshaped(std::initializer_list<std::int64_t> shape) const;

  /// "bf16[3, 896]".
  std::string describe() const;

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::f32;
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> shape_{};
  std::int64_t row_stride_ = 0;
};

/// Throws Failure naming `op` and both shapes unless the two views have the same shape.
void require_same_shape(const TensorView& a, const TensorView& b, std::string_view op);

}  // namespace fastchat::device
