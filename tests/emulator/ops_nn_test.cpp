// Look-ups, norms, activations, rotary embedding, cache writes, sampling against plain formulas.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/emulator/ops_fixture.h"

namespace emulator_test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const aclDataType kFloats[] = {ACL_FLOAT16, ACL_BF16, ACL_FLOAT};

class OpsNn : public testing::Test {
 public:
  Cann& cann = Cann::get();
};

TEST_F(OpsNn, RowsByNumber) {
  const auto values = random_values(ACL_FLOAT16, 10 * 6, 1);
  const Tensor table(cann, ACL_FLOAT16, {10, 6}, values);
  const Tensor index(cann, ACL_INT32, {2, 2}, {9, 0, 3, 3});
  std::vector<double> expected;
  for (const size_t row : {9, 0, 3, 3}) {
    expected.insert(expected.end(), values.begin() + row * 6, values.begin() + row * 6 + 6);
  }
  const Tensor out(cann, ACL_FLOAT16, {2, 2, 6});
  ASSERT_EQ(RUN(cann, aclnnEmbedding, table, index, out), 0);
  EXPECT_EQ(out.read(), expected);
  ASSERT_EQ(RUN(cann, aclnnGatherV2, table, int64_t{0}, index, out), 0);
  EXPECT_EQ(out.read(), expected);

  const Tensor columns(cann, ACL_INT64, {2}, {5, 1});
  const Tensor chosen(cann, ACL_FLOAT16, {10, 2});
  ASSERT_EQ(RUN(cann, aclnnIndexSelect, table, int64_t{1}, columns, chosen), 0);
  expected.clear();
  for (size_t row = 0; row < 10; ++row) {
    expected.push_back(values[row * 6 + 5]);
    expected.push_back(values[row * 6 + 1]);
  }
  EXPECT_EQ(chosen.read(), expected);

  const Tensor each(cann, ACL_INT64, {2, 3}, {0, 9, 4, 1, 1, 2});
  const Tensor gathered(cann, ACL_FLOAT16, {2, 3});
  ASSERT_EQ(RUN(cann, aclnnGather, table, int64_t{0}, each, gathered), 0);
  EXPECT_EQ(
      gathered.read(),
      (std::vector<double>{
          values[0], values[9 * 6 + 1], values[4 * 6 + 2], values[6], values[7], values[14]}));
}

TEST_F(OpsNn, ScattersReplaceRows) {
  const Tensor data(cann, ACL_FLOAT, {4, 2}, std::vector<double>(8, 0));
  const Tensor index(cann, ACL_INT32, {2, 1}, {3, 1});
  const Tensor updates(cann, ACL_FLOAT, {2, 2}, {1, 2, 3, 4});
  ASSERT_EQ(RUN(cann, aclnnScatterNdUpdate, data, index, updates), 0);
  EXPECT_EQ(data.read(), (std::vector<double>{0, 0, 3, 4, 0, 0, 1, 2}));
  const Tensor columns(cann, ACL_INT64, {1}, {1});
  const Tensor source(cann, ACL_FLOAT, {4, 1}, {5, 6, 7, 8});
  ASSERT_EQ(RUN(cann, aclnnInplaceIndexCopy, data, int64_t{1}, columns, source), 0);
  EXPECT_EQ(data.read(), (std::vector<double>{0, 5, 3, 6, 0, 7, 1, 8}));
}

std::vector<double> rms_norm(const std::vector<double>& x,
                             const std::vector<double>& gamma,
                             double epsilon,
                             std::vector<double>* rstd = nullptr) {
  std::vector<double> out;
  for (size_t begin = 0; begin < x.size(); begin += gamma.size()) {
    double sum = 0;
    for (size_t c = 0; c < gamma.size(); ++c) sum += x[begin + c] * x[begin + c];
    const double factor = 1 / std::sqrt(sum / static_cast<double>(gamma.size()) + epsilon);
    if (rstd != nullptr) rstd->push_back(factor);
    for (size_t c = 0; c < gamma.size(); ++c) out.push_back(x[begin + c] * factor * gamma[c]);
  }
  return out;
}

