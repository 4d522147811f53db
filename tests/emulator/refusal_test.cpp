// A table of what the vendor's documents forbid, and the code that each violation gets.
#include <cstring>

#include "tests/emulator/client.h"

namespace client {
namespace {

// What the cases work with: card 0 current, card 1 set up by another thread.
struct World {
  StreamHandle stream;
  DeviceBytes bytes{4096};
  PinnedBytes host{4096};
  std::vector<char> pageable = std::vector<char>(4096);
  aclrtEvent plain = nullptr;
  aclrtEvent bare_flag = nullptr;  // without SYNC
  aclrtEvent flag = nullptr;
  aclrtEvent bare_ex = nullptr;
  aclrtEvent ex = nullptr;
  aclrtEvent on_card_1 = nullptr;
  aclrtStream stream_of_card_1 = nullptr;
  void* memory_of_card_1 = nullptr;
  aclrtStream destroyed_stream = nullptr;
  aclrtEvent destroyed_event = nullptr;
  void* freed = nullptr;
  void* out = nullptr;
  float ms = 0;

  World() {
    EXPECT_EQ(CANN(aclrtCreateEvent)(&plain), 0);
    EXPECT_EQ(CANN(aclrtCreateEventWithFlag)(&bare_flag, ACL_EVENT_TIME_LINE), 0);
    EXPECT_EQ(CANN(aclrtCreateEventWithFlag)(&flag, ACL_EVENT_SYNC), 0);
    EXPECT_EQ(CANN(aclrtCreateEventExWithFlag)(&bare_ex, ACL_EVENT_TIME_LINE), 0);
    EXPECT_EQ(CANN(aclrtCreateEventExWithFlag)(&ex, ACL_EVENT_SYNC), 0);
    in_thread([this] {
      EXPECT_EQ(CANN(aclrtSetDevice)(1), 0);
      EXPECT_EQ(CANN(aclrtCreateStream)(&stream_of_card_1), 0);
      EXPECT_EQ(CANN(aclrtMalloc)(&memory_of_card_1, 4096, ACL_MEM_MALLOC_HUGE_FIRST), 0);
      EXPECT_EQ(CANN(aclrtCreateEventExWithFlag)(&on_card_1, ACL_EVENT_SYNC), 0);
    });
    EXPECT_EQ(CANN(aclrtCreateStream)(&destroyed_stream), 0);
    EXPECT_EQ(CANN(aclrtDestroyStream)(destroyed_stream), 0);
    EXPECT_EQ(CANN(aclrtCreateEvent)(&destroyed_event), 0);
    EXPECT_EQ(CANN(aclrtDestroyEvent)(destroyed_event), 0);
    EXPECT_EQ(CANN(aclrtMalloc)(&freed, 4096, ACL_MEM_MALLOC_HUGE_FIRST), 0);
    EXPECT_EQ(CANN(aclrtFree)(freed), 0);
    message();
  }
};

struct Refusal {
  const char* what;
  int code;
  std::function<int(World&)> call;
  int since = 800;
};

template <typename T>
T* at(const DeviceBytes& bytes, size_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(bytes.get()) + offset);
}

constexpr aclrtMemMallocPolicy kHugeFirst = ACL_MEM_MALLOC_HUGE_FIRST;
constexpr aclrtMemcpyKind kToDevice = ACL_MEMCPY_HOST_TO_DEVICE;
constexpr aclrtMemcpyKind kToHost = ACL_MEMCPY_DEVICE_TO_HOST;
constexpr aclrtMemcpyKind kOnDevice = ACL_MEMCPY_DEVICE_TO_DEVICE;

template <typename Enum>
Enum wrong(int value) {
  return static_cast<Enum>(value);
}

const std::vector<Refusal>& runtime_refusals() {
  static const std::vector<Refusal> kTable{
      // devices and contexts
      {"a device that is not there", 107001, [](World&) { return CANN(aclrtSetDevice)(4); }},
      {"a negative device", 107001, [](World&) { return CANN(aclrtSetDevice)(-1); }},
      {"resetting a device that is not set",
       107002,
       [](World&) { return CANN(aclrtResetDevice)(3); }},
      {"a peer of itself",
       100000,
       [](World&) {
         int32_t can;
         return CANN(aclrtDeviceCanAccessPeer)(&can, 1, 1);
       }},
      {"flags of peer access",
       100000,
       [](World&) { return CANN(aclrtDeviceEnablePeerAccess)(1, 1); }},
      {"peer access that is not enabled",
       100000,
       [](World&) { return CANN(aclrtDeviceDisablePeerAccess)(2); }},
      {"a context that is none",
       107017,
       [](World& w) { return CANN(aclrtSetCurrentContext)(w.stream.get()); }},
      {"null for a result", 107000, [](World&) { return CANN(aclrtGetDevice)(nullptr); }},
      {"a capability that is none",
       100000,
       [](World&) {
         int64_t v;
         return CANN(aclGetDeviceCapability)(0, wrong<aclDeviceInfo>(9), &v);
       }},
      // streams
      {"a destroyed stream",
       107017,
       [](World& w) { return CANN(aclrtSynchronizeStream)(w.destroyed_stream); }},
      {"an event for a stream",
       107017,
       [](World& w) { return CANN(aclrtSynchronizeStream)(w.plain); }},
      {"a stream of another card",
       107003,
       [](World& w) { return CANN(aclrtSynchronizeStream)(w.stream_of_card_1); }},
      {"destroying another card's stream",
       107003,
       [](World& w) { return CANN(aclrtDestroyStream)(w.stream_of_card_1); }},
      {"destroying the default stream",
       107000,
       [](World&) { return CANN(aclrtDestroyStream)(nullptr); }},
      {"a time-out of 0",
       107000,
       [](World& w) { return CANN(aclrtSynchronizeStreamWithTimeout)(w.stream.get(), 0); }},
      {"a time-out of -2",
       107000,
       [](World& w) { return CANN(aclrtSynchronizeStreamWithTimeout)(w.stream.get(), -2); }},
      {"stream flags that are none",
       107000,
       [](World&) {
         aclrtStream s;
         return CANN(aclrtCreateStreamWithConfig)(&s, 0, 0x100);
       }},
      {"a failure mode that is none",
       107000,
       [](World& w) { return CANN(aclrtSetStreamFailureMode)(w.stream.get(), 2); }},
      // events
      {"a destroyed event",
       107017,
       [](World& w) { return CANN(aclrtRecordEvent)(w.destroyed_event, w.stream.get()); }},
      {"a stream for an event",
       107017,
       [](World& w) { return CANN(aclrtRecordEvent)(w.stream.get(), w.stream.get()); }},
      {"recording on another card's stream",
       107003,
       [](World& w) { return CANN(aclrtRecordEvent)(w.ex, w.stream_of_card_1); }},
      {"recording another card's event",
       107000,
       [](World& w) { return CANN(aclrtRecordEvent)(w.on_card_1, w.stream.get()); }},
      {"EXTERNAL with another flag",
       107000,
       [](World&) {
         aclrtEvent e;
         return CANN(aclrtCreateEventWithFlag)(&e, ACL_EVENT_EXTERNAL | ACL_EVENT_SYNC);
       }},
      {"EXTERNAL as an Ex event",
       107000,
       [](World&) {
         aclrtEvent e;
         return CANN(aclrtCreateEventExWithFlag)(&e, ACL_EVENT_EXTERNAL);
       }},
      {"waiting for a flag without SYNC",
       107000,
       [](World& w) { return CANN(aclrtStreamWaitEvent)(w.stream.get(), w.bare_flag); }},
      {"waiting for an Ex event without SYNC",
       107000,
       [](World& w) { return CANN(aclrtStreamWaitEvent)(w.stream.get(), w.bare_ex); }},
      {"resetting a plain event",
       107000,
       [](World& w) { return CANN(aclrtResetEvent)(w.plain, w.stream.get()); }},
      {"resetting an Ex event",
       107000,
       [](World& w) { return CANN(aclrtResetEvent)(w.ex, w.stream.get()); }},
      {"resetting a flag without SYNC",
       107000,
       [](World& w) { return CANN(aclrtResetEvent)(w.bare_flag, w.stream.get()); }},
      {"the old query of an Ex event",
       107000,
       [](World& w) {
         aclrtEventStatus s;
         return CANN(aclrtQueryEvent)(w.ex, &s);
       }},
      {"the wait status of an Ex event",
       107000,
       [](World& w) {
         aclrtEventWaitStatus s;
         return CANN(aclrtQueryEventWaitStatus)(w.ex, &s);
       }},
      {"the time of an event that was not recorded",
       107006,
       [](World& w) { return CANN(aclrtEventElapsedTime)(&w.ms, w.plain, w.plain); }},
      {"the time of an event without TIME_LINE",
       107006,
       [](World& w) { return CANN(aclrtEventElapsedTime)(&w.ms, w.ex, w.ex); }},
      // memory
      {"no bytes", 100000, [](World& w) { return CANN(aclrtMalloc)(&w.out, 0, kHugeFirst); }},
      {"no bytes of host memory",
       100000,
       [](World& w) { return CANN(aclrtMallocHost)(&w.out, 0); }},
      {"a policy that is none",
       107018,
       [](World& w) { return CANN(aclrtMalloc)(&w.out, 64, wrong<aclrtMemMallocPolicy>(8)); }},
      {"more than the card has",
       207001,
       [](World& w) { return CANN(aclrtMalloc)(&w.out, size_t{1} << 40, kHugeFirst); }},
      {"1 GiB pages that do not fit",
       207001,
       [](World& w) { return CANN(aclrtMalloc)(&w.out, 64, ACL_MEM_MALLOC_HUGE1G_ONLY); }},
      {"freeing null", 100000, [](World&) { return CANN(aclrtFree)(nullptr); }},
      {"freeing twice", 107000, [](World& w) { return CANN(aclrtFree)(w.freed); }},
      {"freeing inside a block",
       107000,
       [](World& w) { return CANN(aclrtFree)(at<void>(w.bytes, 64)); }},
      {"freeing another card's memory",
       107000,
       [](World& w) { return CANN(aclrtFree)(w.memory_of_card_1); }},
      {"freeing host memory as card memory",
       107000,
       [](World& w) { return CANN(aclrtFree)(w.host.get()); }},
      {"freeing card memory as host memory",
       107000,
       [](World& w) { return CANN(aclrtFreeHost)(w.bytes.get()); }},
      {"a kind of memory that is none",
       107000,
       [](World&) {
         size_t f, t;
         return CANN(aclrtGetMemInfo)(wrong<aclrtMemAttr>(18), &f, &t);
       }},
      // copies
      {"more than there is room",
       107000,
       [](World& w) { return CANN(aclrtMemcpy)(w.bytes.get(), 10, w.host.get(), 11, kToDevice); }},
      {"a kind that is none",
       107000,
       [](World& w) {
         return CANN(aclrtMemcpy)(w.bytes.get(), 10, w.host.get(), 10, wrong<aclrtMemcpyKind>(8));
       }},
      {"inner kinds in a synchronous copy",
       107000,
       [](World& w) {
         return CANN(aclrtMemcpy)(
             w.bytes.get(), 10, w.host.get(), 10, ACL_MEMCPY_INNER_DEVICE_TO_DEVICE);
       }},
      {"a source that was freed",
       107000,
       [](World& w) {
         return CANN(aclrtMemcpyAsync)(w.host.get(), 64, w.freed, 64, kToHost, w.stream.get());
       }},
      {"past the end of a block",
       107000,
       [](World& w) {
         return CANN(aclrtMemcpyAsync)(
             at<void>(w.bytes, 4090), 7, w.host.get(), 7, kToDevice, w.stream.get());
       }},
      {"host to host, asynchronously",
       207000,
       [](World& w) {
         return CANN(aclrtMemcpyAsync)(w.host.get<char>(),
                                       64,
                                       w.host.get<char>() + 64,
                                       64,
                                       ACL_MEMCPY_HOST_TO_HOST,
                                       w.stream.get());
       }},
      {"another card's memory without peer access",
       507899,
       [](World& w) {
         return CANN(aclrtMemcpy)(w.bytes.get(), 64, w.memory_of_card_1, 64, kOnDevice);
       }},
      {"rows wider than their pitch",
       107000,
       [](World& w) {
         return CANN(aclrtMemcpy2d)(w.bytes.get(), 8, w.pageable.data(), 16, 9, 2, kToDevice);
       }},
      {"rows between card memories",
       107000,
       [](World& w) {
         return CANN(aclrtMemcpy2d)(w.bytes.get(), 8, at<void>(w.bytes, 1024), 8, 8, 2, kOnDevice);
       }},
      {"filling more than there is room",
       107000,
       [](World& w) { return CANN(aclrtMemset)(w.bytes.get(), 10, 0, 11); }},
      // callbacks
      {"reports without subscription", 107012, [](World&) { return CANN(aclrtProcessReport)(10); }},
      {"a callback without subscriber",
       107015,
       [](World& w) {
         return CANN(aclrtLaunchCallback)(
             [](void*) {}, nullptr, ACL_CALLBACK_BLOCK, w.stream.get());
       }},
      {"unsubscribing what is not subscribed",
       100034,
       [](World& w) { return CANN(aclrtUnSubscribeReport)(1, w.stream.get()); }},
      // capture, outside of one
      {"capturing the default stream",
       107031,
       [](World&) { return CANN(aclmdlRICaptureBegin)(nullptr, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL); },
       810},
      {"ending what does not capture",
       107029,
       [](World& w) {
         aclmdlRI g;
         return CANN(aclmdlRICaptureEnd)(w.stream.get(), &g);
       },
       810},
      {"a task group without capture",
       107029,
       [](World& w) { return CANN(aclmdlRICaptureTaskGrpBegin)(w.stream.get()); },
       810},
      {"a capture mode that is none",
       107000,
       [](World& w) {
         return CANN(aclmdlRICaptureBegin)(w.stream.get(), wrong<aclmdlRICaptureMode>(3));
       },
       810},
      {"a graph that is none",
       107017,
       [](World& w) { return CANN(aclmdlRIExecuteAsync)(w.ex, w.stream.get()); },
       810},
      {"a task group that is none",
       107017,
       [](World& w) { return CANN(aclmdlRICaptureTaskUpdateBegin)(w.stream.get(), w.ex); },
       810},
  };
  return kTable;
}

// Each of these is made inside a capture of the stream, which it spoils.
const std::vector<Refusal>& capture_refusals() {
  static const std::vector<Refusal> kTable{
      {"beginning twice",
       107027,
       [](World& w) {
         return CANN(aclmdlRICaptureBegin)(w.stream.get(), ACL_MODEL_RI_CAPTURE_MODE_GLOBAL);
       }},
      {"waiting for the stream",
       107027,
       [](World& w) { return CANN(aclrtSynchronizeStream)(w.stream.get()); }},
      {"waiting for the device", 107027, [](World&) { return CANN(aclrtSynchronizeDevice)(); }},
      {"a query",
       107027,
       [](World& w) {
         aclrtStreamStatus s;
         return CANN(aclrtStreamQuery)(w.stream.get(), &s);
       }},
      {"destroying the stream",
       107027,
       [](World& w) { return CANN(aclrtDestroyStream)(w.stream.get()); }},
      {"asking for a captured event",
       107028,
       [](World& w) {
         EXPECT_EQ(CANN(aclrtRecordEvent)(w.ex, w.stream.get()), 0);
         aclrtEventRecordedStatus status;
         return CANN(aclrtQueryEventStatus)(w.ex, &status);
       }},
      {"waiting for a captured event",
       107028,
       [](World& w) {
         EXPECT_EQ(CANN(aclrtRecordEvent)(w.ex, w.stream.get()), 0);
         return CANN(aclrtSynchronizeEvent)(w.ex);
       }},
      {"waiting for an event from outside",
       107024,
       [](World& w) {
         StreamHandle outside;
         EXPECT_EQ(CANN(aclrtRecordEvent)(w.ex, outside.get()), 0);
         return CANN(aclrtStreamWaitEvent)(w.stream.get(), w.ex);
       }},
      {"a default stream that would join",
       107031,
       [](World& w) {
         EXPECT_EQ(CANN(aclrtRecordEvent)(w.ex, w.stream.get()), 0);
         return CANN(aclrtStreamWaitEvent)(nullptr, w.ex);
       }},
      {"an event of another capture",
       107032,
       [](World& w) {
         StreamHandle other;
         EXPECT_EQ(CANN(aclmdlRICaptureBegin)(other.get(), ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL),
                   0);
         EXPECT_EQ(CANN(aclrtRecordEvent)(w.ex, other.get()), 0);
         const int status = CANN(aclrtStreamWaitEvent)(w.stream.get(), w.ex);
         aclmdlRI graph = nullptr;
         CANN(aclmdlRICaptureEnd)(other.get(), &graph);
         return status;
       }},
      {"an event that cannot be captured",
       207000,
       [](World& w) { return CANN(aclrtRecordEvent)(w.plain, w.stream.get()); }},
      {"a synchronous fill",
       107030,
       [](World& w) { return CANN(aclrtMemset)(w.bytes.get(), 64, 0, 64); }},
      {"a synchronous copy",
       107030,
       [](World& w) { return CANN(aclrtMemcpy)(w.bytes.get(), 64, w.host.get(), 64, kToDevice); }},
      {"a synchronous copy of rows",
       107030,
       [](World& w) {
         return CANN(aclrtMemcpy2d)(w.bytes.get(), 8, w.host.get(), 8, 8, 2, kToDevice);
       }},
      {"a task group within another",
       107033,
       [](World& w) {
         EXPECT_EQ(CANN(aclmdlRICaptureTaskGrpBegin)(w.stream.get()), 0);
         return CANN(aclmdlRICaptureTaskGrpBegin)(w.stream.get());
       }},
      {"ending a task group that is not open",
       107033,
       [](World& w) {
         aclrtTaskGrp g;
         return CANN(aclmdlRICaptureTaskGrpEnd)(w.stream.get(), &g);
       }},
      {"a copy in a task group",
       507009,
       [](World& w) {
         EXPECT_EQ(CANN(aclmdlRICaptureTaskGrpBegin)(w.stream.get()), 0);
         return CANN(aclrtMemsetAsync)(w.bytes.get(), 64, 0, 64, w.stream.get());
       }},
  };
  return kTable;
}

// HCCL, with a communicator of one rank.
struct CollectiveRefusal {
  const char* what;
  HcclResult code;
  std::function<HcclResult(World&, HcclComm)> call;
};

const std::vector<CollectiveRefusal>& collective_refusals() {
  const auto reduce = [](void* send,
                         void* receive,
                         HcclDataType dtype,
                         HcclReduceOp op,
                         HcclComm comm,
                         aclrtStream stream) {
    return CANN(HcclAllReduce)(send, receive, 16, dtype, op, comm, stream);
  };
  static const std::vector<CollectiveRefusal> kTable{
      {"no communicator",
       HCCL_E_PTR,
       [=](World& w, HcclComm) {
         return reduce(w.bytes.get(),
                       w.bytes.get(),
                       HCCL_DATA_TYPE_FP32,
                       HCCL_REDUCE_SUM,
                       nullptr,
                       w.stream.get());
       }},
      {"a stream for a communicator",
       HCCL_E_PARA,
       [=](World& w, HcclComm) {
         return reduce(w.bytes.get(),
                       w.bytes.get(),
                       HCCL_DATA_TYPE_FP32,
                       HCCL_REDUCE_SUM,
                       w.ex,
                       w.stream.get());
       }},
      {"no stream",
       HCCL_E_PTR,
       [=](World& w, HcclComm comm) {
         return reduce(
             w.bytes.get(), w.bytes.get(), HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, comm, nullptr);
       }},
      {"no buffer",
       HCCL_E_PTR,
       [=](World& w, HcclComm comm) {
         return reduce(
             nullptr, w.bytes.get(), HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, comm, w.stream.get());
       }},
      {"a buffer off its dtype's alignment",
       HCCL_E_PARA,
       [=](World& w, HcclComm comm) {
         return reduce(at<void>(w.bytes, 2),
                       w.bytes.get(),
                       HCCL_DATA_TYPE_FP32,
                       HCCL_REDUCE_SUM,
                       comm,
                       w.stream.get());
       }},
      {"a dtype that is none",
       HCCL_E_PARA,
       [=](World& w, HcclComm comm) {
         return reduce(w.bytes.get(),
                       w.bytes.get(),
                       wrong<HcclDataType>(99),
                       HCCL_REDUCE_SUM,
                       comm,
                       w.stream.get());
       }},
      {"a dtype that cannot be reduced",
       HCCL_E_NOT_SUPPORT,
       [=](World& w, HcclComm comm) {
         return reduce(w.bytes.get(),
                       w.bytes.get(),
                       HCCL_DATA_TYPE_UINT8,
                       HCCL_REDUCE_SUM,
                       comm,
                       w.stream.get());
       }},
      {"a product of bf16",
       HCCL_E_NOT_SUPPORT,
       [=](World& w, HcclComm comm) {
         return reduce(w.bytes.get(),
                       w.bytes.get(),
                       HCCL_DATA_TYPE_BFP16,
                       HCCL_REDUCE_PROD,
                       comm,
                       w.stream.get());
       }},
      {"a root that is no rank",
       HCCL_E_PARA,
       [](World& w, HcclComm comm) {
         return CANN(HcclBroadcast)(
             w.bytes.get(), 16, HCCL_DATA_TYPE_FP32, 1, comm, w.stream.get());
       }},
      {"sending to itself",
       HCCL_E_PARA,
       [](World& w, HcclComm comm) {
         return CANN(HcclSend)(w.bytes.get(), 16, HCCL_DATA_TYPE_FP32, 0, comm, w.stream.get());
       }},
      {"another card's stream",
       HCCL_E_RUNTIME,
       [](World& w, HcclComm comm) { return CANN(HcclBarrier)(comm, w.stream_of_card_1); }},
      {"a rank that is none",
       HCCL_E_PARA,
       [](World&, HcclComm) {
         HcclRootInfo root{};
         HcclComm comm = nullptr;
         return CANN(HcclCommInitRootInfo)(2, &root, 2, &comm);
       }},
      {"two ranks on one card",
       HCCL_E_PARA,
       [](World&, HcclComm) {
         int32_t devices[] = {2, 2};
         HcclComm comms[2];
         return CANN(HcclCommInitAll)(2, devices, comms);
       }},
  };
  return kTable;
}

class RefusalTest : public CannTest {};
using RefusalProcess = OwnProcess<RefusalTest>;

TEST_F(RefusalTest, TheRuntimeRefusesWhatItsDocumentsForbid) {
  World world;
  for (const Refusal& refusal : runtime_refusals()) {
    if (refusal.since > version()) continue;
    EXPECT_EQ(refusal.call(world), refusal.code) << refusal.what << ": " << message();
    EXPECT_NE(message(), "") << refusal.what << " leaves a message";
  }
}

TEST_F(RefusalTest, ACaptureRefusesAndIsSpoilt) {
  if (version() < 810) GTEST_SKIP() << "no capture before CANN 8.1";
  for (const Refusal& refusal : capture_refusals()) {
    World world;
    OK(CANN(aclmdlRICaptureBegin)(world.stream.get(), ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL));
    EXPECT_EQ(refusal.call(world), refusal.code) << refusal.what << ": " << message();
    aclmdlRI graph = nullptr;
    EXPECT_EQ(CANN(aclmdlRICaptureEnd)(world.stream.get(), &graph),
              ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED)
        << refusal.what;
    OK(CANN(aclrtResetDeviceForce)(1));
  }
}

TEST_F(RefusalTest, CollectivesAreChecked) {
  World world;
  int32_t device = 0;
  HcclComm comm = nullptr;
  ASSERT_EQ(CANN(HcclCommInitAll)(1, &device, &comm), HCCL_SUCCESS) << message();
  for (const CollectiveRefusal& refusal : collective_refusals()) {
    EXPECT_EQ(refusal.call(world, comm), refusal.code) << refusal.what << ": " << message();
  }
  EXPECT_EQ(CANN(HcclCommDestroy)(comm), HCCL_SUCCESS);
  EXPECT_EQ(CANN(HcclCommDestroy)(comm), HCCL_E_PARA);
}

TEST_F(RefusalProcess, NothingWorksBeforeInitAndAfterFinalize) {
  in_own_process({}, [] {
    uint32_t count = 0;
    EXPECT_EQ(CANN(aclrtSetDevice)(0), ACL_ERROR_UNINITIALIZE);
    EXPECT_EQ(CANN(aclrtGetDeviceCount)(&count), ACL_ERROR_UNINITIALIZE);
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    OK(CANN(aclFinalize)());
    EXPECT_EQ(CANN(aclFinalize)(), ACL_ERROR_REPEAT_FINALIZE);
    EXPECT_EQ(CANN(aclrtSetDevice)(0), ACL_ERROR_UNINITIALIZE);
  });
}

}  // namespace
}  // namespace client
