#include "ops/cases/op_case.h"

#include <cmath>
#include <limits>
#include <vector>

namespace fastchat::ops::cases {
namespace {

constexpr std::int32_t kLowestId = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t kHighestId = std::numeric_limits<std::int32_t>::max();

void add_row_cases(std::vector<OpCase>& cases, DType dtype) {
  for (const DType out_dtype : {dtype, DType::f32}) {
    cases.push_back(
        {.op = "embedding",
         .name = fmt::format("hostile ids, {} out", device::to_string(out_dtype)),
         .dtype = dtype,
         .tolerance = 0.0,
         .run = [=](Rig& rig) {
           const TensorView table = rig.upload(random_values(1, 50 * 37), dtype, {50, 37});
           std::vector<std::int32_t> ids = {3, 49, 0, -1, 50, kLowestId, kHighestId, 3};
           if (!rig.traits().tolerates_bad_indices) ids = {3, 49, 0, 7, 48, 1, 2, 3};
           const TensorView out = rig.blank(out_dtype, {8, 37});
           rig.ops().embedding(rig.stream(), table, rig.upload(ids), out);
           return rig.download(out);
         }});
  }
  cases.push_back({.op = "gather_rows",
                   .name = "hostile indices",
                   .dtype = dtype,
                   .tolerance = 0.0,
                   .run = [=](Rig& rig) {
                     const TensorView x = rig.upload(random_values(2, 9 * 24), dtype, {9, 24});
                     std::vector<std::int32_t> indices = {8, 0, 8, -1, 9, kHighestId};
                     if (!rig.traits().tolerates_bad_indices) indices = {8, 0, 8, 3, 4, 5};
                     const TensorView out = rig.blank(dtype, {6, 20});
                     rig.ops().gather_rows(
                         rig.stream(), x.slice_columns(4, 20), rig.upload(indices), out);
                     return rig.download(out);
                   }});
  for (const DType out_dtype : {dtype, DType::f32}) {
    cases.push_back(
        {.op = "add",
         .name = fmt::format("to {}", device::to_string(out_dtype)),
         .dtype = dtype,
         .tolerance = 0.0,  // one rounding of one sum
         .run = [=](Rig& rig) {
           const TensorView x = rig.upload(random_values(3, 6 * 45), dtype, {6, 45});
           const TensorView out = rig.upload(random_values(4, 6 * 41), out_dtype, {6, 41});
           rig.ops().add(rig.stream(), out, x.slice_columns(3, 41));
           return rig.download(out);
         }});
  }
}

void add_rotary_cases(std::vector<OpCase>& cases, DType dtype) {
  struct Heads {
    std::int64_t num_heads;
    std::int64_t head_dim;
    std::int64_t rotary_dim;
  };
  const auto add = [&](const Heads& heads, std::int64_t pad) {
    cases.push_back({.op = "rotary",
                     .name = fmt::format("{} heads of {}, {} rotated, strided{}",
                                         heads.num_heads,
                                         heads.head_dim,
                                         heads.rotary_dim,
                                         pad == 0 ? "" : " on both sides"),
                     .dtype = dtype,
                     .tolerance = tolerance(dtype, 2),
                     .run = [=](Rig& rig) {
                       const std::int64_t width = heads.num_heads * heads.head_dim;
                       const TensorView wide =
                           rig.upload(random_values(5, 4 * (width + 6)), dtype, {4, width + 6});
                       const TensorView table = rig.upload(random_values(6, 4 * heads.rotary_dim),
                                                           DType::f32,
                                                           {4, heads.rotary_dim});
                       const TensorView out = rig.blank(dtype, {4, width + pad});
                       rig.ops().rotary(rig.stream(),
                                        wide.slice_columns(2, width),
                                        heads.head_dim,
                                        table,
                                        out.slice_columns(0, width));
                       return rig.download(out);  // the columns beside it stay NaN
                     }});
  };
  for (const Heads& heads : {Heads{2, 64, 64}, Heads{3, 80, 32}, Heads{1, 8, 6}})
    for (const std::int64_t pad : {0, 6}) add(heads, pad);
}

void add_activation_cases(std::vector<OpCase>& cases, DType dtype) {
  struct Kind {
    Activation activation;
    const char* name;
  };
  for (const Kind& kind : {Kind{Activation::silu, "silu"},
                           Kind{Activation::gelu, "gelu"},
                           Kind{Activation::gelu_tanh, "gelu_tanh"}}) {
    for (const float magnitude : {4.0f, 120.0f}) {
      cases.push_back({.op = "gated_activation",
                       .name = fmt::format("{} to {}", kind.name, magnitude),
                       .dtype = dtype,
                       .tolerance = tolerance(dtype, 1) + 1e-6,  // of tanh and erf
                       .run = [=](Rig& rig) {
                         const TensorView x = rig.upload(
                             random_values(7, 3 * 2 * 77, magnitude), dtype, {3, 2 * 77});
                         const TensorView out = rig.blank(dtype, {3, 77});
                         rig.ops().gated_activation(rig.stream(), x, kind.activation, out);
                         return rig.download(out);
                       }});
    }
  }
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    add_row_cases(cases, dtype);
    add_rotary_cases(cases, dtype);
    add_activation_cases(cases, dtype);
  }
  cases.push_back(
      {.op = "resolve_tokens",
       .name = "kept, replaced, out of range",
       .dtype = DType::f32,
       .tolerance = 0.0,
       .run = [](Rig& rig) {
         const std::int32_t ids[] = {10, 11, 12, 13, 14};
         std::vector<std::int32_t> rows = {3, 1, 0, -1, 5};
         std::vector<std::int32_t> sources = {2, 0, 3, 1, kHighestId};
         if (!rig.traits().tolerates_bad_indices) {
           rows = {3, 1, 4};
           sources = {2, 0, 2};
         }
         const std::int32_t sampled[] = {70, 71, 72};
         const TensorView tokens = rig.upload(ids);
         rig.ops().resolve_tokens(
             rig.stream(), tokens, rig.upload(rows), rig.upload(sources), rig.upload(sampled));
         return rig.download(tokens);
       }});
  cases.push_back({.op = "resolve_tokens",
                   .name = "all",
                   .dtype = DType::f32,
                   .tolerance = 0.0,
                   .run = [](Rig& rig) {
                     const std::int32_t ids[] = {10, 11, 12};
                     const std::int32_t sources[] = {2, 0, 2};
                     const std::int32_t sampled[] = {70, 71, 72, 73};
                     const TensorView tokens = rig.upload(ids);
                     rig.ops().resolve_tokens(
                         rig.stream(), tokens, {}, rig.upload(sources), rig.upload(sampled));
                     return rig.download(tokens);
                   }});
  for (const float scale : {1.0f, 1.25f}) {
    cases.push_back({.op = "rotary_table",
                     .name = fmt::format("to position 131071, scale {}", scale),
                     .dtype = DType::f32,
                     .tolerance = tolerance(DType::f32, 1),
                     .run = [=](Rig& rig) {
                       const std::int32_t positions[] = {0, 1, 2, 511, 32767, 131071};
                       std::vector<float> frequencies(33);
                       for (std::size_t i = 0; i < frequencies.size(); ++i)
                         frequencies[i] =
                             static_cast<float>(std::pow(1e6, -static_cast<double>(i) / 33.0));
                       const TensorView out = rig.blank(DType::f32, {6, 66});
                       rig.ops().rotary_table(rig.stream(),
                                              rig.upload(positions),
                                              rig.upload(frequencies, DType::f32, {33}),
                                              scale,
                                              out);
                       return rig.download(out);
                     }});
  }
  return cases;
}

}  // namespace fastchat::ops::cases
