// What every kind of device must do, run on every kind that is built. A port adds a line to
// candidates() and is done when this passes; docs/porting-a-device.md says in which order to get
// there. Device memory is touched through streams only, for the host cannot read a card's memory.
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/log.h"
#include "device/ascend/npu_device.h"
#include "device/cpu/cpu_device.h"
#include "device/device.h"
#include "device/stub/stub_device.h"

namespace fastchat::device {
namespace {

struct Candidate {
  std::string name;
  /// A platform of this many devices, each with this limit.
  std::function<std::unique_ptr<Platform>(int num_devices, std::uint64_t limit_bytes)> create;
  /// Enqueues work that fails with a message containing "told to fail". Empty: the kind has no such
  /// work.
  std::function<void(Stream&)> enqueue_failure;
};

void PrintTo(const Candidate& candidate, std::ostream* out) { *out << candidate.name; }

std::vector<Candidate> candidates() {
#if defined(FASTCHAT_CONFORMANCE_NPU)
  return {{"npu",
           [](int, std::uint64_t limit_bytes) {
             return create_npu_platform({.memory_limits_bytes = {limit_bytes}});
           },
           {}}};
#else
  return {
      {"stub",
       [](int num_devices, std::uint64_t limit_bytes) {
         return create_stub_platform(
             {.num_devices = num_devices, .memory_limit_bytes = limit_bytes});
       },
       {}},
      {"cpu",
       [](int num_devices, std::uint64_t limit_bytes) {
         return create_cpu_platform(
             {.num_devices = num_devices, .memory_limits_bytes = {limit_bytes}});
       },
       [](Stream& stream) {
         static_cast<CpuStream&>(stream).enqueue([](CpuTeam&) { fail("told to fail"); });
       }},
  };
#endif
}

constexpr std::uint64_t kLimitBytes = 24 * kMiB;

class DeviceConformance : public testing::TestWithParam<Candidate> {
 protected:
  void SetUp() override {
    log::set_sink([](log::Level, std::string_view) {});  // sharing cores is expected here
    platform_ = GetParam().create(3, kLimitBytes);
    for (int index = 0; index < 3; ++index) devices_.push_back(platform_->open(index));
  }
  void TearDown() override {
    devices_.clear();
    log::set_sink([](log::Level, std::string_view) {});
  }

  Device& device(std::size_t index = 0) { return *devices_[index]; }

  std::unique_ptr<Platform> platform_;
  std::vector<std::unique_ptr<Device>> devices_;
};

std::vector<std::uint8_t> numbered(std::size_t size, int seed) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::uint8_t>(i * 31 + i / 251 + static_cast<std::size_t>(seed));
  return bytes;
}

std::vector<std::uint8_t> read_back(Stream& stream, const void* source, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  stream.copy_to_host(bytes.data(), source, size);
  stream.synchronize();
  return bytes;
}

std::string failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return {};
}

char* at(const Buffer& buffer, std::size_t offset) {
  return static_cast<char*>(buffer.data()) + offset;
}

// --- platform

TEST_P(DeviceConformance, DescribesItsDevicesWithoutOpeningThem) {
  EXPECT_EQ(platform_->num_devices(), 3);
  EXPECT_EQ(platform_->unavailable_reason(), "");
  for (int index = 0; index < 3; ++index) {
    const DeviceInfo info = platform_->describe(index);
    EXPECT_EQ(info.kind, platform_->kind());
    EXPECT_EQ(info.index, index);
    EXPECT_FALSE(info.name.empty());
    EXPECT_EQ(device(static_cast<std::size_t>(index)).info().name, info.name);
    EXPECT_EQ(platform_->memory(index).allocated_bytes, 0U);
  }
}

TEST_P(DeviceConformance, RefusesAnIndexThatDoesNotExist) {
  for (const int index : {-1, 3}) {
    EXPECT_THROW(platform_->open(index), Failure);
    EXPECT_THROW(platform_->describe(index), Failure);
    EXPECT_THROW(platform_->memory(index), Failure);
  }
}

// --- memory