TEST_F(OpsNn, RmsNormAndItsFusionWithTheResidual) {
  for (const aclDataType dtype : kFloats) {
    const int64_t rows = 5, width = 896;
    const auto x = random_values(dtype, rows * width, 1);
    const auto residual = random_values(dtype, rows * width, 2);
    const auto gamma = random_values(dtype, width, 3);
    const Tensor a(cann, dtype, {rows, width}, x);
    const Tensor r(cann, dtype, {rows, width}, residual);
    const Tensor g(cann, dtype, {width}, gamma);
    const Tensor y(cann, dtype, {rows, width});
    const Tensor rstd(cann, ACL_FLOAT, {rows, 1});
    ASSERT_EQ(RUN(cann, aclnnRmsNorm, a, g, 1e-6, y, rstd), 0);
    std::vector<double> factors;
    expect_near(y.read(), rms_norm(x, gamma, 1e-6, &factors), dtype, 1, 1e-6);
    expect_near(rstd.read(), factors, ACL_FLOAT, 4);

    // The residual is updated in its own memory.
    ASSERT_EQ(RUN(cann, aclnnAddRmsNorm, a, r, g, 1e-6, y, rstd, r), 0);
    std::vector<double> sum;
    for (size_t i = 0; i < x.size(); ++i) sum.push_back(stored(dtype, x[i] + residual[i]));
    EXPECT_EQ(r.read(), sum);
    expect_near(y.read(), rms_norm(sum, gamma, 1e-6), dtype, 1, 1e-6);
  }
}

// Per head on a strided view of packed q, k, v, as models with q and k norms do.
TEST_F(OpsNn, RmsNormOfStridedHeads) {
  const int64_t tokens = 3, heads = 2, dim = 16, row = 100;
  const auto packed = random_values(ACL_FLOAT16, tokens * row, 1);
  const auto gamma = random_values(ACL_FLOAT, dim, 2);
  const Tensor all(cann, ACL_FLOAT16, {tokens, row}, packed);
  const Tensor q = all.view({tokens, heads, dim}, {row, dim, 1}, 32);
  const Tensor g(cann, ACL_FLOAT, {dim}, gamma);
  const Tensor y(cann, ACL_FLOAT16, {tokens, heads, dim});
  const Tensor rstd(cann, ACL_FLOAT, {tokens, heads});
  ASSERT_EQ(RUN(cann, aclnnRmsNorm, q, g, 1e-5, y, rstd), 0);
  expect_near(y.read(), rms_norm(q.read(), gamma, 1e-5), ACL_FLOAT16, 1);
}

TEST_F(OpsNn, AddRmsNormDynamicQuant) {
  const int64_t rows = 3, width = 64;
  const auto x = random_values(ACL_FLOAT16, rows * width, 1);
  const auto residual = random_values(ACL_FLOAT16, rows * width, 2);
  const auto gamma = random_values(ACL_FLOAT16, width, 3);
  const Tensor a(cann, ACL_FLOAT16, {rows, width}, x),
      r(cann, ACL_FLOAT16, {rows, width}, residual);
  const Tensor g(cann, ACL_FLOAT16, {width}, gamma);
  const Tensor q(cann, ACL_INT8, {rows, width}), unused(cann, ACL_INT8, {1});
  const Tensor sum(cann, ACL_FLOAT16, {rows, width});
  const Tensor scale(cann, ACL_FLOAT, {rows}), unused_scale(cann, ACL_FLOAT, {1});
  ASSERT_EQ(RUN(cann,
                aclnnAddRmsNormDynamicQuant,
                a,
                r,
                g,
                nullptr,
                nullptr,
                1e-6,
                q,
                unused,
                sum,
                scale,
                unused_scale),
            0)
      << cann.message();
  const auto normed = rms_norm(sum.read(), gamma, 1e-6);
  const auto quantised = q.read();
  const auto scales = scale.read();
  for (size_t i = 0; i < normed.size(); ++i) {
    EXPECT_NEAR(quantised[i] * scales[i / width], normed[i], 0.51 * scales[i / width]);
  }
}

TEST_F(OpsNn, LayerNorm) {
  for (const aclDataType dtype : kFloats) {
    const int64_t rows = 4, width = 70;
    const auto x = random_values(dtype, rows * width, 1, 2);
    const auto weight = random_values(dtype, width, 2);
    const auto bias = random_values(dtype, width, 3);
    const Tensor a(cann, dtype, {rows, width}, x), w(cann, dtype, {width}, weight),
        b(cann, dtype, {width}, bias);
    const Tensor y(cann, dtype, {rows, width});
    const Ints shape(cann, {width});
    ASSERT_EQ(RUN(cann, aclnnLayerNorm, a, shape, w, b, 1e-5, y, nullptr, nullptr), 0);
    std::vector<double> expected;
    for (int64_t r = 0; r < rows; ++r) {
      const double* line = x.data() + r * width;
      const double mean = std::accumulate(line, line + width, 0.0) / width;
      double squares = 0;
      for (int64_t c = 0; c < width; ++c) squares += (line[c] - mean) * (line[c] - mean);
      for (int64_t c = 0; c < width; ++c) {
        const auto at = static_cast<size_t>(c);
        expected.push_back((line[c] - mean) / std::sqrt(squares / width + 1e-5) * weight[at] +
                           bias[at]);
      }
    }
    expect_near(y.read(), expected, dtype, 1, 2e-6);
  }
}

