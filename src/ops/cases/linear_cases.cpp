#include "ops/cases/op_case.h"

namespace fastchat::ops::cases {
namespace {

struct Shape {
  std::int64_t rows;
  std::int64_t in;
  std::int64_t out;
};

}  // namespace

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> cases;
  const Shape shapes[] = {
      {1, 1, 1},     // smaller than anything
      {1, 64, 32},   // one panel
      {1, 600, 70},  // several stretches of the inner dimension, a part of a panel
      {3, 257, 33},  // odd inner dimension: half a pair at the end
      {5, 258, 40},
      {12, 128, 96},
      {17, 300, 31},
      {33, 129, 65},    // the first beyond streaming
      {100, 300, 290},  // two tiles of rows, two of panels
  };
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const Shape& shape : shapes) {
      cases.push_back(
          {.op = "linear",
           .name = fmt::format("{} x {} -> {}", shape.rows, shape.in, shape.out),
           .dtype = dtype,
           .tolerance = tolerance(dtype, shape.in),
           .run = [=](Rig& rig) {
             const auto& weight = rig.pack(
                 random_values(1, shape.in * shape.out), dtype, {shape.out}, shape.in, dtype);
             const TensorView x =
                 rig.upload(random_values(2, shape.rows * shape.in), dtype, {shape.rows, shape.in});
             const TensorView out = rig.blank(dtype, {shape.rows, shape.out});
             rig.ops().linear(rig.stream(), x, weight, {}, out);
             return rig.download(out);
           }});
    }
    // Rows of x and out are parts of wider ones; the weight comes from three slices of another
    // dtype, none of which ends with a panel; bias; f32 result.
    for (const std::int64_t rows : {2, 40}) {
      cases.push_back(
          {.op = "linear",
           .name = fmt::format("{} strided rows, 3 slices, bias, f32 out", rows),
           .dtype = dtype,
           // The products are of the rounded weights on both sides, and f32 is not rounded again.
           .tolerance = tolerance(DType::f32, 300),
           .run = [=](Rig& rig) {
             constexpr std::int64_t kIn = 300;
             const DType source = dtype == DType::f32 ? DType::bf16 : DType::f32;
             const auto& weight =
                 rig.pack(random_values(3, kIn * 111), source, {50, 1, 60}, kIn, dtype);
             const TensorView bias = rig.upload(random_values(4, 111), DType::f32, {111});
             const TensorView x =
                 rig.upload(random_values(5, rows * (kIn + 9)), dtype, {rows, kIn + 9})
                     .slice_columns(4, kIn);
             const TensorView out = rig.blank(DType::f32, {rows, 120});
             rig.ops().linear(rig.stream(), x, weight, bias, out.slice_columns(5, 111));
             return rig.download(out);  // the columns beside it stay NaN
           }});
    }
  }
  return cases;
}

}  // namespace fastchat::ops::cases