TEST_P(DeviceConformance, AccountsForEveryByteOnTheRightDevice) {
  Buffer first = device(0).allocate(1000, "weights");
  {
    const Buffer second = device(0).allocate(5 * kMiB + 3, "kv cache");
    EXPECT_EQ(device(0).memory().allocated_bytes, 1000 + 5 * kMiB + 3);
    EXPECT_EQ(platform_->memory(0).allocated_bytes, 1000 + 5 * kMiB + 3);
    EXPECT_EQ(device(1).memory().allocated_bytes, 0U);
  }
  Buffer moved = std::move(first);
  EXPECT_EQ(device(0).memory().allocated_bytes, 1000U);
  moved.reset();
  EXPECT_EQ(device(0).memory().allocated_bytes, 0U);
}

TEST_P(DeviceConformance, KeepsItsLimitToTheByteAndGoesOnAfterRefusing) {
  EXPECT_EQ(device().memory().total_bytes, kLimitBytes);
  const Buffer most = device().allocate(kLimitBytes - 100, "weights");
  const Buffer rest = device().allocate(100, "workspace");
  EXPECT_EQ(device().memory().free_bytes, 0U);
  EXPECT_THROW(device().allocate(1, "kv cache"), OutOfMemory);
  EXPECT_EQ(device().memory().allocated_bytes, kLimitBytes);
  EXPECT_NO_THROW(device(1).allocate(kLimitBytes, "weights"));
}

TEST_P(DeviceConformance, SaysWhatWasAskedWhatIsThereAndWhatForWhenFull) {
  const Buffer held = device().allocate(16 * kMiB, "weights");
  const std::string message =
      failure_of([&] { static_cast<void>(device().allocate(9 * kMiB, "kv cache")); });
  for (const char* part : {"kv cache", "9.00 MiB", "16.00 MiB", "8.00 MiB", "24.00 MiB"})
    EXPECT_NE(message.find(part), std::string::npos) << part << " missing in: " << message;
}

TEST_P(DeviceConformance, RefusesSizesBeyondAnyMemory) {
  EXPECT_THROW(device().allocate(SIZE_MAX, "kv cache"), OutOfMemory);
  EXPECT_THROW(device().allocate(SIZE_MAX - 70, "kv cache"), OutOfMemory);
  EXPECT_EQ(device().memory().allocated_bytes, 0U);
}

TEST_P(DeviceConformance, GivesAlignedBlocksAndNothingForNothing) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{65}, std::size_t{3 * kMiB}})
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(device().allocate(size, "test").data()) % 64, 0U);
  EXPECT_TRUE(device().allocate(0, "test").empty());
  EXPECT_TRUE(device().allocate_host(0).empty());
}

TEST_P(DeviceConformance, HostBuffersAreWritableAndNotOnTheAccount) {
  const Buffer host = device().allocate_host(3 * kMiB);
  std::memset(host.data(), 7, host.size_bytes());
  EXPECT_EQ(device().memory().allocated_bytes, 0U);
}

TEST_P(DeviceConformance, ManyThreadsAllocateExactly) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const Buffer small = device().allocate(100, "test");
        const Buffer host = device().allocate_host(100);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(device().memory().allocated_bytes, 0U);
}

// --- streams

TEST_P(DeviceConformance, CopiesAnySizeAndAlignmentThereAndBack) {
  const auto stream = device().create_stream();
  const Buffer buffer = device().allocate(2 * kMiB, "test");
  int seed = 0;
  for (const std::size_t size : {1U, 3U, 64U, 4097U, 1'500'001U}) {
    for (const std::size_t offset : {0U, 1U, 63U}) {
      const std::vector<std::uint8_t> sent = numbered(size, ++seed);
      stream->copy_from_host(at(buffer, offset), sent.data(), size);
      EXPECT_EQ(read_back(*stream, at(buffer, offset), size), sent) << size << " at " << offset;
    }
  }
}

