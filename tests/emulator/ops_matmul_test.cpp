// Matrix products in every form of weight, and the quantised ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tests/emulator/ops_fixture.h"

namespace emulator_test {
namespace {

class OpsMatmul : public testing::Test {
 public:
  Cann& cann = Cann::get();
};

/// (m, k) · (k, n) in double; `at(i, j)` of each operand.
template <typename A, typename B>
std::vector<double> product(int64_t m, int64_t n, int64_t k, A a, B b) {
  std::vector<double> out;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t c = 0; c < k; ++c) sum += a(i, c) * b(c, j);
      out.push_back(sum);
    }
  }
  return out;
}

/// Of f32 sums over k products of unit normals, and the result's rounding.
void expect_product(const Tensor& out,
                    const std::vector<double>& expected,
                    aclDataType dtype,
                    int64_t k) {
  expect_near(out.read(), expected, dtype, 1, 1e-6 * static_cast<double>(k));
}

struct Shape {
  int64_t m, n, k;
};
// Odd sizes, one row, more than one block of rows and of columns.
const Shape kShapes[] = {{1, 37, 53}, {2, 64, 128}, {7, 50, 1100}, {33, 19, 16}, {5, 1, 3}};

TEST_F(OpsMatmul, MmTakesPlainAndTransposedWeights) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16, ACL_FLOAT}) {
    for (const auto& [m, n, k] : kShapes) {
      const auto x = random_values(dtype, m * k, 1);
      const auto w = random_values(dtype, n * k, 2);
      const Tensor a(cann, dtype, {m, k}, x);
      const Tensor rows(cann, dtype, {n, k}, w);     // (n, k), used transposed
      const Tensor columns(cann, dtype, {k, n}, w);  // (k, n)
      const Tensor out(cann, dtype, {m, n});
      const auto left = [&, k = k](int64_t i, int64_t c) {
        return x[static_cast<size_t>(i * k + c)];
      };
      ASSERT_EQ(RUN(cann, aclnnMm, a, rows.transposed(), out, int8_t{1}), 0);
      expect_product(
          out,
          product(m,
                  n,
                  k,
                  left,
                  [&, k = k](int64_t c, int64_t j) { return w[static_cast<size_t>(j * k + c)]; }),
          dtype,
          k);
      ASSERT_EQ(RUN(cann, aclnnMm, a, columns, out, int8_t{1}), 0);
      expect_product(
          out,
          product(m,
                  n,
                  k,
                  left,
                  [&, n = n](int64_t c, int64_t j) { return w[static_cast<size_t>(c * n + j)]; }),
          dtype,
          k);
    }
  }
}

TEST_F(OpsMatmul, SumsOverflowToInfinity) {
  const Tensor a(cann, ACL_FLOAT16, {1, 2}, {60000, 60000});
  const Tensor b(cann, ACL_FLOAT16, {2, 1}, {1, 1});
  const Tensor out(cann, ACL_FLOAT16, {1, 1});
  ASSERT_EQ(RUN(cann, aclnnMm, a, b, out, int8_t{0}), 0);
  EXPECT_TRUE(std::isinf(out.read()[0]));
}

TEST_F(OpsMatmul, StridedInputsAndAddmm) {
  const int64_t m = 3, n = 20, k = 40;
  const auto x = random_values(ACL_FLOAT16, m * 2 * k, 1);
  const auto w = random_values(ACL_FLOAT16, n * k, 2);
  const auto bias = random_values(ACL_FLOAT16, n, 3);
  const Tensor wide(cann, ACL_FLOAT16, {m, 2 * k}, x);
  const Tensor half = wide.view({m, k}, {2 * k, 1}, k);  // the right half of each row
  const Tensor weight(cann, ACL_FLOAT16, {n, k}, w);
  const Tensor b(cann, ACL_FLOAT16, {n}, bias);
  const Tensor out(cann, ACL_FLOAT16, {m, n});
  const Number beta(cann, 2.0f), alpha(cann, 0.5f);
  ASSERT_EQ(RUN(cann, aclnnAddmm, b, half, weight.transposed(), beta, alpha, out, int8_t{0}), 0);
  auto expected = product(
      m,
      n,
      k,
      [&](int64_t i, int64_t c) { return x[static_cast<size_t>(i * 2 * k + k + c)]; },
      [&](int64_t c, int64_t j) { return w[static_cast<size_t>(j * k + c)]; });
  for (size_t i = 0; i < expected.size(); ++i) {
    expected[i] = 0.5 * expected[i] + 2 * bias[i % static_cast<size_t>(n)];
  }
  expect_product(out, expected, ACL_FLOAT16, k);
}