TEST_F(OpsNn, Activations) {
  for (const aclDataType dtype : kFloats) {
    const int64_t n = 600;
    auto values = random_values(dtype, n, 1, 4);
    values[0] = 0;
    values[1] = stored(dtype, -100);
    const Tensor x(cann, dtype, {n}, values);
    const Tensor y(cann, dtype, {n});
    const auto expect = [&](double (*f)(double)) {
      std::vector<double> expected;
      for (const double v : values) expected.push_back(f(v));
      expect_near(y.read(), expected, dtype, 1, 1e-6);
    };
    ASSERT_EQ(RUN(cann, aclnnSilu, x, y), 0);
    expect([](double v) { return v / (1 + std::exp(-v)); });
    ASSERT_EQ(RUN(cann, aclnnGelu, x, y), 0);
    expect([](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); });
    ASSERT_EQ(RUN(cann, aclnnGeluV2, x, int64_t{1}, y), 0);
    expect([](double v) {
      return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    });
    const Tensor halves = x.view({6, 100}, {100, 1});
    const Tensor gated(cann, dtype, {6, 50});
    ASSERT_EQ(RUN(cann, aclnnSwiGlu, halves, int64_t{-1}, gated), 0);
    std::vector<double> expected;
    for (size_t r = 0; r < 6; ++r) {
      for (size_t c = 0; c < 50; ++c) {
        const double gate = values[r * 100 + c];
        expected.push_back(gate / (1 + std::exp(-gate)) * values[r * 100 + 50 + c]);
      }
    }
    expect_near(gated.read(), expected, dtype, 1, 1e-6);
  }
}

/// y = x · cos + rotated · sin for one head.
std::vector<double> rotated(
    const double* x, const double* cos, const double* sin, int64_t dim, int mode) {
  std::vector<double> turned(static_cast<size_t>(dim));
  for (int64_t i = 0; i < dim; ++i) {
    double value = 0;
    if (mode == 0) value = i < dim / 2 ? -x[i + dim / 2] : x[i - dim / 2];
    if (mode == 1) value = i % 2 == 0 ? -x[i + 1] : x[i - 1];
    if (mode == 2) value = i / (dim / 4) % 2 == 0 ? -x[i + dim / 4] : x[i - dim / 4];
    turned[static_cast<size_t>(i)] = x[i] * cos[i] + value * sin[i];
  }
  return turned;
}

TEST_F(OpsNn, RotaryInEveryModeAndForm) {
  const int64_t batch = 2, length = 3, heads = 2, dim = 24;
  for (const aclDataType dtype : kFloats) {
    const auto x = random_values(dtype, batch * length * heads * dim, 1);
    const auto angles = random_values(ACL_FLOAT, length * dim, 2);
    std::vector<double> cosines, sines;
    for (const double a : angles) {
      cosines.push_back(stored(dtype, std::cos(a)));
      sines.push_back(stored(dtype, std::sin(a)));
    }
    for (int mode = 0; mode <= 2; ++mode) {
      // BSND with 1S1D.
      const Tensor q(cann, dtype, {batch, length, heads, dim}, x);
      const Tensor c(cann, dtype, {1, length, 1, dim}, cosines);
      const Tensor s(cann, dtype, {1, length, 1, dim}, sines);
      const Tensor out(cann, dtype, {batch, length, heads, dim});
      ASSERT_EQ(RUN(cann, aclnnRotaryPositionEmbedding, q, c, s, int64_t{mode}, out), 0)
          << cann.message();
      std::vector<double> expected;
      for (int64_t row = 0; row < batch * length * heads; ++row) {
        const int64_t position = row / heads % length;
        const auto one = rotated(x.data() + row * dim,
                                 cosines.data() + position * dim,
                                 sines.data() + position * dim,
                                 dim,
                                 mode);
        expected.insert(expected.end(), one.begin(), one.end());
      }
      expect_near(out.read(), expected, dtype, 1, 1e-6);
      // TND with T1D: the first sequence alone.
      const Tensor packed = q.view({length, heads, dim}, {heads * dim, dim, 1});
      const Tensor packed_out(cann, dtype, {length, heads, dim});
      const Tensor c3 = c.view({length, 1, dim}, {dim, dim, 1});
      const Tensor s3 = s.view({length, 1, dim}, {dim, dim, 1});
      ASSERT_EQ(RUN(cann, aclnnRotaryPositionEmbedding, packed, c3, s3, int64_t{mode}, packed_out),
                0);
      expected.resize(static_cast<size_t>(length * heads * dim));
      expect_near(packed_out.read(), expected, dtype, 1, 1e-6);
    }
  }
}

