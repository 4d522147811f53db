// Card memory: what it costs, where it lies, what it holds.
#include <cstring>
#include <limits>

#include "tests/emulator/client.h"

namespace client {
namespace {

class MemoryTest : public CannTest {
 protected:
  static size_t free_bytes() {
    size_t free = 0;
    size_t total = 0;
    EXPECT_EQ(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &free, &total), 0) << message();
    EXPECT_LE(free, total);
    return free;
  }
  static int allocate(void** address, size_t bytes) {
    return CANN(aclrtMalloc)(address, bytes, ACL_MEM_MALLOC_HUGE_FIRST);
  }
};
using MemoryProcess = OwnProcess<MemoryTest>;
using MemoryDeathTest = MemoryTest;

TEST_F(MemoryDeathTest, TheHostCannotReadCardMemory) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  DeviceBytes bytes(1 << 20);
  upload(bytes, std::vector<char>(1 << 20, 'x'));
  volatile const char* address = static_cast<const char*>(bytes.get());
  EXPECT_DEATH(
      {
        const char read = *address;
        (void)read;
      },
      "");
  EXPECT_DEATH(*const_cast<volatile char*>(address) = 1, "");
}

TEST_F(MemoryTest, AllocationsCostWholePages) {
  const size_t before = free_bytes();
  void* small = nullptr;
  OK(allocate(&small, 1));
  EXPECT_EQ(before - free_bytes(), 4096u);
  void* edge = nullptr;
  OK(allocate(&edge, (1 << 20) - 32));  // with the 32 bytes that kernels read past the end
  EXPECT_EQ(before - free_bytes(), 4096u + (1 << 20));
  void* large = nullptr;
  OK(allocate(&large, 1 << 20));
  EXPECT_EQ(before - free_bytes(), 4096u + (1 << 20) + (2 << 20)) << "huge pages";
  void* aligned = nullptr;
  OK(CANN(aclrtMallocAlign32)(&aligned, 2 << 20, ACL_MEM_MALLOC_HUGE_ONLY));
  EXPECT_EQ(before - free_bytes(), 4096u + (1 << 20) + (2 << 20) + (2 << 20)) << "nothing added";
  for (void* address : {small, edge, large, aligned}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 64, 0u);
    OK(CANN(aclrtFree)(address));
  }
  EXPECT_EQ(free_bytes(), before);
}

TEST_F(MemoryTest, ACardHasNoMoreThanItsMemory) {
  void* most = nullptr;
  OK(allocate(&most, (size_t{1023} << 20) - 64));
  void* more = nullptr;
  EXPECT_EQ(allocate(&more, 2 << 20), ACL_ERROR_RT_MEMORY_ALLOCATION);
  EXPECT_EQ(allocate(&more, std::numeric_limits<size_t>::max()), ACL_ERROR_RT_MEMORY_ALLOCATION);
  in_thread([] {
    OK(CANN(aclrtSetDevice)(1));
    void* elsewhere = nullptr;
    EXPECT_EQ(allocate(&elsewhere, size_t{1000} << 20), 0) << "another card has its own";
  });
  OK(CANN(aclrtFree)(most));
  OK(allocate(&more, 2 << 20));
}

TEST_F(MemoryTest, FreshMemoryIsPoisoned) {
  DeviceBytes bytes(300000);
  for (const uint8_t byte : download<uint8_t>(bytes, 300000)) ASSERT_EQ(byte, 0xFF);
}

TEST_F(MemoryTest, AFreedBlockIsNoMemoryAnyMore) {
  void* address = nullptr;
  OK(allocate(&address, 4096));
  OK(CANN(aclrtFree)(address));
  char byte = 0;
  EXPECT_EQ(CANN(aclrtMemcpy)(&byte, 1, address, 1, ACL_MEMCPY_DEVICE_TO_HOST),
            ACL_ERROR_RT_PARAM_INVALID);
  EXPECT_EQ(CANN(aclrtFree)(address), ACL_ERROR_RT_PARAM_INVALID);
}

TEST_F(MemoryTest, WorkThatIsQueuedWhenItsMemoryIsFreedFails) {
  StreamHandle stream;
  Gate gate;
  gate.close(stream.get());
  void* address = nullptr;
  OK(allocate(&address, 4096));
  PinnedBytes host(4096);
  OK(CANN(aclrtMemcpyAsync)(
      host.get(), 4096, address, 4096, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
  OK(CANN(aclrtFree)(address));
  gate.open();
  EXPECT_EQ(stream.synchronize(), ACL_ERROR_RT_SYS_DMA);
}

TEST_F(MemoryTest, OneBytePastTheEndIsRefused) {
  DeviceBytes bytes(1000);
  std::vector<char> host(1001);
  EXPECT_EQ(CANN(aclrtMemcpy)(host.data(), 1001, bytes.get(), 1001, ACL_MEMCPY_DEVICE_TO_HOST),
            ACL_ERROR_RT_PARAM_INVALID);
  EXPECT_EQ(CANN(aclrtMemset)(static_cast<char*>(bytes.get()) + 999, 2, 0, 2),
            ACL_ERROR_RT_PARAM_INVALID);
}

TEST_F(MemoryProcess, OtherProcessesHoldMemory) {
  in_own_process({{"FASTCHAT_EMULATOR_TAKEN", "0,256MiB,0,0"}}, [] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(1));
    EXPECT_EQ(free_bytes(), size_t{768} << 20);
  });
}

// ---- virtual memory ---------------------------------------------------------------------------

