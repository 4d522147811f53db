// Element-wise operators, conversions, shapes and orders against plain formulas.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/emulator/ops_fixture.h"

namespace emulator_test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

class OpsMath : public testing::Test {
 public:
  Cann& cann = Cann::get();
};

TEST_F(OpsMath, CastRoundsToNearestEvenAndOverflowsToInfinity) {
  std::vector<double> values = {0.0,
                                -0.0,
                                1.0,
                                1.0 + 0x1p-11,
                                1.0 + 3 * 0x1p-11,
                                65504.0,
                                65519.0,
                                65520.0,
                                -70000.0,
                                0x1p-24,
                                0x1p-25,
                                3 * 0x1p-25,
                                0x1p-26,
                                6.0975e-5,
                                kInf,
                                std::nan(""),
                                3.0e38,
                                -1e-40};
  for (const double value : random_values(ACL_FLOAT, 3000, 7, 100)) values.push_back(value);
  for (const double value : random_values(ACL_FLOAT, 3000, 8, 1e-6)) values.push_back(value);
  for (double& value : values) value = stored(ACL_FLOAT, value);
  const auto n = static_cast<int64_t>(values.size());
  const Tensor from(cann, ACL_FLOAT, {n}, values);
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    const Tensor to(cann, dtype, {n});
    ASSERT_EQ(RUN(cann, aclnnCast, from, dtype, to), 0);
    std::vector<double> expected;
    for (const double value : values) expected.push_back(stored(dtype, value));
    expect_near(to.read(), expected, dtype, 0);
    // Each stored value has an exact float.
    const Tensor back(cann, ACL_FLOAT, {n});
    ASSERT_EQ(RUN(cann, aclnnCast, to, ACL_FLOAT, back), 0);
    expect_near(back.read(), expected, ACL_FLOAT, 0);
  }
}

TEST_F(OpsMath, CastToWholeNumbersTruncates) {
  const std::vector<double> values = {1.9, -1.9, 0.5, -0.5, 100.0, -128.0};
  const Tensor from(cann, ACL_FLOAT, {6}, values);
  for (const aclDataType dtype : {ACL_INT8, ACL_INT32, ACL_INT64}) {
    const Tensor to(cann, dtype, {6});
    ASSERT_EQ(RUN(cann, aclnnCast, from, dtype, to), 0);
    EXPECT_EQ(to.read(), (std::vector<double>{1, -1, 0, 0, 100, -128}));
  }
  const Tensor truth(cann, ACL_BOOL, {6});
  ASSERT_EQ(RUN(cann, aclnnCast, from, ACL_BOOL, truth), 0);
  EXPECT_EQ(truth.read(), (std::vector<double>{1, 1, 1, 1, 1, 1}));
}

TEST_F(OpsMath, AddBroadcastsPromotesAndTakesStridedViews) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16, ACL_FLOAT}) {
    const auto a_values = random_values(dtype, 6 * 5, 1);
    const auto b_values = random_values(ACL_FLOAT, 7, 2);
    const Tensor a(cann, dtype, {6, 5}, a_values);
    const Tensor b(cann, ACL_FLOAT, {7}, b_values);
    const Tensor column = b.view({5, 1}, {1, 1}, 2);
    const Tensor out(cann, ACL_FLOAT, {5, 6});
    const Number alpha(cann, 0.5f);
    ASSERT_EQ(RUN(cann, aclnnAdd, a.transposed(), column, alpha, out), 0);
    std::vector<double> expected;
    for (size_t i = 0; i < 5; ++i) {
      for (size_t j = 0; j < 6; ++j)
        expected.push_back(a_values[j * 5 + i] + 0.5 * b_values[2 + i]);
    }
    expect_near(out.read(), expected, ACL_FLOAT, 1);
  }
}

