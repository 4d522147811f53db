// HCCL: ranks are threads of one process, each with its card.
#include <cstring>
#include <numeric>
#include <thread>

#include "tests/emulator/client.h"

namespace client {
namespace {

constexpr int kRanks = 4;

class CollectiveTest : public CannTest {
 protected:
  void SetUp() override {
    CannTest::SetUp();
    ASSERT_EQ(CANN(HcclGetRootInfo)(&root_), HCCL_SUCCESS) << message();
  }

  // One thread a rank: sets its card, joins, and runs `body(rank, comm, stream)`.
  void on_ranks(const std::function<void(int, HcclComm, aclrtStream)>& body, int ranks = kRanks) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        OK(CANN(aclrtSetDevice)(rank));
        HcclComm comm = nullptr;
        ASSERT_EQ(CANN(HcclCommInitRootInfo)(
                      static_cast<uint32_t>(ranks), &root_, static_cast<uint32_t>(rank), &comm),
                  HCCL_SUCCESS)
            << message();
        {
          StreamHandle stream;
          body(rank, comm, stream.get());
        }
        EXPECT_EQ(CANN(HcclCommDestroy)(comm), HCCL_SUCCESS);
      });
    }
    for (auto& thread : threads) thread.join();
  }

  HcclRootInfo root_;
};
using CollectiveProcess = OwnProcess<CollectiveTest>;

TEST_F(CollectiveTest, AllReduceSumsInPlace) {
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    DeviceBytes bytes(1000 * sizeof(float));
    std::vector<float> values(1000);
    std::iota(values.begin(), values.end(), static_cast<float>(rank));
    for (int repeat = 1; repeat <= 3; ++repeat) {
      upload(bytes, values);
      ASSERT_EQ(
          CANN(HcclAllReduce)(
              bytes.get(), bytes.get(), 1000, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, comm, stream),
          0)
          << message();
      OK(CANN(aclrtSynchronizeStream)(stream));
      const auto got = download<float>(bytes, 1000);
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], 4.0f * static_cast<float>(i) + 6.0f);
    }
  });
}

TEST_F(CollectiveTest, HalfPrecisionSumsAreRoundedAtEveryStep) {
  // 2048 + 1 + 1 + 1 in f16: each step rounds back to 2048, to even.
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    DeviceBytes bytes(64);
    upload(bytes, std::vector<uint16_t>(32, rank == 0 ? 0x6800 : 0x3C00));
    ASSERT_EQ(CANN(HcclAllReduce)(
                  bytes.get(), bytes.get(), 32, HCCL_DATA_TYPE_FP16, HCCL_REDUCE_SUM, comm, stream),
              0);
    OK(CANN(aclrtSynchronizeStream)(stream));
    EXPECT_EQ(download<uint16_t>(bytes, 32)[31], 0x6800);
  });
}

