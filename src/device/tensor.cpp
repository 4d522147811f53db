#include "device/tensor.h"

namespace fastchat::device {

TensorView::TensorView(void* data, DType dtype, std::initializer_list<std::int64_t> shape)
    : data_(data), dtype_(dtype), rank_(static_cast<int>(shape.size())) {
  FASTCHAT_ASSERT(shape.size() <= kMaxRank, "a tensor has at most {} dimensions", kMaxRank);
  std::size_t index = 0;
  for (const std::int64_t extent : shape) shape_[index++] = extent;
  row_stride_ = row_elements();
}

std::int64_t TensorView::row_elements() const {
  std::int64_t product = 1;
  for (int i = 1; i < rank_; ++i) product *= dim(i);
  return product;
}

TensorView TensorView::slice_rows(std::int64_t first, std::int64_t count) const {
  FASTCHAT_ASSERT(rank_ >= 1 && first >= 0 && count >= 0 && first + count <= rows(),
                  "rows {}..{} of {}",
                  first,
                  first + count,
                  describe());
  TensorView out = *this;
  out.data_ =
      static_cast<char*>(data_) + static_cast<std::size_t>(first * row_stride_) * size_of(dtype_);
  out.shape_[0] = count;
  return out;
}

TensorView TensorView::slice_columns(std::int64_t first, std::int64_t count) const {
  FASTCHAT_ASSERT(rank_ == 2 && first >= 0 && count >= 0 && first + count <= dim(1),
                  "columns {}..{} of {}",
                  first,
                  first + count,
                  describe());
  TensorView out = *this;
  out.data_ = static_cast<char*>(data_) + static_cast<std::size_t>(first) * size_of(dtype_);
  out.shape_[1] = count;
  return out;
}

TensorView TensorView::reshaped(std::initializer_list<std::int64_t> shape) const {
  TensorView out(data_, dtype_, shape);
  FASTCHAT_ASSERT(
      out.num_elements() == num_elements(), "reshape of {} to {}", describe(), out.describe());
  if (!is_dense()) {
    FASTCHAT_ASSERT(
        out.rows() == rows(), "reshape of the strided {} to {}", describe(), out.describe());
    out.row_stride_ = row_stride_;
  }
  return out;
}

std::string TensorView::describe() const {
  std::string text = fmt::format("{}[", to_string(dtype_));
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i ? ", " : "", dim(i));
  return text + "]";
}

void require_same_shape(const TensorView& a, const TensorView& b, std::string_view op) {
  bool same = a.rank() == b.rank();
  for (int i = 0; same && i < a.rank(); ++i) same = a.dim(i) == b.dim(i);
  check(same, "{}: shapes differ: {} and {}", op, a.describe(), b.describe());
}

}  // namespace fastchat::device
