// Groups of emulated cards: sums, gathers of unequal parts, and a rank that fails.
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "device/ascend/cann_library.h"
#include "device/ascend/npu_device.h"
#include "parallel/communicator.h"

namespace fastchat::parallel {
namespace {

using device::Buffer;
using device::DType;
using device::TensorView;

class NpuCollectives : public testing::Test {
 protected:
  static constexpr int kRanks = 3;

  /// Ends of cards [first, first + kRanks).
  struct Group {
    std::vector<std::unique_ptr<device::Device>> devices;
    std::vector<std::unique_ptr<device::Stream>> streams;
    std::vector<std::unique_ptr<Communicator>> ends;
    ~Group() {
      on_each([&](int rank) { ends[static_cast<std::size_t>(rank)].reset(); });
    }
    /// Each rank's part on a thread of its own, as the engine does it.
    static void on_each(const std::function<void(int)>& work) {
      std::vector<std::thread> threads;
      for (int rank = 0; rank < kRanks; ++rank) threads.emplace_back(work, rank);
      for (std::thread& thread : threads) thread.join();
    }
    device::Stream& stream(int rank) { return *streams[static_cast<std::size_t>(rank)]; }
    Communicator& end(int rank) { return *ends[static_cast<std::size_t>(rank)]; }
    device::Device& device(int rank) { return *devices[static_cast<std::size_t>(rank)]; }
  };

  std::unique_ptr<Group> make_group(int first) {
    auto group = std::make_unique<Group>();
    std::vector<device::Stream*> streams;
    for (int rank = 0; rank < kRanks; ++rank) {
      group->devices.push_back(platform_->open(first + rank));
      group->streams.push_back(group->devices.back()->create_stream());
      streams.push_back(group->streams.back().get());
    }
    group->ends = create_communicators(streams);
    return group;
  }

  static Buffer upload(Group& group, int rank, const std::vector<float>& values) {
    const std::size_t bytes = values.size() * sizeof(float);
    Buffer buffer = group.device(rank).allocate(bytes, "test");
    group.stream(rank).copy_from_host(buffer.data(), values.data(), bytes);
    group.stream(rank).synchronize();
    return buffer;
  }
  static std::vector<float> download(Group& group, int rank, const Buffer& buffer) {
    std::vector<float> values(buffer.size_bytes() / sizeof(float));
    group.stream(rank).copy_to_host(values.data(), buffer.data(), buffer.size_bytes());
    group.stream(rank).synchronize();
    return values;
  }
  static void expect_sum(Group& group) {
    Group::on_each([&](int rank) {
      const Buffer buffer = upload(group, rank, {1.0f, static_cast<float>(rank)});
      group.end(rank).all_reduce(buffer.view(DType::f32, {1, 2}));
      EXPECT_EQ(download(group, rank, buffer), (std::vector<float>{3, 3})) << "rank " << rank;
    });
  }

  std::unique_ptr<device::Platform> platform_ = device::create_npu_platform({});
};

TEST_F(NpuCollectives, SumsAndBroadcasts) {
  const auto group = make_group(0);
  expect_sum(*group);
  Group::on_each([&](int rank) {
    const Buffer buffer = upload(*group, rank, {static_cast<float>(rank + 7)});
    group->end(rank).broadcast(buffer.view(DType::i32, {1}));
    EXPECT_EQ(download(*group, rank, buffer), std::vector<float>{7});
  });
}

// Equal and unequal parts, one row and several; rank 0 alone, and all.
TEST_F(NpuCollectives, PartsLieSideBySide) {
  const auto group = make_group(0);
  for (const std::vector<std::int64_t>& boundaries :
       {std::vector<std::int64_t>{0, 16, 32, 48}, std::vector<std::int64_t>{0, 8, 40, 56}}) {
    const AxisSplit columns{.boundaries = boundaries};
    const std::int64_t width = boundaries.back();
    for (const std::int64_t rows : {1, 3}) {
      std::vector<float> expected;
      for (std::int64_t i = 0; i < rows * width; ++i) expected.push_back(static_cast<float>(i));
      Group::on_each([&](int rank) {
        SCOPED_TRACE(testing::Message() << "rank " << rank << ", " << rows << " rows");
        const AxisRange mine = columns.part(rank);
        std::vector<float> values(expected.size(), -1.0f);
        for (std::int64_t row = 0; row < rows; ++row)
          for (std::int64_t column = mine.begin; column < mine.end(); ++column)
            values[static_cast<std::size_t>(row * width + column)] =
                static_cast<float>(row * width + column);
        const Buffer all = upload(*group, rank, values);
        const TensorView out = all.view(DType::f32, {rows, width});
        const TensorView part = out.slice_columns(mine.begin, mine.count);
        group->end(rank).all_gather(part, out, columns);
        EXPECT_EQ(download(*group, rank, all), expected);

        const Buffer first = upload(*group, rank, values);
        const TensorView view = first.view(DType::f32, {rows, width});
        group->end(rank).gather(
            view.slice_columns(mine.begin, mine.count), rank == 0 ? view : TensorView(), columns);
        EXPECT_EQ(download(*group, rank, first), rank == 0 ? expected : values);
      });
    }
  }
}

// Two services' worth of groups, one after the other and side by side.
TEST_F(NpuCollectives, GroupsDoNotDisturbEachOther) {
  const auto here = make_group(0);
  const auto there = make_group(3);
  std::thread other([&] { expect_sum(*there); });
  expect_sum(*here);
  other.join();
}

TEST_F(NpuCollectives, ARankThatFailsFreesTheOthersWhereCannCan) {
  if (device::ascend::cann().find("aclrtStreamAbort") == nullptr)
    GTEST_SKIP() << "this CANN ends a wait by HCCL_EXEC_TIMEOUT only";
  const auto group = make_group(0);
  expect_sum(*group);
  Group::on_each([&](int rank) {
    if (rank == 2) {
      group->end(rank).abort("rank 2 could not enqueue");
      return;
    }
    const Buffer buffer = group->device(rank).allocate(64, "test");
    try {
      group->end(rank).all_reduce(buffer.view(DType::f32, {1, 16}));
      group->stream(rank).synchronize();
      ADD_FAILURE() << "rank " << rank << " got a sum";
    } catch (const Failure&) {
    }
  });
  Group::on_each([&](int rank) {
    try {
      group->stream(rank).synchronize();
    } catch (const Failure&) {
    }
  });
  group->end(0).reset();
  expect_sum(*group);
}

}  // namespace
}  // namespace fastchat::parallel
