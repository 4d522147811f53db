// FusedInferAttentionScore in every layout, dense and paged, against softmax(q · kᵀ) · v in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>

#include "tests/emulator/attention_call.h"
#include "tests/emulator/ops_fixture.h"

namespace emulator_test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Sequences of different lengths and what attention makes of them.
struct Problem {
  aclDataType dtype = ACL_FLOAT16;
  int64_t heads = 4, key_heads = 2, dim = 32;
  std::vector<int64_t> queries, keys;  // lengths
  /// Added to the score of (sequence, head, query, key); -inf masks.
  std::function<double(int64_t b, int64_t h, int64_t i, int64_t j)> bias = [](auto...) {
    return 0.0;
  };

  std::vector<std::vector<double>> q, k, v;  // [sequence][position, head, value]

  void fill(unsigned seed) {
    for (size_t b = 0; b < queries.size(); ++b) {
      q.push_back(random_values(dtype, queries[b] * heads * dim, ++seed));
      k.push_back(random_values(dtype, keys[b] * key_heads * dim, ++seed));
      v.push_back(random_values(dtype, keys[b] * key_heads * dim, ++seed));
    }
  }

  double scale() const { return 1 / std::sqrt(static_cast<double>(dim)); }

  /// [position, head, value] of one sequence.
  std::vector<double> expected(size_t b, std::vector<double>* lse = nullptr) const {
    std::vector<double> out;
    for (int64_t i = 0; i < queries[b]; ++i) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kh = h / (heads / key_heads);
        std::vector<double> scores;
        for (int64_t j = 0; j < keys[b]; ++j) {
          double dot = 0;
          for (int64_t d = 0; d < dim; ++d) {
            dot += q[b][static_cast<size_t>((i * heads + h) * dim + d)] *
                   k[b][static_cast<size_t>((j * key_heads + kh) * dim + d)];
          }
          scores.push_back(dot * scale() + bias(static_cast<int64_t>(b), h, i, j));
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (double& s : scores) sum += s = std::exp(s - largest);
        if (lse != nullptr) lse->push_back(largest + std::log(sum));
        for (int64_t d = 0; d < dim; ++d) {
          double value = 0;
          for (int64_t j = 0; j < keys[b]; ++j) {
            value += scores[static_cast<size_t>(j)] / sum *
                     v[b][static_cast<size_t>((j * key_heads + kh) * dim + d)];
          }
          out.push_back(value);
        }
      }
    }
    return out;
  }
};

enum class Order { positions_first, heads_first };

/// [position, head, value] to [head, position, value] and padded to `length` positions with
/// `padding`.
std::vector<double> arranged(const std::vector<double>& rows,
                             int64_t heads,
                             int64_t dim,
                             int64_t length,
                             Order order,
                             double padding = 0) {
  std::vector<double> out(static_cast<size_t>(length * heads * dim), padding);
  const int64_t positions = static_cast<int64_t>(rows.size()) / (heads * dim);
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t d = 0; d < dim; ++d) {
        const int64_t at = order == Order::positions_first ? (p * heads + h) * dim + d
                                                           : (h * length + p) * dim + d;
        out[static_cast<size_t>(at)] = rows[static_cast<size_t>((p * heads + h) * dim + d)];
      }
    }
  }
  return out;
}