TEST_F(OpsMath, ArithmeticOfTensorsAndScalars) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16, ACL_FLOAT}) {
    const int64_t n = 700;  // more than one piece of a row
    const auto a_values = random_values(dtype, n, 1);
    const auto b_values = random_values(dtype, n, 2, 3);
    const Tensor a(cann, dtype, {n}, a_values);
    const Tensor b(cann, dtype, {n}, b_values);
    const Tensor out(cann, dtype, {n});
    const Number two(cann, 2.0f);
    const Number third(cann, static_cast<float>(stored(dtype, 0.333)));
    const double c = stored(dtype, 0.333);
    const auto expect = [&](const Tensor& result, const std::function<double(double, double)>& f) {
      std::vector<double> expected;
      for (size_t i = 0; i < a_values.size(); ++i) {
        expected.push_back(stored(dtype, f(a_values[i], b_values[i])));
      }
      // One rounding; f32 is computed and rounded in f32.
      expect_near(result.read(), expected, dtype, 1);
    };
    ASSERT_EQ(RUN(cann, aclnnSub, a, b, two, out), 0);
    expect(out, [](double x, double y) { return x - 2 * y; });
    ASSERT_EQ(RUN(cann, aclnnMul, a, b, out), 0);
    expect(out, [](double x, double y) { return x * y; });
    ASSERT_EQ(RUN(cann, aclnnDiv, a, b, out), 0);
    expect(out, [](double x, double y) { return x / y; });
    ASSERT_EQ(RUN(cann, aclnnMuls, a, third, out), 0);
    expect(out, [&](double x, double) { return x * c; });
    ASSERT_EQ(RUN(cann, aclnnDivs, a, third, out), 0);
    expect(out, [&](double x, double) { return x / c; });
    ASSERT_EQ(RUN(cann, aclnnAdds, a, third, two, out), 0);
    expect(out, [&](double x, double) { return x + 2 * c; });
    const Tensor self(cann, dtype, {n}, a_values);
    ASSERT_EQ(RUN(cann, aclnnInplaceAdd, self, b, two), 0);
    expect(self, [](double x, double y) { return x + 2 * y; });
    const Tensor scaled(cann, dtype, {n}, a_values);
    ASSERT_EQ(RUN(cann, aclnnInplaceMuls, scaled, third), 0);
    expect(scaled, [&](double x, double) { return x * c; });
    const Tensor product(cann, dtype, {n}, a_values);
    ASSERT_EQ(RUN(cann, aclnnInplaceMul, product, b), 0);
    expect(product, [](double x, double y) { return x * y; });
  }
}

TEST_F(OpsMath, WholeNumbersStayExact) {
  const Tensor a(cann, ACL_INT64, {3}, {1e15, -7, 3});
  const Tensor b(cann, ACL_INT64, {3}, {1, 2, -5});
  const Tensor out(cann, ACL_INT64, {3});
  const Number one(cann, int64_t{1});
  ASSERT_EQ(RUN(cann, aclnnAdd, a, b, one, out), 0);
  EXPECT_EQ(out.read(), (std::vector<double>{1e15 + 1, -5, -2}));
  ASSERT_EQ(RUN(cann, aclnnMul, a, b, out), 0);
  EXPECT_EQ(out.read(), (std::vector<double>{1e15, -14, -15}));
}

TEST_F(OpsMath, FunctionsFillsAndRanges) {
  const auto values = random_values(ACL_FLOAT, 300, 3);
  const Tensor from(cann, ACL_FLOAT, {300}, values);
  const Tensor to(cann, ACL_FLOAT, {300});
  std::vector<double> cosines, sines, powers;
  for (const double v : values) {
    cosines.push_back(std::cos(v));
    sines.push_back(std::sin(v));
    powers.push_back(std::pow(10000.0, v));
  }
  ASSERT_EQ(RUN(cann, aclnnCos, from, to), 0);
  expect_near(to.read(), cosines, ACL_FLOAT, 2, 1e-7);
  ASSERT_EQ(RUN(cann, aclnnSin, from, to), 0);
  expect_near(to.read(), sines, ACL_FLOAT, 2, 1e-7);
  std::vector<double> magnitudes;
  for (const double v : values) magnitudes.push_back(std::abs(v));
  ASSERT_EQ(RUN(cann, aclnnAbs, from, to), 0);
  EXPECT_EQ(to.read(), magnitudes);
  const Number base(cann, 10000.0f);
  ASSERT_EQ(RUN(cann, aclnnPowScalarTensor, base, from, to), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(to.read()[i] / powers[i], 1.0, 1e-5);
    if (HasFailure()) break;
  }
  const Tensor range(cann, ACL_FLOAT, {4});
  const Number start(cann, 1.0f), end(cann, 2.75f), step(cann, 0.5f);
  ASSERT_EQ(RUN(cann, aclnnArange, start, end, step, range), 0);
  EXPECT_EQ(range.read(), (std::vector<double>{1, 1.5, 2, 2.5}));
  ASSERT_EQ(RUN(cann, aclnnInplaceZero, range), 0);
  EXPECT_EQ(range.read(), (std::vector<double>{0, 0, 0, 0}));
  ASSERT_EQ(RUN(cann, aclnnInplaceFillScalar, range.view({2}, {2}, 1), step), 0);
  EXPECT_EQ(range.read(), (std::vector<double>{0, 0.5, 0, 0.5}));
  const Tensor mask(cann, ACL_BOOL, {4}, {1, 0, 0, 1});
  ASSERT_EQ(RUN(cann, aclnnInplaceMaskedFillScalar, range, mask, start), 0);
  EXPECT_EQ(range.read(), (std::vector<double>{1, 0.5, 0, 1}));
}

