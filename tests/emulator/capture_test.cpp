// Graph capture and replay, and task groups.
#include "tests/emulator/client.h"

namespace client {
namespace {

class CaptureTest : public CannTest {
 protected:
  void SetUp() override {
    if (version() < 810) {
      EXPECT_EQ(find("aclmdlRICaptureBegin"), nullptr);
      GTEST_SKIP() << "no capture before CANN 8.1";
    }
    CannTest::SetUp();
  }
  static int begin(aclrtStream stream,
                   aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL) {
    return CANN(aclmdlRICaptureBegin)(stream, mode);
  }
  static int end(aclrtStream stream, aclmdlRI* graph = nullptr) {
    aclmdlRI ignored = nullptr;
    return CANN(aclmdlRICaptureEnd)(stream, graph == nullptr ? &ignored : graph);
  }
  static aclrtEvent ex_event() {
    aclrtEvent event = nullptr;
    EXPECT_EQ(CANN(aclrtCreateEventExWithFlag)(&event, ACL_EVENT_SYNC), 0) << message();
    return event;
  }
};
using CaptureProcess = OwnProcess<CaptureTest>;

TEST_F(CaptureTest, TasksAreRecordedAndRunAtReplay) {
  StreamHandle stream;
  DeviceBytes bytes(16 * sizeof(float));
  upload(bytes, std::vector<float>(16, 1.0f));
  OK(begin(stream.get()));
  OK(add(bytes.get(), bytes.get(), bytes.get(), 16, stream.get()));
  aclmdlRI graph = nullptr;
  OK(end(stream.get(), &graph));
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(bytes, 1)[0], 1.0f) << "captured, not run";
  for (int i = 0; i < 3; ++i) OK(CANN(aclmdlRIExecuteAsync)(graph, stream.get()));
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(bytes, 16)[15], 8.0f);
  upload(bytes, std::vector<float>(16, 10.0f));
  OK(CANN(aclmdlRIExecuteAsync)(graph, stream.get()));
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(bytes, 1)[0], 20.0f) << "card memory is read at replay";
  OK(CANN(aclmdlRIDestroy)(graph));
  EXPECT_EQ(CANN(aclmdlRIExecuteAsync)(graph, stream.get()), ACL_ERROR_RT_INVALID_HANDLE);
}

TEST_F(CaptureTest, StreamsJoinByEvents) {
  StreamHandle origin;
  StreamHandle side;
  DeviceBytes a(64);
  DeviceBytes b(64);
  const aclrtEvent fork = ex_event();
  const aclrtEvent joined = ex_event();
  OK(begin(origin.get()));
  OK(CANN(aclrtMemsetAsync)(a.get(), 64, 1, 64, origin.get()));
  OK(CANN(aclrtRecordEvent)(fork, origin.get()));
  OK(CANN(aclrtStreamWaitEvent)(side.get(), fork));
  OK(CANN(aclrtMemsetAsync)(b.get(), 64, 2, 64, side.get()));
  OK(CANN(aclrtRecordEvent)(joined, side.get()));
  OK(CANN(aclrtStreamWaitEvent)(origin.get(), joined));
  OK(CANN(aclrtMemcpyAsync)(a.get(), 64, b.get(), 64, ACL_MEMCPY_DEVICE_TO_DEVICE, origin.get()));
  aclmdlRI graph = nullptr;
  EXPECT_EQ(end(side.get(), &graph), ACL_ERROR_RT_STREAM_CAPTURE_UNMATCHED);
  OK(end(origin.get(), &graph));
  OK(CANN(aclmdlRIExecuteAsync)(graph, origin.get()));
  OK(origin.synchronize());
  EXPECT_EQ(download<char>(a, 1)[0], 2);
  OK(side.synchronize());
}

