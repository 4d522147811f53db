// Parts of large blocks: never twice the same bytes, nothing lost.
#include "device/ascend/block_pool.h"

#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace fastchat::device::ascend {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A card of so many bytes, whose blocks lie at addresses that are aligned to no more than 64.
struct FakeCard {
  std::size_t room = 64 * kMiB;
  std::map<void*, std::size_t> blocks;
  std::uintptr_t next = 64;
  BlockPool pool{[this](std::size_t bytes) { return take(bytes); },
                 [this](void* data) { give_back(data); }};

  void* take(std::size_t bytes) {
    // What the runtime adds, in whole pages.
    const std::size_t cost = (bytes + BlockPool::kAddedBytes + BlockPool::kPageBytes - 1) /
                             BlockPool::kPageBytes * BlockPool::kPageBytes;
    if (cost > room) return nullptr;
    room -= cost;
    void* const data = reinterpret_cast<void*>(next);  // NOLINT(performance-no-int-to-ptr)
    next += cost + 64;
    blocks[data] = cost;
    return data;
  }
  void give_back(void* data) {
    room += blocks.at(data);
    blocks.erase(data);
  }
};

TEST(BlockPool, SmallAllocationsShareAPage) {
  FakeCard card;
  std::vector<void*> parts;
  for (int i = 0; i < 1000; ++i) parts.push_back(card.pool.allocate(1000));
  EXPECT_EQ(card.room, 62 * kMiB);
  for (void* const part : parts) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(part) % BlockPool::kAlignment, 0u);
    card.pool.free(part);
  }
  EXPECT_EQ(card.room, 64 * kMiB);
  EXPECT_EQ(card.pool.free_bytes(), 0u);
}

TEST(BlockPool, WhatIsReservedIsHandedOutWholly) {
  FakeCard card;
  ASSERT_TRUE(card.pool.reserve(40 * kMiB));
  EXPECT_EQ(card.room, 22 * kMiB);
  std::vector<void*> parts;
  for (int i = 0; i < 40; ++i) parts.push_back(card.pool.allocate(kMiB));
  EXPECT_EQ(card.pool.num_blocks(), 1u);
  EXPECT_EQ(card.room, 22 * kMiB);
  for (void* const part : parts) card.pool.free(part);
  EXPECT_EQ(card.room, 64 * kMiB);
}

TEST(BlockPool, SaysWhenThereIsNoRoom) {
  FakeCard card;
  EXPECT_FALSE(card.pool.reserve(64 * kMiB));
  void* const most = card.pool.allocate(61 * kMiB);
  EXPECT_NE(most, nullptr);
  EXPECT_EQ(card.pool.allocate(3 * kMiB), nullptr);
  card.pool.free(most);
  EXPECT_NE(card.pool.allocate(3 * kMiB), nullptr);
}

TEST(BlockPool, RandomUseNeverGivesBytesTwice) {
  std::mt19937 random(1);
  FakeCard card;
  card.room = 4096 * kMiB;
  std::map<std::uintptr_t, std::size_t> live;
  for (int i = 0; i < 20000; ++i) {
    if (!live.empty() && random() % 2 == 0) {
      auto part = live.begin();
      std::advance(part, random() % live.size());
      card.pool.free(reinterpret_cast<void*>(part->first));  // NOLINT(performance-no-int-to-ptr)
      live.erase(part);
      continue;
    }
    const std::size_t bytes = random() % 8 == 0 ? random() % (8 * kMiB) : random() % 8192;
    auto* const data = card.pool.allocate(bytes);
    ASSERT_NE(data, nullptr);
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    const auto next = live.lower_bound(address);
    if (next != live.end()) ASSERT_LE(address + bytes, next->first);
    if (next != live.begin()) {
      const auto before = std::prev(next);
      ASSERT_LE(before->first + before->second, address);
    }
    live[address] = bytes;
  }
  for (const auto& [address, bytes] : live)
    card.pool.free(reinterpret_cast<void*>(address));  // NOLINT(performance-no-int-to-ptr)
  EXPECT_EQ(card.room, 4096 * kMiB);
  EXPECT_EQ(card.pool.num_blocks(), 0u);
}

}  // namespace
}  // namespace fastchat::device::ascend
