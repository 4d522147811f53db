// Copies: directions, pitches, cards.
#include <numeric>

#include "tests/emulator/client.h"

namespace client {
namespace {

class CopyTest : public CannTest {
 protected:
  static std::vector<char> ramp(size_t count) {
    std::vector<char> values(count);
    std::iota(values.begin(), values.end(), 0);
    return values;
  }
};

TEST_F(CopyTest, TheDirectionComesFromTheAddresses) {
  DeviceBytes bytes(1000);
  const auto sent = ramp(1000);
  std::vector<char> got(1000);
  OK(CANN(aclrtMemcpy)(
      bytes.get(), 1000, sent.data(), 1000, ACL_MEMCPY_DEVICE_TO_HOST));  // the wrong kind
  OK(CANN(aclrtMemcpy)(got.data(), 1000, bytes.get(), 1000, ACL_MEMCPY_HOST_TO_HOST));
  EXPECT_EQ(got, sent);
}

TEST_F(CopyTest, RowsAreCopiedAtTheirPitches) {
  DeviceBytes bytes(64 * 5);
  OK(CANN(aclrtMemset)(bytes.get(), 320, 0, 320));
  const auto sent = ramp(50);
  OK(CANN(aclrtMemcpy2d)(bytes.get(), 64, sent.data(), 10, 8, 5, ACL_MEMCPY_HOST_TO_DEVICE));
  const auto got = download<char>(bytes, 320);
  for (size_t row = 0; row < 5; ++row) {
    for (size_t i = 0; i < 64; ++i) ASSERT_EQ(got[row * 64 + i], i < 8 ? sent[row * 10 + i] : 0);
  }
}

// Written before or not, whole pages and their edges.
TEST_F(CopyTest, ZerosGoWhereTheyBelongAndNowhereElse) {
  constexpr size_t kBytes = 3 << 20;
  constexpr size_t kFirst = 5000;
  constexpr size_t kLast = kBytes - 777;
  DeviceBytes bytes(kBytes);
  auto* const data = static_cast<char*>(bytes.get());
  OK(CANN(aclrtMemset)(data, 1 << 20, 7, 1 << 20));
  OK(CANN(aclrtMemset)(data + kLast, 777, 9, 777));
  OK(CANN(aclrtMemset)(data + kFirst, kLast - kFirst, 0, kLast - kFirst));
  const auto got = download<char>(bytes, kBytes);
  for (size_t i = 0; i < kBytes; ++i)
    ASSERT_EQ(got[i], i < kFirst ? 7 : i < kLast ? 0 : 9) << "byte " << i;
}

TEST_F(CopyTest, PageableMemoryMakesAnAsynchronousCopyWait) {
  StreamHandle stream;
  DeviceBytes bytes(1 << 20);
  OK(CANN(aclrtMemsetAsync)(bytes.get(), 1 << 20, 3, 1 << 20, stream.get()));
  std::vector<char> pageable(1 << 20);
  OK(CANN(aclrtMemcpyAsync)(
      pageable.data(), 1 << 20, bytes.get(), 1 << 20, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
  EXPECT_EQ(pageable.back(), 3) << "done when the call returns";
}

TEST_F(CopyTest, RegisteredMemoryIsPinned) {
  StreamHandle stream;
  Gate gate;
  DeviceBytes bytes(4096);
  OK(CANN(aclrtMemset)(bytes.get(), 4096, 3, 4096));
  std::vector<char> host(4096);
  void* mapped = nullptr;
  OK(CANN(aclrtHostRegister)(host.data(), 4096, ACL_HOST_REGISTER_MAPPED, &mapped));
  gate.close(stream.get());
  OK(CANN(aclrtMemcpyAsync)(
      host.data(), 4096, bytes.get(), 4096, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
  EXPECT_EQ(host[0], 0) << "the call did not wait";
  gate.open();
  OK(stream.synchronize());
  EXPECT_EQ(host[0], 3);
  OK(CANN(aclrtHostUnregister)(host.data()));
}

TEST_F(CopyTest, CardsReachEachOtherWhenBothSay) {
  DeviceBytes here(256);
  OK(CANN(aclrtMemset)(here.get(), 256, 9, 256));
  void* there = nullptr;
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(1));
    OK(CANN(aclrtMalloc)(&there, 256, ACL_MEM_MALLOC_HUGE_FIRST));
  });
  StreamHandle stream;
  const auto copy = [&] {
    OK(CANN(aclrtMemcpyAsync)(
        there, 256, here.get(), 256, ACL_MEMCPY_DEVICE_TO_DEVICE, stream.get()));
  };
  copy();
  EXPECT_EQ(stream.synchronize(), ACL_ERROR_RT_DRV_INTERNAL_ERROR) << "no peer access";
  int32_t can = 0;
  OK(CANN(aclrtDeviceCanAccessPeer)(&can, 0, 1));
  EXPECT_EQ(can, 1);
  OK(CANN(aclrtDeviceEnablePeerAccess)(1, 0));
  copy();
  EXPECT_EQ(stream.synchronize(), ACL_ERROR_RT_DRV_INTERNAL_ERROR) << "in one direction only";
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(1));
    OK(CANN(aclrtDeviceEnablePeerAccess)(0, 0));
  });
  copy();
  OK(stream.synchronize());
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(1));
    std::vector<char> got(256);
    OK(CANN(aclrtMemcpy)(got.data(), 256, there, 256, ACL_MEMCPY_DEVICE_TO_HOST));
    EXPECT_EQ(got[255], 9);
  });
}

TEST_F(CopyTest, AnOperatorCannotTouchAnotherCardsMemory) {
  void* there = nullptr;
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(1));
    OK(CANN(aclrtMalloc)(&there, 256, ACL_MEM_MALLOC_HUGE_FIRST));
  });
  StreamHandle stream;
  DeviceBytes here(256);
  OK(add(here.get(), there, here.get(), 16, stream.get()));
  EXPECT_EQ(stream.synchronize(), ACL_ERROR_RT_AICORE_EXCEPTION);
  EXPECT_NE(message().find("peer access"), std::string::npos);
}

TEST_F(CopyTest, WordsInCardMemoryHoldAStreamUp) {
  if (version() < 850) {
    EXPECT_EQ(find("aclrtValueWait"), nullptr);
    return;
  }
  DeviceBytes word(64);
  OK(CANN(aclrtMemset)(word.get(), 64, 0, 64));
  StreamHandle waiter;
  StreamHandle writer;
  OK(CANN(aclrtValueWait)(word.get(), 3, ACL_STREAM_WAIT_VALUE_GEQ, waiter.get()));
  EXPECT_EQ(CANN(aclrtSynchronizeStreamWithTimeout)(waiter.get(), 20),
            ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  OK(CANN(aclrtValueWrite)(word.get(), 4, 0, writer.get()));
  OK(waiter.synchronize());
}

}  // namespace
}  // namespace client
