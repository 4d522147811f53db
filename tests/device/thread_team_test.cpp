// ThreadTeam: every element once, whatever the number of threads; asleep when there is nothing to
// do.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "device/cpu/thread_team.h"

namespace fastchat::device {
namespace {

using std::chrono::microseconds;

TEST(ThreadTeam, RunsEveryElementOnceInPiecesOfTheGrain) {
  for (const int num_threads : {1, 2, 5}) {
    for (const microseconds spin : {microseconds{0}, microseconds{30}}) {
      ThreadTeam team({.num_threads = num_threads, .spin = spin, .name = "test"});
      for (const std::int64_t count : {0, 1, 7, 64, 1000, 4099}) {
        for (const std::int64_t grain : {1, 3, 64}) {
          std::vector<int> visits(static_cast<std::size_t>(count));
          std::atomic<int> num_odd_pieces{0};
          std::atomic<int> num_odd_threads{0};
          team.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end, int thread) {
            if (begin % grain != 0 || begin >= end || (end % grain != 0 && end != count))
              ++num_odd_pieces;
            if (thread < 0 || thread >= num_threads) ++num_odd_threads;
            for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
          });
          EXPECT_EQ(num_odd_pieces, 0);
          EXPECT_EQ(num_odd_threads, 0);
          EXPECT_EQ(std::count(visits.begin(), visits.end(), 1), count)
              << num_threads << " threads, grain " << grain;
        }
      }
    }
  }
}

TEST(ThreadTeam, ResultsOfOnePieceOfWorkAreSeenByTheNext) {
  ThreadTeam team({.num_threads = 4, .spin = microseconds{20}, .name = "test"});
  std::vector<std::int64_t> numbers(512, 0);
  for (int round = 0; round < 500; ++round)
    team.parallel_for(512, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) numbers[static_cast<std::size_t>(i)] += i;
    });
  for (std::int64_t i = 0; i < 512; ++i) ASSERT_EQ(numbers[static_cast<std::size_t>(i)], 500 * i);
}

// Two threads meet inside their pieces, so both must have one at the same time.
TEST(ThreadTeam, UsesItsThreadsAtOnce) {
  ThreadTeam team({.num_threads = 2, .name = "test"});
  std::atomic<int> num_inside{0};
  std::atomic<int> thread_sum{0};
  team.parallel_for(2, 1, [&](std::int64_t, std::int64_t, int thread) {
    thread_sum += thread;
    ++num_inside;
    while (num_inside.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(thread_sum, 1);
}

TEST(ThreadTeam, AThrowingPieceLeavesParallelForAndTheTeamGoesOn) {
  for (const int num_threads : {1, 3}) {
    ThreadTeam team({.num_threads = num_threads, .name = "test"});
    EXPECT_THROW(
        team.parallel_for(
            1000, 1, [](std::int64_t, std::int64_t, int) { throw std::runtime_error("broken"); }),
        std::runtime_error);
    std::atomic<std::int64_t> sum{0};
    team.parallel_for(
        100, 1, [&](std::int64_t begin, std::int64_t end, int) { sum += end - begin; });
    EXPECT_EQ(sum, 100);
  }
}

TEST(ThreadTeam, KeepsAlignedScratchPerThreadAndGrowsIt) {
  ThreadTeam team({.num_threads = 2, .name = "test"});
  void* const first = team.scratch(0, 1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 64, 0U);
  EXPECT_EQ(team.scratch(0, 500), first);
  EXPECT_NE(team.scratch(1, 500), first);
  auto* const grown = static_cast<char*>(team.scratch(0, 3 << 20));
  grown[(3 << 20) - 1] = 1;
  EXPECT_EQ(team.scratch(0, 1000), grown);
}

TEST(ThreadTeam, SleepsWhenIdle) {
  ThreadTeam team({.num_threads = 4, .spin = microseconds{40}, .name = "test"});
  team.parallel_for(1000, 1, [](std::int64_t, std::int64_t, int) {});
  const auto cpu_ms = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
  };
  // The one test that sleeps: idling is what it measures. Three polling threads would use some 300
  // ms on free cores and 100 ms on one.
  const auto before = cpu_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(cpu_ms() - before, 20);
}

}  // namespace
}  // namespace fastchat::device