TEST_F(OpsMatmul, BatchesBroadcast) {
  const int64_t m = 2, n = 3, k = 4;
  const auto x = random_values(ACL_FLOAT, 2 * 5 * m * k, 1);
  const auto w = random_values(ACL_FLOAT, 5 * k * n, 2);
  const Tensor a(cann, ACL_FLOAT, {2, 5, m, k}, x);
  const Tensor b(cann, ACL_FLOAT, {5, k, n}, w);
  const Tensor out(cann, ACL_FLOAT, {2, 5, m, n});
  ASSERT_EQ(RUN(cann, aclnnMatmul, a, b, out, int8_t{1}), 0);
  std::vector<double> expected;
  for (int64_t batch = 0; batch < 10; ++batch) {
    const auto one = product(
        m,
        n,
        k,
        [&](int64_t i, int64_t c) { return x[static_cast<size_t>((batch * m + i) * k + c)]; },
        [&](int64_t c, int64_t j) { return w[static_cast<size_t>((batch % 5 * k + c) * n + j)]; });
    expected.insert(expected.end(), one.begin(), one.end());
  }
  expect_product(out, expected, ACL_FLOAT, k);
  const Tensor first = out.view({5, m, n}, {m * n, n, 1});
  ASSERT_EQ(RUN(cann, aclnnBatchMatMul, a.view({5, m, k}, {m * k, k, 1}), b, first, int8_t{1}), 0);
  expected.resize(static_cast<size_t>(5 * m * n));
  expect_product(first, expected, ACL_FLOAT, k);
}

/// Element (r, c) of a stored (rows, columns) matrix in FRACTAL_NZ, by the published formula.
int64_t nz_offset(int64_t rows, int64_t r, int64_t c, int64_t width) {
  return ((c / width) * ((rows + 15) / 16) + r / 16) * 16 * width + (r % 16) * width + c % width;
}