TEST_F(OpsNn, RotaryInPlaceOfQueryAndKey) {
  const int64_t tokens = 4, q_heads = 3, k_heads = 1, dim = 128;
  const int64_t row = (q_heads + 2 * k_heads) * dim;
  const auto packed = random_values(ACL_FLOAT16, tokens * row, 1);
  const auto angles = random_values(ACL_FLOAT, tokens * dim, 2);
  std::vector<double> cosines, sines;
  for (const double a : angles) {
    cosines.push_back(stored(ACL_FLOAT16, std::cos(a)));
    sines.push_back(stored(ACL_FLOAT16, std::sin(a)));
  }
  const Tensor all(cann, ACL_FLOAT16, {tokens, row}, packed);
  const Tensor q = all.view({1, tokens, q_heads, dim}, {tokens * row, row, dim, 1});
  const Tensor k = all.view({1, tokens, k_heads, dim}, {tokens * row, row, dim, 1}, q_heads * dim);
  const Tensor c(cann, ACL_FLOAT16, {1, tokens, 1, dim}, cosines);
  const Tensor s(cann, ACL_FLOAT16, {1, tokens, 1, dim}, sines);
  ASSERT_EQ(RUN(cann, aclnnApplyRotaryPosEmb, q, k, c, s, int64_t{1}), 0) << cann.message();
  auto expected = packed;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t head = 0; head < q_heads + k_heads; ++head) {
      const int64_t at = t * row + head * dim;
      const auto one =
          rotated(packed.data() + at, cosines.data() + t * dim, sines.data() + t * dim, dim, 0);
      std::copy(one.begin(), one.end(), expected.begin() + at);
    }
  }
  expect_near(all.read(), expected, ACL_FLOAT16, 1);  // values are untouched

  NEEDS(cann, aclnnApplyRotaryPosEmbV2);
  const Tensor again(cann, ACL_FLOAT16, {tokens, row}, packed);
  const Tensor q3 = again.view({tokens, q_heads, dim}, {row, dim, 1});
  const Tensor k3 = again.view({tokens, k_heads, dim}, {row, dim, 1}, q_heads * dim);
  const Tensor c3 = c.view({tokens, 1, dim}, {dim, dim, 1});
  const Tensor s3 = s.view({tokens, 1, dim}, {dim, dim, 1});
  char half[] = "half";
  char* mode = half;
  ASSERT_EQ(RUN(cann, aclnnApplyRotaryPosEmbV2, q3, k3, c3, s3, int64_t{4}, mode), 0)
      << cann.message();
  expect_near(again.read(), expected, ACL_FLOAT16, 1);
}

TEST_F(OpsNn, RopeWithTable) {
  const int64_t tokens = 3, head = 32, rotary = 16, rows = 10;
  const auto table = random_values(ACL_FLOAT, rows * rotary, 1);
  const auto q_values = random_values(ACL_FLOAT, tokens * 2 * head, 2);
  const auto k_values = random_values(ACL_FLOAT, tokens * head, 3);
  const std::vector<double> positions = {9, 0, 4};
  const Tensor at(cann, ACL_INT64, {tokens}, positions);
  const Tensor q(cann, ACL_FLOAT, {tokens, 2 * head}, q_values),
      k(cann, ACL_FLOAT, {tokens, head}, k_values);
  const Tensor cache(cann, ACL_FLOAT, {rows, rotary}, table);
  const Tensor q_out(cann, ACL_FLOAT, {tokens, 2 * head}), k_out(cann, ACL_FLOAT, {tokens, head});
  for (const bool neox : {true, false}) {
    ASSERT_EQ(
        RUN(cann, aclnnRopeWithSinCosCache, at, q, k, cache, nullptr, head, neox, q_out, k_out), 0);
    auto expected = q_values;
    for (int64_t t = 0; t < tokens; ++t) {
      const double* line =
          table.data() + static_cast<int64_t>(positions[static_cast<size_t>(t)]) * rotary;
      std::vector<double> cosines, sines;
      for (int64_t i = 0; i < rotary; ++i) {
        const int64_t angle = neox ? i % (rotary / 2) : i / 2;
        cosines.push_back(line[angle]);
        sines.push_back(line[rotary / 2 + angle]);
      }
      for (int64_t h = 0; h < 2; ++h) {
        const int64_t first = (t * 2 + h) * head;
        const auto one =
            rotated(q_values.data() + first, cosines.data(), sines.data(), rotary, neox ? 0 : 1);
        std::copy(one.begin(), one.end(), expected.begin() + first);
      }
    }
    expect_near(q_out.read(), expected, ACL_FLOAT, 2, 1e-6);
  }
}

