// 8-bit linear layers of the cpu: their error, and their refusals.
#include "tests/ops/quantization_error.h"

#include <cstdio>
#include <limits>

#include "tests/ops/cpu_fixture.h"

namespace fastchat::ops {
namespace {

using quantization_test::Outliers;

// Qwen2-0.5B's.
constexpr quantization_test::Shape kShapes[] = {{896, 1152}, {896, 896}, {4864, 128}};

TEST(Quantization, ErrorOfEveryOutputIsWithinTheBound) {
  CpuFixture fixture;
  for (const LinearFormat format :
       {LinearFormat(DType::i8, DType::f32), LinearFormat(DType::i8, DType::i8)}) {
    for (const Outliers outliers :
         {Outliers::none, Outliers::inputs, Outliers::weights, Outliers::both}) {
      double worst = 0;
      for (const quantization_test::Shape& shape : kShapes)
        worst = std::max(worst,
                         quantization_test::expect_error_within_bound(
                             *fixture.ops, DType::f32, format, shape, outliers, /*rounding=*/1e-5));
      std::printf("%s, %s: error / output, root mean squares: %.4f\n",
                  format.input == DType::i8 ? "w8a8" : "w8a16",
                  to_string(outliers).c_str(),
                  worst);
    }
  }
}

// The bound is no wider than it must be: an error can be all of it.
TEST(Quantization, HalfAStepOfEveryWeightIsTheWorst) {
  CpuFixture fixture;
  cases::Rig rig(*fixture.ops);
  const float weights[] = {127.0f, 0.5f, 0.5f, 0.5f};
  const PackedLinear& packed =
      rig.pack(weights, DType::f32, {1}, 4, LinearFormat(DType::i8, DType::f32));
  const float inputs[] = {0.0f, 1.0f, 1.0f, 1.0f};
  const TensorView x = rig.upload(inputs, DType::f32, {1, 4});
  const TensorView out = rig.blank(DType::f32, {1, 1});
  rig.ops().linear(rig.stream(), x, packed, {}, out);
  EXPECT_EQ(rig.download(out)[0], 0.0f);  // of 1.5: ties go to even
}

TEST(Quantization, NumbersThatAreNoneComeOutAsNone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const cpu::Kernels* kernels : every_kernels()) {
    CpuFixture fixture(*kernels);
    for (const float defect : {nan, infinity}) {
      cases::Rig rig(*fixture.ops);
      std::vector<float> weights = cases::random_values(1, 2 * 40);
      weights[7] = defect;
      const LinearFormat format(DType::i8, DType::i8);
      const PackedLinear& packed = rig.pack(weights, DType::f32, {2}, 40, format);
      std::vector<float> inputs = cases::random_values(2, 3 * 40);
      inputs[40 + 39] = defect;
      const TensorView x = rig.upload(inputs, DType::f32, {3, 40});
      const TensorView out = rig.blank(DType::f32, {3, 2});
      rig.ops().linear(rig.stream(), x, packed, {}, out);
      const std::vector<float> found = rig.download(out);
      for (std::size_t row = 0; row < 3; ++row) {
        EXPECT_FALSE(std::isfinite(found[row * 2])) << kernels->name << " " << row;
        EXPECT_EQ(std::isfinite(found[row * 2 + 1]), row != 1) << kernels->name << " " << row;
      }
    }
  }
}

TEST(Quantization, FormatsThatAreNoneAreRefused) {
  CpuFixture fixture;
  cases::Rig rig(*fixture.ops);
  const float weights[] = {1.0f, 2.0f};
  const auto failure = [&](LinearFormat format) -> std::string {
    try {
      rig.pack(weights, DType::f32, {1}, 2, format);
    } catch (const Failure& error) {
      return error.what();
    }
    return "no failure";
  };
  EXPECT_NE(failure({DType::f32, DType::i8}).find("to f32 for inputs of i8"), std::string::npos);
  EXPECT_NE(failure(DType::i32).find("to i32"), std::string::npos);
}

}  // namespace
}  // namespace fastchat::ops
