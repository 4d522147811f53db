// How tensors are shared by the ranks of a group.
#include "parallel/placement.h"

#include <algorithm>
#include <iostream>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace fastchat::parallel {
namespace {

TensorAxes qwen2_half_billion() {
  return {.num_heads = 14,
          .num_kv_heads = 2,
          .intermediate = 4864,
          .hidden = 896,
          .vocab = 151936,
          .unit = 32};
}

TEST(SplitTensors, FourteenHeadsOverFourRanksStayWithinTheirKvHead) {
  const TensorSplit split = split_tensors(qwen2_half_billion(), {1, 1, 1, 1}).value();
  EXPECT_EQ(split.heads.boundaries, (std::vector<std::int64_t>{0, 4, 7, 11, 14}));
  for (const int rank : {0, 1})
    EXPECT_EQ(share_of(qwen2_half_billion(), split, rank).kv_heads, (AxisRange{0, 1}));
  for (const int rank : {2, 3})
    EXPECT_EQ(share_of(qwen2_half_billion(), split, rank).kv_heads, (AxisRange{1, 1}));
}

TEST(SplitTensors, MoreRanksThanKvHeadsShareOutUnevenly) {
  const TensorSplit split = split_tensors(qwen2_half_billion(), {1, 1, 1}).value();
  // One KV head's seven query heads on one rank, the other's on two.
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < 3; ++rank) counts.push_back(split.heads.part(rank).count);
  std::sort(counts.begin(), counts.end());
  EXPECT_EQ(counts, (std::vector<std::int64_t>{3, 4, 7}));
}

TEST(SplitTensors, FollowsTheWeights) {
  const TensorAxes axes{.num_heads = 28,
                        .num_kv_heads = 4,
                        .intermediate = 18944,
                        .hidden = 3584,
                        .vocab = 152064,
                        .unit = 32};
  const TensorSplit split = split_tensors(axes, {3, 1}).value();
  EXPECT_EQ(split.heads.boundaries, (std::vector<std::int64_t>{0, 21, 28}));
  EXPECT_EQ(split.intermediate.boundaries, (std::vector<std::int64_t>{0, 14208, 18944}));
}

TEST(SplitTensors, MoreRanksThanHeadsAreRefusedWithTheNumber) {
  const Result<TensorSplit> split =
      split_tensors(qwen2_half_billion(), std::vector<double>(16, 1.0));
  ASSERT_FALSE(split);
  EXPECT_NE(split.error().message.find("16 ranks cannot share the model's 14 attention heads"),
            std::string::npos)
      << split.error().message;
}

void expect_covers(const AxisSplit& split, std::int64_t length, std::size_t ranks) {
  ASSERT_EQ(split.boundaries.size(), ranks + 1);
  EXPECT_EQ(split.boundaries.front(), 0);
  EXPECT_EQ(split.boundaries.back(), length);
  for (std::size_t r = 0; r < ranks; ++r)
    EXPECT_LT(split.boundaries[r], split.boundaries[r + 1]) << "rank " << r;
}

TEST(SplitTensors, EveryRankGetsAPartOfEveryAxisAndWholeGroupsOrPartsOfOne) {
  const std::uint64_t first_seed = 11;
  std::cout << "seeds " << first_seed << " to " << first_seed + 1999 << "\n";
  int num_within = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto between = [&](std::int64_t low, std::int64_t high) {
      return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    const std::int64_t group_size = between(1, 9);
    TensorAxes axes;
    axes.num_kv_heads = between(1, 9);
    axes.num_heads = axes.num_kv_heads * group_size;
    axes.intermediate = between(axes.num_heads, 3000);
    axes.hidden = between(axes.num_heads, 900);
    axes.vocab = between(axes.num_heads, 5000);
    axes.unit = std::int64_t{1} << between(0, 6);
    const auto ranks = static_cast<std::size_t>(between(1, axes.num_heads));
    std::vector<double> weights(ranks);
    for (double& weight : weights) weight = static_cast<double>(between(1, 1000));
    const TensorSplit split = split_tensors(axes, weights).value();
    expect_covers(split.heads, axes.num_heads, ranks);
    expect_covers(split.intermediate, axes.intermediate, ranks);
    expect_covers(split.hidden, axes.hidden, ranks);
    expect_covers(split.vocab, axes.vocab, ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      const TensorShare share = share_of(axes, split, static_cast<int>(r));
      const bool whole_groups =
          share.heads.begin % group_size == 0 && share.heads.count % group_size == 0;
      EXPECT_TRUE(whole_groups || share.kv_heads.count == 1);
      EXPECT_EQ(share.heads.count % share.kv_heads.count, 0);
      num_within += whole_groups ? 0 : 1;
    }
  }
  EXPECT_GT(num_within, 500);
}

}  // namespace
}  // namespace fastchat::parallel