TEST_F(OpsNn, PagedCacheTakesRowsAtTheirSlots) {
  NEEDS(cann, aclnnScatterPaKvCache);
  const int64_t blocks = 3, size = 16, heads = 2, dim = 32, tokens = 4;
  const auto k = random_values(ACL_FLOAT16, tokens * heads * dim, 1);
  const auto v = random_values(ACL_FLOAT16, tokens * heads * dim, 2);
  const std::vector<double> slots = {47, 0, 17, 16};
  const Tensor keys(cann, ACL_FLOAT16, {tokens, heads, dim}, k),
      values(cann, ACL_FLOAT16, {tokens, heads, dim}, v);
  const Tensor at(cann, ACL_INT32, {tokens}, slots);
  const Dims cache_dims = {blocks, size, heads, dim};
  const Tensor key_cache(
      cann, ACL_FLOAT16, cache_dims, std::vector<double>(blocks * size * heads * dim, 0));
  const Tensor value_cache(
      cann, ACL_FLOAT16, cache_dims, std::vector<double>(blocks * size * heads * dim, 0));
  const auto scatter = [&](const Tensor& kc, const Tensor& vc, char* mode) {
    return RUN(cann,
               aclnnScatterPaKvCache,
               keys,
               kc,
               at,
               values,
               vc,
               nullptr,
               nullptr,
               nullptr,
               mode,
               nullptr,
               nullptr,
               nullptr);
  };
  ASSERT_EQ(scatter(key_cache, value_cache, nullptr), 0) << cann.message();
  std::vector<double> expected_k(static_cast<size_t>(count_of(cache_dims)), 0),
      expected_v = expected_k;
  for (size_t t = 0; t < slots.size(); ++t) {
    for (size_t i = 0; i < 64; ++i) {
      expected_k[static_cast<size_t>(slots[t]) * 64 + i] = k[t * 64 + i];
      expected_v[static_cast<size_t>(slots[t]) * 64 + i] = v[t * 64 + i];
    }
  }
  EXPECT_EQ(key_cache.read(), expected_k);
  EXPECT_EQ(value_cache.read(), expected_v);

  char nz[] = "PA_NZ";
  const Dims nz_dims = {blocks, heads * dim / 16, size, 16};
  const std::vector<double> zeros(static_cast<size_t>(count_of(nz_dims)), 0);
  const Tensor key_nz(cann, ACL_FLOAT16, nz_dims, zeros),
      value_nz(cann, ACL_FLOAT16, nz_dims, zeros);
  ASSERT_EQ(scatter(key_nz, value_nz, nz), 0) << cann.message();
  auto expected = zeros;
  for (size_t t = 0; t < slots.size(); ++t) {
    const auto block = static_cast<size_t>(slots[t]) / 16,
               place = static_cast<size_t>(slots[t]) % 16;
    for (size_t i = 0; i < 64; ++i) {
      expected[((block * 4 + i / 16) * 16 + place) * 16 + i % 16] = k[t * 64 + i];
    }
  }
  EXPECT_EQ(key_nz.read(), expected);
}

