#include "tests/emulator/client.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

namespace client {
namespace {

std::string dotted_version() {
  const char* text = std::getenv("FASTCHAT_TEST_CANN");
  return text == nullptr ? "8.3" : text;
}

void* open(const std::string& library) {
  void* handle = dlopen((root() + "/lib64/" + library).c_str(), RTLD_LAZY | RTLD_LOCAL);
  EXPECT_NE(handle, nullptr) << dlerror();
  return handle;
}

// In the order in which a client looks: the split libraries where there are some.
std::vector<void*> open_all() {
  setenv("ASCEND_HOME_PATH", root().c_str(), 0);
  setenv("ASCEND_OPP_PATH", (root() + "/opp").c_str(), 0);
  setenv("FASTCHAT_EMULATOR_CARDS", "4", 0);
  setenv("FASTCHAT_EMULATOR_MEMORY", "1GiB", 0);
  setenv("HCCL_BUFFSIZE", "16", 0);
  setenv("FASTCHAT_EMULATOR_HCCL_TIMEOUT_MS", "20000", 0);
  std::vector<void*> handles;
  if (version() < 850) {
    for (const char* name : {"libascendcl.so", "libnnopbase.so", "libopapi.so", "libhccl.so"})
      handles.push_back(open(name));
  } else {
    for (const char* name : {"libacl_rt.so",
                             "libnnopbase.so",
                             "libopapi_math.so",
                             "libopapi_nn.so",
                             "libopapi_transformer.so",
                             "libhccl.so",
                             "libhcomm.so"}) {
      handles.push_back(open(name));
    }
  }
  return handles;
}

}  // namespace

int version() {
  const std::string text = dotted_version();
  return (text[0] - '0') * 100 + (text[2] - '0') * 10;
}

std::string root() { return std::string(FASTCHAT_EMULATOR_DIR) + "/" + dotted_version(); }

void* find(const char* name) {
  static const std::vector<void*> kHandles = open_all();
  static std::mutex mutex;
  static std::map<std::string, void*> found;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = found.try_emplace(name, nullptr);
  for (size_t i = 0; is_new && i < kHandles.size() && entry->second == nullptr; ++i) {
    entry->second = dlsym(kHandles[i], name);
  }
  return entry->second;
}

void* need(const char* name) {
  void* address = find(name);
  if (address == nullptr) {
    std::fprintf(stderr, "%s is not exported by CANN %s\n", name, dotted_version().c_str());
    std::abort();
  }
  return address;
}

std::string message() {
  const char* text = CANN(aclGetRecentErrMsg)();
  return text == nullptr ? "" : text;
}

void CannTest::SetUp() {
  const int status = CANN(aclInit)(nullptr);
  ASSERT_TRUE(status == 0 || status == ACL_ERROR_REPEAT_INITIALIZE);
  OK(CANN(aclrtSetDevice)(0));
  message();
}

void CannTest::TearDown() {
  uint32_t count = 0;
  CANN(aclrtGetDeviceCount)(&count);
  for (uint32_t device = 0; device < count; ++device)
    CANN(aclrtResetDeviceForce)(static_cast<int32_t>(device));
  message();
}

DeviceBytes::DeviceBytes(size_t bytes) : size_(bytes) {
  EXPECT_EQ(CANN(aclrtMalloc)(&address_, bytes, ACL_MEM_MALLOC_HUGE_FIRST), 0) << message();
}
DeviceBytes::~DeviceBytes() { CANN(aclrtFree)(address_); }

PinnedBytes::PinnedBytes(size_t bytes) {
  EXPECT_EQ(CANN(aclrtMallocHost)(&address_, bytes), 0) << message();
}
PinnedBytes::~PinnedBytes() { CANN(aclrtFreeHost)(address_); }

StreamHandle::StreamHandle() { EXPECT_EQ(CANN(aclrtCreateStream)(&stream_), 0) << message(); }
StreamHandle::~StreamHandle() { CANN(aclrtDestroyStreamForce)(stream_); }
int StreamHandle::synchronize() const { return CANN(aclrtSynchronizeStream)(stream_); }

Gate::Gate() {
  EXPECT_EQ(CANN(aclrtCreateEventWithFlag)(&event_, ACL_EVENT_EXTERNAL), 0) << message();
}
Gate::~Gate() { CANN(aclrtDestroyEvent)(event_); }
void Gate::close(aclrtStream stream) {
  EXPECT_EQ(CANN(aclrtStreamWaitEvent)(stream, event_), 0) << message();
}
void Gate::open() { EXPECT_EQ(CANN(aclrtRecordEvent)(event_, opener_.get()), 0) << message(); }

aclTensor* float_tensor(const std::vector<int64_t>& dims, void* data) {
  return CANN(aclCreateTensor)(dims.data(),
                               dims.size(),
                               ACL_FLOAT,
                               nullptr,
                               0,
                               ACL_FORMAT_ND,
                               dims.data(),
                               dims.size(),
                               data);
}

int add(void* a, void* b, void* out, int64_t count, aclrtStream stream) {
  aclTensor* x = float_tensor({count}, a);
  aclTensor* y = float_tensor({count}, b);
  aclTensor* z = float_tensor({count}, out);
  float one = 1;
  aclScalar* alpha = CANN(aclCreateScalar)(&one, ACL_FLOAT);
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
  int status = CANN(aclnnAddGetWorkspaceSize)(x, y, alpha, z, &bytes, &executor);
  if (status == 0) status = CANN(aclnnAdd)(nullptr, bytes, executor, stream);
  CANN(aclDestroyScalar)(alpha);
  for (aclTensor* tensor : {x, y, z}) CANN(aclDestroyTensor)(tensor);
  return status;
}

void in_own_process(const std::vector<std::pair<std::string, std::string>>& environment,
                    const std::function<void()>& body) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto run = [&] {
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    body();
    std::exit(::testing::Test::HasFailure() ? 1 : 0);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}

}  // namespace client