TEST_F(OpsMatmul, FractalWeightsInBothConventions) {
  const int64_t m = 3, n = 50, k = 70;  // not multiples of 16
  const auto x = random_values(ACL_FLOAT16, m * k, 1);
  const auto w = random_values(ACL_FLOAT16, n * k, 2);
  const Tensor a(cann, ACL_FLOAT16, {m, k}, x);
  const Tensor out(cann, ACL_FLOAT16, {m, n});
  const auto expected = product(
      m,
      n,
      k,
      [&](int64_t i, int64_t c) { return x[static_cast<size_t>(i * k + c)]; },
      [&](int64_t c, int64_t j) { return w[static_cast<size_t>(j * k + c)]; });

  // Converted in place; then a plain product with format 29 and a flat storage.
  uint64_t padded = 0;
  const Ints shape(cann, {n, k});
  ASSERT_EQ(CANN_CALL(cann, aclnnCalculateMatmulWeightSizeV2)(shape, ACL_FLOAT16, &padded), 0);
  EXPECT_EQ(padded, 64u * 80u);
  const Tensor memory(cann, ACL_FLOAT16, {static_cast<int64_t>(padded)}, [&] {
    std::vector<double> values(padded, 5);
    std::copy(w.begin(), w.end(), values.begin());
    return values;
  }());
  ASSERT_EQ(RUN(cann, aclnnTransMatmulWeight, memory.view({n, k}, {k, 1})), 0);
  std::vector<double> fractals(padded, 0);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < k; ++c) {
      fractals[static_cast<size_t>(nz_offset(n, r, c, 16))] = w[static_cast<size_t>(r * k + c)];
    }
  }
  EXPECT_EQ(memory.read(), fractals);
  const Tensor flat = memory.view({k, n}, {1, k}, 0, ACL_FORMAT_FRACTAL_NZ);
  ASSERT_EQ(RUN(cann, aclnnMm, a, flat, out, int8_t{0}), 0);
  expect_product(out, expected, ACL_FLOAT16, k);

  // The same memory with its fractal dims, for the operator that wants them.
  NEEDS(cann, aclnnMatmulWeightNz);
  const Tensor blocked = memory.view({k, n}, {1, k}, 0, ACL_FORMAT_FRACTAL_NZ, {5, 4, 16, 16});
  ASSERT_EQ(RUN(cann, aclnnMatmulWeightNz, a, blocked, out, int8_t{0}), 0);
  expect_product(out, expected, ACL_FLOAT16, k);

  // Stored (k, n), converted out of place.
  const Tensor columns(cann, ACL_FLOAT16, {k, n}, [&] {
    std::vector<double> values;
    for (int64_t c = 0; c < k; ++c) {
      for (int64_t j = 0; j < n; ++j) values.push_back(w[static_cast<size_t>(j * k + c)]);
    }
    return values;
  }());
  int64_t* dims = nullptr;
  uint64_t num_dims = 0;
  int format = 0;
  ASSERT_EQ(CANN_CALL(cann, aclnnNpuFormatCastCalculateSizeAndFormat)(
                columns, ACL_FORMAT_FRACTAL_NZ, ACL_FLOAT16, &dims, &num_dims, &format),
            0);
  const Dims storage(dims, dims + num_dims);
  delete[] dims;
  EXPECT_EQ(storage, (Dims{4, 5, 16, 16}));
  EXPECT_EQ(format, ACL_FORMAT_FRACTAL_NZ);
  const Tensor target(cann, ACL_FLOAT16, {count_of(storage)});
  const Tensor cast = target.view({k, n}, {n, 1}, 0, ACL_FORMAT_FRACTAL_NZ, storage);
  ASSERT_EQ(RUN(cann, aclnnNpuFormatCast, columns, cast), 0);
  ASSERT_EQ(RUN(cann, aclnnMatmulWeightNz, a, cast, out, int8_t{0}), 0);
  expect_product(out, expected, ACL_FLOAT16, k);
  const Tensor back(cann, ACL_FLOAT16, {k, n});
  ASSERT_EQ(RUN(cann, aclnnNpuFormatCast, cast, back), 0);
  EXPECT_EQ(back.read(), columns.read());
}

std::vector<double> random_int8(int64_t count, unsigned seed) {
  std::vector<double> values = random_values(ACL_FLOAT, count, seed, 50);
  for (double& v : values) v = std::clamp(std::trunc(v), -128.0, 127.0);
  return values;
}