TEST_F(OpsMath, InplaceCopyConvertsBroadcastsAndReachesStridedPlaces) {
  const Tensor from(cann, ACL_FLOAT16, {3}, {1, 2, 3});
  const Tensor to(cann, ACL_FLOAT, {4, 3}, std::vector<double>(12, 9));
  ASSERT_EQ(RUN(cann, aclnnInplaceCopy, to.view({3, 2}, {1, 6}), from.view({3, 1}, {1, 1})), 0);
  EXPECT_EQ(to.read(), (std::vector<double>{1, 2, 3, 9, 9, 9, 1, 2, 3, 9, 9, 9}));
}

std::vector<double> counting(int64_t n) {
  std::vector<double> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST_F(OpsMath, CatPermuteSliceRepeatPad) {
  const Tensor a(cann, ACL_FLOAT16, {2, 2}, {0, 1, 2, 3});
  const Tensor b(cann, ACL_FLOAT16, {2, 1}, {8, 9});
  const Tensor joined(cann, ACL_FLOAT16, {2, 3});
  const TensorList parts(cann, {&a, &b});
  ASSERT_EQ(RUN(cann, aclnnCat, parts, int64_t{-1}, joined), 0);
  EXPECT_EQ(joined.read(), (std::vector<double>{0, 1, 8, 2, 3, 9}));

  const Tensor cube(cann, ACL_INT32, {2, 3, 4}, counting(24));
  const Tensor turned(cann, ACL_INT32, {4, 2, 3});
  const Ints order(cann, {2, 0, 1});
  ASSERT_EQ(RUN(cann, aclnnPermute, cube, order, turned), 0);
  std::vector<double> expected;
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 3; ++j) expected.push_back(i * 12 + j * 4 + k);
    }
  }
  EXPECT_EQ(turned.read(), expected);

  const Tensor slice(cann, ACL_INT32, {2, 2, 4});
  ASSERT_EQ(RUN(cann, aclnnSlice, cube, int64_t{1}, int64_t{0}, int64_t{3}, int64_t{2}, slice), 0);
  expected.clear();
  for (int i = 0; i < 2; ++i) {
    for (const int j : {0, 2}) {
      for (int k = 0; k < 4; ++k) expected.push_back(i * 12 + j * 4 + k);
    }
  }
  EXPECT_EQ(slice.read(), expected);

  const Tensor repeated(cann, ACL_FLOAT16, {2, 2, 4});
  const Ints times(cann, {2, 1, 2});
  ASSERT_EQ(RUN(cann, aclnnRepeat, a, times, repeated), 0);
  EXPECT_EQ(repeated.read(), (std::vector<double>{0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3}));

  const Tensor interleaved(cann, ACL_FLOAT16, {2, 4});
  ASSERT_EQ(RUN(cann,
                aclnnRepeatInterleaveIntWithDim,
                a,
                int64_t{2},
                int64_t{1},
                int64_t{4},
                interleaved),
            0);
  EXPECT_EQ(interleaved.read(), (std::vector<double>{0, 0, 1, 1, 2, 2, 3, 3}));

  const Tensor padded(cann, ACL_FLOAT16, {3, 4});
  const Ints pads(cann, {1, 1, 0, 1});
  const Number seven(cann, 7.0f);
  ASSERT_EQ(RUN(cann, aclnnConstantPadNd, a, pads, seven, padded), 0);
  EXPECT_EQ(padded.read(), (std::vector<double>{7, 0, 1, 7, 7, 2, 3, 7, 7, 7, 7, 7}));
}

