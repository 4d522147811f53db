// Streams: in order, asynchronous, independent.
#include <chrono>

#include "tests/emulator/client.h"

namespace client {
namespace {

class StreamTest : public CannTest {};
using StreamProcess = OwnProcess<StreamTest>;

TEST_F(StreamTest, WorkIsDoneInOrderAndAfterTheCall) {
  StreamHandle stream;
  Gate gate;
  DeviceBytes bytes(4096);
  PinnedBytes host(4096);
  gate.close(stream.get());
  host.get<char>()[0] = 'a';
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 4096, 'b', 4096, stream.get()));
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 4096, 'c', 4096, stream.get()));
  OK(CANN(aclrtMemcpyAsync)(
      host.get(), 4096, bytes.get(), 4096, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
  aclrtStreamStatus status = ACL_STREAM_STATUS_COMPLETE;
  OK(CANN(aclrtStreamQuery)(stream.get(), &status));
  EXPECT_EQ(status, ACL_STREAM_STATUS_NOT_READY);
  EXPECT_EQ(host.get<char>()[0], 'a') << "calls return before the work is done";
  gate.open();
  OK(stream.synchronize());
  EXPECT_EQ(host.get<char>()[0], 'c');
  OK(CANN(aclrtStreamQuery)(stream.get(), &status));
  EXPECT_EQ(status, ACL_STREAM_STATUS_COMPLETE);
}

TEST_F(StreamTest, AStreamThatWaitsHoldsNoOtherUp) {
  StreamHandle held;
  StreamHandle other;
  Gate gate;
  DeviceBytes bytes(64);
  gate.close(held.get());
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, 1, 64, other.get()));
  OK(other.synchronize());
  EXPECT_EQ(CANN(aclrtSynchronizeStreamWithTimeout)(held.get(), 20),
            ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  gate.open();
  OK(CANN(aclrtSynchronizeDevice)());
}

TEST_F(StreamTest, DefaultStreamWorkIsDoneBeforeABlockingCallReturns) {
  DeviceBytes bytes(64);
  PinnedBytes host(64);
  for (int i = 0; i < 50; ++i) {
    OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, i, 64, nullptr));
    std::vector<char> got(64);
    OK(CANN(aclrtMemcpy)(got.data(), 64, bytes.get(), 64, ACL_MEMCPY_DEVICE_TO_HOST));
    ASSERT_EQ(got[63], i);
  }
}

TEST_F(StreamTest, SynchronousCopiesDoNotWaitForOtherStreams) {
  StreamHandle stream;
  Gate gate;
  DeviceBytes bytes(64);
  OK(CANN(aclrtMemset)(bytes.get(), 64, 1, 64));
  gate.close(stream.get());
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, 2, 64, stream.get()));
  EXPECT_EQ(download<char>(bytes, 64)[0], 1);
  gate.open();
  OK(stream.synchronize());
}

TEST_F(StreamTest, DestroyWaitsAndForceDrops) {
  DeviceBytes bytes(64);
  OK(CANN(aclrtMemset)(bytes.get(), 64, 0, 64));
  aclrtStream stream = nullptr;
  OK(CANN(aclrtCreateStreamWithConfig)(&stream, 0, ACL_STREAM_FAST_LAUNCH | ACL_STREAM_FAST_SYNC));
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, 5, 64, stream));
  OK(CANN(aclrtDestroyStream)(stream));
  EXPECT_EQ(download<char>(bytes, 1)[0], 5);
  EXPECT_EQ(CANN(aclrtSynchronizeStream)(stream), ACL_ERROR_RT_INVALID_HANDLE);

  Gate gate;
  OK(CANN(aclrtCreateStream)(&stream));
  gate.close(stream);
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, 6, 64, stream));
  OK(CANN(aclrtDestroyStreamForce)(stream));
  EXPECT_EQ(download<char>(bytes, 1)[0], 5) << "the work behind the gate was thrown away";
}

TEST_F(StreamProcess, TheNumberOfStreamsIsLimited) {
  in_own_process({{"FASTCHAT_EMULATOR_STREAMS", "3"}}, [] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    std::vector<aclrtStream> streams(4);
    for (int i = 0; i < 3; ++i) OK(CANN(aclrtCreateStream)(&streams[static_cast<size_t>(i)]));
    EXPECT_EQ(CANN(aclrtCreateStream)(&streams[3]), ACL_ERROR_RT_NO_STREAM_RESOURCE);
    OK(CANN(aclrtDestroyStream)(streams[0]));
    OK(CANN(aclrtCreateStream)(&streams[3]));
  });
}

TEST_F(StreamTest, AfterAFaultTheCardDoesNothingUntilItIsReset) {
  StreamHandle stream;
  StreamHandle other;
  DeviceBytes bytes(64);
  void* gone = nullptr;
  OK(CANN(aclrtMalloc)(&gone, 4096, ACL_MEM_MALLOC_HUGE_FIRST));
  Gate gate;
  gate.close(stream.get());
  OK(add(gone, gone, gone, 16, stream.get()));
  OK(CANN(aclrtFree)(gone));
  gate.open();
  EXPECT_EQ(stream.synchronize(), ACL_ERROR_RT_AICORE_EXCEPTION);
  EXPECT_NE(message().find("aclnnAdd"), std::string::npos) << "the message names the operator";
  EXPECT_EQ(other.synchronize(), ACL_ERROR_RT_AICORE_EXCEPTION) << "the whole card";
  EXPECT_EQ(CANN(aclrtMemsetAsync)(bytes.get(), 64, 0, 64, other.get()),
            ACL_ERROR_RT_AICORE_EXCEPTION);
  in_thread([] {
    OK(CANN(aclrtSetDevice)(1));
    OK(CANN(aclrtSynchronizeDevice)());
  });
  OK(CANN(aclrtResetDeviceForce)(0));
  OK(CANN(aclrtSetDevice)(0));
  StreamHandle fresh;
  OK(fresh.synchronize());
}

// Random delays: what a missing wait looks like, and that a wait cures it.
TEST_F(StreamProcess, DelaysShowAMissingWait) {
  const auto wrong_results = [](bool with_event) {
    int wrong = 0;
    in_own_process(
        {{"FASTCHAT_EMULATOR_DELAY_SEED", "7"}, {"FASTCHAT_EMULATOR_DELAY_US", "2000"}}, [&] {
          OK(CANN(aclInit)(nullptr));
          OK(CANN(aclrtSetDevice)(0));
          StreamHandle first;
          StreamHandle second;
          DeviceBytes bytes(64);
          PinnedBytes host(64);
          aclrtEvent event = nullptr;
          OK(CANN(aclrtCreateEventExWithFlag)(&event, ACL_EVENT_SYNC));
          for (int i = 1; i <= 60; ++i) {
            OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, i, 64, first.get()));
            if (with_event) {
              OK(CANN(aclrtRecordEvent)(event, first.get()));
              OK(CANN(aclrtStreamWaitEvent)(second.get(), event));
            }
            OK(CANN(aclrtMemcpyAsync)(
                host.get(), 64, bytes.get(), 64, ACL_MEMCPY_DEVICE_TO_HOST, second.get()));
            OK(second.synchronize());
            wrong += host.get<char>()[0] != i ? 1 : 0;
            OK(first.synchronize());
          }
          if (with_event) {
            EXPECT_EQ(wrong, 0);
          } else {
            EXPECT_GT(wrong, 0);
          }
        });
  };
  wrong_results(false);
  wrong_results(true);
}

}  // namespace
}  // namespace client