TEST_P(DeviceConformance, FillSetsItsBytesAndNoOthers) {
  const auto stream = device().create_stream();
  const Buffer buffer = device().allocate(1 * kMiB, "test");
  stream->fill(buffer.data(), 1, buffer.size_bytes());
  stream->fill(at(buffer, 5), 9, buffer.size_bytes() - 10);
  const std::vector<std::uint8_t> bytes = read_back(*stream, buffer.data(), buffer.size_bytes());
  EXPECT_EQ(bytes[4], 1);
  EXPECT_EQ(bytes[5], 9);
  EXPECT_EQ(bytes[buffer.size_bytes() - 6], 9);
  EXPECT_EQ(bytes[buffer.size_bytes() - 5], 1);
  EXPECT_EQ(std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}),
            9 * (buffer.size_bytes() - 10) + 10);
}

TEST_P(DeviceConformance, ZeroBytesAreNoWork) {
  const auto stream = device().create_stream();
  stream->copy_from_host(nullptr, nullptr, 0);
  stream->copy_to_host(nullptr, nullptr, 0);
  stream->copy(nullptr, nullptr, 0);
  stream->copy_from_peer(nullptr, nullptr, device(1), 0);
  stream->fill(nullptr, 0, 0);
  EXPECT_NO_THROW(stream->synchronize());
}

// Each copy reads what the one before wrote; many more than any queue holds.
TEST_P(DeviceConformance, WorkOfAStreamRunsInItsOrder) {
  const auto stream = device().create_stream();
  constexpr std::size_t kSteps = 3000;
  const Buffer buffer = device().allocate(kSteps + 1, "test");
  stream->fill(buffer.data(), 0, buffer.size_bytes());
  stream->fill(buffer.data(), 77, 1);
  for (std::size_t step = 0; step < kSteps; ++step)
    stream->copy(at(buffer, step + 1), at(buffer, step), 1);
  EXPECT_EQ(read_back(*stream, at(buffer, kSteps), 1)[0], 77);
}