TEST_F(CollectiveTest, MovementEndsWhereItShould) {
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    const auto mark = [&](int what) { return static_cast<int32_t>(rank * 100 + what); };
    DeviceBytes send(64 * kRanks);
    DeviceBytes receive(64 * kRanks);
    std::vector<int32_t> parts;
    for (int peer = 0; peer < kRanks; ++peer) parts.insert(parts.end(), 16, mark(peer));
    const auto start = [&] {
      upload(send, parts);
      OK(CANN(aclrtMemset)(receive.get(), receive.size(), 0, receive.size()));
    };
    const auto result = [&](size_t part) {
      EXPECT_EQ(CANN(aclrtSynchronizeStream)(stream), 0) << message();
      return download<int32_t>(receive, 16 * kRanks)[part * 16 + 15];
    };
    start();
    ASSERT_EQ(
        CANN(HcclAllGather)(send.get(), receive.get(), 16, HCCL_DATA_TYPE_INT32, comm, stream), 0);
    for (int peer = 0; peer < kRanks; ++peer)
      EXPECT_EQ(result(static_cast<size_t>(peer)), peer * 100);
    start();
    ASSERT_EQ(
        CANN(HcclReduceScatter)(
            send.get(), receive.get(), 16, HCCL_DATA_TYPE_INT32, HCCL_REDUCE_MAX, comm, stream),
        0);
    EXPECT_EQ(result(0), 300 + rank);
    start();
    ASSERT_EQ(
        CANN(HcclScatter)(send.get(), receive.get(), 16, HCCL_DATA_TYPE_INT32, 2, comm, stream), 0);
    EXPECT_EQ(result(0), 200 + rank);
    start();
    ASSERT_EQ(CANN(HcclAlltoAll)(send.get(),
                                 16,
                                 HCCL_DATA_TYPE_INT32,
                                 receive.get(),
                                 16,
                                 HCCL_DATA_TYPE_INT32,
                                 comm,
                                 stream),
              0);
    for (int peer = 0; peer < kRanks; ++peer)
      EXPECT_EQ(result(static_cast<size_t>(peer)), peer * 100 + rank);
    start();
    ASSERT_EQ(CANN(HcclBroadcast)(send.get(), 16, HCCL_DATA_TYPE_INT32, 1, comm, stream), 0);
    OK(CANN(aclrtSynchronizeStream)(stream));
    EXPECT_EQ(download<int32_t>(send, 16)[0], 100);
    start();
    ASSERT_EQ(
        CANN(HcclReduce)(
            send.get(), receive.get(), 16, HCCL_DATA_TYPE_INT32, HCCL_REDUCE_SUM, 3, comm, stream),
        0);
    EXPECT_EQ(result(0), rank == 3 ? 600 : 0);
    ASSERT_EQ(CANN(HcclBarrier)(comm, stream), 0);
    OK(CANN(aclrtSynchronizeStream)(stream));
  });
}

TEST_F(CollectiveTest, AllToAllVTakesCountsOfEachPeer) {
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    // Rank r sends r + 1 elements to each peer.
    const auto mine = static_cast<uint64_t>(rank) + 1;
    std::vector<uint64_t> send_counts(kRanks, mine), send_offsets(kRanks), receive_counts(kRanks),
        receive_offsets(kRanks);
    uint64_t total = 0;
    for (uint64_t peer = 0; peer < kRanks; ++peer) {
      send_offsets[peer] = peer * mine;
      receive_counts[peer] = peer + 1;
      receive_offsets[peer] = total;
      total += peer + 1;
    }
    DeviceBytes send(mine * kRanks * 4);
    DeviceBytes receive(total * 4);
    std::vector<int32_t> values(mine * kRanks);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = rank * 10 + static_cast<int32_t>(i / mine);
    upload(send, values);
    ASSERT_EQ(CANN(HcclAlltoAllV)(send.get(),
                                  send_counts.data(),
                                  send_offsets.data(),
                                  HCCL_DATA_TYPE_INT32,
                                  receive.get(),
                                  receive_counts.data(),
                                  receive_offsets.data(),
                                  HCCL_DATA_TYPE_INT32,
                                  comm,
                                  stream),
              0)
        << message();
    OK(CANN(aclrtSynchronizeStream)(stream));
    const auto got = download<int32_t>(receive, total);
    for (uint64_t peer = 0; peer < kRanks; ++peer) {
      for (uint64_t i = 0; i <= peer; ++i)
        EXPECT_EQ(got[receive_offsets[peer] + i], static_cast<int32_t>(peer) * 10 + rank);
    }
  });
}

TEST_F(CollectiveTest, ARingOfSendsAndReceives) {
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    DeviceBytes mine(64);
    DeviceBytes got(64);
    upload(mine, std::vector<int32_t>(16, rank));
    const auto next = static_cast<uint32_t>((rank + 1) % kRanks);
    const auto previous = static_cast<uint32_t>((rank + kRanks - 1) % kRanks);
    HcclSendRecvItem items[] = {{HCCL_SEND, mine.get(), 16, HCCL_DATA_TYPE_INT32, next},
                                {HCCL_RECV, got.get(), 16, HCCL_DATA_TYPE_INT32, previous}};
    ASSERT_EQ(CANN(HcclBatchSendRecv)(items, 2, comm, stream), 0) << message();
    OK(CANN(aclrtSynchronizeStream)(stream));
    EXPECT_EQ(download<int32_t>(got, 16)[0], static_cast<int32_t>(previous));
    // From rank 0 to rank 1, one call each.
    if (rank == 0) {
      ASSERT_EQ(CANN(HcclSend)(mine.get(), 16, HCCL_DATA_TYPE_INT32, 1, comm, stream), 0);
    }
    if (rank == 1) {
      ASSERT_EQ(CANN(HcclRecv)(got.get(), 16, HCCL_DATA_TYPE_INT32, 0, comm, stream), 0);
    }
    OK(CANN(aclrtSynchronizeStream)(stream));
  });
}

