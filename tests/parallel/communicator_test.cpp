// Devices that compute one stage together: sums and gathers, and what happens when one fails.
#include "parallel/communicator.h"

#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "device/cpu/cpu_device.h"

namespace fastchat::parallel {
namespace {

using device::DType;

class Communication : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    platform_ = device::create_cpu_platform({.num_devices = GetParam()});
    std::vector<device::Stream*> streams;
    for (int rank = 0; rank < GetParam(); ++rank) {
      devices_.push_back(platform_->open(rank));
      streams_.push_back(devices_.back()->create_stream());
      streams.push_back(streams_.back().get());
    }
    ends_ = create_communicators(streams);
  }
  void TearDown() override {
    for (const auto& stream : streams_) stream->synchronize();
    ends_.clear();
  }
  std::size_t size() const { return ends_.size(); }

  std::unique_ptr<device::Platform> platform_;
  std::vector<std::unique_ptr<device::Device>> devices_;
  std::vector<std::unique_ptr<device::Stream>> streams_;
  std::vector<std::unique_ptr<Communicator>> ends_;
};

TEST_P(Communication, AllReduceGivesEveryRankTheSumInTheOrderOfRanks) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> any(-1e3f, 1e3f);
  for (const std::int64_t width : {1, 15, 17, 896, 100'003}) {
    SCOPED_TRACE(width);
    std::vector<device::Buffer> buffers;
    std::vector<float> expected(static_cast<std::size_t>(width), 0.0f);
    for (std::size_t rank = 0; rank < size(); ++rank) {
      buffers.push_back(
          devices_[rank]->allocate(static_cast<std::size_t>(width) * sizeof(float), "test"));
      auto* const data = static_cast<float*>(buffers.back().data());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        data[i] = any(random);
        expected[i] = rank == 0 ? data[i] : expected[i] + data[i];
      }
    }
    for (std::size_t rank = 0; rank < size(); ++rank)
      ends_[rank]->all_reduce(buffers[rank].view(DType::f32, {1, width}));
    for (std::size_t rank = 0; rank < size(); ++rank) {
      streams_[rank]->synchronize();
      const auto* const data = static_cast<const float*>(buffers[rank].data());
      for (std::size_t i = 0; i < expected.size(); ++i)
        ASSERT_EQ(data[i], expected[i]) << "rank " << rank << ", element " << i;
    }
  }
}

TEST_P(Communication, GatherPutsPartsOfUnequalWidthSideBySide) {
  constexpr std::int64_t kRows = 3;
  AxisSplit columns{.boundaries = {0}};
  for (std::size_t rank = 0; rank < size(); ++rank)
    columns.boundaries.push_back(columns.boundaries.back() + static_cast<std::int64_t>(rank) + 2);
  const std::int64_t total = columns.boundaries.back();
  std::vector<device::Buffer> outs;
  std::int64_t first = 0;
  for (std::size_t rank = 0; rank < size(); ++rank) {
    outs.push_back(
        devices_[rank]->allocate(static_cast<std::size_t>(kRows * total) * sizeof(float), "test"));
    const device::TensorView out = outs.back().view(DType::f32, {kRows, total});
    const auto width = static_cast<std::int64_t>(rank) + 2;
    for (std::int64_t row = 0; row < kRows; ++row)
      for (std::int64_t i = 0; i < width; ++i)
        out.as<float>()[row * total + first + i] = static_cast<float>(1000 * row + first + i);
    ends_[rank]->all_gather(out.slice_columns(first, width), out, columns);
    first += width;
  }
  for (std::size_t rank = 0; rank < size(); ++rank) {
    streams_[rank]->synchronize();
    const auto* const data = static_cast<const float*>(outs[rank].data());
    for (std::int64_t row = 0; row < kRows; ++row)
      for (std::int64_t i = 0; i < total; ++i)
        ASSERT_EQ(data[row * total + i], static_cast<float>(1000 * row + i)) << "rank " << rank;
  }
}

TEST_P(Communication, AFailedTaskOfOneRankFailsTheOthersInsteadOfHangingThem) {
  if (size() < 2) GTEST_SKIP() << "one rank waits for nobody";
  std::vector<device::Buffer> buffers;
  for (std::size_t rank = 0; rank < size(); ++rank)
    buffers.push_back(devices_[rank]->allocate(64, "test"));
  for (int attempt = 0; attempt < 20; ++attempt) {
    static_cast<device::CpuStream&>(*streams_[1]).enqueue([](device::CpuTeam&) {
      fail("this rank's own work failed");
    });
    for (std::size_t rank = 0; rank < size(); ++rank)
      ends_[rank]->all_reduce(buffers[rank].view(DType::f32, {1, 16}));
    for (std::size_t rank = 0; rank < size(); ++rank) {
      try {
        streams_[rank]->synchronize();
        ADD_FAILURE() << "rank " << rank << " succeeded";
      } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()).find("this rank's own work failed"),
                  std::string::npos)
            << failure.what();
      }
    }
    ends_[0]->reset();
    for (std::size_t rank = 0; rank < size(); ++rank) {
      static_cast<float*>(buffers[rank].data())[0] = 1.0f;
      ends_[rank]->all_reduce(buffers[rank].view(DType::f32, {1, 1}));
    }
    for (std::size_t rank = 0; rank < size(); ++rank) {
      streams_[rank]->synchronize();
      EXPECT_EQ(static_cast<float*>(buffers[rank].data())[0], static_cast<float>(size()));
    }
  }
}

TEST_P(Communication, AbortEndsTheWaitOfThoseWhoAreThere) {
  if (size() < 2) GTEST_SKIP() << "one rank waits for nobody";
  const device::Buffer buffer = devices_[0]->allocate(64, "test");
  ends_[0]->all_reduce(buffer.view(DType::f32, {1, 16}));
  ends_[1]->abort("rank 1 could not enqueue");
  EXPECT_THROW(streams_[0]->synchronize(), Failure);
  ends_[0]->reset();
}

INSTANTIATE_TEST_SUITE_P(Ranks, Communication, testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace fastchat::parallel