TEST_F(OpsMatmul, DynamicQuantThenQuantMatmul) {
  const int64_t m = 5, n = 40, k = 2100;  // sums beyond 2^24: exactness shows
  const auto x = random_values(ACL_FLOAT16, m * k, 1);
  const Tensor a(cann, ACL_FLOAT16, {m, k}, x);
  const Tensor q(cann, ACL_INT8, {m, k});
  const Tensor token_scale(cann, ACL_FLOAT, {m});
  ASSERT_EQ(RUN(cann, aclnnDynamicQuant, a, nullptr, q, token_scale), 0);
  const auto q_values = q.read();
  const auto scales = token_scale.read();
  for (int64_t i = 0; i < m; ++i) {
    double largest = 0;
    for (int64_t c = 0; c < k; ++c)
      largest = std::max(largest, std::fabs(x[static_cast<size_t>(i * k + c)]));
    EXPECT_NEAR(scales[static_cast<size_t>(i)], largest / 127, 1e-7);
    for (int64_t c = 0; c < k; ++c) {
      const auto at = static_cast<size_t>(i * k + c);
      EXPECT_NEAR(q_values[at], x[at] / scales[static_cast<size_t>(i)], 0.5001);
    }
  }

  const auto w = random_int8(n * k, 2);
  const auto w_scale = random_values(ACL_FLOAT, n, 3, 0.01);
  const auto bias = random_values(ACL_FLOAT, n, 4);
  const Tensor weight(cann, ACL_INT8, {n, k}, w);
  const Tensor scale(cann, ACL_FLOAT, {n}, w_scale);
  const Tensor addend(cann, ACL_FLOAT, {n}, bias);
  const auto sums = product(
      m,
      n,
      k,
      [&](int64_t i, int64_t c) { return q_values[static_cast<size_t>(i * k + c)]; },
      [&](int64_t c, int64_t j) { return w[static_cast<size_t>(j * k + c)]; });
  std::vector<double> expected;
  for (size_t i = 0; i < sums.size(); ++i) {
    const size_t j = i % static_cast<size_t>(n);
    expected.push_back(sums[i] * w_scale[j] * scales[i / static_cast<size_t>(n)] + bias[j]);
  }
  const Tensor out(cann, ACL_BF16, {m, n});
  ASSERT_EQ(RUN(cann,
                aclnnQuantMatmulV4,
                q,
                weight,
                scale,
                nullptr,
                token_scale,
                addend,
                false,
                true,
                out),
            0);
  expect_near(out.read(), expected, ACL_BF16, 1, 1e-3);
  if (cann.version() < 830) GTEST_SKIP() << "aclnnQuantMatmulV5 takes 8-bit pairs from 8.3 on";
  const Tensor half(cann, ACL_FLOAT16, {m, n});
  ASSERT_EQ(RUN(cann,
                aclnnQuantMatmulV5,
                q,
                weight.transposed(),
                token_scale,
                scale,
                nullptr,
                nullptr,
                nullptr,
                nullptr,
                addend,
                false,
                false,
                int64_t{0},
                half),
            0);
  expect_near(half.read(), expected, ACL_FLOAT16, 1, 1e-3);

  const Tensor whole(cann, ACL_INT32, {m, n});
  ASSERT_EQ(RUN(cann, aclnnQuantMatmulV3, q, weight, scale, nullptr, nullptr, false, true, whole),
            0);
  EXPECT_EQ(whole.read(), sums);
}

TEST_F(OpsMatmul, PackedScalesForHalfResults) {
  const int64_t m = 2, n = 33, k = 64;
  const auto x = random_int8(m * k, 1);
  const auto w = random_int8(n * k, 2);
  const auto w_scale = random_values(ACL_FLOAT, n, 3, 0.01);
  const Tensor a(cann, ACL_INT8, {m, k}, x);
  const Tensor b(cann, ACL_INT8, {n, k}, w);
  const Tensor scale(cann, ACL_FLOAT, {n}, w_scale);
  const Tensor packed(cann, ACL_UINT64, {n});
  ASSERT_EQ(RUN(cann, aclnnTransQuantParamV2, scale, nullptr, packed), 0);
  std::vector<double> kept(w_scale.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(w_scale[i])) & 0xFFFFE000u;
    kept[i] = std::bit_cast<float>(bits);
    EXPECT_EQ(packed.read()[i], static_cast<double>(bits | uint64_t{1} << 46));
  }
  const Tensor out(cann, ACL_FLOAT16, {m, n});
  ASSERT_EQ(
      RUN(cann, aclnnQuantMatmulV4, a, b, packed, nullptr, nullptr, nullptr, false, true, out), 0);
  auto expected = product(
      m,
      n,
      k,
      [&](int64_t i, int64_t c) { return x[static_cast<size_t>(i * k + c)]; },
      [&](int64_t c, int64_t j) { return w[static_cast<size_t>(j * k + c)]; });
  for (size_t i = 0; i < expected.size(); ++i) expected[i] *= kept[i % kept.size()];
  expect_near(out.read(), expected, ACL_FLOAT16, 1);
}

