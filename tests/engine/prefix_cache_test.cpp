#include "engine/prefix_cache.h"

#include <array>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace fastchat::engine {
namespace {

constexpr std::array<std::int32_t, 4> kTokens{1, 2, 3, 4};
constexpr std::array<std::int32_t, 4> kOthers{1, 2, 3, 5};

TEST(PrefixCache, FindsABlockByItsTokensAndWhatIsBefore) {
  BlockAllocator blocks({.num_blocks = 4, .block_size = 4});
  PrefixCache cache(blocks);
  const BlockRef first = blocks.allocate().value(), second = blocks.allocate().value();
  const BlockHash hash = cache.hash({}, kTokens);
  const BlockHash next = cache.hash(hash, kTokens);
  cache.insert(hash, first);
  cache.insert(next, second);
  EXPECT_EQ(cache.find(cache.hash({}, kTokens)), first.id());
  EXPECT_EQ(cache.find(cache.hash(hash, kTokens)), second.id());
  EXPECT_EQ(cache.find(cache.hash({}, kOthers)), std::nullopt);
  EXPECT_EQ(cache.find(cache.hash(next, kTokens)), std::nullopt);
}

TEST(PrefixCache, HashesDependOnEveryTokenAndOnTheirNumber) {
  BlockAllocator blocks({.num_blocks = 1, .block_size = 4});
  const PrefixCache cache(blocks);
  const BlockHash hash = cache.hash({}, kTokens);
  for (std::size_t i = 0; i < kTokens.size(); ++i) {
    std::array<std::int32_t, 4> changed = kTokens;
    changed[i] ^= 1 << 20;
    EXPECT_FALSE(cache.hash({}, changed) == hash) << i;
  }
  const std::array<std::int32_t, 3> three{1, 2, 3};
  const std::array<std::int32_t, 4> padded{1, 2, 3, 0};
  EXPECT_FALSE(cache.hash({}, three) == cache.hash({}, padded));
}

TEST(PrefixCache, EntryOutlivesItsReferencesUntilTheBlockIsReused) {
  BlockAllocator blocks({.num_blocks = 2, .block_size = 4});
  PrefixCache cache(blocks);
  const BlockHash hash = cache.hash({}, kTokens);
  BlockRef block = blocks.allocate().value();
  const BlockId id = block.id();
  cache.insert(hash, block);
  block.reset();
  EXPECT_EQ(blocks.num_free(), 2);
  EXPECT_EQ(cache.find(hash), id);

  const BlockRef other = blocks.allocate().value();
  EXPECT_EQ(cache.find(hash), id) << "the block that was never cached goes first";
  const BlockRef reused = blocks.allocate().value();
  EXPECT_EQ(reused.id(), id);
  EXPECT_EQ(cache.find(hash), std::nullopt);
  EXPECT_EQ(cache.num_cached(), 0);
}

TEST(PrefixCache, FirstOfEqualBlocksStays) {
  BlockAllocator blocks({.num_blocks = 2, .block_size = 4});
  PrefixCache cache(blocks);
  const BlockHash hash = cache.hash({}, kTokens);
  const BlockRef first = blocks.allocate().value(), second = blocks.allocate().value();
  cache.insert(hash, first);
  cache.insert(hash, second);
  EXPECT_EQ(cache.find(hash), first.id());
  EXPECT_EQ(cache.num_cached(), 1);
}

TEST(PrefixCache, ForgottenBlockIsNotFound) {
  BlockAllocator blocks({.num_blocks = 2, .block_size = 4});
  PrefixCache cache(blocks);
  const BlockHash hash = cache.hash({}, kTokens);
  const BlockRef block = blocks.allocate().value();
  cache.insert(hash, block);
  cache.forget(block.id());
  cache.forget(block.id());
  EXPECT_EQ(cache.find(hash), std::nullopt);
  cache.insert(hash, block);
  EXPECT_EQ(cache.find(hash), block.id());
}

TEST(PrefixCache, AgreesWithAMapUnderRandomUse) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  BlockAllocator blocks({.num_blocks = 16, .block_size = 4});
  PrefixCache cache(blocks);
  std::map<std::int32_t, BlockId> expected;  // by content
  std::map<BlockId, std::int32_t> contents;
  std::vector<BlockRef> held;
  for (int i = 0; i < 20000; ++i) {
    const auto content = static_cast<std::int32_t>(random() % 40);
    const BlockHash hash = cache.hash({}, std::span(&content, 1));
    switch (random() % 4) {
      case 0:
        if (std::optional<BlockRef> block = blocks.allocate()) {
          if (const auto old = contents.find(block->id()); old != contents.end()) {
            expected.erase(old->second);
            contents.erase(old);
          }
          if (expected.emplace(content, block->id()).second) contents[block->id()] = content;
          cache.insert(hash, *block);
          held.push_back(*std::move(block));
        }
        break;
      case 1:
        if (!held.empty()) held.erase(held.begin() + static_cast<long>(random() % held.size()));
        break;
      case 2:
        if (const auto id = cache.find(hash)) held.push_back(blocks.share(*id));
        break;
      default:
        if (random() % 8 == 0) {
          const auto id = static_cast<BlockId>(random() % 16);
          if (const auto old = contents.find(id); old != contents.end()) {
            expected.erase(old->second);
            contents.erase(old);
          }
          cache.forget(id);
        }
    }
    const auto found = cache.find(hash);
    const auto known = expected.find(content);
    ASSERT_EQ(found.has_value(), known != expected.end());
    if (found) {
      ASSERT_EQ(*found, known->second);
    }
    ASSERT_EQ(cache.num_cached(), static_cast<std::int64_t>(expected.size()));
  }
}

}  // namespace
}  // namespace fastchat::engine
