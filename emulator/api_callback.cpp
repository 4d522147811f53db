// Entry points for host functions in stream order: the old pair, whose functions run in a thread of
// the client, and aclrtLaunchHostFunc. NOLINTBEGIN(readability-identifier-naming): the vendor's
// names.
#include <pthread.h>

#include <deque>
#include <map>
#include <set>
#include <utility>

#include "emulator/capture.h"
#include "emulator/entry.h"
#include "emulator/op.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

struct Callback {
  aclrtCallback function = nullptr;
  void* user_data = nullptr;
  Simulated time{0};
  bool done = false;
};

// What a subscribed thread is to run. Guarded by the runtime's lock.
struct Subscriber {
  std::set<const Stream*> streams;
  std::deque<std::shared_ptr<Callback>> waiting;
};

std::map<uint64_t, Subscriber>& subscribers() {
  static std::map<uint64_t, Subscriber>& threads = *new std::map<uint64_t, Subscriber>();
  return threads;
}

}  // namespace

aclError aclrtSubscribeReport(uint64_t thread, aclrtStream stream) {
  return guarded("aclrtSubscribeReport", [&] {
    const auto found = require_stream(stream);
    const std::lock_guard lock(runtime().mutex);
    if (found->callback_thread != 0)
      refuse_call(ACL_ERROR_REPEAT_SUBSCRIBE, "the stream has a thread for callbacks");
    found->callback_thread = thread;
    subscribers()[thread].streams.insert(found.get());
  });
}

aclError aclrtUnSubscribeReport(uint64_t thread, aclrtStream stream) {
  return guarded("aclrtUnSubscribeReport", [&] {
    const auto found = require_stream(stream);
    const std::lock_guard lock(runtime().mutex);
    if (found->callback_thread == 0)
      refuse_call(ACL_ERROR_STREAM_NOT_SUBSCRIBE, "the stream has no thread for callbacks");
    if (found->callback_thread != thread)
      refuse_call(ACL_ERROR_THREAD_NOT_SUBSCRIBE, "the stream has another thread");
    found->callback_thread = 0;
    Subscriber& subscriber = subscribers()[thread];
    subscriber.streams.erase(found.get());
    if (subscriber.streams.empty()) subscribers().erase(thread);
  });
}

aclError aclrtProcessReport(int32_t timeout_ms) {
  return guarded("aclrtProcessReport", [&] {
    const auto deadline = deadline_of(timeout_ms);
    const auto self = static_cast<uint64_t>(pthread_self());
    Runtime& state = runtime();
    std::unique_lock lock(state.mutex);
    if (subscribers().count(self) == 0) {
      refuse_call(ACL_ERROR_RT_THREAD_SUBSCRIBE, "this thread is subscribed to no stream");
    }
    const auto something = [&] {
      const auto found = subscribers().find(self);
      return found == subscribers().end() || !found->second.waiting.empty();
    };
    if (!state.wait(lock, something, deadline)) {
      refuse_call(ACL_ERROR_RT_REPORT_TIMEOUT, "no callback in time");
    }
    const auto found = subscribers().find(self);
    if (found == subscribers().end()) return;
    const auto callback = std::move(found->second.waiting.front());
    found->second.waiting.pop_front();
    lock.unlock();
    host_clock().wait_until(callback->time);
    callback->function(callback->user_data);
    lock.lock();
    callback->done = true;
    state.notify();
  });
}

aclError aclrtLaunchCallback(aclrtCallback function,
                             void* user_data,
                             aclrtCallbackBlockType block,
                             aclrtStream stream) {
  return guarded("aclrtLaunchCallback", [&] {
    require_pointer(reinterpret_cast<const void*>(function), "the function");
    const auto where = require_stream(stream);
    if (block != ACL_CALLBACK_NO_BLOCK && block != ACL_CALLBACK_BLOCK) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  fmt::format("block type {}", static_cast<int>(block)));
    }
    {
      const std::lock_guard lock(runtime().mutex);
      if (where->callback_thread == 0)
        refuse_call(ACL_ERROR_RT_STREAM_NO_CB_REG, "no thread is subscribed to the stream");
    }
    auto callback = std::make_shared<Callback>(Callback{function, user_data});
    submit(
        *where,
        {.kind = Task::Kind::callback,
         .name = "aclrtLaunchCallback",
         .run = [callback, block](Stream& stream) {
           catch_up(stream);
           callback->time = stream.time;
           {
             Runtime& state = runtime();
             const std::lock_guard lock(state.mutex);
             const auto found = subscribers().find(stream.callback_thread);
             if (found == subscribers().end()) {
               throw DeviceFault{ACL_ERROR_RT_STREAM_NO_CB_REG, "the thread for callbacks is gone"};
             }
             found->second.waiting.push_back(callback);
             state.notify();
           }
           if (block == ACL_CALLBACK_BLOCK) wait_in_task(stream, [&] { return callback->done; });
         }});
  });
}

aclError aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc function, void* args) {
  return guarded("aclrtLaunchHostFunc", [&] {
    require_pointer(reinterpret_cast<const void*>(function), "the function");
    const auto where = require_stream(stream);
    // 8.3 cannot capture it, later releases can.
    const auto kind = cann_version() < 850 ? Task::Kind::callback : Task::Kind::control;
    submit(*where, {.kind = kind, .name = "aclrtLaunchHostFunc", .run = [=](Stream& stream) {
                      catch_up(stream);
                      host_clock().wait_until(stream.time);
                      function(args);
                    }});
  });
}
// NOLINTEND(readability-identifier-naming)
