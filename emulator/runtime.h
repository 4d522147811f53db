// The state of the emulated runtime: cards, contexts, streams, events, graphs. One mutex guards all
// of it; tasks run without.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "device/ascend/cann.h"
#include "emulator/clock.h"
#include "emulator/handles.h"
#include "emulator/ledger.h"

namespace emulator {

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;  // none: for ever

struct Card;
struct Capture;
struct Graph;
struct Stream;

/// What streams do one after the other.
struct Task {
  using Kind = TaskKind;
  Kind kind = Kind::control;
  std::string name;
  std::function<void(Stream&)> run;  // on the stream's thread, without the lock; throws DeviceFault
  // For the paced mode.
  Simulated duration{0};  // from when it begins: after whatever `run` waits for
  Route route = Route::none;
  double bytes = 0;  // over that link
};
using TaskPtr = std::shared_ptr<const Task>;

struct QueuedTask {
  TaskPtr task;
  Simulated submitted{0};
};

struct Context {
  Card* card = nullptr;
  bool is_default = false;
  std::atomic<bool> alive{true};
  std::shared_ptr<Stream> default_stream;  // made at first use
  std::map<int, int64_t> options;
};

struct Stream : std::enable_shared_from_this<Stream> {
  std::shared_ptr<Context> context;
  Card* card = nullptr;
  int32_t id = 0;
  bool is_default = false;
  uint64_t failure_mode = ACL_CONTINUE_ON_FAILURE;

  std::deque<QueuedTask> queue;
  bool running = false;
  Simulated time{0};             // modelled end of what was done; the worker's while it runs
  std::condition_variable work;  // for the worker
  bool has_worker = false;
  bool closing = false;   // the worker ends when the queue is empty
  bool dropping = false;  // tasks are thrown away, waits inside tasks end

  aclError error = ACL_SUCCESS;
  std::string why;

  // Capture: set on every stream that takes part in one.
  std::shared_ptr<Capture> capture;
  // Task update: what was issued since TaskUpdateBegin.
  struct Update {
    std::shared_ptr<Graph> graph;
    size_t group = 0;
    std::vector<TaskPtr> tasks;
  };
  std::optional<Update> update;

  uint64_t callback_thread = 0;  // aclrtSubscribeReport
  std::mt19937_64 delays;

  bool idle() const { return queue.empty() && !running; }
};

struct Event {
  enum class Kind { plain, flag, ex };
  Kind kind = Kind::plain;
  uint32_t flags = 0;
  Card* card = nullptr;
  uint64_t records_issued = 0;
  uint64_t records_done = 0;
  uint64_t waits_issued = 0;
  uint64_t waits_done = 0;
  bool set = false;                            // what waits of plain and flag events look at
  std::optional<Clock::duration> recorded_at;  // wall time, or modelled where that is kept
  Simulated time{0};                           // the same for streams and threads that wait
  std::shared_ptr<Capture> captured_in;        // last recorded inside this capture
  std::map<const Stream*, uint64_t>
      covers;  // then: how much of each stream's captured work lies before

  bool external() const { return (flags & ACL_EVENT_EXTERNAL) != 0; }
  bool has_time() const { return kind == Kind::plain || (flags & ACL_EVENT_TIME_LINE) != 0; }
};

/// A captured graph. Its tasks are replayed in the order in which they were issued, which respects
/// every dependency.
struct Graph {
  Card* card = nullptr;
  std::vector<TaskPtr> tasks;
  std::vector<std::vector<size_t>> groups;  // indices into tasks
  int num_streams = 0;                      // counted against the card's streams
  bool destroyed = false;
};

struct TaskGroup {
  std::shared_ptr<Graph> graph;
  size_t index = 0;
};

struct Capture {
  std::shared_ptr<Graph> graph;
  aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  Stream* origin = nullptr;
  void* graph_handle = nullptr;
  bool invalidated = false;
  // For each stream that takes part: how many steps of each stream lie before its next one.
  std::map<const Stream*, std::map<const Stream*, uint64_t>> before;
  std::map<const Stream*, std::optional<size_t>> open_group;
};

struct Card {
  int id = 0;  // physical
  uint64_t memory_bytes = 0;
  uint64_t taken_bytes = 0;  // by other processes
  std::atomic<uint64_t> used_bytes{0};
  uint64_t peak_bytes = 0;
  std::map<uintptr_t, uint64_t> charged;  // address of an allocation → bytes of its pages
  int set_count = 0;
  std::shared_ptr<Context> default_context;
  std::atomic<uint64_t> reaches{0};  // cards whose memory this one may access
  aclError fault = ACL_SUCCESS;      // after an exception nothing works until the card is reset
  std::string why;
  int num_streams = 0;  // graphs included
  int num_events = 0;
  uint64_t streams_created = 0;
  Ledger ledger;
};

struct Runtime {
  Runtime();

