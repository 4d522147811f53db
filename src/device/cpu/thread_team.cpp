#include "device/cpu/thread_team.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "device/cpu/host_memory.h"

namespace fastchat::device {

void set_up_thread(const std::vector<int>& cores, const std::string& name) {
  constexpr std::size_t kMaxThreadName = 15;  // Linux's limit, without the terminating zero
  pthread_setname_np(pthread_self(), name.substr(0, kMaxThreadName).c_str());
  if (cores.empty()) return;
  const std::size_t num_cpus =
      static_cast<std::size_t>(*std::max_element(cores.begin(), cores.end())) + 1;
  cpu_set_t* set = CPU_ALLOC(num_cpus);
  if (set == nullptr) return;
  const std::size_t set_bytes = CPU_ALLOC_SIZE(num_cpus);
  CPU_ZERO_S(set_bytes, set);
  for (const int core : cores) CPU_SET_S(static_cast<std::size_t>(core), set_bytes, set);
  const int status = pthread_setaffinity_np(pthread_self(), set_bytes, set);
  CPU_FREE(set);
  if (status != 0) log::debug("{}: not pinned to core {}: {}", name, cores[0], strerror(status));
}

ThreadTeam::ThreadTeam(ThreadTeamOptions options)
    : options_(std::move(options)), scratch_(static_cast<std::size_t>(options_.num_threads)) {
  FASTCHAT_ASSERT(options_.num_threads >= 1, "a team of {} threads", options_.num_threads);
  try {
    for (int thread = 1; thread < options_.num_threads; ++thread)
      workers_.emplace_back([this, thread] { run_worker(thread); });
  } catch (const std::system_error& error) {
    const std::size_t num_started = workers_.size();
    stop_workers();
    fail(
        "cpu: started {} of {} worker threads, then: {}; allow this process more threads (ulimit "
        "-u)",
        num_started,
        options_.num_threads - 1,
        error.what());
  }
}

ThreadTeam::~ThreadTeam() {
  stop_workers();
  for (const Scratch& scratch : scratch_) free_host_memory(scratch.data, scratch.size_bytes);
}

void ThreadTeam::stop_workers() {
  stopping_.store(true);
  gate_.store_and_wake(gate_.load() + 1);
  for (std::thread& worker : workers_) worker.join();
}

void* ThreadTeam::scratch(int thread, std::size_t size_bytes) {
  Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  if (size_bytes > scratch.size_bytes) {
    free_host_memory(scratch.data, scratch.size_bytes);
    scratch = {};
    scratch.data = allocate_host_memory(size_bytes);
    check(scratch.data != nullptr,
          "cpu: no memory for {} of scratch of thread {}",
          format_bytes(size_bytes),
          thread);
    scratch.size_bytes = size_bytes;
  }
  return scratch.data;
}

void ThreadTeam::run_pieces(std::int64_t count, std::int64_t grain, Piece piece, void* context) {
  if (count <= 0) return;
  FASTCHAT_ASSERT(grain >= 1, "parallel_for with a grain of {}", grain);
  if (options_.num_threads == 1 || count <= grain) {
    piece(context, 0, count, 0);
    return;
  }
  FASTCHAT_ASSERT(!running_, "parallel_for inside a piece of another");
  running_ = true;
  count_ = count;
  grain_ = grain;
  piece_ = piece;
  context_ = context;
  next_.store(0, std::memory_order_relaxed);
  gate_.store_and_wake(gate_.load() + 1);
  take_pieces(0);
  gate_.store(gate_.load() + 1);
  num_active_.wait(options_.spin, [](std::uint32_t active) { return active == 0; });
  running_ = false;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadTeam::take_pieces(int thread) {
  try {
    std::int64_t begin = next_.load(std::memory_order_relaxed);
    while (begin < count_) {
      // Large pieces first, small ones last: few hand-outs, and all threads end close together.
      const std::int64_t share = (count_ - begin) / (2 * std::int64_t{options_.num_threads});
      const std::int64_t size = std::max(share / grain_ * grain_, grain_);
      const std::int64_t end = std::min(begin + size, count_);
      if (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      piece_(context_, begin, end, thread);
      begin = next_.load(std::memory_order_relaxed);
    }
  } catch (...) {
    next_.store(count_, std::memory_order_relaxed);
    const std::lock_guard lock(failure_mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void ThreadTeam::run_worker(int thread) {
  const std::vector<int> anywhere;
  const auto index = static_cast<std::size_t>(thread);
  set_up_thread(index < options_.affinity.size() ? options_.affinity[index] : anywhere,
                fmt::format("{}.{}", options_.name, thread));
  std::uint32_t last = 0;
  while (true) {
    const std::uint32_t gate =
        gate_.wait(options_.spin, [&](std::uint32_t g) { return g % 2 == 1 && g != last; });
    if (stopping_.load()) return;
    // First say so, then look again: either the leader sees this worker active, or this worker sees
    // the gate closed.
    num_active_.add(1);
    if (gate_.load() == gate) take_pieces(thread);
    if (num_active_.subtract(1) == 0) num_active_.wake();
    last = gate;
  }
}

}  // namespace fastchat::device
