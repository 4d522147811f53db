// QueuedStream: the stream of a cpu device, a ring of tasks and the leader thread that runs them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "device/cpu/stream_event.h"
#include "device/cpu/thread_team.h"
#include "device/cpu/wait_word.h"

namespace fastchat::device {

class QueuedStream final : public CpuStream {
 public:
  /// Tasks that may wait in the ring; who enqueues more blocks. A step of a deep model is about a
  /// thousand.
  static constexpr std::size_t kNumSlots = 1024;

  QueuedStream(Device& device, ThreadTeam& team, const std::string& name);
  /// Runs what is enqueued to its end first; a failure that nobody asked for is logged.
  ~QueuedStream() override;
  QueuedStream(const QueuedStream&) = delete;
  QueuedStream& operator=(const QueuedStream&) = delete;

  Device& device() override { return device_; }
  void record(Event& event) override;
  void wait(Event& event) override;
  void synchronize() override;
  void copy_from_host(void* destination, const void* source, std::size_t size_bytes) override;
  void copy_to_host(void* destination, const void* source, std::size_t size_bytes) override;
  void copy(void* destination, const void* source, std::size_t size_bytes) override;
  void copy_from_peer(void* destination,
                      const void* source,
                      Device& source_device,
                      std::size_t size_bytes) override;
  void fill(void* destination, std::uint8_t value, std::size_t size_bytes) override;
  void begin_capture() override;
  std::unique_ptr<Graph> end_capture() override;

  /// A task as graphs keep it.
  struct Task {
    Run run = nullptr;
    alignas(64) std::byte arguments[kMaxTaskBytes];
  };
  using TaskList = std::vector<Task>;
  void launch(std::shared_ptr<const TaskList> tasks);
  void on_failure(std::function<void(const std::string& reason)> hook) override;

 protected:
  void push(Run run, const void* task, std::size_t size_bytes) override;

 private:
  // What the leader finds in a slot: exactly one of run, recording to reach, recording to wait for,
  // tasks; none = stop.
  struct Slot {
    std::uint64_t number = 0;
    Run run = nullptr;
    std::shared_ptr<Recording> reach;
    std::shared_ptr<Recording> wait_for;
    std::shared_ptr<const TaskList> tasks;
    alignas(64) std::byte arguments[kMaxTaskBytes];
  };

  void wait_until_done(std::uint32_t count);
  Slot& free_slot();
  void publish();
  void require_no_capture(const char* what) const;

  void run_leader();
  void execute(Slot& slot);
  void run_task(std::uint64_t number, Run run, const void* arguments);
  void stop_work(std::uint64_t number, const std::string& reason);

  Device& device_;
  ThreadTeam& team_;
  std::shared_ptr<StreamHealth> health_ = std::make_shared<StreamHealth>();
  std::vector<Slot> ring_{kNumSlots};

  // Host side.
  std::uint32_t next_push_ = 0;
  std::unique_ptr<TaskList> capture_;
  std::function<void(const std::string& reason)> failure_hook_;

  WaitWord num_pushed_;  // published slots, modulo 2^32
  WaitWord num_done_;    // executed slots
  alignas(64) std::atomic<std::uint32_t> wake_at_{
      0};  // num_done_ at which a blocked host wants to be woken
  std::thread leader_;
};

}  // namespace fastchat::device
