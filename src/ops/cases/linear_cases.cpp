#include "ops/cases/op_case.h"

namespace fastchat::ops::cases {
namespace {

struct Shape {
  std::int64_t rows;
  std::int64_t in;
  std::int64_t out;
};

constexpr Shape kShapes[] = {
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

std::string name_of(const LinearFormat& format) {
  if (!format.is_quantized()) return {};
  return format.input == DType::i8 ? ", w8a8" : ", w8a16";
}

void add_shapes(DType dtype, LinearFormat format, std::vector<OpCase>& cases) {
  for (const Shape& shape : kShapes) {
    cases.push_back(
        {.op = "linear",
         .name = fmt::format("{} x {} -> {}{}", shape.rows, shape.in, shape.out, name_of(format)),
         .dtype = dtype,
         .tolerance = tolerance(dtype, shape.in),
         .run = [=](Rig& rig) {
           const auto& weight = rig.pack(
               random_values(1, shape.in * shape.out), dtype, {shape.out}, shape.in, format);
           const TensorView x =
               rig.upload(random_values(2, shape.rows * shape.in), dtype, {shape.rows, shape.in});
           const TensorView out = rig.blank(dtype, {shape.rows, shape.out});
           rig.ops().linear(rig.stream(), x, weight, {}, out);
           return rig.download(out);
         }});
  }
}

/// Rows of x and out are parts of wider ones; the weight comes from three slices of another dtype,
/// none of which ends with a panel; bias; f32 result.
void add_strided(DType dtype, LinearFormat format, std::vector<OpCase>& cases) {
  for (const std::int64_t rows : {2, 40}) {
    cases.push_back(
        {.op = "linear",
         .name = fmt::format("{} strided rows, 3 slices, bias, f32 out{}", rows, name_of(format)),
         .dtype = dtype,
         // The products are of the rounded weights on both sides, and f32 is not rounded again.
         .tolerance = tolerance(DType::f32, 300),
         .run = [=](Rig& rig) {
           constexpr std::int64_t kIn = 300;
           const DType source = dtype == DType::f32 ? DType::bf16 : DType::f32;
           const auto& weight =
               rig.pack(random_values(3, kIn * 111), source, {50, 1, 60}, kIn, format);
           const TensorView bias =
               rig.upload(random_values(4, 111), rig.traits().bias_dtype(dtype), {111});
           const TensorView x =
               rig.upload(random_values(5, rows * (kIn + 9)), dtype, {rows, kIn + 9})
                   .slice_columns(4, kIn);
           const TensorView out = rig.blank(DType::f32, {rows, 120});
           rig.ops().linear(rig.stream(), x, weight, bias, out.slice_columns(5, 111));
           return rig.download(out);  // the columns beside it stay NaN
         }});
  }
}

/// A row of zeros on either side of an 8-bit product, and one channel that dwarfs the others.
void add_outliers(DType dtype, std::vector<OpCase>& cases) {
  for (const LinearFormat format :
       {LinearFormat(DType::i8, dtype), LinearFormat(DType::i8, DType::i8)}) {
    cases.push_back({.op = "linear",
                     .name = "zero rows, an outlier channel" + name_of(format),
                     .dtype = dtype,
                     .tolerance = tolerance(dtype, 200),
                     .run = [=](Rig& rig) {
                       constexpr std::int64_t kIn = 200, kOut = 40, kRows = 4;
                       std::vector<float> weights = random_values(6, kIn * kOut);
                       std::vector<float> inputs = random_values(7, kRows * kIn);
                       for (std::int64_t i = 0; i < kIn; ++i) {
                         weights[static_cast<std::size_t>(3 * kIn + i)] = 0.0f;
                         inputs[static_cast<std::size_t>(kIn + i)] = 0.0f;
                       }
                       for (std::int64_t row = 0; row < kRows; ++row)
                         inputs[static_cast<std::size_t>(row * kIn + 17)] *= 50.0f;
                       const auto& weight = rig.pack(weights, dtype, {kOut}, kIn, format);
                       const TensorView x = rig.upload(inputs, dtype, {kRows, kIn});
                       const TensorView out = rig.blank(dtype, {kRows, kOut});
                       rig.ops().linear(rig.stream(), x, weight, {}, out);
                       return rig.download(out);
                     }});
  }
}

/// A checkpoint's own 8-bit weights keep their numbers, or become floats where the format holds
/// these.
void add_quantized_slices(DType dtype, std::vector<OpCase>& cases) {
  for (const LinearFormat format :
       {LinearFormat(dtype), LinearFormat(DType::i8, dtype), LinearFormat(DType::i8, DType::i8)}) {
    cases.push_back(
        {.op = "linear",
         .name = "a slice of 8 bits beside one of f32" +
                 (format.is_quantized() ? name_of(format) : ", in floats"),
         .dtype = dtype,
         .tolerance = tolerance(dtype, 70),
         .run = [=](Rig& rig) {
           constexpr std::int64_t kIn = 70, kRows = 3;
           const auto& weight = rig.pack_beside_int8(8, {20, 15}, kIn, format);
           const TensorView x = rig.upload(random_values(9, kRows * kIn), dtype, {kRows, kIn});
           const TensorView out = rig.blank(dtype, {kRows, 35});
           rig.ops().linear(rig.stream(), x, weight, {}, out);
           return rig.download(out);
         }});
  }
}

}  // namespace

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const LinearFormat format : {LinearFormat(dtype),
                                      LinearFormat(DType::i8, dtype),
                                      LinearFormat(DType::i8, DType::i8)}) {
      add_shapes(dtype, format, cases);
      add_strided(dtype, format, cases);
    }
    add_outliers(dtype, cases);
    add_quantized_slices(dtype, cases);
  }
  return cases;
}

}  // namespace fastchat::ops::cases
