// Devices, contexts, threads.
#include <cstdlib>

#include "tests/emulator/client.h"

namespace client {
namespace {

class DeviceTest : public CannTest {};

TEST_F(DeviceTest, SecondInitIsTold) {
  EXPECT_EQ(CANN(aclInit)(nullptr), ACL_ERROR_REPEAT_INITIALIZE);
  EXPECT_NE(message(), "");
}

TEST_F(DeviceTest, MessagesBelongToTheThreadAndAreClearedByReading) {
  EXPECT_EQ(CANN(aclrtSetDevice)(64), ACL_ERROR_RT_INVALID_DEVICEID);
  in_thread([] { EXPECT_EQ(CANN(aclGetRecentErrMsg)(), nullptr); });
  EXPECT_NE(message().find("64"), std::string::npos);
  EXPECT_EQ(CANN(aclGetRecentErrMsg)(), nullptr);
}

TEST_F(DeviceTest, AThreadWithoutDeviceGetsNothing) {
  in_thread([] {
    void* address = nullptr;
    aclrtStream stream = nullptr;
    int32_t device = 0;
    EXPECT_EQ(CANN(aclrtMalloc)(&address, 64, ACL_MEM_MALLOC_HUGE_FIRST),
              ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(CANN(aclrtCreateStream)(&stream), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(CANN(aclrtGetDevice)(&device), ACL_ERROR_RT_CONTEXT_NULL);
  });
}

TEST_F(DeviceTest, ThreadsOfOneCardShareStreamsAndMemory) {
  StreamHandle stream;
  DeviceBytes bytes(256);
  PinnedBytes host(256);
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(0));
    OK(CANN(aclrtMemsetAsync)(bytes.get(), 256, 7, 256, stream.get()));
    OK(CANN(aclrtMemcpyAsync)(
        host.get(), 256, bytes.get(), 256, ACL_MEMCPY_DEVICE_TO_HOST, stream.get()));
    OK(stream.synchronize());
  });
  EXPECT_EQ(host.get<char>()[255], 7);
}

TEST_F(DeviceTest, AStreamOfAnotherCardIsRefused) {
  StreamHandle stream;
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(1));
    EXPECT_EQ(CANN(aclrtSynchronizeStream)(stream.get()), ACL_ERROR_RT_STREAM_CONTEXT);
  });
}

TEST_F(DeviceTest, ContextsSwitchCards) {
  aclrtContext first = nullptr;
  aclrtContext second = nullptr;
  OK(CANN(aclrtGetCurrentContext)(&first));
  OK(CANN(aclrtCreateContext)(&second, 2));
  int32_t device = -1;
  OK(CANN(aclrtGetDevice)(&device));
  EXPECT_EQ(device, 2);
  OK(CANN(aclrtSetCurrentContext)(first));
  OK(CANN(aclrtGetDevice)(&device));
  EXPECT_EQ(device, 0);
  OK(CANN(aclrtDestroyContext)(second));
  EXPECT_EQ(CANN(aclrtSetCurrentContext)(second), ACL_ERROR_RT_INVALID_HANDLE);
  EXPECT_EQ(CANN(aclrtDestroyContext)(first), ACL_ERROR_RT_PARAM_INVALID) << "the default context";
}

TEST_F(DeviceTest, ADeviceSetTwiceSurvivesOneReset) {
  OK(CANN(aclrtSetDevice)(3));
  OK(CANN(aclrtSetDevice)(3));
  void* address = nullptr;
  OK(CANN(aclrtMalloc)(&address, 64, ACL_MEM_MALLOC_HUGE_FIRST));
  OK(CANN(aclrtResetDevice)(3));
  EXPECT_EQ(CANN(aclrtMemset)(address, 64, 0, 64), 0);
  OK(CANN(aclrtResetDevice)(3));
  EXPECT_EQ(CANN(aclrtMalloc)(&address, 64, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_RT_CONTEXT_NULL);
  OK(CANN(aclrtSetDevice)(3));
  size_t free = 0;
  size_t total = 0;
  OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &free, &total));
  EXPECT_EQ(free, total) << "the reset gave everything back";
}