TEST_F(OpsMath, OrderAlongOneDim) {
  const int64_t rows = 3, columns = 1000;
  auto values = random_values(ACL_FLOAT16, rows * columns, 5);
  values[17] = values[18];  // a tie
  const Tensor from(cann, ACL_FLOAT16, {rows, columns}, values);
  std::vector<double> best, top_values, top_indices, sums;
  for (int64_t r = 0; r < rows; ++r) {
    const auto begin = values.begin() + r * columns;
    std::vector<int64_t> order(columns);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(
        order.begin(), order.end(), [&](int64_t a, int64_t b) { return begin[a] > begin[b]; });
    best.push_back(static_cast<double>(order[0]));
    for (int k = 0; k < 5; ++k) {
      top_values.push_back(begin[order[static_cast<size_t>(k)]]);
      top_indices.push_back(static_cast<double>(order[static_cast<size_t>(k)]));
    }
    double sum = 0;
    for (int64_t c = 0; c < columns; ++c) sums.push_back(sum += begin[c]);
  }
  const Tensor arg(cann, ACL_INT64, {rows});
  ASSERT_EQ(RUN(cann, aclnnArgMax, from, int64_t{-1}, false, arg), 0);
  EXPECT_EQ(arg.read(), best);
  const Tensor kept(cann, ACL_INT32, {rows, 1});
  ASSERT_EQ(RUN(cann, aclnnArgMax, from, int64_t{1}, true, kept), 0);
  EXPECT_EQ(kept.read(), best);
  const Tensor top(cann, ACL_FLOAT16, {rows, 5}), where(cann, ACL_INT64, {rows, 5});
  ASSERT_EQ(RUN(cann, aclnnTopk, from, int64_t{5}, int64_t{-1}, true, true, top, where), 0);
  EXPECT_EQ(top.read(), top_values);
  EXPECT_EQ(where.read(), top_indices);
  const Tensor sorted(cann, ACL_FLOAT16, {rows, columns}), places(cann, ACL_INT64, {rows, columns});
  ASSERT_EQ(RUN(cann, aclnnSort, from, true, int64_t{-1}, false, sorted, places), 0);
  const auto result = sorted.read();
  const auto indices = places.read();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const auto at = static_cast<size_t>(r * columns + c);
      EXPECT_EQ(result[at],
                values[static_cast<size_t>(r * columns) + static_cast<size_t>(indices[at])]);
      if (c > 0) EXPECT_LE(result[at - 1], result[at]);
    }
  }
  const Tensor cumulated(cann, ACL_FLOAT, {rows, columns});
  ASSERT_EQ(RUN(cann, aclnnCumsum, from, int64_t{1}, ACL_FLOAT, cumulated), 0);
  expect_near(cumulated.read(), sums, ACL_FLOAT, 0, 1e-3);
}

// Over the first dim, through a strided view.
TEST_F(OpsMath, ArgMaxOverAnyDim) {
  const Tensor from(cann, ACL_FLOAT, {2, 3}, {1, 9, 3, 4, 5, 6});
  const Tensor out(cann, ACL_INT64, {3});
  ASSERT_EQ(RUN(cann, aclnnArgMax, from, int64_t{0}, false, out), 0);
  EXPECT_EQ(out.read(), (std::vector<double>{1, 0, 1}));
  const Tensor other(cann, ACL_INT64, {2});
  ASSERT_EQ(RUN(cann, aclnnArgMax, from.transposed(), int64_t{0}, false, other), 0);
  EXPECT_EQ(other.read(), (std::vector<double>{1, 2}));
}

}  // namespace
}  // namespace emulator_test
