#include "ops/cases/op_case.h"

namespace fastchat::ops::cases {

std::vector<OpCase> norm_cases() {
  constexpr float kEps = 1e-6f;
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t width : {1, 7, 64, 896, 1001}) {
      constexpr std::int64_t kRows = 5;
      cases.push_back({.op = "rms_norm",
                       .name = fmt::format("{} x {}", kRows, width),
                       .dtype = dtype,
                       .tolerance = tolerance(dtype, width),
                       .run = [=](Rig& rig) {
                         const TensorView x = rig.upload(
                             random_values(1, kRows * width, 3.0f), dtype, {kRows, width});
                         const TensorView weight =
                             rig.upload(random_values(2, width), dtype, {width});
                         rig.ops().rms_norm(rig.stream(), x, weight, kEps, x);  // in place
                         return rig.download(x);
                       }});
      cases.push_back(
          {.op = "rms_norm",
           .name = fmt::format("strided f32, {} x {}, f32 weight", kRows, width),
           .dtype = dtype,
           .tolerance = tolerance(dtype, width),
           .run = [=](Rig& rig) {
             const TensorView x =
                 rig.upload(random_values(3, kRows * (width + 5)), DType::f32, {kRows, width + 5});
             const TensorView weight = rig.upload(random_values(4, width), DType::f32, {width});
             const TensorView out = rig.blank(dtype, {kRows, width});
             rig.ops().rms_norm(rig.stream(), x.slice_columns(2, width), weight, kEps, out);
             return rig.download(out);
           }});
      // Heads in place, as they lie in a fused projection; what lies around them stays as it was.
      cases.push_back(
          {.op = "rms_norm",
           .name = fmt::format("{} x 3 heads of {}, strided", kRows, width),
           .dtype = dtype,
           .tolerance = tolerance(dtype, width),
           .run = [=](Rig& rig) {
             const std::int64_t row_width = 3 * width + 5;
             const TensorView whole =
                 rig.upload(random_values(11, kRows * row_width, 3.0f), dtype, {kRows, row_width});
             const TensorView heads = whole.slice_columns(2, 3 * width).reshaped({kRows, 3, width});
             const TensorView weight = rig.upload(random_values(12, width), DType::f32, {width});
             rig.ops().rms_norm(rig.stream(), heads, weight, kEps, heads);
             return rig.download(whole);
           }});
      for (const DType residual_dtype : {dtype, DType::f32}) {
        cases.push_back(
            {.op = "add_rms_norm",
             .name = fmt::format(
                 "{} x {}, {} residual", kRows, width, device::to_string(residual_dtype)),
             .dtype = dtype,
             .tolerance = tolerance(dtype, width),
             .run = [=](Rig& rig) {
               const TensorView residual =
                   rig.upload(random_values(5, kRows * width), residual_dtype, {kRows, width});
               const TensorView x =
                   rig.upload(random_values(6, kRows * width), dtype, {kRows, width});
               const TensorView weight = rig.upload(random_values(7, width), dtype, {width});
               const TensorView out = rig.blank(dtype, {kRows, width});
               rig.ops().add_rms_norm(rig.stream(), residual, x, weight, kEps, out);
               std::vector<float> results = rig.download(out);
               const std::vector<float> sums = rig.download(residual);
               results.insert(results.end(), sums.begin(), sums.end());
               return results;
             }});
      }
      for (const bool has_bias : {false, true}) {
        cases.push_back({.op = "layer_norm",
                         .name = fmt::format("{} x {}{}", kRows, width, has_bias ? ", bias" : ""),
                         .dtype = dtype,
                         // One element alone, and a mean far from 0, lose digits in the difference.
                         .tolerance = tolerance(dtype, width) + 1e-5,
                         .run = [=](Rig& rig) {
                           std::vector<float> values = random_values(8, kRows * width);
                           for (float& value : values) value += 2.0f;
                           const TensorView x = rig.upload(values, dtype, {kRows, width});
                           const TensorView weight =
                               rig.upload(random_values(9, width), dtype, {width});
                           const TensorView bias =
                               rig.upload(random_values(10, width), dtype, {width});
                           const TensorView out = rig.blank(dtype, {kRows, width});
                           rig.ops().layer_norm(
                               rig.stream(), x, weight, has_bias ? bias : TensorView(), 1e-5f, out);
                           return rig.download(out);
                         }});
      }
    }
  }
  return cases;
}

}  // namespace fastchat::ops::cases