std::vector<double> batch(const std::vector<std::vector<double>>& sequences,
                          int64_t heads,
                          int64_t dim,
                          int64_t length,
                          Order order,
                          double padding = 0) {
  std::vector<double> out;
  for (const auto& rows : sequences) {
    const auto one = arranged(rows, heads, dim, length, order, padding);
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

std::vector<double> joined(const std::vector<std::vector<double>>& parts) {
  std::vector<double> out;
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

/// Keys or values in blocks that lie in any order, as a cache (blocks, size, N · D) or (blocks, N,
/// size, D).
struct PagedCache {
  std::vector<double> values;
  std::vector<double> table;  // [sequence, width]
  int64_t num_blocks = 0, width = 0;

  PagedCache(const std::vector<std::vector<double>>& sequences,
             int64_t heads,
             int64_t dim,
             int64_t size,
             Order order) {
    const int64_t row = heads * dim;
    for (const auto& rows : sequences) {
      width = std::max(width, (static_cast<int64_t>(rows.size()) / row + size - 1) / size + 1);
    }
    num_blocks = width * static_cast<int64_t>(sequences.size()) + 1;
    values.assign(static_cast<size_t>(num_blocks * size * row), std::nan(""));
    int64_t block = num_blocks - 1;  // handed out backwards: block 0 is nobody's
    for (const auto& rows : sequences) {
      const int64_t positions = static_cast<int64_t>(rows.size()) / row;
      for (int64_t w = 0; w < width; ++w) {
        table.push_back(w * size < positions ? static_cast<double>(block) : 1e6);
        for (int64_t p = w * size; p < std::min(positions, (w + 1) * size); ++p) {
          for (int64_t h = 0; h < heads; ++h) {
            for (int64_t d = 0; d < dim; ++d) {
              const int64_t inside = order == Order::positions_first
                                         ? (p % size * heads + h) * dim + d
                                         : (h * size + p % size) * dim + d;
              values[static_cast<size_t>(block * size * row + inside)] =
                  rows[static_cast<size_t>((p * heads + h) * dim + d)];
            }
          }
        }
        if (w * size < positions) --block;
      }
    }
  }
};

class OpsAttention : public testing::Test {
 public:
  /// V3 where there is one, else V2.
  aclnnStatus run(AttentionCall& call) { return call.run(cann, cann.version() >= 810 ? 3 : 2); }

  /// The int8 (2048, 2048) upper triangle.
  const Tensor& triangle() {
    if (!triangle_) {
      std::vector<double> values(2048 * 2048);
      for (size_t i = 0; i < 2048; ++i) {
        for (size_t j = i + 1; j < 2048; ++j) values[i * 2048 + j] = 1;
      }
      triangle_ = std::make_unique<Tensor>(cann, ACL_INT8, Dims{2048, 2048}, values);
    }
    return *triangle_;
  }

  /// Rounding of the result, and f32 arithmetic.
  void expect(const std::vector<double>& actual,
              const std::vector<double>& expected,
              aclDataType dtype) {
    expect_near(actual, expected, dtype, 1, 2e-5);
  }

  Cann& cann = Cann::get();

 private:
  std::unique_ptr<Tensor> triangle_;
};

TEST_F(OpsAttention, DecodeOverDenseCachesInEveryLayout) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    Problem p{.dtype = dtype, .queries = {1, 1, 1}, .keys = {5, 200, 17}};
    p.fill(1);
    const int64_t longest = 200, n = 3;
    for (const char* layout : {"BSH", "BSND", "BNSD"}) {
      const bool by_head = layout[1] == 'N';
      const Order order = by_head ? Order::heads_first : Order::positions_first;
      const bool flat = layout[2] == 'H';
      const auto dims = [&](int64_t heads, int64_t length) {
        if (flat) return Dims{n, length, heads * p.dim};
        return by_head ? Dims{n, heads, length, p.dim} : Dims{n, length, heads, p.dim};
      };
      // What lies past a sequence's keys must not matter.
      const Tensor q(cann, dtype, dims(p.heads, 1), batch(p.q, p.heads, p.dim, 1, order));
      const Tensor k(cann,
                     dtype,
                     dims(p.key_heads, longest),
                     batch(p.k, p.key_heads, p.dim, longest, order, 1e4));
      const Tensor v(cann,
                     dtype,
                     dims(p.key_heads, longest),
                     batch(p.v, p.key_heads, p.dim, longest, order, 1e4));
      const Tensor out(cann, dtype, dims(p.heads, 1));
      AttentionCall call(layout, q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
      call.key_lengths = p.keys;
      ASSERT_EQ(run(call), 0) << cann.message();
      std::vector<std::vector<double>> results;
      for (size_t b = 0; b < 3; ++b) results.push_back(p.expected(b));
      expect(out.read(), joined(results), dtype);
    }
  }
}

TEST_F(OpsAttention, DecodeOverPagedCaches) {
  for (const int64_t size : {16, 128, 512}) {
    Problem p{.heads = 14,
              .key_heads = 2,
              .dim = 64,
              .queries = {1, 1, 1, 1},
              .keys = {1, 128, 129, 300}};
    p.fill(2);
    const PagedCache keys(p.k, p.key_heads, p.dim, size, Order::positions_first);
    const PagedCache values(p.v, p.key_heads, p.dim, size, Order::positions_first);
    const Dims cache = {keys.num_blocks, size, p.key_heads * p.dim};
    const Tensor q(cann, p.dtype, {4, 1, p.heads * p.dim}, joined(p.q));
    const Tensor k(cann, p.dtype, cache, keys.values), v(cann, p.dtype, cache, values.values);
    const Tensor table(cann, ACL_INT32, {4, keys.width}, keys.table);
    const Tensor out(cann, p.dtype, {4, 1, p.heads * p.dim});
    AttentionCall call("BSH", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
    call.key_lengths = p.keys;
    call.block_table = table;
    call.block_size = size;
    ASSERT_EQ(run(call), 0) << cann.message();
    std::vector<std::vector<double>> results;
    for (size_t b = 0; b < 4; ++b) results.push_back(p.expected(b));
    expect(out.read(), joined(results), p.dtype);
  }
}

TEST_F(OpsAttention, PagedCachesByHeadsGoWithBnsd) {
  Problem p{.queries = {1, 1}, .keys = {40, 33}};
  p.fill(3);
  const PagedCache keys(p.k, p.key_heads, p.dim, 16, Order::heads_first);
  const PagedCache values(p.v, p.key_heads, p.dim, 16, Order::heads_first);
  const Dims cache = {keys.num_blocks, p.key_heads, 16, p.dim};
  const Tensor q(cann, p.dtype, {2, p.heads, 1, p.dim}, joined(p.q));
  const Tensor k(cann, p.dtype, cache, keys.values), v(cann, p.dtype, cache, values.values);
  const Tensor table(cann, ACL_INT32, {2, keys.width}, keys.table);
  const Tensor out(cann, p.dtype, {2, p.heads, 1, p.dim});
  AttentionCall call("BNSD", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
  call.key_lengths = p.keys;
  call.block_table = table;
  call.block_size = 16;
  ASSERT_EQ(run(call), 0) << cann.message();
  expect(out.read(), joined({p.expected(0), p.expected(1)}), p.dtype);
}

// One sequence with history, keys of the whole paged cache: what prefill is before CANN 8.3.
TEST_F(OpsAttention, CausalPrefillOverHistoryInBsh) {
  for (const int64_t queries : {2, 90, 300}) {
    Problem p{.heads = 6, .key_heads = 2, .dim = 64, .queries = {queries}, .keys = {queries + 70}};
    p.bias = [&](int64_t, int64_t, int64_t i, int64_t j) { return j <= i + 70 ? 0.0 : -kInf; };
    p.fill(4);
    const PagedCache keys(p.k, p.key_heads, p.dim, 128, Order::positions_first);
    const PagedCache values(p.v, p.key_heads, p.dim, 128, Order::positions_first);
    const Dims cache = {keys.num_blocks, 128, p.key_heads * p.dim};
    const Tensor q(cann, p.dtype, {1, queries, p.heads * p.dim}, p.q[0]);
    const Tensor k(cann, p.dtype, cache, keys.values), v(cann, p.dtype, cache, values.values);
    const Tensor table(cann, ACL_INT32, {1, keys.width}, keys.table);
    const Tensor out(cann, p.dtype, {1, queries, p.heads * p.dim});
    AttentionCall call("BSH", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
    call.key_lengths = p.keys;
    call.block_table = table;
    call.block_size = 128;
    call.mask = triangle();
    call.sparse_mode = 3;
    ASSERT_EQ(run(call), 0) << cann.message();
    expect(out.read(), p.expected(0), p.dtype);
  }
}

TEST_F(OpsAttention, SparseModesAndMasks) {
  const int64_t queries = 20, keys = 31;
  struct Mode {
    int64_t mode, pre, next;
    std::function<bool(int64_t i, int64_t j)> sees;
  };
  const int64_t all = 2147483647;
  const Mode modes[] = {
      {0, all, all, [](int64_t, int64_t) { return true; }},
      {2, all, all, [](int64_t i, int64_t j) { return j <= i; }},
      {3, all, all, [](int64_t i, int64_t j) { return j <= i + 11; }},
      {4, 5, 0, [](int64_t i, int64_t j) { return j <= i + 11 && j >= i + 11 - 5; }},
  };
  for (const Mode& mode : modes) {
    Problem p{.queries = {queries}, .keys = {keys}};
    p.bias = [&](int64_t, int64_t, int64_t i, int64_t j) { return mode.sees(i, j) ? 0.0 : -kInf; };
    p.fill(5);
    const Tensor q(cann, p.dtype, {1, queries, p.heads, p.dim}, p.q[0]);
    const Tensor k(cann, p.dtype, {1, keys, p.key_heads, p.dim}, p.k[0]);
    const Tensor v(cann, p.dtype, {1, keys, p.key_heads, p.dim}, p.v[0]);
    const Tensor out(cann, p.dtype, {1, queries, p.heads, p.dim});
    AttentionCall call("BSND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
    call.sparse_mode = mode.mode;
    call.pre_tokens = mode.pre;
    call.next_tokens = mode.next;
    if (mode.mode != 0) call.mask = triangle();
    ASSERT_EQ(run(call), 0) << cann.message();
    expect(out.read(), p.expected(0), p.dtype);
  }
  // A mask of its own for each of two sequences.
  Problem p{.queries = {queries, queries}, .keys = {keys, keys}};
  std::vector<double> mask;
  for (int i = 0; i < 2 * queries * keys; ++i) mask.push_back(i % 3 == 0 && i % keys != 0 ? 1 : 0);
  p.bias = [&](int64_t b, int64_t, int64_t i, int64_t j) {
    return mask[static_cast<size_t>((b * queries + i) * keys + j)] != 0 ? -kInf : 0.0;
  };
  p.fill(6);
  const Tensor q(cann, p.dtype, {2, queries, p.heads, p.dim}, joined(p.q));
  const Tensor k(cann, p.dtype, {2, keys, p.key_heads, p.dim}, joined(p.k));
  const Tensor v(cann, p.dtype, {2, keys, p.key_heads, p.dim}, joined(p.v));
  const Tensor out(cann, p.dtype, {2, queries, p.heads, p.dim});
  for (const Dims& dims : {Dims{2, queries, keys}, Dims{2, 1, queries, keys}}) {
    const Tensor own(cann, ACL_BOOL, dims, mask);
    AttentionCall call("BSND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
    call.mask = own;
    ASSERT_EQ(run(call), 0) << cann.message();
    expect(out.read(), joined({p.expected(0), p.expected(1)}), p.dtype);
  }
}

// As one client passes its causal mask: a bias repeated over the heads by a stride of 0.
TEST_F(OpsAttention, BiasWithAStrideOfZero) {
  const int64_t queries = 4, keys = 20, padded = 32;
  Problem p{.queries = {queries}, .keys = {keys}};
  auto biases = random_values(ACL_FLOAT16, queries * padded, 9);
  biases[3] = -kInf;
  p.bias = [&](int64_t, int64_t, int64_t i, int64_t j) {
    return biases[static_cast<size_t>(i * padded + j)];
  };
  p.fill(7);
  const Tensor q(cann, p.dtype, {1, queries, p.heads, p.dim}, p.q[0]);
  const Tensor k(cann, p.dtype, {1, keys, p.key_heads, p.dim}, p.k[0]);
  const Tensor v(cann, p.dtype, {1, keys, p.key_heads, p.dim}, p.v[0]);
  const Tensor out(cann, p.dtype, {1, queries, p.heads, p.dim});
  const Tensor plane(cann, ACL_FLOAT16, {queries, padded}, biases);
  const Tensor bias = plane.view({1, p.heads, queries, padded}, {0, 0, padded, 1});
  AttentionCall call("BSND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
  call.bias = bias;
  call.inner_precise = 2;
  ASSERT_EQ(run(call), 0) << cann.message();
  expect(out.read(), p.expected(0), p.dtype);
}

TEST_F(OpsAttention, ListedSequencesAndLogSumExp) {
  Problem p{.queries = {3, 3}, .keys = {7, 12}};
  p.fill(8);
  const Tensor q(cann, p.dtype, {2, 3, p.heads * p.dim}, joined(p.q));
  const Tensor k0(cann, p.dtype, {1, 7, p.key_heads * p.dim}, p.k[0]);
  const Tensor k1(cann, p.dtype, {1, 12, p.key_heads * p.dim}, p.k[1]);
  const Tensor v0(cann, p.dtype, {1, 7, p.key_heads * p.dim}, p.v[0]);
  const Tensor v1(cann, p.dtype, {1, 12, p.key_heads * p.dim}, p.v[1]);
  const Tensor out(cann, p.dtype, {2, 3, p.heads * p.dim});
  const Tensor lse(cann, ACL_FLOAT, {2, p.heads, 3, 1});
  AttentionCall call("BSH", q, {&k0, &k1}, {&v0, &v1}, out, p.heads, p.key_heads, p.scale());
  call.softmax_lse = lse;
  ASSERT_EQ(run(call), 0) << cann.message();
  std::vector<double> sums;
  for (size_t b = 0; b < 2; ++b) {
    std::vector<double> one;  // [position, head]
    p.expected(b, &one);
    for (size_t h = 0; h < 4; ++h) {
      for (size_t i = 0; i < 3; ++i) sums.push_back(one[i * 4 + h]);
    }
  }
  expect(out.read(), joined({p.expected(0), p.expected(1)}), p.dtype);
  expect_near(lse.read(), sums, ACL_FLOAT, 0, 1e-5);
}

TEST_F(OpsAttention, OutputMayTurnToBsnd) {
  Problem p{.queries = {6}, .keys = {6}};
  p.fill(9);
  const Order order = Order::heads_first;
  const Tensor q(cann, p.dtype, {1, p.heads, 6, p.dim}, arranged(p.q[0], p.heads, p.dim, 6, order));
  const Tensor k(
      cann, p.dtype, {1, p.key_heads, 6, p.dim}, arranged(p.k[0], p.key_heads, p.dim, 6, order));
  const Tensor v(
      cann, p.dtype, {1, p.key_heads, 6, p.dim}, arranged(p.v[0], p.key_heads, p.dim, 6, order));
  const Tensor out(cann, p.dtype, {1, 6, p.heads, p.dim});
  AttentionCall call("BNSD_BSND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
  ASSERT_EQ(run(call), 0) << cann.message();
  expect(out.read(), p.expected(0), p.dtype);
}

// Tokens of a batch packed, causal, over a paged cache: prefill and decode mixed, from CANN 8.3 on.
TEST_F(OpsAttention, PackedTokensOverAPagedCache) {
  if (cann.version() < 830) GTEST_SKIP() << "TND comes with CANN 8.3";
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    Problem p{.dtype = dtype,
              .heads = 14,
              .key_heads = 2,
              .dim = 64,
              .queries = {1, 40, 3},
              .keys = {130, 40, 200}};
    p.bias = [&](int64_t b, int64_t, int64_t i, int64_t j) {
      const auto at = static_cast<size_t>(b);
      return j <= i + p.keys[at] - p.queries[at] ? 0.0 : -kInf;
    };
    p.fill(10);
    const PagedCache keys(p.k, p.key_heads, p.dim, 128, Order::positions_first);
    const PagedCache values(p.v, p.key_heads, p.dim, 128, Order::positions_first);
    const Dims cache = {keys.num_blocks, 128, p.key_heads * p.dim};
    const Tensor q(cann, dtype, {44, p.heads, p.dim}, joined(p.q));
    const Tensor k(cann, dtype, cache, keys.values), v(cann, dtype, cache, values.values);
    const Tensor table(cann, ACL_INT32, {3, keys.width}, keys.table);
    const Tensor out(cann, dtype, {44, p.heads, p.dim});
    AttentionCall call("TND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
    call.query_lengths = {1, 41, 44};  // cumulative
    call.key_lengths = p.keys;         // not cumulative with paging
    call.block_table = table;
    call.block_size = 128;
    call.mask = triangle();
    call.sparse_mode = 3;
    ASSERT_EQ(run(call), 0) << cann.message();
    expect(out.read(), joined({p.expected(0), p.expected(1), p.expected(2)}), dtype);
  }
}

TEST_F(OpsAttention, PackedTokensWithoutPaging) {
  if (cann.version() < 830) GTEST_SKIP() << "TND comes with CANN 8.3";
  Problem p{.queries = {2, 5}, .keys = {4, 9}};
  p.fill(11);
  const Tensor q(cann, p.dtype, {7, p.heads, p.dim}, joined(p.q));
  const Tensor k(cann, p.dtype, {13, p.key_heads, p.dim}, joined(p.k));
  const Tensor v(cann, p.dtype, {13, p.key_heads, p.dim}, joined(p.v));
  const Tensor out(cann, p.dtype, {7, p.heads, p.dim});
  AttentionCall call("TND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
  call.query_lengths = {2, 7};
  call.key_lengths = {4, 13};
  ASSERT_EQ(run(call), 0) << cann.message();
  expect(out.read(), joined({p.expected(0), p.expected(1)}), p.dtype);
}

// Rows past a sequence's own length are zeros; rows that see no key are zeros where innerPrecise
// asks for it.
TEST_F(OpsAttention, PaddedAndMaskedRows) {
  Problem p{.queries = {2, 4}, .keys = {3, 3}};
  p.bias = [](int64_t b, int64_t, int64_t i, int64_t j) {
    return j <= i + (b == 0 ? 1 : -1) ? 0.0 : -kInf;  // row 0 of the second sees nothing
  };
  p.fill(12);
  const Order order = Order::positions_first;
  const Tensor q(cann, p.dtype, {2, 4, p.heads, p.dim}, batch(p.q, p.heads, p.dim, 4, order));
  const Tensor k(cann, p.dtype, {2, 3, p.key_heads, p.dim}, joined(p.k));
  const Tensor v(cann, p.dtype, {2, 3, p.key_heads, p.dim}, joined(p.v));
  const Tensor out(cann, p.dtype, {2, 4, p.heads, p.dim});
  AttentionCall call("BSND", q, {&k}, {&v}, out, p.heads, p.key_heads, p.scale());
  call.query_lengths = p.queries;
  call.mask = triangle();
  call.sparse_mode = 3;
  call.inner_precise = 2;
  ASSERT_EQ(run(call), 0) << cann.message();
  auto second = p.expected(1);
  std::fill(second.begin(), second.begin() + p.heads * p.dim, 0.0);
  expect(out.read(), joined({arranged(p.expected(0), p.heads, p.dim, 4, order), second}), p.dtype);
}

TEST_F(OpsAttention, TheLargestWorkspaceCoversEveryLength) {
  if (cann.version() < 850) GTEST_SKIP() << "GetMaxWorkspaceSize comes with CANN 8.5";
  const int64_t width = 64;
  const Tensor q(cann, ACL_FLOAT16, {2, 1, 4 * 32});
  const Tensor cache(cann, ACL_FLOAT16, {8, 128, 2 * 32});
  const Tensor table(cann, ACL_INT32, {2, width}, std::vector<double>(2 * width, 0));
  const Tensor out(cann, ACL_FLOAT16, {2, 1, 4 * 32});
  AttentionCall call("BSH", q, {&cache}, {&cache}, out, 4, 2, 0.1);
  call.block_table = table;
  call.block_size = 128;
  uint64_t previous = 0;
  call.key_lengths = {1, 1};
  const uint64_t most = call.largest_workspace(cann);
  for (const int64_t length : {1, 2000, 8192}) {
    call.key_lengths = {length, 1};
    EXPECT_EQ(call.largest_workspace(cann), most);
    const uint64_t needed = call.workspace(cann);
    EXPECT_GE(needed, previous);
    EXPECT_LE(needed, most);
    previous = needed;
  }
  EXPECT_GT(previous, 0u);
}

}  // namespace
}  // namespace emulator_test
