// TensorView: shapes, strides and slices over memory it does not own.
#include <array>
#include <cstdio>

#include <gtest/gtest.h>

#include "base/log.h"
#include "device/tensor.h"

namespace fastchat::device {
namespace {

TEST(TensorView, CountsRowsElementsAndBytes) {
  std::array<std::uint16_t, 24> memory{};
  const TensorView view(memory.data(), DType::bf16, {2, 3, 4});
  EXPECT_EQ(view.rows(), 2);
  EXPECT_EQ(view.row_elements(), 12);
  EXPECT_EQ(view.row_stride(), 12);
  EXPECT_EQ(view.num_elements(), 24);
  EXPECT_EQ(view.size_bytes(), 48U);
  EXPECT_TRUE(view.is_dense());
  EXPECT_EQ(view.describe(), "bf16[2, 3, 4]");
}

TEST(TensorView, SliceOfRowsStaysDense) {
  std::array<float, 20> memory{};
  const TensorView slice = TensorView(memory.data(), DType::f32, {5, 4}).slice_rows(2, 3);
  EXPECT_EQ(slice.as<float>(), memory.data() + 8);
  EXPECT_EQ(slice.rows(), 3);
  EXPECT_TRUE(slice.is_dense());
}

TEST(TensorView, SliceOfColumnsKeepsTheDistanceBetweenRows) {
  std::array<float, 20> memory{};
  const TensorView view(memory.data(), DType::f32, {5, 4});
  const TensorView slice = view.slice_columns(1, 2);
  EXPECT_EQ(slice.as<float>(), memory.data() + 1);
  EXPECT_EQ(slice.row_elements(), 2);
  EXPECT_EQ(slice.row_stride(), 4);
  EXPECT_FALSE(slice.is_dense());
  EXPECT_TRUE(slice.slice_rows(3, 1).is_dense());
  EXPECT_EQ(slice.slice_rows(3, 1).as<float>(), memory.data() + 13);
}

TEST(TensorView, ReshapeOfAStridedViewKeepsItsRows) {
  std::array<float, 32> memory{};
  const TensorView slice = TensorView(memory.data(), DType::f32, {4, 8}).slice_columns(0, 6);
  const TensorView heads = slice.reshaped({4, 2, 3});
  EXPECT_EQ(heads.row_stride(), 8);
  EXPECT_EQ(heads.row_elements(), 6);
  const TensorView flat = TensorView(memory.data(), DType::f32, {4, 8}).reshaped({32});
  EXPECT_EQ(flat.rows(), 32);
}

TEST(TensorViewDeathTest, OutOfBoundsStopsTheRun) {
  log::set_sink([](log::Level, std::string_view message) {  // another test may have silenced it
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  });
  std::array<float, 8> memory{};
  const TensorView view(memory.data(), DType::f32, {2, 4});
  EXPECT_DEATH(view.slice_rows(1, 2), "rows 1..3 of f32\\[2, 4\\]");
  EXPECT_DEATH(view.slice_columns(3, 2), "columns 3..5");
  EXPECT_DEATH(view.reshaped({3, 3}), "reshape");
  EXPECT_DEATH(view.slice_columns(0, 2).reshaped({4}), "strided");
}

TEST(TensorView, DifferentShapesAreNamedWithTheOperation) {
  std::array<float, 8> memory{};
  const TensorView a(memory.data(), DType::f32, {2, 4});
  const TensorView b(memory.data(), DType::f32, {4, 2});
  EXPECT_NO_THROW(require_same_shape(a, a, "add"));
  try {
    require_same_shape(a, b, "add");
    FAIL() << "did not throw";
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(), "add: shapes differ: f32[2, 4] and f32[4, 2]");
  }
}

}  // namespace
}  // namespace fastchat::device
