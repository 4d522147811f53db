// What streams of cpu devices do beyond the conformance of every device: tasks, the ring,
// recordings, shared cores.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/cpu_topology.h"
#include "device/cpu/queued_stream.h"
#include "tests/device/count_allocations.h"

namespace fastchat::device {
namespace {

class CpuStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    log::set_sink([](log::Level, std::string_view) {});
    open(2);
  }
  void TearDown() override { devices_.clear(); }

  void open(int num_devices) {
    platform_ = create_cpu_platform({.num_devices = num_devices, .memory_limits_bytes = {1 << 20}});
    devices_.clear();
    for (int index = 0; index < num_devices; ++index) devices_.push_back(platform_->open(index));
  }
  std::unique_ptr<CpuStream> stream(std::size_t index = 0) {
    return std::unique_ptr<CpuStream>(
        static_cast<CpuStream*>(devices_[index]->create_stream().release()));
  }

  std::unique_ptr<Platform> platform_;
  std::vector<std::unique_ptr<Device>> devices_;
};

// Holds a stream until it is opened.
struct Gate {
  std::atomic<bool> is_open{false};
  void hold(CpuStream& stream) {
    stream.enqueue([this](CpuTeam&) { is_open.wait(false); });
  }
  void open() {
    is_open.store(true);
    is_open.notify_all();
  }
};

TEST_F(CpuStreamTest, TasksOfAnySizeRunWithTheDevicesTeam) {
  const auto s = stream();
  struct Large {
    std::int64_t numbers[60];
  } large{};
  for (int i = 0; i < 60; ++i) large.numbers[i] = i;
  std::int64_t sum = 0;
  int num_threads = 0;
  s->enqueue([large, &sum, &num_threads](CpuTeam& team) {
    for (const std::int64_t number : large.numbers) sum += number;
    num_threads = team.num_threads();
  });
  s->synchronize();
  EXPECT_EQ(sum, 60 * 59 / 2);
  EXPECT_EQ(num_threads, static_cast<CpuDevice&>(*devices_[0]).num_threads());
}

TEST_F(CpuStreamTest, EnqueueingDoesNotWaitForTheWork) {
  const auto s = stream();
  Gate gate;
  gate.hold(*s);
  const auto event = devices_[0]->create_event();
  s->record(*event);
  EXPECT_FALSE(event->query());
  gate.open();
  event->synchronize();
  EXPECT_TRUE(event->query());
}

TEST_F(CpuStreamTest, AFullRingBlocksUntilThereIsRoom) {
  const auto s = stream();
  Gate gate;
  gate.hold(*s);
  constexpr std::size_t kTasks = 3 * QueuedStream::kNumSlots;
  std::atomic<std::size_t> num_enqueued{1};
  std::atomic<std::size_t> num_run{0};
  std::thread producer([&] {
    for (std::size_t i = 0; i < kTasks; ++i) {
      s->enqueue([&num_run](CpuTeam&) { ++num_run; });
      ++num_enqueued;
    }
  });
  while (num_enqueued.load() < QueuedStream::kNumSlots) std::this_thread::yield();
  for (int i = 0; i < 100; ++i) std::this_thread::yield();
  EXPECT_EQ(num_enqueued.load(), QueuedStream::kNumSlots);
  EXPECT_EQ(num_run.load(), 0U);
  gate.open();
  producer.join();
  s->synchronize();
  EXPECT_EQ(num_run.load(), kTasks);
}

TEST_F(CpuStreamTest, SteadyWorkAllocatesNothing) {
  const auto first = stream(0);
  const auto second = stream(1);
  const auto event = devices_[0]->create_event();
  std::int64_t sum = 0;
  first->begin_capture();
  first->enqueue([&sum](CpuTeam&) { ++sum; });
  const auto graph = first->end_capture();
  const auto step = [&] {
    for (int i = 0; i < 50; ++i) first->enqueue([&sum](CpuTeam&) { ++sum; });
    graph->launch(*first);
    first->record(*event);
    second->wait(*event);
    second->enqueue([&sum](CpuTeam&) { ++sum; });
    second->record(*event);
    event->synchronize();
    first->synchronize();
    second->synchronize();
  };
  for (int i = 0; i < 3; ++i) step();
  const std::uint64_t before = test::num_allocations();
  for (int i = 0; i < 20; ++i) step();
  EXPECT_EQ(test::num_allocations(), before);
  EXPECT_EQ(sum, 23 * 52);
}

TEST_F(CpuStreamTest, AWaitMeansTheRecordingThatWasLatestWhenItWasEnqueued) {
  const auto slow = stream(0);
  const auto idle = stream(1);
  const auto waiting = stream(1);
  const auto event = devices_[0]->create_event();
  Gate gate;
  int order = 0;
  int seen = -1;
  gate.hold(*slow);
  slow->enqueue([&order](CpuTeam&) { order = 1; });
  slow->record(*event);
  waiting->wait(*event);
  waiting->enqueue([&order, &seen](CpuTeam&) { seen = order; });
  idle->record(*event);  // the later recording is reached first
  event->synchronize();
  EXPECT_TRUE(event->query());
  gate.open();
  waiting->synchronize();
  EXPECT_EQ(seen, 1);
}