TEST_F(OpsNn, SoftmaxOfAnyDim) {
  for (const aclDataType dtype : kFloats) {
    const int64_t rows = 3, columns = 333;
    auto values = random_values(dtype, rows * columns, 1, 5);
    values[5] = -kInf;
    const Tensor x(cann, dtype, {rows, columns}, values);
    for (const int64_t dim : {0, 1}) {
      std::vector<double> expected(values.size()), logs(values.size());
      const int64_t lines = dim == 1 ? rows : columns;
      const int64_t length = dim == 1 ? columns : rows;
      for (int64_t line = 0; line < lines; ++line) {
        const auto at = [&](int64_t i) {
          return static_cast<size_t>(dim == 1 ? line * columns + i : i * columns + line);
        };
        double largest = -kInf, sum = 0;
        for (int64_t i = 0; i < length; ++i) largest = std::max(largest, values[at(i)]);
        for (int64_t i = 0; i < length; ++i) sum += std::exp(values[at(i)] - largest);
        for (int64_t i = 0; i < length; ++i) {
          expected[at(i)] = std::exp(values[at(i)] - largest) / sum;
          logs[at(i)] = values[at(i)] - largest - std::log(sum);
        }
      }
      const Tensor y(cann, dtype, {rows, columns});
      ASSERT_EQ(RUN(cann, aclnnSoftmax, x, dim, y), 0);
      // Rounding the difference to the largest, up to 40, costs as many steps.
      expect_near(y.read(), expected, dtype, dtype == ACL_FLOAT ? 32 : 1, 1e-37);
      ASSERT_EQ(RUN(cann, aclnnLogSoftmax, x, dim, y), 0);
      expect_near(y.read(), logs, dtype, 1, 3e-6);
    }
  }
}

TEST_F(OpsNn, TopKThenTopPLeaveTheLikely) {
  NEEDS(cann, aclnnApplyTopKTopP);
  // Probabilities 0.1, 0.2, 0.3, 0.4 in some order.
  const std::vector<double> p = {0.3, 0.1, 0.4, 0.2};
  std::vector<double> logits;
  for (int row = 0; row < 3; ++row) {
    for (const double x : p) logits.push_back(std::log(x));
  }
  const Tensor x(cann, ACL_FLOAT, {3, 4}, logits);
  const Tensor out(cann, ACL_FLOAT, {3, 4});
  const auto kept = [&] {
    std::vector<int> mask;
    for (const double v : out.read()) mask.push_back(std::isinf(v) ? 0 : 1);
    return mask;
  };
  const Tensor limits(cann, ACL_FLOAT, {3}, {0.65, 0.05, 1.0});
  ASSERT_EQ(RUN(cann, aclnnApplyTopKTopP, x, limits, nullptr, out), 0);
  EXPECT_EQ(kept(), (std::vector<int>{1, 0, 1, 0, /**/ 0, 0, 1, 0, /**/ 1, 1, 1, 1}));
  const Tensor counts(cann, ACL_INT32, {3}, {1, 2, 4});
  ASSERT_EQ(RUN(cann, aclnnApplyTopKTopP, x, nullptr, counts, out), 0);
  EXPECT_EQ(kept(), (std::vector<int>{0, 0, 1, 0, /**/ 1, 0, 1, 0, /**/ 1, 1, 1, 1}));
  // Top-p of what top-k left: 4/7 and 3/7.
  const Tensor both(cann, ACL_INT32, {3}, {2, 2, 2});
  const Tensor half(cann, ACL_FLOAT, {3}, {0.5, 0.6, 1.0});
  ASSERT_EQ(RUN(cann, aclnnApplyTopKTopP, x, half, both, out), 0);
  EXPECT_EQ(kept(), (std::vector<int>{0, 0, 1, 0, /**/ 1, 0, 1, 0, /**/ 1, 0, 1, 0}));
}

TEST_F(OpsNn, MultinomialFollowsTheWeights) {
  const Tensor weights(cann, ACL_FLOAT, {4}, {1, 0, 3, 4});
  const int64_t n = 8000;
  const Tensor out(cann, ACL_INT64, {n});
  ASSERT_EQ(RUN(cann, aclnnMultinomial, weights, n, true, int64_t{42}, int64_t{0}, out), 0);
  std::vector<int> counts(4);
  for (const double v : out.read()) ++counts.at(static_cast<size_t>(v));
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[0], 1000, 150);
  EXPECT_NEAR(counts[2], 3000, 220);
  const Tensor again(cann, ACL_INT64, {n});
  ASSERT_EQ(RUN(cann, aclnnMultinomial, weights, n, true, int64_t{42}, int64_t{0}, again), 0);
  EXPECT_EQ(again.read(), out.read());
  const Tensor three(cann, ACL_INT64, {3});
  ASSERT_EQ(RUN(cann, aclnnMultinomial, weights, int64_t{3}, false, int64_t{1}, int64_t{0}, three),
            0);
  auto distinct = three.read();
  std::sort(distinct.begin(), distinct.end());
  EXPECT_EQ(distinct, (std::vector<double>{0, 2, 3}));
}

}  // namespace
}  // namespace emulator_test
