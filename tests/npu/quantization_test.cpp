// 8-bit linear layers of cards: their error is within the bound of the cpu's, and 16-bit rounding.
#include <cstdio>
#include <memory>

#include <gtest/gtest.h>

#include "device/ascend/npu_device.h"
#include "ops/ascend/npu_ops.h"
#include "tests/ops/quantization_error.h"

namespace fastchat::ops {
namespace {

using quantization_test::Outliers;

TEST(NpuQuantization, ErrorOfEveryOutputIsWithinTheBound) {
  const auto platform = device::create_npu_platform({});
  ASSERT_GT(platform->num_devices(), 0) << platform->unavailable_reason();
  const auto card = platform->open(0);
  const std::unique_ptr<Ops> npu = create_npu_ops(*card);
  for (const DType dtype : {DType::f16, DType::bf16}) {
    // The scale and the result are rounded to 16 bits.
    const double rounding = 2 * (dtype == DType::f16 ? 0x1p-11 : 0x1p-8);
    for (const LinearFormat format :
         {LinearFormat(DType::i8, dtype), LinearFormat(DType::i8, DType::i8)}) {
      for (const Outliers outliers :
           {Outliers::none, Outliers::inputs, Outliers::weights, Outliers::both}) {
        const double error = quantization_test::expect_error_within_bound(
            *npu, dtype, format, {896, 256}, outliers, rounding);
        std::printf("%s %s, %s: error / output, root mean squares: %.4f\n",
                    std::string(device::to_string(dtype)).c_str(),
                    format.input == DType::i8 ? "w8a8" : "w8a16",
                    to_string(outliers).c_str(),
                    error);
      }
    }
  }
}

// A head of 152k rows is more than the operator of 16-bit inputs takes at once.
TEST(NpuQuantization, WideHeadsAreMultipliedInParts) {
  const auto platform = device::create_npu_platform({});
  const auto card = platform->open(0);
  const std::unique_ptr<Ops> npu = create_npu_ops(*card);
  for (const LinearFormat format :
       {LinearFormat(DType::i8, DType::f16), LinearFormat(DType::i8, DType::i8)}) {
    constexpr std::int64_t kIn = 32, kOut = 140000;
    cases::Rig rig(*npu);
    std::vector<float> weights(kIn * kOut);
    for (std::size_t i = 0; i < weights.size(); ++i)  // row r holds r % 100 once, 127 once
      weights[i] = i % kIn == 0 ? static_cast<float>(i / kIn % 100) : i % kIn == 1 ? 127.0f : 0.0f;
    const PackedLinear& packed = rig.pack(weights, DType::f32, {kOut}, kIn, format);
    std::vector<float> inputs(2 * kIn, 0.0f);
    inputs[0] = 127.0f / 64;
    inputs[kIn] = 127.0f / 32;
    const TensorView x = rig.upload(inputs, DType::f16, {2, kIn});
    const TensorView out = rig.blank(DType::f32, {2, kOut});
    npu->linear(rig.stream(), x, packed, {}, out);
    const std::vector<float> found = rig.download(out);
    for (std::int64_t i = 0; i < kOut; ++i) {
      const double expected = static_cast<double>(i % 100) * 127 / 64;
      ASSERT_NEAR(found[static_cast<std::size_t>(i)], expected, 0.002 * expected) << i;
      ASSERT_NEAR(found[static_cast<std::size_t>(kOut + i)], 2 * expected, 0.004 * expected) << i;
    }
  }
}

}  // namespace
}  // namespace fastchat::ops