TEST_F(DeviceTest, TellsWhatItIs) {
  EXPECT_STREQ(CANN(aclrtGetSocName)(), "Ascend910B1");
  int64_t value = 0;
  OK(CANN(aclGetDeviceCapability)(0, ACL_DEVICE_INFO_AI_CORE_NUM, &value));
  EXPECT_EQ(value, 24);
  aclrtRunMode mode = ACL_DEVICE;
  OK(CANN(aclrtGetRunMode)(&mode));
  EXPECT_EQ(mode, ACL_HOST);
  if (version() >= 810) {
    aclCANNPackageVersion package;
    OK(CANN(aclsysGetCANNVersion)(ACL_PKG_NAME_CANN, &package));
    EXPECT_EQ(std::atoi(package.majorVersion) * 100 + std::atoi(package.minorVersion) * 10,
              version());
  } else {
    EXPECT_EQ(find("aclsysGetCANNVersion"), nullptr);
  }
}

// ---- ASCEND_RT_VISIBLE_DEVICES, on eight cards --------------------------------------------------

struct VisibleCase {
  const char* text;
  std::vector<int> physical;  // empty: no device
};

class VisibleDevices : public ::testing::TestWithParam<VisibleCase> {};

TEST_P(VisibleDevices, FollowsTheVendorsGrammar) {
  const VisibleCase& visible = GetParam();
  in_own_process({{"FASTCHAT_EMULATOR_CARDS", "8"},
                  {"FASTCHAT_EMULATOR_MEMORY", "1GiB,2GiB,3GiB,4GiB,5GiB,6GiB,7GiB,8GiB"},
                  {"ASCEND_RT_VISIBLE_DEVICES", visible.text}},
                 [&] {
                   OK(CANN(aclInit)(nullptr));
                   uint32_t count = 0;
                   if (visible.physical.empty()) {
                     EXPECT_EQ(CANN(aclrtGetDeviceCount)(&count), ACL_ERROR_RT_NO_DEVICE);
                     EXPECT_EQ(CANN(aclrtSetDevice)(0), ACL_ERROR_RT_NO_DEVICE);
                     return;
                   }
                   OK(CANN(aclrtGetDeviceCount)(&count));
                   ASSERT_EQ(count, visible.physical.size());
                   for (uint32_t device = 0; device < count; ++device) {
                     OK(CANN(aclrtSetDevice)(static_cast<int32_t>(device)));
                     size_t free = 0;
                     size_t total = 0;
                     OK(CANN(aclrtGetMemInfo)(ACL_HBM_MEM, &free, &total));
                     EXPECT_EQ(static_cast<int>(total >> 30), visible.physical[device] + 1)
                         << "device " << device;
                   }
                   EXPECT_EQ(CANN(aclrtSetDevice)(static_cast<int32_t>(count)),
                             ACL_ERROR_RT_INVALID_DEVICEID);
                 });
}

const std::string& many_zeros() {
  static const std::string kText =
      "0,1," + std::string(123, '0') + "2,3";  // the 128th character ends in the third id
  return kText;
}

INSTANTIATE_TEST_SUITE_P(Grammar,
                         VisibleDevices,
                         ::testing::Values(VisibleCase{"4,5,6,7", {4, 5, 6, 7}},
                                           VisibleCase{"0", {0}},
                                           VisibleCase{"", {}},
                                           VisibleCase{" 1", {}},
                                           VisibleCase{"-1", {}},
                                           VisibleCase{",1", {}},
                                           VisibleCase{"1, 2", {1}},
                                           VisibleCase{"1,,2", {1}},
                                           VisibleCase{"1,2,", {1, 2}},
                                           VisibleCase{"2x,3", {2}},
                                           VisibleCase{"6,8,7", {6}},
                                           VisibleCase{"8", {}},
                                           VisibleCase{"3,2", {}},
                                           VisibleCase{"2,2", {}},
                                           VisibleCase{"01,3", {1, 3}},
                                           VisibleCase{many_zeros().c_str(), {0, 1, 2}}));

}  // namespace
}  // namespace client