TEST_F(CollectiveTest, RanksThatDisagreeAreTold) {
  std::atomic<int> refused{0};
  std::atomic<int> failed{0};
  on_ranks(
      [&](int rank, HcclComm comm, aclrtStream stream) {
        DeviceBytes bytes(64);
        upload(bytes, std::vector<float>(16));
        const uint64_t count = rank == 0 ? 16 : 8;
        const HcclResult status = CANN(HcclAllReduce)(
            bytes.get(), bytes.get(), count, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, comm, stream);
        if (status == HCCL_E_PARA) {
          ++refused;
        } else if (CANN(aclrtSynchronizeStream)(stream) == ACL_ERROR_RT_TASK_TIMEOUT) {
          ++failed;
        }
        HcclResult error = HCCL_SUCCESS;
        EXPECT_EQ(CANN(HcclGetCommAsyncError)(comm, &error), HCCL_SUCCESS);
        EXPECT_NE(error, HCCL_SUCCESS);
      },
      2);
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(failed, 1) << "the one that was waiting did not wait for ever";
}

TEST_F(CollectiveProcess, AMissingRankEndsInATimeout) {
  in_own_process({{"FASTCHAT_EMULATOR_HCCL_TIMEOUT_MS", "200"}}, [] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    HcclRootInfo root;
    ASSERT_EQ(CANN(HcclGetRootInfo)(&root), HCCL_SUCCESS);
    HcclComm comm = nullptr;
    EXPECT_EQ(CANN(HcclCommInitRootInfo)(2, &root, 0, &comm), HCCL_E_TIMEOUT);
    int32_t devices[] = {0, 1};
    HcclComm comms[2];
    ASSERT_EQ(CANN(HcclCommInitAll)(2, devices, comms), HCCL_SUCCESS) << message();
    StreamHandle stream;
    ASSERT_EQ(CANN(HcclBarrier)(comms[0], stream.get()), HCCL_SUCCESS) << message();
    EXPECT_EQ(stream.synchronize(), ACL_ERROR_RT_TASK_TIMEOUT);
  });
}

TEST_F(CollectiveTest, BuffersCountAsCardMemory) {
  size_t before = 0;
  size_t total = 0;
  OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &before, &total));
  int32_t devices[] = {0, 1};
  HcclComm comms[2];
  ASSERT_EQ(CANN(HcclCommInitAll)(2, devices, comms), HCCL_SUCCESS) << message();
  size_t after = 0;
  OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &after, &total));
  EXPECT_EQ(before - after, size_t{2} * 16 << 20) << "HCCL_BUFFSIZE=16";
  uint32_t ranks = 0;
  uint32_t rank = 0;
  char name[128];
  ASSERT_EQ(CANN(HcclGetRankSize)(comms[1], &ranks), HCCL_SUCCESS);
  ASSERT_EQ(CANN(HcclGetRankId)(comms[1], &rank), HCCL_SUCCESS);
  ASSERT_EQ(CANN(HcclGetCommName)(comms[1], name), HCCL_SUCCESS);
  EXPECT_EQ(ranks, 2u);
  EXPECT_EQ(rank, 1u);
  EXPECT_NE(std::strlen(name), 0u);

  void* most = nullptr;
  OK(CANN(aclrtMalloc)(&most, after - (4 << 20), ACL_MEM_MALLOC_HUGE_FIRST));
  HcclComm more[2];
  EXPECT_EQ(CANN(HcclCommInitAll)(2, devices, more), HCCL_E_MEMORY);
  OK(CANN(aclrtFree)(most));
  for (HcclComm comm : comms) EXPECT_EQ(CANN(HcclCommDestroy)(comm), HCCL_SUCCESS);
  OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &after, &total));
  EXPECT_EQ(before, after);
}

