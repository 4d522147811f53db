#include "engine/block_allocator.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace fastchat::engine {
namespace {

TEST(BlockAllocator, SharedBlockReturnsWithItsLastOwner) {
  BlockAllocator blocks({.num_blocks = 4, .block_size = 16});
  BlockRef first = blocks.allocate().value(), second = first;
  first.reset();
  EXPECT_EQ(blocks.num_free(), 3);
  second.reset();
  EXPECT_EQ(blocks.num_free(), 4);
}

TEST(BlockAllocator, GivesEachBlockOnceUntilItReturns) {
  BlockAllocator blocks({.num_blocks = 3, .block_size = 16});
  std::vector<BlockRef> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(blocks.allocate().value());
  EXPECT_NE(taken[0].id(), taken[1].id());
  EXPECT_NE(taken[1].id(), taken[2].id());
  EXPECT_NE(taken[0].id(), taken[2].id());
  EXPECT_FALSE(blocks.allocate().has_value());
  const BlockId returned = taken[1].id();
  taken[1].reset();
  EXPECT_EQ(blocks.allocate().value().id(), returned);
}

TEST(BlockAllocator, MovedFromReferenceOwnsNothing) {
  BlockAllocator blocks({.num_blocks = 2, .block_size = 16});
  BlockRef first = blocks.allocate().value();
  BlockRef second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that is the question
  EXPECT_TRUE(second);
  EXPECT_EQ(blocks.num_refs(second.id()), 1);
  second = BlockRef();
  EXPECT_EQ(blocks.num_free(), 2);
}

TEST(BlockAllocator, SelfAssignmentKeepsTheReference) {
  BlockAllocator blocks({.num_blocks = 1, .block_size = 16});
  BlockRef block = blocks.allocate().value();
  const BlockRef& same = block;
  block = same;
  EXPECT_EQ(blocks.num_refs(block.id()), 1);
}

TEST(BlockAllocator, CachedBlocksGoLastAndOldestFirst) {
  BlockAllocator blocks({.num_blocks = 4, .block_size = 16});
  std::vector<BlockId> evicted;
  blocks.on_evict([&](BlockId id) { evicted.push_back(id); });
  std::vector<BlockRef> taken;
  for (int i = 0; i < 4; ++i) taken.push_back(blocks.allocate().value());
  const BlockId plain = taken[1].id(), older = taken[3].id(), newer = taken[0].id();
  blocks.set_cached(older, true);
  blocks.set_cached(newer, true);
  taken[3].reset();
  taken[0].reset();
  taken[1].reset();
  EXPECT_EQ(blocks.num_free(), 3);

  std::vector<BlockRef> again;
  for (int i = 0; i < 3; ++i) again.push_back(blocks.allocate().value());
  EXPECT_EQ(again[0].id(), plain);
  EXPECT_EQ(again[1].id(), older);
  EXPECT_EQ(again[2].id(), newer);
  EXPECT_EQ(evicted, (std::vector<BlockId>{older, newer}));
}

TEST(BlockAllocator, SharingAFreeCachedBlockTakesItFromTheFreeOnes) {
  BlockAllocator blocks({.num_blocks = 2, .block_size = 16});
  BlockRef block = blocks.allocate().value();
  const BlockId id = block.id();
  blocks.set_cached(id, true);
  block.reset();
  BlockRef shared = blocks.share(id);
  EXPECT_EQ(blocks.num_free(), 1);
  EXPECT_NE(blocks.allocate().value().id(), id);
  shared.reset();
  EXPECT_EQ(blocks.num_free(), 2);
}

TEST(BlockAllocator, UncachedFreeBlockGoesFirstAgain) {
  BlockAllocator blocks({.num_blocks = 2, .block_size = 16});
  BlockRef first = blocks.allocate().value(), second = blocks.allocate().value();
  const BlockId trusted = first.id(), distrusted = second.id();
  blocks.set_cached(trusted, true);
  blocks.set_cached(distrusted, true);
  first.reset();
  second.reset();
  blocks.set_cached(distrusted, false);
  EXPECT_EQ(blocks.allocate().value().id(), distrusted);
}

TEST(BlockAllocator, RefusesSizesThatMakeNoSense) {
  EXPECT_THROW(BlockAllocator({.num_blocks = 0, .block_size = 16}), Failure);
  EXPECT_THROW(BlockAllocator({.num_blocks = 4, .block_size = 0}), Failure);
}

TEST(BlockAllocatorDeathTest, LeakedReferenceStopsTheProgram) {
  EXPECT_DEATH(
      {
        auto blocks = std::make_unique<BlockAllocator>(
            BlockAllocator::Config{.num_blocks = 2, .block_size = 16});
        const BlockRef leaked = blocks->allocate().value();
        blocks.reset();
      },
      "1 of 2 blocks are still referenced");
}

}  // namespace
}  // namespace fastchat::engine
