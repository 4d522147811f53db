// cpu devices for op tests, and a stream that runs tasks on a team with as many threads, and as odd
// pieces, as a test wants.
#pragma once

#include "device/cpu/cpu_device.h"
#include "ops/cases/op_case.h"
#include "ops/cpu/cpu_ops.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace fastchat::ops {

#if defined(FASTCHAT_EMULATED_KERNELS)
namespace cpu::avx512_bf16_emulated {
extern const Kernels kKernels;
}
#endif

/// The kernels of every instruction set of this machine, best first; then those of avx512_bf16 with
/// its instructions emulated, for machines without them. The latter need SIMDe at build time.
inline std::vector<const cpu::Kernels*> every_kernels() {
  std::vector<const cpu::Kernels*> all;
  for (const device::CpuIsa isa : device::supported_cpu_isas())
    all.push_back(&cpu::kernels_of(isa));
#if defined(FASTCHAT_EMULATED_KERNELS)
  all.push_back(&cpu::avx512_bf16_emulated::kKernels);
#endif
  return all;
}

/// A cpu device with its vectorised operations.
struct CpuFixture {
  explicit CpuFixture(const cpu::Kernels& kernels = cpu::kernels_of(device::default_cpu_isa()))
      : platform(device::create_cpu_platform({.memory_limits_bytes = {std::uint64_t{1} << 30}})),
        device(platform->open(0)),
        ops(std::make_unique<CpuOps>(dynamic_cast<device::CpuDevice&>(*device), kernels)) {}

  std::unique_ptr<device::Platform> platform;
  std::unique_ptr<Device> device;
  std::unique_ptr<Ops> ops;
};

/// Claims `num_threads` threads and runs pieces one after another: of random sizes, in random
/// order, on random threads.
class ScrambledTeam final : public device::CpuTeam {
 public:
  ScrambledTeam(int num_threads, device::CpuIsa isa, unsigned seed)
      : isa_(isa), random_(seed), scratch_(static_cast<std::size_t>(num_threads)) {}

  int num_threads() const override { return static_cast<int>(scratch_.size()); }
  device::CpuIsa isa() const override { return isa_; }
  std::chrono::microseconds spin() const override { return {}; }
  void* scratch(int thread, std::size_t size_bytes) override {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    if (scratch.size_bytes < size_bytes) {
      scratch.memory.reset(static_cast<char*>(std::aligned_alloc(64, (size_bytes + 63) / 64 * 64)));
      scratch.size_bytes = size_bytes;
    }
    return scratch.memory.get();
  }

 protected:
  void run_pieces(std::int64_t count, std::int64_t grain, Piece piece, void* context) override {
    std::vector<std::pair<std::int64_t, std::int64_t>> pieces;
    for (std::int64_t begin = 0; begin < count;) {
      const std::int64_t size = grain * std::uniform_int_distribution<std::int64_t>(1, 3)(random_);
      pieces.emplace_back(begin, std::min(begin + size, count));
      begin += size;
    }
    std::shuffle(pieces.begin(), pieces.end(), random_);
    std::uniform_int_distribution<int> any_thread(0, num_threads() - 1);
    for (const auto& [begin, end] : pieces) piece(context, begin, end, any_thread(random_));
  }

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  struct Scratch {
    std::unique_ptr<char, Free> memory;
    std::size_t size_bytes = 0;
  };
  device::CpuIsa isa_;
  std::mt19937 random_;
  std::vector<Scratch> scratch_;
};

/// Runs every task at once, on the calling thread, with a team of the test's choice.
class ImmediateStream final : public device::CpuStream {
 public:
  ImmediateStream(Device& device, device::CpuTeam& team) : device_(device), team_(team) {}

  Device& device() override { return device_; }
  void record(device::Event&) override {}
  void wait(device::Event&) override {}
  void synchronize() override {}
  void copy_from_host(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void copy_from_peer(void* to, const void* from, Device&, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void fill(void* to, std::uint8_t value, std::size_t bytes) override {
    std::memset(to, value, bytes);
  }
  void on_failure(std::function<void(const std::string& reason)>) override {}

 protected:
  void push(Run run, const void* task, std::size_t) override { run(task, team_); }

 private:
  Device& device_;
  device::CpuTeam& team_;
};

}  // namespace fastchat::ops
