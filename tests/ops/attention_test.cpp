// Attention, reference and kernels, against the textbook formula over whole matrices: no blocks, no
// partitions.
#include "tests/ops/cpu_fixture.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

constexpr std::int64_t kLength = 300;
constexpr std::int64_t kHeadDim = 16;

/// softmax(q kᵀ * scale, causal) v of one head.
std::vector<double> full_attention(const std::vector<float>& q,
                                   const std::vector<float>& k,
                                   const std::vector<float>& v,
                                   double scale) {
  std::vector<double> out(q.size(), 0.0);
  for (std::int64_t i = 0; i < kLength; ++i) {
    std::vector<double> weights;
    double mass = 0.0;
    for (std::int64_t j = 0; j <= i; ++j) {
      double score = 0.0;
      for (std::int64_t d = 0; d < kHeadDim; ++d)
        score += static_cast<double>(q[static_cast<std::size_t>(i * kHeadDim + d)]) *
                 k[static_cast<std::size_t>(j * kHeadDim + d)];
      weights.push_back(std::exp(score * scale));
      mass += weights.back();
    }
    for (std::int64_t j = 0; j <= i; ++j)
      for (std::int64_t d = 0; d < kHeadDim; ++d)
        out[static_cast<std::size_t>(i * kHeadDim + d)] +=
            weights[static_cast<std::size_t>(j)] / mass *
            v[static_cast<std::size_t>(j * kHeadDim + d)];
  }
  return out;
}

TEST(Attention, EqualsTheTextbookFormula) {
  const std::vector<float> q = random_values(1, kLength * kHeadDim, 2.0f);
  const std::vector<float> k = random_values(2, kLength * kHeadDim, 2.0f);
  const std::vector<float> v = random_values(3, kLength * kHeadDim);
  const std::vector<double> expected = full_attention(q, k, v, 0.5);
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  for (Ops* ops : {fixture.ops.get(), reference.get()}) {
    Rig rig(*ops);
    const std::int64_t block_size = ops->traits().kv_block_size;
    const std::int64_t num_blocks = (kLength + block_size - 1) / block_size;
    const KvLayer kv = rig.blank_kv({.num_kv_heads = 1, .head_dim = kHeadDim}, num_blocks);
    std::vector<std::int32_t> slots;
    std::vector<std::int32_t> blocks;
    for (std::int32_t i = 0; i < kLength; ++i) slots.push_back(i);
    for (std::int32_t i = 0; i < num_blocks; ++i) blocks.push_back(i);
    ops->kv_write(rig.stream(),
                  rig.upload(k, DType::f32, {kLength, kHeadDim}),
                  rig.upload(v, DType::f32, {kLength, kHeadDim}),
                  rig.upload(slots),
                  kv);
    const TensorView out = rig.blank(DType::f32, {kLength, kHeadDim});
    ops->paged_attention(
        rig.stream(),
        {.q = rig.upload(q, DType::f32, {kLength, kHeadDim}),
         .out = out,
         .kv = kv,
         .metadata = {.query_starts = rig.upload(std::vector<std::int32_t>{0, kLength}),
                      .context_lens = rig.upload(std::vector<std::int32_t>{kLength}),
                      .block_table = rig.upload(blocks).reshaped({1, num_blocks}),
                      .num_seqs = 1,
                      .max_query_len = kLength,
                      .max_context_len = kLength},
         .num_heads = 1,
         .scale = 0.5f});
    const std::vector<float> result = rig.download(out);
    for (std::size_t i = 0; i < result.size(); ++i)
      ASSERT_NEAR(result[i], expected[i], 1e-5) << ops->name() << " element " << i;
  }
}

TEST(Attention, MissingBlockTurnsItsRowsToNan) {
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  for (Ops* ops : {fixture.ops.get(), reference.get()}) {
    for (const std::int32_t block : {-1, 1, 1 << 30}) {
      Rig rig(*ops);
      const KvLayer kv = rig.blank_kv({.num_kv_heads = 1, .head_dim = kHeadDim}, 1);
      const TensorView out = rig.upload(random_values(1, kHeadDim), DType::f32, {1, kHeadDim});
      ops->paged_attention(
          rig.stream(),
          {.q = rig.upload(random_values(2, kHeadDim), DType::f32, {1, kHeadDim}),
           .out = out,
           .kv = kv,
           .metadata = {.query_starts = rig.upload(std::vector<std::int32_t>{0, 1}),
                        .context_lens = rig.upload(std::vector<std::int32_t>{3}),
                        .block_table =
                            rig.upload(std::vector<std::int32_t>{block}).reshaped({1, 1}),
                        .num_seqs = 1,
                        .max_query_len = 1,
                        .max_context_len = 3},
           .num_heads = 1});
      for (const float value : rig.download(out)) EXPECT_TRUE(std::isnan(value));
    }
  }
}

}  // namespace
}  // namespace fastchat::ops