TEST_F(OpsMatmul, QuantMatmulReadsFractals) {
  NEEDS(cann, aclnnNpuFormatCast);
  const int64_t m = 3, n = 40, k = 70;
  const auto x = random_int8(m * k, 1);
  const auto w = random_int8(n * k, 2);
  const Tensor a(cann, ACL_INT8, {m, k}, x);
  const Tensor b(cann, ACL_INT8, {n, k}, w);
  const Dims storage = {3, 3, 16, 32};
  const Tensor memory(cann, ACL_INT8, {count_of(storage)});
  const Tensor stored_rows = memory.view({n, k}, {k, 1}, 0, ACL_FORMAT_FRACTAL_NZ, storage);
  ASSERT_EQ(RUN(cann, aclnnNpuFormatCast, b, stored_rows), 0);
  const Tensor scale(cann, ACL_FLOAT, {1}, {1});
  const Tensor out(cann, ACL_INT32, {m, n});
  const auto expected = product(
      m,
      n,
      k,
      [&](int64_t i, int64_t c) { return x[static_cast<size_t>(i * k + c)]; },
      [&](int64_t c, int64_t j) { return w[static_cast<size_t>(j * k + c)]; });
  ASSERT_EQ(RUN(cann,
                aclnnQuantMatmulV4,
                a,
                stored_rows,
                scale,
                nullptr,
                nullptr,
                nullptr,
                false,
                true,
                out),
            0);
  EXPECT_EQ(out.read(), expected);
  const Tensor turned = memory.view({k, n}, {1, k}, 0, ACL_FORMAT_FRACTAL_NZ, storage);
  ASSERT_EQ(
      RUN(cann, aclnnQuantMatmulV4, a, turned, scale, nullptr, nullptr, nullptr, false, false, out),
      0);
  EXPECT_EQ(out.read(), expected);
}

TEST_F(OpsMatmul, WeightQuantByTensorChannelAndGroup) {
  const int64_t n = 24, k = 100;
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    for (const int64_t m : {1, 5}) {
      const auto x = random_values(dtype, m * k, 1);
      const auto w = random_int8(n * k, 2);
      const Tensor a(cann, dtype, {m, k}, x);
      const Tensor weight(cann, ACL_INT8, {n, k}, w);
      const Tensor out(cann, dtype, {m, n});
      for (const int64_t group : {0, 32}) {
        for (const bool with_offset : {false, true}) {
          const int64_t groups = group == 0 ? 1 : (k + group - 1) / group;
          const auto scales = random_values(dtype, groups * n, 3, 0.01);
          const auto offsets = random_values(dtype, groups * n, 4, 3);
          const Dims dims = group == 0 ? Dims{n} : Dims{groups, n};
          const Tensor scale(cann, dtype, dims, scales);
          const Tensor offset(cann, dtype, dims, offsets);
          ASSERT_EQ(RUN(cann,
                        aclnnWeightQuantBatchMatmulV2,
                        a,
                        weight.transposed(),
                        scale,
                        with_offset ? offset.get() : nullptr,
                        nullptr,
                        nullptr,
                        nullptr,
                        static_cast<int>(group),
                        out),
                    0)
              << cann.message();
          const auto expected = product(
              m,
              n,
              k,
              [&](int64_t i, int64_t c) { return x[static_cast<size_t>(i * k + c)]; },
              [&](int64_t c, int64_t j) {
                const auto at = static_cast<size_t>((group == 0 ? 0 : c / group) * n + j);
                const double q = w[static_cast<size_t>(j * k + c)];
                return (q + (with_offset ? offsets[at] : 0)) * scales[at];
              });
          expect_near(out.read(), expected, dtype, 1, 1e-4);
        }
      }
    }
  }
}

TEST_F(OpsMatmul, StaticQuantScalesAndRounds) {
  const Tensor x(cann, ACL_FLOAT, {2, 3}, {0.5, 1.5, -2.5, 1000, -1000, 0.26});
  const Tensor scale(cann, ACL_FLOAT, {3}, {1, 1, 2});
  const Tensor offset(cann, ACL_FLOAT, {3}, {0, 1, 0});
  const Tensor y(cann, ACL_INT8, {2, 3});
  ASSERT_EQ(RUN(cann, aclnnAscendQuantV3, x, scale, offset, false, "round", 2, -1, y), 0);
  EXPECT_EQ(y.read(), (std::vector<double>{0, 2, -5, 127, -128, 1}));
}

}  // namespace
}  // namespace emulator_test