constexpr size_t kGranularity = 2 << 20;
constexpr aclrtPhysicalMemProp kOnCard0 = {ACL_MEM_HANDLE_TYPE_NONE,
                                           ACL_MEM_ALLOCATION_TYPE_PINNED,
                                           ACL_HBM_MEM_HUGE,
                                           {0, ACL_MEM_LOCATION_TYPE_DEVICE},
                                           0};

TEST_F(MemoryTest, MappingsSideBySideAreOneRange) {
  void* range = nullptr;
  OK(CANN(aclrtReserveMemAddress)(&range, 4 * kGranularity, 0, nullptr, 0));
  const size_t before = free_bytes();
  std::vector<aclrtDrvMemHandle> handles(2);
  for (size_t i = 0; i < 2; ++i) {
    OK(CANN(aclrtMallocPhysical)(&handles[i], kGranularity, &kOnCard0, 0));
    OK(CANN(aclrtMapMem)(
        static_cast<char*>(range) + i * kGranularity, kGranularity, 0, handles[i], 0));
  }
  EXPECT_EQ(before - free_bytes(), 2 * kGranularity);

  // Across the border of both, and nothing behind them.
  std::vector<char> sent(1000);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i);
  char* across = static_cast<char*>(range) + kGranularity - 500;
  OK(CANN(aclrtMemcpy)(across, 1000, sent.data(), 1000, ACL_MEMCPY_HOST_TO_DEVICE));
  std::vector<char> got(1000);
  OK(CANN(aclrtMemcpy)(got.data(), 1000, across, 1000, ACL_MEMCPY_DEVICE_TO_HOST));
  EXPECT_EQ(got, sent);
  EXPECT_EQ(CANN(aclrtMemset)(static_cast<char*>(range) + 2 * kGranularity - 1, 2, 0, 2),
            ACL_ERROR_RT_PARAM_INVALID);

  // The second piece moves to another address and keeps its bytes.
  OK(CANN(aclrtUnmapMem)(static_cast<char*>(range) + kGranularity));
  OK(CANN(aclrtMapMem)(
      static_cast<char*>(range) + 3 * kGranularity, kGranularity, 0, handles[1], 0));
  OK(CANN(aclrtMemcpy)(got.data(),
                       500,
                       static_cast<char*>(range) + 3 * kGranularity,
                       500,
                       ACL_MEMCPY_DEVICE_TO_HOST));
  EXPECT_TRUE(std::equal(sent.begin() + 500, sent.end(), got.begin()));

  EXPECT_EQ(CANN(aclrtReleaseMemAddress)(range), ACL_ERROR_RT_PARAM_INVALID) << "still mapped";
  OK(CANN(aclrtFreePhysical)(handles[0]));
  EXPECT_EQ(before - free_bytes(), 2 * kGranularity) << "freed with the last mapping";
  OK(CANN(aclrtUnmapMem)(range));
  EXPECT_EQ(before - free_bytes(), kGranularity);
  OK(CANN(aclrtUnmapMem)(static_cast<char*>(range) + 3 * kGranularity));
  OK(CANN(aclrtFreePhysical)(handles[1]));
  EXPECT_EQ(free_bytes(), before);
  OK(CANN(aclrtReleaseMemAddress)(range));
}

TEST_F(MemoryTest, MappingsAreChecked) {
  void* range = nullptr;
  EXPECT_EQ(CANN(aclrtReserveMemAddress)(&range, 1000, 0, nullptr, 0), ACL_ERROR_RT_PARAM_INVALID);
  OK(CANN(aclrtReserveMemAddress)(&range, 2 * kGranularity, 0, nullptr, 0));
  aclrtDrvMemHandle handle = nullptr;
  EXPECT_EQ(CANN(aclrtMallocPhysical)(&handle, 1000, &kOnCard0, 0), ACL_ERROR_RT_PARAM_INVALID);
  EXPECT_EQ(CANN(aclrtMallocPhysical)(&handle, size_t{2} << 30, &kOnCard0, 0),
            ACL_ERROR_RT_MEMORY_ALLOCATION);
  OK(CANN(aclrtMallocPhysical)(&handle, kGranularity, &kOnCard0, 0));
  EXPECT_EQ(CANN(aclrtMapMem)(range, kGranularity / 2, 0, handle, 0), ACL_ERROR_RT_PARAM_INVALID)
      << "not the whole";
  EXPECT_EQ(
      CANN(aclrtMapMem)(static_cast<char*>(range) + 4 * kGranularity, kGranularity, 0, handle, 0),
      ACL_ERROR_RT_PARAM_INVALID)
      << "not reserved";
  OK(CANN(aclrtMapMem)(range, kGranularity, 0, handle, 0));
  EXPECT_EQ(CANN(aclrtMapMem)(range, kGranularity, 0, handle, 0), ACL_ERROR_RT_PARAM_INVALID)
      << "twice";
  EXPECT_EQ(CANN(aclrtUnmapMem)(static_cast<char*>(range) + kGranularity),
            ACL_ERROR_RT_PARAM_INVALID);
  OK(CANN(aclrtUnmapMem)(range));
  OK(CANN(aclrtFreePhysical)(handle));
  EXPECT_EQ(CANN(aclrtFreePhysical)(handle), ACL_ERROR_RT_INVALID_HANDLE);
  size_t bytes = 0;
  aclrtPhysicalMemProp properties = kOnCard0;
  OK(CANN(aclrtMemGetAllocationGranularity)(
      &properties, ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM, &bytes));
  EXPECT_EQ(bytes, kGranularity);
}

}  // namespace
}  // namespace client