TEST_F(CollectiveTest, AConfigurationSetsBufferAndName) {
  HcclCommConfig config{};
  const CannHcclConfigHeader header{CANN_HCCL_CONFIG_V2_BYTES, HCCL_COMM_CONFIG_MAGIC_WORD, 2, 0};
  std::memcpy(config.reserved, &header, sizeof header);
  config.hcclBufferSize = 1;
  config.hcclDeterministic = CANN_HCCL_CONFIG_NOT_SET;
  std::strcpy(config.hcclCommName, "mine");
  size_t before = 0;
  size_t after = 0;
  size_t total = 0;
  OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &before, &total));
  HcclComm comm = nullptr;
  ASSERT_EQ(CANN(HcclCommInitRootInfoConfig)(1, &root_, 0, &config, &comm), HCCL_SUCCESS)
      << message();
  OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &after, &total));
  EXPECT_EQ(before - after, size_t{2} << 20);
  char name[128];
  ASSERT_EQ(CANN(HcclGetCommName)(comm, name), HCCL_SUCCESS);
  EXPECT_STREQ(name, "mine");
  EXPECT_EQ(CANN(HcclCommDestroy)(comm), HCCL_SUCCESS);

  const CannHcclConfigHeader too_new{sizeof config, HCCL_COMM_CONFIG_MAGIC_WORD, 12, 0};
  std::memcpy(config.reserved, &too_new, sizeof too_new);
  EXPECT_EQ(CANN(HcclCommInitRootInfoConfig)(1, &root_, 0, &config, &comm), HCCL_E_PARA);
}

TEST_F(CollectiveTest, SubCommunicatorsHaveTheirOwnRanks) {
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    HcclCommConfig config{};
    const CannHcclConfigHeader header{CANN_HCCL_CONFIG_V2_BYTES, HCCL_COMM_CONFIG_MAGIC_WORD, 2, 0};
    std::memcpy(config.reserved, &header, sizeof header);
    config.hcclBufferSize = 1;
    // Ranks 0 and 2, and ranks 3 and 1 in this order.
    uint32_t even[] = {0, 2};
    uint32_t odd[] = {3, 1};
    const bool is_even = rank % 2 == 0;
    const uint32_t sub_rank = is_even ? static_cast<uint32_t>(rank / 2) : rank == 3 ? 0 : 1;
    HcclComm sub = nullptr;
    ASSERT_EQ(CANN(HcclCreateSubCommConfig)(
                  &comm, 2, is_even ? even : odd, is_even ? 1 : 2, sub_rank, &config, &sub),
              HCCL_SUCCESS)
        << message();
    DeviceBytes mine(64);
    DeviceBytes all(128);
    upload(mine, std::vector<int32_t>(16, rank));
    ASSERT_EQ(CANN(HcclAllGather)(mine.get(), all.get(), 16, HCCL_DATA_TYPE_INT32, sub, stream), 0)
        << message();
    OK(CANN(aclrtSynchronizeStream)(stream));
    const auto got = download<int32_t>(all, 32);
    EXPECT_EQ(got[0], is_even ? 0 : 3);
    EXPECT_EQ(got[31], is_even ? 2 : 1);
    EXPECT_EQ(CANN(HcclCommDestroy)(sub), HCCL_SUCCESS);
  });
}

TEST_F(CollectiveTest, CollectivesAreCaptured) {
  if (version() < 810) GTEST_SKIP() << "no capture before CANN 8.1";
  on_ranks([](int rank, HcclComm comm, aclrtStream stream) {
    DeviceBytes bytes(64);
    upload(bytes, std::vector<int32_t>(16, rank + 1));
    OK(CANN(aclmdlRICaptureBegin)(stream, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL));
    ASSERT_EQ(
        CANN(HcclAllReduce)(
            bytes.get(), bytes.get(), 16, HCCL_DATA_TYPE_INT32, HCCL_REDUCE_SUM, comm, stream),
        0);
    aclmdlRI graph = nullptr;
    OK(CANN(aclmdlRICaptureEnd)(stream, &graph));
    for (int i = 0; i < 2; ++i) OK(CANN(aclmdlRIExecuteAsync)(graph, stream));
    OK(CANN(aclrtSynchronizeStream)(stream));
    EXPECT_EQ(download<int32_t>(bytes, 16)[0], 40) << "10, then four times 10";
    OK(CANN(aclmdlRIDestroy)(graph));
  });
}

}  // namespace
}  // namespace client