  std::mutex mutex;
  std::atomic<bool> initialised{false};
  bool finalised = false;
  uint64_t init_count = 0;
  bool stopping = false;                     // the process ends
  std::vector<std::unique_ptr<Card>> cards;  // physical
  std::vector<int> visible;                  // user id → physical id
  std::vector<std::shared_ptr<Stream>> streams;
  std::vector<std::shared_ptr<Capture>> captures;
  int32_t last_stream_id = 0;
  std::atomic<uint32_t> op_wait_timeout_s{0};

  HandleTable<Context, 1> contexts;
  HandleTable<Stream, 2> stream_handles;
  HandleTable<Event, 3> events;
  HandleTable<Graph, 4> graphs;
  HandleTable<TaskGroup, 5> task_groups;

  /// Waits for a change after which `done()`; false when the deadline passed. The caller holds
  /// `lock` on `mutex`.
  template <typename Done>
  bool wait(std::unique_lock<std::mutex>& lock,
            const Done& done,
            Deadline deadline = std::nullopt) {
    ++waiters_;
    bool met = true;
    if (deadline) {
      met = changed_.wait_until(lock, *deadline, done);
    } else {
      changed_.wait(lock, done);
    }
    --waiters_;
    return met;
  }
  /// After every change that somebody may wait for. The caller holds the lock.
  void notify() {
    if (waiters_ > 0) changed_.notify_all();
  }

 private:
  std::condition_variable changed_;
  int waiters_ = 0;
};

Runtime& runtime();

// ---- for entry points. They throw Refused. ----------------------------------------------------

/// 100001 before aclInit.
void require_initialised();
/// The card of a user id: 207004 when no card is visible, 107001 when there is no such id.
Card& require_card(int64_t user_id);
int user_id(const Card& card);
/// 107002 when this thread has none, or what it had is gone.
std::shared_ptr<Context> require_context();
/// Null stands for the current context's default stream. 107002, 107017 (not alive), 107003 (of
/// another context).
std::shared_ptr<Stream> require_stream(aclrtStream stream);
std::shared_ptr<Context>& current_context();

/// A stream of the context. 207008 when the card has no more. The caller holds the lock.
std::shared_ptr<Stream> make_stream(const std::shared_ptr<Context>& context);
/// Ends the stream: after its work, or dropping it. The caller holds the lock.
void close_stream(std::unique_lock<std::mutex>& lock, Stream& stream, bool drop);
/// Frees whatever the card has: contexts, streams, events, memory. The caller holds the lock.
void reset_card(std::unique_lock<std::mutex>& lock, Card& card);

/// Queues the task, or records it where the stream is capturing or updating a task group. Blocks
/// while the queue is full.
void submit(Stream& stream, Task task);
/// Runs a task now on the thread of `stream` (replays).
void run_task(Stream& stream, const Task& task);
/// Inside a task, before it does what others can see: waits until the wall clock is where the
/// stream is in modelled time. Ends when the stream is dropped.
void catch_up(Stream& stream);
/// A blocking call that occupies the calling thread, and what it passes through, for that long.
void occupy(
    Card& card, const char* call, Simulated duration, Route route = Route::none, double bytes = 0);
/// Inside a task: waits for `done()` under the lock. Throws DeviceFault `timeout_code` after
/// `timeout`, and ends when the stream is dropped.
void wait_in_task(Stream& stream,
                  const std::function<bool()>& done,
                  Deadline deadline = std::nullopt,
                  aclError timeout_code = ACL_ERROR_RT_TASK_TIMEOUT,
                  const std::string& what = "");
/// Waits until the stream has done its work and gives its error; `timeout_code` when the deadline
/// passes.
void synchronize(std::unique_lock<std::mutex>& lock,
                 Stream& stream,
                 Deadline deadline,
                 aclError timeout_code);
/// Before a blocking call returns: the work that was given to the context's default stream is done.
/// Clients count on that, as the hardware is fast enough; here it takes a wait.
void drain_default_stream(std::unique_lock<std::mutex>& lock, const Context& context);

/// -1: none. 0 and other negative values: refused with 107000.
Deadline deadline_of(int32_t timeout_ms);

}  // namespace emulator
