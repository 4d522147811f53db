// 16-bit conversions against double arithmetic: every pattern, every midpoint.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "device/dtype.h"

namespace fastchat::device {
namespace {

struct Format {
  const char* name;
  int exponent_bits;
  int mantissa_bits;
  float (*widen)(std::uint16_t);
  std::uint16_t (*narrow)(float);
};

constexpr Format kFormats[] = {{"f16", 5, 10, f16_to_f32, f32_to_f16},
                               {"bf16", 8, 7, bf16_to_f32, f32_to_bf16}};

// The value of a pattern by IEEE 754's definition.
double value_of(const Format& format, std::uint16_t bits) {
  const int exponent_mask = (1 << format.exponent_bits) - 1;
  const int bias = exponent_mask / 2;
  const int exponent = (bits >> format.mantissa_bits) & exponent_mask;
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == exponent_mask)
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - format.mantissa_bits);
  return sign *
         std::ldexp((1 << format.mantissa_bits) + mantissa, exponent - bias - format.mantissa_bits);
}

TEST(DType, EveryPatternHasItsValueAndComesBack) {
  for (const Format& format : kFormats) {
    for (int pattern = 0; pattern <= 0xFFFF; ++pattern) {
      const auto bits = static_cast<std::uint16_t>(pattern);
      const double expected = value_of(format, bits);
      const float widened = format.widen(bits);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(widened)) << format.name << " " << pattern;
        ASSERT_TRUE(std::isnan(format.widen(format.narrow(widened)))) << format.name << pattern;
        continue;
      }
      ASSERT_EQ(static_cast<double>(widened), expected) << format.name << " " << pattern;
      ASSERT_EQ(std::signbit(widened), (bits & 0x8000) != 0) << format.name << " " << pattern;
      ASSERT_EQ(format.narrow(widened), bits) << format.name << " " << pattern;
    }
  }
}

// Between each two neighbours: the midpoint goes to the even one, anything else to the nearer.
TEST(DType, RoundsToNearestTiesToEven) {
  for (const Format& format : kFormats) {
    const int infinity = ((1 << format.exponent_bits) - 1) << format.mantissa_bits;
    for (int pattern = 0; pattern < infinity; ++pattern) {
      const auto low = static_cast<std::uint16_t>(pattern);
      const auto high = static_cast<std::uint16_t>(pattern + 1);
      const double below = value_of(format, low);
      // The step above the largest finite value is that value's own step: what rounds past it is
      // infinite.
      const double above = pattern + 1 < infinity
                               ? value_of(format, high)
                               : 2 * below - value_of(format, static_cast<std::uint16_t>(low - 1));
      const auto middle = static_cast<float>((below + above) / 2);
      if (static_cast<double>(middle) != (below + above) / 2) continue;  // finer than f32
      const std::uint16_t even = (low & 1) == 0 ? low : high;
      ASSERT_EQ(format.narrow(middle), even) << format.name << " " << pattern;
      ASSERT_EQ(format.narrow(-middle), even | 0x8000) << format.name << " " << pattern;
      ASSERT_EQ(format.narrow(std::nextafterf(middle, 0.0F)), low) << format.name << pattern;
      ASSERT_EQ(format.narrow(std::nextafterf(middle, HUGE_VALF)), high) << format.name << pattern;
    }
  }
}

TEST(DType, LimitsOverflowToInfinityAndNanStaysNan) {
  EXPECT_EQ(f32_to_f16(65504.0F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7C00);
  EXPECT_EQ(f32_to_f16(-1e30F), 0xFC00);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  // A NaN whose payload lies in the bits that are cut off must not become an infinity.
  const auto sneaky = std::bit_cast<float>(0x7F800001U);
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(sneaky))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(sneaky))));
}

TEST(DType, NamesGoThereAndBack) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const Result<DType> parsed = parse_float_dtype(to_string(dtype));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, dtype);
  }
  EXPECT_EQ(*parse_float_dtype("bfloat16"), DType::bf16);
  EXPECT_EQ(*parse_float_dtype("half"), DType::f16);
  EXPECT_EQ(*parse_float_dtype("fp16"), DType::f16);
  EXPECT_EQ(*parse_float_dtype("fp32"), DType::f32);
  EXPECT_EQ(*parse_float_dtype("float"), DType::f32);
  EXPECT_FALSE(parse_float_dtype("int8"));
  EXPECT_EQ(size_of(DType::i64), 8U);
  EXPECT_FALSE(is_float(DType::i8));
}

}  // namespace
}  // namespace fastchat::device
