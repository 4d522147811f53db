// cpu devices: sets of cores with worker threads, a memory limit, and streams that run ops on all
// of the set.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/choose_text.h"
#include "device/device.h"

namespace fastchat::device {

/// Instruction sets that kernels are compiled for, in order of preference within an architecture.
/// `generic` is plain C++ and is there on every machine.
enum class CpuIsa : std::uint8_t { generic, avx2, avx512, avx512_bf16, neon, neon_bf16 };

std::string_view to_string(CpuIsa isa);

/// Instruction sets this machine can run, best first; `generic` is always the last. AVX2 here means
/// AVX2, FMA and F16C; AVX-512 means F, BW, DQ and VL, its bf16 level also BF16 and VNNI; NEON
/// means ARMv8.2 with fp16 arithmetic and dot products.
std::vector<CpuIsa> supported_cpu_isas();

/// The instruction set kernels use: the best supported one, or FASTCHAT_CPU_ISA
/// (generic|avx2|avx512|avx512_bf16|neon|neon_bf16) when set. Throws Failure when that names one
/// which this machine cannot run. Logged once.
CpuIsa default_cpu_isa();

struct CpuPlatformOptions {
  int num_devices = 1;
  /// Logical cores to use; empty = one per physical core of the process's affinity mask, cgroup
  /// quota respected.
  std::vector<int> cores;
  /// Memory limits: one value for every device, or one per device; empty = an equal share of the
  /// memory that is available now.
  std::vector<std::uint64_t> memory_limits_bytes;
  std::optional<CpuIsa> isa;       // nullopt = default_cpu_isa()
  ChooseText choose = in_english;  // of names, details and the warning
};

/// The cores are dealt out to the devices in contiguous runs; with more devices than cores they
/// share, with one warning, and their barriers sleep instead of spin.
std::unique_ptr<Platform> create_cpu_platform(const CpuPlatformOptions& options);

/// What create_cpu_platform opens; its streams are CpuStreams.
class CpuDevice : public Device {
 public:
  /// What CpuTeam says to every task, for those who choose kernels or layouts before there is one.
  virtual CpuIsa isa() const = 0;
  virtual int num_threads() const = 0;
};

/// The threads of one cpu device working on one task. Passed to every task of a CpuStream.
class CpuTeam {
 public:
  virtual ~CpuTeam() = default;
  virtual int num_threads() const = 0;
  virtual CpuIsa isa() const = 0;
  /// How long a task that waits for another device polls before it sleeps.
  virtual std::chrono::microseconds spin() const = 0;

  /// Runs body(begin, end, thread) over contiguous pieces that cover [0, count), on all threads,
  /// and returns when all are done. Pieces are multiples of `grain` but for the last; they are
  /// handed out so that a slow core gets fewer. A body should not throw; if one does, the pieces
  /// not yet taken are dropped and the exception leaves parallel_for. No parallel_for inside a
  /// piece. What a piece computes must not depend on where pieces begin (batch and thread
  /// invariance).
  template <typename Body>
  void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
    run_pieces(
        count,
        grain,
        [](void* context, std::int64_t begin, std::int64_t end, int thread) {
          (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

  /// At least `size_bytes` of scratch of one thread, aligned to 64, kept between tasks and grown
  /// when needed. Contents are undefined at the start of a task. Call from that thread (the
  /// `thread` of a piece) only.
  virtual void* scratch(int thread, std::size_t size_bytes) = 0;

 protected:
  using Piece = void (*)(void* context, std::int64_t begin, std::int64_t end, int thread);
  virtual void run_pieces(std::int64_t count, std::int64_t grain, Piece piece, void* context) = 0;
};

/// The cpu device's stream: a queue of tasks that one leader thread runs, in order, with its
/// device's team.
class CpuStream : public Stream {
 public:
  /// Largest task (captured arguments) in bytes; larger ones do not compile. Enqueueing allocates
  /// nothing.
  static constexpr std::size_t kMaxTaskBytes = 512;

  /// Enqueues task(CpuTeam&). Blocks while the queue is full. A task that throws stops the stream's
  /// work up to the next synchronize(), or to the Event::synchronize() behind it, which rethrows as
  /// Failure.
  template <typename Task>
  void enqueue(Task task) {
    static_assert(sizeof(Task) <= kMaxTaskBytes, "a task's arguments must fit its queue slot");
    static_assert(std::is_trivially_copyable_v<Task>,
                  "tasks are copied into graphs and never destroyed");
    push([](const void* stored, CpuTeam& team) { (*static_cast<const Task*>(stored))(team); },
         &task,
         sizeof(Task));
  }

  /// `hook` is called with the reason when the stream's work stops because of a failure, before
  /// what is enqueued behind it is dropped: those who wait for that work elsewhere can be told. On
  /// the leader's thread. Set it while the stream is idle; empty = none.
  virtual void on_failure(std::function<void(const std::string& reason)> hook) = 0;

 protected:
  using Run = void (*)(const void* stored, CpuTeam& team);
  virtual void push(Run run, const void* task, std::size_t size_bytes) = 0;
};

}  // namespace fastchat::device
