// A client of CANN: loads the emulated libraries as any program would, by dlopen, and wraps what
// tests need often.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device/ascend/cann.h"

namespace client {

/// 830 for CANN 8.3: FASTCHAT_TEST_CANN, or 8.3.
int version();
/// The folder that ASCEND_HOME_PATH names.
std::string root();
/// Address of an exported function; null when this CANN has none. Loads the libraries at the first
/// call; sets what set_env.sh sets, four cards and 1 GiB each, where the environment does not.
void* find(const char* name);
/// For functions that must be there.
void* need(const char* name);

/// CANN(aclrtMalloc)(&address, bytes, policy)
#define CANN(NAME) (reinterpret_cast<decltype(&::NAME)>(::client::need(#NAME)))
#define OK(CALL) ASSERT_EQ(CALL, 0) << ::client::message()

/// aclGetRecentErrMsg, or "".
std::string message();

/// aclInit and card 0 in this thread; at the end the cards that were set are reset.
class CannTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
};

/// Card memory of the current card.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  void* get() const { return address_; }
  size_t size() const { return size_; }

 private:
  void* address_ = nullptr;
  size_t size_;
};

/// Pinned host memory.
class PinnedBytes {
 public:
  explicit PinnedBytes(size_t bytes);
  ~PinnedBytes();
  PinnedBytes(const PinnedBytes&) = delete;
  PinnedBytes& operator=(const PinnedBytes&) = delete;
  template <typename T = void>
  T* get() const {
    return static_cast<T*>(address_);
  }

 private:
  void* address_ = nullptr;
};

class StreamHandle {
 public:
  StreamHandle();
  ~StreamHandle();
  StreamHandle(const StreamHandle&) = delete;
  StreamHandle& operator=(const StreamHandle&) = delete;
  aclrtStream get() const { return stream_; }
  int synchronize() const;

 private:
  aclrtStream stream_ = nullptr;
};

/// An event of aclrtCreateEventWithFlag(EXTERNAL): it holds a stream up until it is opened.
class Gate {
 public:
  Gate();
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void close(aclrtStream stream);
  void open();

 private:
  aclrtEvent event_ = nullptr;
  StreamHandle opener_;
};

/// Blocking copies.
template <typename T>
void upload(const DeviceBytes& to, const std::vector<T>& from) {
  ASSERT_EQ(
      CANN(aclrtMemcpy)(
          to.get(), to.size(), from.data(), from.size() * sizeof(T), ACL_MEMCPY_HOST_TO_DEVICE),
      0)
      << message();
}
template <typename T>
std::vector<T> download(const DeviceBytes& from, size_t count) {
  std::vector<T> values(count);
  EXPECT_EQ(CANN(aclrtMemcpy)(values.data(),
                              count * sizeof(T),
                              from.get(),
                              count * sizeof(T),
                              ACL_MEMCPY_DEVICE_TO_HOST),
            0)
      << message();
  return values;
}

/// A contiguous tensor of float on card memory; the caller destroys it.
aclTensor* float_tensor(const std::vector<int64_t>& dims, void* data);

/// out = a + b of `count` floats, both phases.
int add(void* a, void* b, void* out, int64_t count, aclrtStream stream);

/// Runs `body` in a process of its own, with the environment given; the body's gtest failures fail
/// the test. The name of the running test is used to start it again, so a test calls this once or
/// several times, but in the same order.
void in_own_process(const std::vector<std::pair<std::string, std::string>>& environment,
                    const std::function<void()>& body);

/// For tests that are only in_own_process: nothing is loaded before.
template <typename Test>
class OwnProcess : public Test {
 protected:
  void SetUp() override {}
  void TearDown() override {}
};

/// Runs `body` in another thread and waits.
inline void in_thread(const std::function<void()>& body) { std::thread(body).join(); }

}  // namespace client
