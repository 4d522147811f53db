// ThreadTeam: the worker threads of one cpu device.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "device/cpu/wait_word.h"

namespace fastchat::device {

/// How the threads of a device run.
struct ThreadTeamOptions {
  int num_threads = 1;
  /// Cores each thread may run on: one set per thread; empty = wherever the system puts it.
  std::vector<std::vector<int>> affinity;
  /// How long a thread polls before it sleeps; 0 where devices share cores.
  std::chrono::microseconds spin{0};
  CpuIsa isa = CpuIsa::generic;
  std::string name;  // of the threads, as debuggers show it
};

/// Restricts the calling thread to `cores` (empty = no change) and names it. A refusal is logged
/// and ignored.
void set_up_thread(const std::vector<int>& cores, const std::string& name);

/// Whoever runs a task is the leader, thread 0; the workers are threads 1 and up. One leader at a
/// time: it holds exclusive() for as long as its task runs. Workers join a piece of work while it
/// is open; the leader never waits for a worker that has not joined, so a core that is busy
/// elsewhere costs its share of the work and no more.
class ThreadTeam final : public CpuTeam {
 public:
  explicit ThreadTeam(ThreadTeamOptions options);
  ~ThreadTeam() override;
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int num_threads() const override { return options_.num_threads; }
  CpuIsa isa() const override { return options_.isa; }
  std::chrono::microseconds spin() const override { return options_.spin; }
  void* scratch(int thread, std::size_t size_bytes) override;

  std::mutex& exclusive() { return exclusive_; }
  const ThreadTeamOptions& options() const { return options_; }

  void add_leader() { ++num_leaders_; }
  void remove_leader() { --num_leaders_; }
  /// How long a leader without work polls: not at all when there are several, for they share one
  /// core.
  std::chrono::microseconds leader_spin() const {
    return num_leaders_.load() > 1 ? std::chrono::microseconds{0} : options_.spin;
  }

 protected:
  void run_pieces(std::int64_t count, std::int64_t grain, Piece piece, void* context) override;

 private:
  struct alignas(64) Scratch {
    void* data = nullptr;
    std::size_t size_bytes = 0;
  };

  void run_worker(int thread);
  void stop_workers();
  void take_pieces(int thread);

  ThreadTeamOptions options_;
  std::mutex exclusive_;
  std::atomic<int> num_leaders_{0};
  std::vector<Scratch> scratch_;

  // The work in hand. Written by the leader while the gate is closed and no worker is active.
  std::int64_t count_ = 0;
  std::int64_t grain_ = 1;
  Piece piece_ = nullptr;
  void* context_ = nullptr;
  bool running_ = false;
  std::exception_ptr failure_;  // first one; under failure_mutex_
  std::mutex failure_mutex_;

  alignas(64) std::atomic<std::int64_t> next_{0};  // first element that nobody has taken
  WaitWord gate_;        // odd = open; a new odd value for each piece of work
  WaitWord num_active_;  // workers that may be reading the work in hand
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace fastchat::device
