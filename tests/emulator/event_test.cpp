// The three kinds of events.
#include "tests/emulator/client.h"

namespace client {
namespace {

class EventTest : public CannTest {
 protected:
  enum class Kind { plain, flag, ex };
  static aclrtEvent make(Kind kind, uint32_t flags = ACL_EVENT_SYNC) {
    aclrtEvent event = nullptr;
    const int status = kind == Kind::plain  ? CANN(aclrtCreateEvent)(&event)
                       : kind == Kind::flag ? CANN(aclrtCreateEventWithFlag)(&event, flags)
                                            : CANN(aclrtCreateEventExWithFlag)(&event, flags);
    EXPECT_EQ(status, 0) << message();
    return event;
  }
  static aclrtEventRecordedStatus query(aclrtEvent event) {
    aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_NOT_READY;
    EXPECT_EQ(CANN(aclrtQueryEventStatus)(event, &status), 0) << message();
    return status;
  }
};
using EventProcess = OwnProcess<EventTest>;

TEST_F(EventTest, BothQueriesTellTheSameInOppositeNumbers) {
  StreamHandle stream;
  Gate gate;
  const aclrtEvent event = make(Kind::flag);
  gate.close(stream.get());
  OK(CANN(aclrtRecordEvent)(event, stream.get()));
  aclrtEventStatus old_status = ACL_EVENT_STATUS_RESERVED;
  OK(CANN(aclrtQueryEvent)(event, &old_status));
  EXPECT_EQ(static_cast<int>(query(event)), 0);
  EXPECT_EQ(static_cast<int>(old_status), 1);
  gate.open();
  OK(CANN(aclrtSynchronizeEvent)(event));
  OK(CANN(aclrtQueryEvent)(event, &old_status));
  EXPECT_EQ(static_cast<int>(query(event)), 1);
  EXPECT_EQ(static_cast<int>(old_status), 0);
}

TEST_F(EventTest, AnUnrecordedExEventIsCompleteAndHoldsNobody) {
  StreamHandle stream;
  const aclrtEvent event = make(Kind::ex);
  EXPECT_EQ(query(event), ACL_EVENT_RECORDED_STATUS_COMPLETE);
  OK(CANN(aclrtStreamWaitEvent)(stream.get(), event));
  OK(CANN(aclrtSynchronizeStreamWithTimeout)(stream.get(), 5000));
  OK(CANN(aclrtSynchronizeEvent)(event));
}

TEST_F(EventTest, AWaitForAnExEventMeansTheRecordBeforeIt) {
  StreamHandle recorder;
  StreamHandle waiter;
  Gate gate;
  const aclrtEvent event = make(Kind::ex);
  OK(CANN(aclrtRecordEvent)(event, recorder.get()));
  OK(CANN(aclrtStreamWaitEvent)(waiter.get(), event));
  gate.close(recorder.get());
  OK(CANN(aclrtRecordEvent)(event, recorder.get()));  // later: the wait above does not mean it
  OK(CANN(aclrtSynchronizeStreamWithTimeout)(waiter.get(), 5000));
  EXPECT_EQ(query(event), ACL_EVENT_RECORDED_STATUS_NOT_READY);
  OK(CANN(aclrtStreamWaitEvent)(waiter.get(), event));
  EXPECT_EQ(CANN(aclrtSynchronizeStreamWithTimeout)(waiter.get(), 20),
            ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  EXPECT_EQ(CANN(aclrtSynchronizeEventWithTimeout)(event, 20), ACL_ERROR_RT_EVENT_SYNC_TIMEOUT);
  gate.open();
  OK(waiter.synchronize());
}

TEST_F(EventTest, AFlagIsRecordedWaitedForAndReset) {
  StreamHandle producer;
  StreamHandle consumer;
  DeviceBytes bytes(64);
  PinnedBytes host(64);
  const aclrtEvent ready = make(Kind::flag);
  const aclrtEvent taken = make(Kind::flag);
  for (int i = 1; i <= 20; ++i) {
    OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, i, 64, producer.get()));
    OK(CANN(aclrtRecordEvent)(ready, producer.get()));
    OK(CANN(aclrtStreamWaitEvent)(consumer.get(), ready));
    OK(CANN(aclrtResetEvent)(ready, consumer.get()));
    OK(CANN(aclrtMemcpyAsync)(
        host.get(), 64, bytes.get(), 64, ACL_MEMCPY_DEVICE_TO_HOST, consumer.get()));
    OK(CANN(aclrtRecordEvent)(taken, consumer.get()));
    OK(CANN(aclrtStreamWaitEvent)(producer.get(), taken));
    OK(CANN(aclrtResetEvent)(taken, producer.get()));
    OK(CANN(aclrtSynchronizeDevice)());
    ASSERT_EQ(host.get<char>()[0], i);
  }
}

TEST_F(EventTest, AnExternalEventBlocksUntilSomebodyRecordsIt) {
  StreamHandle stream;
  const aclrtEvent event = make(Kind::flag, ACL_EVENT_EXTERNAL);
  OK(CANN(aclrtStreamWaitEvent)(stream.get(), event));
  EXPECT_EQ(CANN(aclrtSynchronizeStreamWithTimeout)(stream.get(), 30),
            ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  aclrtEventWaitStatus waits = ACL_EVENT_WAIT_STATUS_COMPLETE;
  OK(CANN(aclrtQueryEventWaitStatus)(event, &waits));
  EXPECT_EQ(waits, ACL_EVENT_WAIT_STATUS_NOT_READY);
  StreamHandle other;
  OK(CANN(aclrtRecordEvent)(event, other.get()));
  OK(stream.synchronize());
  OK(CANN(aclrtQueryEventWaitStatus)(event, &waits));
  EXPECT_EQ(waits, ACL_EVENT_WAIT_STATUS_COMPLETE);
}

TEST_F(EventTest, TimeIsMeasuredBetweenRecords) {
  StreamHandle stream;
  Gate gate;
  const aclrtEvent start = make(Kind::plain);
  const aclrtEvent end = make(Kind::ex, ACL_EVENT_SYNC | ACL_EVENT_TIME_LINE);
  OK(CANN(aclrtRecordEvent)(start, stream.get()));
  gate.close(stream.get());
  OK(CANN(aclrtRecordEvent)(end, stream.get()));
  float elapsed = 0;
  EXPECT_EQ(CANN(aclrtEventElapsedTime)(&elapsed, start, end),
            ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  gate.open();
  OK(stream.synchronize());
  OK(CANN(aclrtEventElapsedTime)(&elapsed, start, end));
  EXPECT_GE(elapsed, 15.0f);
  EXPECT_EQ(CANN(aclrtEventElapsedTime)(&elapsed, end, start),
            ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL);
}

TEST_F(EventTest, ADestroyedEventStillHoldsWhoeverWaits) {
  StreamHandle recorder;
  StreamHandle waiter;
  Gate gate;
  const aclrtEvent event = make(Kind::ex);
  gate.close(recorder.get());
  OK(CANN(aclrtRecordEvent)(event, recorder.get()));
  OK(CANN(aclrtStreamWaitEvent)(waiter.get(), event));
  OK(CANN(aclrtDestroyEvent)(event));
  EXPECT_EQ(CANN(aclrtSynchronizeStreamWithTimeout)(waiter.get(), 20),
            ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  gate.open();
  OK(waiter.synchronize());
}

TEST_F(EventProcess, TheNumberOfEventsIsLimited) {
  in_own_process({{"FASTCHAT_EMULATOR_EVENTS", "2"}}, [] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    aclrtEvent event = nullptr;
    OK(CANN(aclrtCreateEvent)(&event));
    OK(CANN(aclrtCreateEvent)(&event));
    EXPECT_EQ(CANN(aclrtCreateEvent)(&event), ACL_ERROR_RT_NO_EVENT_RESOURCE);
  });
}

TEST_F(EventTest, CallbacksRunInStreamOrder) {
  StreamHandle stream;
  DeviceBytes bytes(64);
  PinnedBytes host(64);
  struct Seen {
    const uint8_t* byte;
    int value = -1;
  } seen{host.get<uint8_t>()};
  std::atomic<bool> stop{false};
  uint64_t id = 0;
  std::atomic<bool> ready{false};
  std::thread reporter([&] {
    id = static_cast<uint64_t>(pthread_self());
    ready = true;
    // Time-outs, and the refusal before the subscription, are not the end.
    while (!stop) CANN(aclrtProcessReport)(10);
  });
  while (!ready) std::this_thread::yield();
  const auto look = [](void* data) {
    auto* where = static_cast<Seen*>(data);
    where->value = *where->byte;
  };
  EXPECT_EQ(CANN(aclrtLaunchCallback)(look, &seen, ACL_CALLBACK_BLOCK, stream.get()),
            ACL_ERROR_RT_STREAM_NO_CB_REG);
  OK(CANN(aclrtSubscribeReport)(id, stream.get()));
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, 1, 64, stream.get()));
  OK(CANN(aclrtMemcpyAsync)(
      host.get(), 64, bytes.get(), 64, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
  OK(CANN(aclrtLaunchCallback)(look, &seen, ACL_CALLBACK_BLOCK, stream.get()));
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 64, 2, 64, stream.get()));
  OK(CANN(aclrtMemcpyAsync)(
      host.get(), 64, bytes.get(), 64, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
  OK(stream.synchronize());
  EXPECT_EQ(seen.value, 1) << "the copy behind a blocking callback waited for it";
  OK(CANN(aclrtUnSubscribeReport)(id, stream.get()));
  stop = true;
  reporter.join();
  if (version() >= 830) {
    OK(CANN(aclrtLaunchHostFunc)(stream.get(), look, &seen));
    OK(stream.synchronize());
    EXPECT_EQ(seen.value, 2);
  }
}

}  // namespace
}  // namespace client
