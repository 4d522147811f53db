#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <thread>

namespace fastchat {
namespace {

TEST(BoundedQueue, WhatOneThreadPushesAnotherPopsInOrder) {
  constexpr std::uint32_t kCount = 50'000;
  for (const std::size_t capacity : {1u, 3u}) {
    BoundedQueue<std::uint32_t> queue(capacity);
    std::thread producer([&] {
      for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_TRUE(queue.push(i));
      queue.close();
    });
    std::uint32_t expected = 0;
    while (const std::optional<std::uint32_t> value = queue.pop()) ASSERT_EQ(*value, expected++);
    EXPECT_EQ(expected, kCount);
    producer.join();
  }
}

TEST(BoundedQueue, ClosingEndsBothWaitsAndPopsDrainWhatIsLeft) {
  BoundedQueue<std::unique_ptr<int>> full(1), empty(1);
  ASSERT_TRUE(full.push(std::make_unique<int>(7)));
  std::thread producer([&] { EXPECT_FALSE(full.push(std::make_unique<int>(8))); });
  std::thread consumer([&] { EXPECT_FALSE(empty.pop().has_value()); });
  full.close();
  empty.close();
  producer.join();
  consumer.join();
  EXPECT_EQ(**full.pop(), 7);
  EXPECT_FALSE(full.pop().has_value());
}

}  // namespace
}  // namespace fastchat
