// Blocks of host memory, page arithmetic for machines other than this one, and what is available.
#include <cstdint>
#include <cstring>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "device/cpu/cgroup.h"
#include "device/cpu/host_memory.h"
#include "tests/device/fake_system.h"

namespace fastchat::device {
namespace {

using test::FakeSystem;

TEST(HostMemory, RoundsToWholePagesOfAnySize) {
  for (const std::size_t page : {4 * kKiB, 16 * kKiB, 64 * kKiB}) {
    EXPECT_EQ(round_up(0, page), 0U);
    EXPECT_EQ(round_up(1, page), page);
    EXPECT_EQ(round_up(page, page), page);
    EXPECT_EQ(round_up(page + 1, page), 2 * page);
    const MappingPlan plan = plan_mapping(5 * kMiB + 1, page, 2 * kMiB);
    EXPECT_EQ(plan.mapped_bytes, 5 * kMiB + page);
    // Wherever the reservation begins (on a page), an aligned block of the mapped size lies inside.
    for (std::size_t start = page; start <= 2 * kMiB; start += page)
      ASSERT_LE(round_up(start, 2 * kMiB) + plan.mapped_bytes, start + plan.reserved_bytes);
  }
  // Pages of 2 MiB and more need no room for alignment.
  EXPECT_EQ(plan_mapping(3 * kMiB, 2 * kMiB, 2 * kMiB).reserved_bytes, 4 * kMiB);
}

TEST(HostMemory, LargeBlocksAreAlignedToHugePagesAndAllTheirBytesAreThere) {
  for (const std::size_t size : {kHugeBlockBytes - 1, kHugeBlockBytes, kHugeBlockBytes + 1}) {
    void* const data = allocate_host_memory(size);
    ASSERT_NE(data, nullptr);
    const std::size_t alignment = size < kHugeBlockBytes ? 64 : kHugeBlockBytes;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % alignment, 0U);
    std::memset(data, 1, size);
    free_host_memory(data, size);
  }
  EXPECT_EQ(allocate_host_memory(SIZE_MAX - 5), nullptr);
  free_host_memory(nullptr, 100);
}

TEST(HostMemory, IsWhatMeminfoSaysUnlessAControlGroupSaysLess) {
  FakeSystem system;
  system.write("/proc/meminfo",
               "MemTotal:       1000 kB\nMemFree: 100 kB\nMemAvailable:    600 kB\n");
  EXPECT_EQ(host_memory(system.root()).total_bytes, 1000 * kKiB);
  EXPECT_EQ(host_memory(system.root()).available_bytes, 600 * kKiB);

  system.write("/proc/self/cgroup", "0::/a/b\n");
  system.write("/proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  system.write("/sys/fs/cgroup/a/b/memory.max", "max\n");
  system.write("/sys/fs/cgroup/a/memory.max", fmt::format("{}\n", 500 * kKiB));
  system.write("/sys/fs/cgroup/a/memory.current", fmt::format("{}\n", 300 * kKiB));
  system.write("/sys/fs/cgroup/a/memory.stat",
               fmt::format("anon 1\nactive_file {}\ninactive_file {}\n", 20 * kKiB, 30 * kKiB));
  EXPECT_EQ(host_memory(system.root()).total_bytes, 500 * kKiB);
  EXPECT_EQ(host_memory(system.root()).available_bytes, 250 * kKiB);
  system.write("/sys/fs/cgroup/a/memory.current", fmt::format("{}\n", 900 * kKiB));
  EXPECT_EQ(host_memory(system.root()).available_bytes, 0U);
}

TEST(HostMemory, ReadsVersionOneGroupsAlsoWhenOnlyTheirRootIsMounted) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "9:name=systemd:/\n4:memory:/not/visible/here\n0::/\n");
  system.write("/proc/self/mountinfo",
               "33 25 0:29 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8192\n");
  system.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n");
  system.write("/sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_inactive_file 1024\n");
  EXPECT_EQ(cgroup_memory(system.root()).limit_bytes, 8192U);
  EXPECT_EQ(cgroup_memory(system.root()).available_bytes, 5120U);
}

// "No limit" of version 1 is the largest number of whole pages, which depends on their size.
TEST(HostMemory, AGroupWithoutALimitIsNoneWithPagesOfAnySize) {
  for (const std::uint64_t page : {4 * kKiB, 16 * kKiB, 64 * kKiB}) {
    FakeSystem system;
    system.write("/proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    600 kB\n");
    system.write("/proc/self/cgroup", "4:memory:/\n");
    system.write("/proc/self/mountinfo",
                 "33 25 0:29 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n");
    system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                 fmt::format("{}\n", std::uint64_t{INT64_MAX} / page * page));
    system.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", fmt::format("{}\n", 3 * page));
    EXPECT_EQ(host_memory(system.root()).total_bytes, 1000 * kKiB);
    EXPECT_EQ(host_memory(system.root()).available_bytes, 600 * kKiB);
  }
}

TEST(HostMemory, ARangeTouchesWholePagesOfAnySize) {
  for (const std::uint64_t page : {4 * kKiB, 16 * kKiB, 64 * kKiB}) {
    EXPECT_EQ(touched_pages(0, 1, page), (PageRange{0, page}));
    EXPECT_EQ(touched_pages(page - 1, page + 1, page), (PageRange{0, 2 * page}));
    EXPECT_EQ(touched_pages(page, 2 * page, page), (PageRange{page, 2 * page}));
    EXPECT_EQ(touched_pages(3 * page + 7, 3 * page + 8, page), (PageRange{3 * page, 4 * page}));
    // Nothing touches nothing, also in the middle of a page.
    EXPECT_EQ(touched_pages(page + 5, page + 5, page).size_bytes(), 0U);
  }
  // A page of 64 KiB holds what several of 4 KiB do.
  EXPECT_EQ(touched_pages(70000, 70001, 4 * kKiB), (PageRange{69632, 73728}));
  EXPECT_EQ(touched_pages(70000, 70001, 64 * kKiB), (PageRange{65536, 131072}));
}

TEST(HostMemory, ThisMachineHasSome) {
  const HostMemory memory = host_memory();
  EXPECT_GT(memory.available_bytes, 0U);
  EXPECT_LE(memory.available_bytes, memory.total_bytes);
  EXPECT_LT(memory.total_bytes, std::uint64_t{1} << 50);
}

TEST(MemoryAccount, NeverExceedsItsLimitAndDoesNotOverflow) {
  MemoryAccount account(100, 100);
  EXPECT_TRUE(account.take(60));
  EXPECT_FALSE(account.take(41));
  EXPECT_FALSE(account.take(UINT64_MAX));
  EXPECT_TRUE(account.take(40));
  account.give_back(100);
  EXPECT_EQ(account.allocated_bytes(), 0U);
}

}  // namespace
}  // namespace fastchat::device
