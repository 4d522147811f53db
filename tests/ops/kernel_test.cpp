// Conversions and functions of the kernels, for all or many inputs, on every instruction set.
#include "tests/ops/cpu_fixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fastchat::ops::cpu {
namespace {

class EveryIsa : public testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels() const { return *GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Kernels,
                         EveryIsa,
                         testing::ValuesIn(every_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

/// Equal bits, or both NaN.
void expect_same(float a, float b, std::uint32_t input) {
  if (std::isnan(a) && std::isnan(b)) return;
  std::uint32_t x, y;
  std::memcpy(&x, &a, sizeof x);
  std::memcpy(&y, &b, sizeof y);
  ASSERT_EQ(x, y) << std::hex << input;
}

TEST_P(EveryIsa, Widens16BitNumbersExactly) {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  std::vector<float> wide(all.size());
  kernels().convert(all.data(), Element::f16, wide.data(), Element::f32, 65536);
  for (std::uint32_t i = 0; i < 65536; ++i)
    expect_same(wide[i], device::f16_to_f32(static_cast<std::uint16_t>(i)), i);
  kernels().convert(all.data(), Element::bf16, wide.data(), Element::f32, 65536);
  for (std::uint32_t i = 0; i < 65536; ++i)
    expect_same(wide[i], device::bf16_to_f32(static_cast<std::uint16_t>(i)), i);
}

TEST_P(EveryIsa, RoundsTo16BitsAsTheScalarConversionDoes) {
  // All exponents and signs, mantissas around the ties of both formats, and a scatter of others.
  std::vector<float> values;
  for (std::uint32_t high = 0; high < 512; ++high) {
    for (std::uint32_t low = 0; low < 64; ++low) {
      const std::uint32_t mantissas[] = {low << 12,
                                         (low << 12) + 0x1000 - 1,
                                         (low << 15) + 1,
                                         low * 0x1FFFF,
                                         (low << 17) | 0x8000};
      for (const std::uint32_t mantissa : mantissas) {
        const std::uint32_t bits = (high << 23) | (mantissa & 0x7FFFFF);
        float value;
        std::memcpy(&value, &bits, sizeof value);
        values.push_back(value);
      }
    }
  }
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<std::uint16_t> narrow(values.size());
  kernels().convert(values.data(), Element::f32, narrow.data(), Element::f16, count);
  for (std::size_t i = 0; i < values.size(); ++i)
    expect_same(device::f16_to_f32(narrow[i]),
                device::f16_to_f32(device::f32_to_f16(values[i])),
                static_cast<std::uint32_t>(i));
  kernels().convert(values.data(), Element::f32, narrow.data(), Element::bf16, count);
  for (std::size_t i = 0; i < values.size(); ++i)
    expect_same(device::bf16_to_f32(narrow[i]),
                device::bf16_to_f32(device::f32_to_bf16(values[i])),
                static_cast<std::uint32_t>(i));
}

TEST_P(EveryIsa, ExponentialIsAccurate) {
  std::vector<float> x;
  for (float value = -87.0f; value <= 0.0f; value += 0.0137f) x.push_back(value);
  const auto count = static_cast<std::int64_t>(x.size());
  std::vector<float> weights(x.size());
  // A quantum far below the smallest weight leaves weights as exp gives them.
  kernels().sample_weights(x.data(), count, 0.0f, 1.0f, 0x1p-149f, weights.data());
  for (std::size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(weights[i] / std::exp(static_cast<double>(x[i])), 1.0, 3e-7) << x[i];
  const float edges[] = {0.0f, -std::numeric_limits<float>::infinity(), -1e30f, -88.0f};
  kernels().sample_weights(edges, 4, 0.0f, 1.0f, 0x1p-40f, weights.data());
  EXPECT_EQ(weights[0], 1.0f);
  EXPECT_EQ(weights[1], 0.0f);
  EXPECT_EQ(weights[2], 0.0f);
  EXPECT_EQ(weights[3], 0.0f);
}

TEST_P(EveryIsa, MassIsTheExactSumOfTheWeights) {
  constexpr std::int64_t kCount = 4099;
  constexpr float kQuantum = 0x1p-39f;
  const std::vector<float> x = cases::random_values(1, kCount, 10.0f);
  std::vector<float> weights(x.size());
  kernels().sample_weights(x.data(), kCount, 10.0f, 1.0f, kQuantum, weights.data());
  double backwards = 0.0;
  for (std::size_t i = x.size(); i-- > 0;) {
    EXPECT_EQ(std::fmod(weights[i], kQuantum), 0.0f);
    backwards += weights[i];
  }
  EXPECT_EQ(kernels().sample_mass(x.data(), kCount, 10.0f, 1.0f, kQuantum), backwards);
}

TEST_P(EveryIsa, ScanFindsMaximaAndNan) {
  std::vector<float> x = cases::random_values(2, 130);
  float chunk_max[3];
  x[7] = 4.0f;
  x[129] = 3.0f;
  EXPECT_EQ(kernels().scan(x.data(), 130, chunk_max).max, 4.0f);
  EXPECT_EQ(chunk_max[0], 4.0f);
  EXPECT_EQ(chunk_max[2], 3.0f);
  for (const std::size_t place : {std::size_t{0}, std::size_t{64}, std::size_t{129}}) {
    std::vector<float> broken = x;
    broken[place] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(kernels().scan(broken.data(), 130, chunk_max).max)) << place;
  }
}

/// Product of subnormal rows with ones: whether linear's bf16 products are the instruction's.
float product_of_subnormals(const Kernels& kernels, std::int64_t rows) {
  constexpr float kSubnormal = 0x1p-130f;
  CpuFixture fixture(kernels);
  cases::Rig rig(*fixture.ops);
  const std::vector<float> ones(64, 1.0f);
  const PackedLinear& weight = rig.pack(ones, DType::bf16, {32}, 2, DType::bf16);
  const std::vector<float> x(static_cast<std::size_t>(2 * rows), kSubnormal);
  const TensorView out = rig.blank(DType::f32, {rows, 32});
  rig.ops().linear(rig.stream(), rig.upload(x, DType::bf16, {rows, 2}), weight, {}, out);
  return rig.download(out)[0];
}

TEST_P(EveryIsa, Bf16ProductsAreThoseOfTheInstructionWhereThereIsOne) {
  const bool has_instruction = kernels().multiply_adds_bf16 != nullptr;
  EXPECT_EQ(has_instruction, std::string(kernels().name).find("bf16") != std::string::npos);
  for (const std::int64_t rows : {1, 40})  // streamed, and in tiles
    EXPECT_EQ(product_of_subnormals(kernels(), rows), has_instruction ? 0.0f : 0x1p-129f) << rows;
  EXPECT_GT(kernels().multiply_adds_int8(3), 0);
  if (has_instruction) {
    EXPECT_GT(kernels().multiply_adds_bf16(3), 0);
  }
}

}  // namespace
}  // namespace fastchat::ops::cpu