TEST_P(DeviceConformance, CopiesFromPeersAndSaysWhetherDirectly) {
  const auto source_stream = device(0).create_stream();
  const auto target_stream = device(1).create_stream();
  const auto filled = device(0).create_event();
  const Buffer source = device(0).allocate(300'000, "test");
  const Buffer target = device(1).allocate(300'000, "test");
  const std::vector<std::uint8_t> sent = numbered(300'000, 5);
  source_stream->copy_from_host(source.data(), sent.data(), sent.size());
  source_stream->record(*filled);
  target_stream->wait(*filled);
  target_stream->copy_from_peer(target.data(), source.data(), device(0), sent.size());
  EXPECT_EQ(read_back(*target_stream, target.data(), sent.size()), sent);
  EXPECT_EQ(device(0).can_access_peer(device(1)), device(1).can_access_peer(device(0)));
}

// --- events

TEST_P(DeviceConformance, AnEventNeverRecordedCountsAsReached) {
  const auto event = device().create_event();
  const auto stream = device().create_stream();
  EXPECT_TRUE(event->query());
  EXPECT_NO_THROW(event->synchronize());
  stream->wait(*event);
  EXPECT_NO_THROW(stream->synchronize());
}

TEST_P(DeviceConformance, AReachedEventShowsTheWorkBeforeIt) {
  const auto stream = device().create_stream();
  const auto event = device().create_event();
  const Buffer buffer = device().allocate(1 * kMiB, "test");
  std::vector<std::uint8_t> bytes(1 * kMiB);
  for (int round = 1; round <= 20; ++round) {
    stream->fill(buffer.data(), static_cast<std::uint8_t>(round), buffer.size_bytes());
    stream->copy_to_host(bytes.data(), buffer.data(), bytes.size());
    stream->record(*event);
    event->synchronize();
    EXPECT_TRUE(event->query());
    EXPECT_EQ(bytes.front(), round);
    EXPECT_EQ(bytes.back(), round);
  }
}

TEST_P(DeviceConformance, QueryIsTrueOnceTheStreamWasSynchronized) {
  const auto stream = device().create_stream();
  const auto event = device().create_event();
  const Buffer buffer = device().allocate(1 * kMiB, "test");
  for (int round = 0; round < 50; ++round) {
    stream->fill(buffer.data(), 1, buffer.size_bytes());
    stream->record(*event);
    stream->synchronize();
    ASSERT_TRUE(event->query());
  }
}

// A byte walks around all devices many times; every hop waits for the one before.
TEST_P(DeviceConformance, EventsOrderStreamsOfSeveralDevices) {
  constexpr int kRounds = 200;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Event>> events;
  std::vector<Buffer> buffers;
  for (std::size_t i = 0; i < 3; ++i) {
    streams.push_back(device(i).create_stream());
    events.push_back(device(i).create_event());
    buffers.push_back(device(i).allocate(kRounds * 3 + 1, "test"));
    streams[i]->fill(buffers[i].data(), 0, buffers[i].size_bytes());
  }
  streams[0]->fill(buffers[0].data(), 123, 1);
  streams[0]->record(*events[0]);
  std::size_t from = 0;
  for (std::size_t hop = 0; hop < kRounds * 3; ++hop) {
    const std::size_t to = (from + 1) % 3;
    streams[to]->wait(*events[from]);
    streams[to]->copy_from_peer(at(buffers[to], hop + 1), at(buffers[from], hop), device(from), 1);
    streams[to]->record(*events[to]);
    from = to;
  }
  EXPECT_EQ(read_back(*streams[from], at(buffers[from], kRounds * 3), 1)[0], 123);
  for (const auto& stream : streams) EXPECT_NO_THROW(stream->synchronize());
}

// --- failures

class DeviceFailure : public DeviceConformance {
 protected:
  void SetUp() override {
    if (!GetParam().enqueue_failure) GTEST_SKIP() << GetParam().name << " has no work that fails";
    DeviceConformance::SetUp();
  }
  void enqueue_failure(Stream& stream) { GetParam().enqueue_failure(stream); }
  static void expect_told(const std::function<void()>& action) {
    EXPECT_NE(failure_of(action).find("told to fail"), std::string::npos);
  }
};

TEST_P(DeviceFailure, IsThrownOnceBySynchronizeAndTheStreamGoesOn) {
  const auto stream = device().create_stream();
  const Buffer buffer = device().allocate(64, "test");
  stream->fill(buffer.data(), 1, 64);
  enqueue_failure(*stream);
  stream->fill(buffer.data(), 2, 64);
  expect_told([&] { stream->synchronize(); });
  EXPECT_NO_THROW(stream->synchronize());
  EXPECT_EQ(read_back(*stream, buffer.data(), 1)[0], 1) << "work behind a failure was run";
  stream->fill(buffer.data(), 3, 64);
  EXPECT_EQ(read_back(*stream, buffer.data(), 1)[0], 3);
}

TEST_P(DeviceFailure, ReachesWhoeverWaitsForAnEventBehindIt) {
  const auto stream = device().create_stream();
  const auto before = device().create_event();
  const auto behind = device().create_event();
  const Buffer buffer = device().allocate(64, "test");
  stream->record(*before);
  enqueue_failure(*stream);
  stream->record(*behind);
  EXPECT_NO_THROW(before->synchronize());
  expect_told([&] { behind->synchronize(); });
  EXPECT_TRUE(behind->query());
  stream->fill(buffer.data(), 4, 64);
  stream->record(*behind);
  EXPECT_NO_THROW(behind->synchronize());
  EXPECT_NO_THROW(stream->synchronize()) << "a failure was told twice";
}

TEST_P(DeviceFailure, TakesAlongTheStepsThatWereAlreadyEnqueued) {
  const auto stream = device().create_stream();
  const auto first = device().create_event();
  const auto second = device().create_event();
  const Buffer buffer = device().allocate(64, "test");
  stream->fill(buffer.data(), 1, 64);
  enqueue_failure(*stream);
  stream->record(*first);
  stream->fill(buffer.data(), 2, 64);
  stream->record(*second);
  expect_told([&] { first->synchronize(); });
  expect_told([&] { second->synchronize(); });
  EXPECT_EQ(read_back(*stream, buffer.data(), 1)[0], 1);
}

TEST_P(DeviceFailure, TravelsToStreamsThatWaitForIt) {
  const auto first = device(0).create_stream();
  const auto second = device(1).create_stream();
  const auto third = device(2).create_stream();
  const auto first_done = device(0).create_event();
  const auto second_done = device(1).create_event();
  const Buffer buffer = device(2).allocate(64, "test");
  third->fill(buffer.data(), 1, 64);
  enqueue_failure(*first);
  first->record(*first_done);
  second->wait(*first_done);
  second->record(*second_done);
  third->wait(*second_done);
  third->fill(buffer.data(), 2, 64);
  expect_told([&] { third->synchronize(); });
  expect_told([&] { second_done->synchronize(); });
  expect_told([&] { first->synchronize(); });
  EXPECT_EQ(read_back(*third, buffer.data(), 1)[0], 1);
}

// --- graphs

class DeviceGraph : public DeviceConformance {
 protected:
  void SetUp() override {
    DeviceConformance::SetUp();
    stream_ = device().create_stream();
    try {
      stream_->begin_capture();
      stream_->end_capture();
    } catch (const UnsupportedOp&) {
      GTEST_SKIP() << GetParam().name << " captures no graphs";
    }
  }
  void TearDown() override {
    stream_.reset();
    DeviceConformance::TearDown();
  }

  std::unique_ptr<Stream> stream_;
};

TEST_P(DeviceGraph, RunsNothingWhileCapturingAndAllOfItAtEachLaunch) {
  const Buffer buffer = device().allocate(3, "test");
  stream_->fill(buffer.data(), 0, 3);
  stream_->fill(buffer.data(), 5, 1);
  stream_->begin_capture();
  stream_->copy(at(buffer, 2), at(buffer, 1), 1);
  stream_->copy(at(buffer, 1), buffer.data(), 1);
  const std::unique_ptr<Graph> graph = stream_->end_capture();
  EXPECT_EQ(read_back(*stream_, buffer.data(), 3), (std::vector<std::uint8_t>{5, 0, 0}));
  graph->launch(*stream_);
  EXPECT_EQ(read_back(*stream_, buffer.data(), 3), (std::vector<std::uint8_t>{5, 5, 0}));
  graph->launch(*stream_);
  EXPECT_EQ(read_back(*stream_, buffer.data(), 3), (std::vector<std::uint8_t>{5, 5, 5}));
}

TEST_P(DeviceGraph, MayBeDroppedOnceLaunchedAndRunsOnOtherStreamsOfItsDevice) {
  const auto other = device().create_stream();
  const Buffer buffer = device().allocate(1 * kMiB, "test");
  stream_->begin_capture();
  stream_->fill(buffer.data(), 6, buffer.size_bytes());
  std::unique_ptr<Graph> graph = stream_->end_capture();
  graph->launch(*other);
  graph.reset();
  EXPECT_EQ(read_back(*other, at(buffer, buffer.size_bytes() - 1), 1)[0], 6);
}

TEST_P(DeviceGraph, RefusesWaitingInsideAndForeignStreams) {
  const auto event = device().create_event();
  stream_->begin_capture();
  EXPECT_THROW(stream_->synchronize(), Failure);
  EXPECT_THROW(stream_->record(*event), Failure);
  EXPECT_THROW(stream_->wait(*event), Failure);
  EXPECT_THROW(stream_->begin_capture(), Failure);
  const std::unique_ptr<Graph> graph = stream_->end_capture();
  EXPECT_THROW(stream_->end_capture(), Failure);
  const auto foreign = device(1).create_stream();
  EXPECT_THROW(graph->launch(*foreign), Failure);
}

std::string name_of(const testing::TestParamInfo<Candidate>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceConformance, testing::ValuesIn(candidates()), name_of);
INSTANTIATE_TEST_SUITE_P(Kinds, DeviceFailure, testing::ValuesIn(candidates()), name_of);
INSTANTIATE_TEST_SUITE_P(Kinds, DeviceGraph, testing::ValuesIn(candidates()), name_of);

}  // namespace
}  // namespace fastchat::device