TEST_F(CpuStreamTest, AnEventMayGoBeforeItIsReached) {
  const auto s = stream(0);
  const auto other = stream(1);
  Gate gate;
  gate.hold(*s);
  {
    const auto event = devices_[0]->create_event();
    s->record(*event);
    other->wait(*event);
  }
  gate.open();
  other->synchronize();
  s->synchronize();
}

TEST_F(CpuStreamTest, AnOldFailureSaysNothingAboutANewOne) {
  const auto s = stream();
  const auto event = devices_[0]->create_event();
  s->enqueue([](CpuTeam&) { fail("first"); });
  s->record(*event);
  EXPECT_THROW(s->synchronize(), Failure);
  bool ran = false;
  Gate gate;
  gate.hold(*s);
  s->enqueue([](CpuTeam&) { fail("second"); });
  gate.open();
  EXPECT_THROW(event->synchronize(), Failure);  // still of the first
  s->enqueue([&ran](CpuTeam&) { ran = true; });
  try {
    s->synchronize();
    FAIL() << "did not throw";
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(), "second");
  }
  EXPECT_FALSE(ran);
}

TEST_F(CpuStreamTest, AFailureInsideAGraphDropsTheRestOfIt) {
  const auto s = stream();
  int num_run = 0;
  s->begin_capture();
  s->enqueue([&num_run](CpuTeam&) { ++num_run; });
  s->enqueue([](CpuTeam&) { throw 5; });
  s->enqueue([&num_run](CpuTeam&) { ++num_run; });
  const auto graph = s->end_capture();
  graph->launch(*s);
  EXPECT_THROW(s->synchronize(), Failure);
  EXPECT_EQ(num_run, 1);
}

TEST_F(CpuStreamTest, AFailureNobodyAskedForIsLogged) {
  std::string logged;
  log::set_sink([&](log::Level, std::string_view message) { logged = message; });
  stream()->enqueue([](CpuTeam&) { fail("unseen"); });
  EXPECT_NE(logged.find("unseen"), std::string::npos);
}

TEST_F(CpuStreamTest, StreamsOfOneDeviceDoNotShareTheTeamAtOnce) {
  const auto first = stream();
  const auto second = stream();
  struct Shared {
    std::atomic<int> inside{0};
    std::atomic<int> clashes{0};
  } shared;
  const auto enter = [&shared](CpuTeam& team) {
    if (shared.inside.fetch_add(1) != 0) ++shared.clashes;
    team.parallel_for(64, 1, [](std::int64_t, std::int64_t, int) {});
    std::this_thread::yield();
    shared.inside.fetch_sub(1);
  };
  for (int i = 0; i < 300; ++i) {
    first->enqueue(enter);
    second->enqueue(enter);
  }
  first->synchronize();
  second->synchronize();
  EXPECT_EQ(shared.clashes, 0);
}

// Eight devices on whatever there is, two streams each. Every stream's turn needs all streams
// before it, so a waiting leader that kept its core or its team from the others would stop
// everything.
TEST_F(CpuStreamTest, ManyDevicesOnFewCoresDoNotBlockEachOther) {
  open(8);
  constexpr std::int64_t kRounds = 15;
  std::vector<std::unique_ptr<CpuStream>> streams;
  std::vector<std::unique_ptr<Event>> events;
  for (std::size_t i = 0; i < 16; ++i) {
    streams.push_back(stream(i % 8));
    events.push_back(devices_[i % 8]->create_event());
  }
  std::int64_t turn = 0;
  std::atomic<std::int64_t> num_late{0};
  for (std::int64_t round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const std::int64_t expected = round * 16 + static_cast<std::int64_t>(i);
      streams[i]->wait(*events[(i + 15) % 16]);
      streams[i]->enqueue([&turn, &num_late, expected](CpuTeam& team) {
        team.parallel_for(32, 1, [](std::int64_t, std::int64_t, int) {});
        if (turn != expected) ++num_late;
        ++turn;
      });
      streams[i]->record(*events[i]);
    }
  }
  for (const auto& s : streams) s->synchronize();
  EXPECT_EQ(turn, kRounds * 16);
  EXPECT_EQ(num_late, 0);
}

TEST_F(CpuStreamTest, EventsOfOtherKindsAreRefused) {
  class ForeignEvent final : public Event {
   public:
    void synchronize() override {}
    bool query() override { return true; }
  } foreign;
  const auto s = stream();
  EXPECT_THROW(s->record(foreign), Failure);
  EXPECT_THROW(s->wait(foreign), Failure);
  EXPECT_NO_THROW(s->synchronize());
}

}  // namespace
}  // namespace fastchat::device
