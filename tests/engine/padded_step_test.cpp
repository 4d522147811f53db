// Steps that only decode, made as large as the sizes that are recorded.
#include "engine/padded_step.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace fastchat::engine {
namespace {

constexpr PaddingLimits kLimits{
    .max_num_seqs = 24, .max_blocks = 20, .kv_block_size = 32, .first_spare_block = 100};

/// `num_seqs` sequences that decode, of `max_blocks` blocks each.
StepInput decode(std::int32_t num_seqs, std::int32_t max_blocks) {
  StepInput input;
  input.max_blocks = max_blocks;
  input.query_starts = {0};
  for (std::int32_t i = 0; i < num_seqs; ++i) {
    input.tokens.push_back(10 + i);
    input.positions.push_back(20 + i);
    input.slots.push_back(30 + i);
    input.query_starts.push_back(i + 1);
    input.context_lens.push_back(21 + i);
    for (std::int32_t block = 0; block < max_blocks; ++block)
      input.block_table.push_back(block == max_blocks - 1 && i % 2 == 1 ? -1 : 3 * i + block);
    input.logits_rows.push_back(i);
    input.sampling.emplace_back();
  }
  return input;
}

TEST(PaddedStep, SizesAreFewUpToTheLimits) {
  EXPECT_EQ(padded_size(decode(1, 1), kLimits), (StepSize{1, 8}));
  EXPECT_EQ(padded_size(decode(2, 5), kLimits), (StepSize{2, 6}));
  EXPECT_EQ(padded_size(decode(3, 9), kLimits), (StepSize{4, 12}));
  EXPECT_EQ(padded_size(decode(9, 1), kLimits), (StepSize{16, 1}));
  EXPECT_EQ(padded_size(decode(9, 13), kLimits), (StepSize{16, 16}));
  EXPECT_EQ(padded_size(decode(17, 17), kLimits), (StepSize{24, 20}));
  EXPECT_EQ(padded_size(decode(24, 20), kLimits), (StepSize{24, 20}));
}

TEST(PaddedStep, TakesLengthsWherePaddingIsMore) {
  StepInput input = decode(2, 6);  // 21 and 22 of 2 * 6 * 32 positions count
  PaddingLimits limits = kLimits;
  limits.most_read_in_vain = 2 * 6 * 32 - 43;
  EXPECT_FALSE(padded_size(input, limits)->takes_lengths);
  limits.most_read_in_vain = 2 * 6 * 32 - 44;
  EXPECT_EQ(padded_size(input, limits), (StepSize{2, 6, true}));
  // Of sequences that are none, one position is read.
  input = decode(3, 6);
  limits.most_read_in_vain = 4 * 6 * 32 - (21 + 22 + 23 + 1);
  EXPECT_EQ(padded_size(input, limits), (StepSize{4, 6, false}));
  limits.most_read_in_vain = 4 * 6 * 32 - (21 + 22 + 23 + 2);
  EXPECT_EQ(padded_size(input, limits), (StepSize{4, 6, true}));
}

TEST(PaddedStep, OnlyDecodingIsPadded) {
  EXPECT_FALSE(padded_size({}, kLimits));
  EXPECT_FALSE(padded_size(decode(25, 1), kLimits));
  StepInput prefill = decode(2, 1);
  prefill.tokens.push_back(5);
  prefill.query_starts.back() = 3;
  EXPECT_FALSE(padded_size(prefill, kLimits));
  StepInput fewer_rows = decode(2, 1);
  fewer_rows.logits_rows.pop_back();
  fewer_rows.sampling.pop_back();
  EXPECT_FALSE(padded_size(fewer_rows, kLimits));
  StepInput other_rows = decode(2, 1);
  other_rows.logits_rows = {1, 0};
  EXPECT_FALSE(padded_size(other_rows, kLimits));
  StepInput targets = decode(2, 1);
  targets.sampling.pop_back();
  targets.targets = {7};
  EXPECT_FALSE(padded_size(targets, kLimits));
  PaddingLimits few_positions = kLimits;
  few_positions.kv_block_size = 16;
  EXPECT_FALSE(padded_size(decode(17, 1), few_positions));
}

TEST(PaddedStep, SequencesThatAreNoneTouchNothingOfOthers) {
  const StepInput input = decode(5, 4);
  const StepSize size = padded_size(input, kLimits).value();
  ASSERT_EQ(size, (StepSize{8, 4}));
  const StepLayout layout({.num_tokens = 8,
                           .num_seqs = 8,
                           .block_table_entries = 32,
                           .num_logits = 8,
                           .num_targets = 0,
                           .num_source_steps = 0});
  std::vector<std::int32_t> staging(layout.size_bytes / sizeof(std::int32_t), -77);
  write_padded(input, size, kLimits, layout, true, reinterpret_cast<char*>(staging.data()));
  const auto array = [&](std::size_t offset) {
    return staging.data() + offset / sizeof(std::int32_t);
  };
  std::set<std::int32_t> slots;
  for (std::int32_t i = 0; i < 8; ++i) {
    SCOPED_TRACE(i);
    const bool is_own = i < 5;
    EXPECT_EQ(array(layout.tokens)[i], is_own ? 10 + i : 0);
    EXPECT_EQ(array(layout.positions)[i], is_own ? 20 + i : 0);
    EXPECT_EQ(array(layout.context_lens)[i], is_own ? 21 + i : 1);
    EXPECT_EQ(array(layout.logits_rows)[i], i);
    EXPECT_EQ(array(layout.query_starts)[i + 1], i + 1);
    const std::int32_t slot = array(layout.slots)[i];
    EXPECT_TRUE(slots.insert(slot).second);
    if (is_own)
      EXPECT_EQ(slot, 30 + i);
    else
      EXPECT_EQ(slot / kLimits.kv_block_size, 101);
    const std::int32_t* const row = array(layout.block_table) + 4 * i;
    for (std::int32_t block = 0; block < 4; ++block) {
      const bool is_listed = is_own && !(block == 3 && i % 2 == 1);
      EXPECT_EQ(row[block], is_listed ? 3 * i + block : !is_own && block == 0 ? 101 : 100);
    }
  }
}

}  // namespace
}  // namespace fastchat::engine