TEST_F(CaptureTest, AStreamThatIsNotJoinedBackSpoilsIt) {
  StreamHandle origin;
  StreamHandle side;
  DeviceBytes bytes(64);
  const aclrtEvent fork = ex_event();
  const aclrtEvent joined = ex_event();
  OK(begin(origin.get()));
  OK(CANN(aclrtRecordEvent)(fork, origin.get()));
  OK(CANN(aclrtStreamWaitEvent)(side.get(), fork));
  EXPECT_EQ(end(origin.get()), ACL_ERROR_RT_STREAM_UNJOINED);

  OK(begin(origin.get()));
  OK(CANN(aclrtRecordEvent)(fork, origin.get()));
  OK(CANN(aclrtStreamWaitEvent)(side.get(), fork));
  OK(CANN(aclrtRecordEvent)(joined, side.get()));
  OK(CANN(aclrtMemsetAsync)(
      bytes.get(), 64, 1, 64, side.get()));  // after the event that the origin waits for
  OK(CANN(aclrtStreamWaitEvent)(origin.get(), joined));
  EXPECT_EQ(end(origin.get()), ACL_ERROR_RT_STREAM_UNJOINED);
}

TEST_F(CaptureTest, UnsafeCallsAreRefusedAsTheModeSays) {
  StreamHandle stream;
  DeviceBytes bytes(64);
  const int blocked = ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT;
  const auto set = [&] { return CANN(aclrtMemset)(bytes.get(), 64, 0, 64); };
  const auto set_elsewhere = [&] {
    int status = 0;
    in_thread([&] {
      CANN(aclrtSetDevice)(0);
      status = set();
    });
    return status;
  };

  OK(begin(stream.get(), ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT_EQ(set_elsewhere(), 0);
  EXPECT_EQ(set(), blocked);
  aclmdlRICaptureStatus status = ACL_MODEL_RI_CAPTURE_STATUS_NONE;
  aclmdlRI graph = nullptr;
  OK(CANN(aclmdlRICaptureGetInfo)(stream.get(), &status, &graph));
  EXPECT_EQ(status, ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED);
  EXPECT_EQ(end(stream.get()), ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED);

  OK(begin(stream.get(), ACL_MODEL_RI_CAPTURE_MODE_GLOBAL));
  EXPECT_EQ(set_elsewhere(), blocked);
  EXPECT_EQ(end(stream.get()), ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED);

  OK(begin(stream.get(), ACL_MODEL_RI_CAPTURE_MODE_RELAXED));
  EXPECT_EQ(set(), 0);
  EXPECT_EQ(set_elsewhere(), 0);
  OK(end(stream.get()));

  aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_RELAXED;
  OK(CANN(aclmdlRICaptureThreadExchangeMode)(&mode));
  EXPECT_EQ(mode, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL);
  OK(begin(stream.get(), ACL_MODEL_RI_CAPTURE_MODE_GLOBAL));
  EXPECT_EQ(set(), 0) << "this thread said that it knows";
  OK(end(stream.get()));
  OK(CANN(aclmdlRICaptureThreadExchangeMode)(&mode));
}

TEST_F(CaptureTest, PageableCopiesCannotBeCaptured) {
  StreamHandle stream;
  DeviceBytes bytes(64);
  std::vector<char> pageable(64);
  OK(begin(stream.get()));
  EXPECT_EQ(CANN(aclrtMemcpyAsync)(
                bytes.get(), 64, pageable.data(), 64, ACL_MEMCPY_HOST_TO_DEVICE, stream.get()),
            version() >= 850 ? ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC
                             : ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT);
  EXPECT_EQ(end(stream.get()), ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED);
}

TEST_F(CaptureTest, AnotherThreadMayEndARelaxedCaptureOnly) {
  StreamHandle stream;
  const auto end_elsewhere = [&] {
    int status = 0;
    in_thread([&] {
      CANN(aclrtSetDevice)(0);
      status = end(stream.get());
    });
    return status;
  };
  OK(begin(stream.get(), ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT_EQ(end_elsewhere(), ACL_ERROR_RT_STREAM_CAPTURE_WRONG_THREAD);
  OK(end(stream.get()));
  OK(begin(stream.get(), ACL_MODEL_RI_CAPTURE_MODE_RELAXED));
  OK(end_elsewhere());
}

// The way of decode graphs: the attention of every step is put in place while the replay waits for
// an external event.
TEST_F(CaptureTest, ATaskGroupIsUpdatedWhileTheReplayWaits) {
  StreamHandle stream;
  StreamHandle updates;
  DeviceBytes x(64);
  DeviceBytes y(64);
  DeviceBytes z(64);
  upload(x, std::vector<float>(16, 1.0f));
  upload(y, std::vector<float>(16, 10.0f));
  aclrtEvent gate = nullptr;
  OK(CANN(aclrtCreateEventWithFlag)(&gate, ACL_EVENT_EXTERNAL));
  aclrtTaskGrp group = nullptr;
  OK(begin(stream.get()));
  OK(CANN(aclrtStreamWaitEvent)(stream.get(), gate));
  OK(CANN(aclrtResetEvent)(gate, stream.get()));
  OK(CANN(aclmdlRICaptureTaskGrpBegin)(stream.get()));
  OK(add(x.get(), x.get(), z.get(), 16, stream.get()));
  OK(CANN(aclmdlRICaptureTaskGrpEnd)(stream.get(), &group));
  OK(add(z.get(), x.get(), z.get(), 16, stream.get()));
  aclmdlRI graph = nullptr;
  OK(end(stream.get(), &graph));

  for (const bool with_y : {false, true, false}) {
    OK(stream.synchronize());
    OK(CANN(aclmdlRIExecuteAsync)(graph, stream.get()));
    OK(CANN(aclmdlRICaptureTaskUpdateBegin)(updates.get(), group));
    OK(add(x.get(), with_y ? y.get() : x.get(), z.get(), 16, updates.get()));
    OK(CANN(aclmdlRICaptureTaskUpdateEnd)(updates.get()));
    EXPECT_EQ(CANN(aclrtSynchronizeStreamWithTimeout)(stream.get(), 10),
              ACL_ERROR_RT_STREAM_SYNC_TIMEOUT)
        << "held up by the event";
    OK(CANN(aclrtRecordEvent)(gate, updates.get()));
    OK(stream.synchronize());
    EXPECT_EQ(download<float>(z, 16)[15], with_y ? 12.0f : 3.0f);
  }
  EXPECT_EQ(CANN(aclmdlRICaptureTaskUpdateEnd)(updates.get()), ACL_ERROR_STREAM_TASK_GROUP_STATUS);
  OK(CANN(aclmdlRICaptureTaskUpdateBegin)(updates.get(), group));
  EXPECT_EQ(CANN(aclrtMemsetAsync)(z.get(), 64, 0, 64, updates.get()),
            ACL_ERROR_RT_FEATURE_NOT_SUPPORT);
  EXPECT_EQ(CANN(aclmdlRICaptureTaskUpdateEnd)(updates.get()), ACL_ERROR_STREAM_TASK_GROUP_STATUS)
      << "an operator short";
}

TEST_F(CaptureProcess, GraphsHoldStreamsOfTheCard) {
  if (version() < 810) GTEST_SKIP() << "no capture before CANN 8.1";
  in_own_process({{"FASTCHAT_EMULATOR_STREAMS", "3"}}, [] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    aclrtStream stream = nullptr;
    OK(CANN(aclrtCreateStream)(&stream));
    aclmdlRI graphs[2];
    for (aclmdlRI& graph : graphs) {
      OK(begin(stream));
      OK(end(stream, &graph));
    }
    EXPECT_EQ(begin(stream), ACL_ERROR_RT_NO_STREAM_RESOURCE);
    OK(CANN(aclmdlRIDestroy)(graphs[0]));
    OK(begin(stream));
    OK(end(stream));
  });
}

}  // namespace
}  // namespace client
