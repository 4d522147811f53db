// The cpu platform and its devices: cores dealt out, an account of memory each, a team of threads
// each.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/cpu_topology.h"
#include "device/cpu/host_memory.h"
#include "device/cpu/queued_stream.h"
#include "device/cpu/stream_event.h"
#include "device/cpu/thread_team.h"

namespace fastchat::device {
namespace {

// Long enough to bridge the gap between two operations of a step, short enough that an idle server
// costs nothing.
constexpr std::chrono::microseconds kSpin{40};

// What a device is made of; shared by the platform's listing and the opened device.
struct CpuDevicePlan {
  DeviceInfo info;
  ThreadTeamOptions team;
  std::shared_ptr<MemoryAccount> account;
};

MemoryInfo memory_info(const MemoryAccount& account) {
  const std::uint64_t allocated = account.allocated_bytes();
  const std::uint64_t limit = account.limit_bytes();
  return {.total_bytes = account.total_bytes(),
          .free_bytes = std::min(limit - std::min(allocated, limit), host_memory().available_bytes),
          .allocated_bytes = allocated};
}

class TeamDevice final : public CpuDevice {
 public:
  explicit TeamDevice(CpuDevicePlan plan)
      : info_(std::move(plan.info)),
        account_(std::move(plan.account)),
        team_(std::move(plan.team)) {}

  ~TeamDevice() override {
    if (!host_blocks_.empty())
      log::error("{}: closed with {} host buffers still held", label(), host_blocks_.size());
  }

  const DeviceInfo& info() const override { return info_; }
  MemoryInfo memory() const override { return memory_info(*account_); }
  CpuIsa isa() const override { return team_.isa(); }
  int num_threads() const override { return team_.num_threads(); }

  std::unique_ptr<Stream> create_stream() override {
    return std::make_unique<QueuedStream>(*this, team_, fmt::format("cpu{}", info_.index));
  }
  std::unique_ptr<Event> create_event() override { return std::make_unique<StreamEvent>(); }

  Buffer allocate_host(std::size_t size_bytes) override {
    if (size_bytes == 0) return Buffer(*this, nullptr, 0);
    void* const data = allocate_host_memory(size_bytes);
    if (data == nullptr)
      throw OutOfMemory(fmt::format("{}: no host buffer of {}; the machine has {} available",
                                    label(),
                                    format_bytes(size_bytes),
                                    format_bytes(host_memory().available_bytes)));
    const std::lock_guard lock(host_blocks_mutex_);
    host_blocks_.insert(data);
    return Buffer(*this, data, size_bytes);
  }

  bool can_access_peer(const Device& other) const override {
    return other.info().kind == DeviceKind::cpu;
  }

 protected:
  void* allocate_bytes(std::size_t size_bytes, std::string_view purpose) override {
    if (!account_->take(size_bytes)) refuse(size_bytes, purpose);
    // The system promises more than it has and kills later; asking first turns that into a message.
    // Small blocks are not worth reading /proc for.
    const bool has_room =
        size_bytes < kHugeBlockBytes || size_bytes <= host_memory().available_bytes;
    void* const data = has_room ? allocate_host_memory(size_bytes) : nullptr;
    if (data == nullptr) {
      account_->give_back(size_bytes);
      refuse(size_bytes, purpose);
    }
    return data;
  }

  void free_bytes(void* data, std::size_t size_bytes) noexcept override {
    bool is_host_block = false;
    {
      const std::lock_guard lock(host_blocks_mutex_);
      is_host_block = host_blocks_.erase(data) > 0;
    }
    free_host_memory(data, size_bytes);
    if (!is_host_block) account_->give_back(size_bytes);
  }

 private:
  std::string label() const { return fmt::format("cpu {}", info_.index); }

  [[noreturn]] void refuse(std::size_t size_bytes, std::string_view purpose) const {
    const MemoryInfo memory = memory_info(*account_);
    throw OutOfMemory(fmt::format(
        "{}: no room for {}: asked {}, allocated {}, free {} of a limit of {}; raise the limit "
        "(--max-gpu-memory), use more devices, or promise less context (--max-model-len)",
        label(),
        purpose,
        format_bytes(size_bytes),
        format_bytes(memory.allocated_bytes),
        format_bytes(memory.free_bytes),
        format_bytes(account_->limit_bytes())));
  }

  const DeviceInfo info_;
  const std::shared_ptr<MemoryAccount> account_;
  ThreadTeam team_;
  std::mutex host_blocks_mutex_;
  std::unordered_set<void*> host_blocks_;  // of allocate_host: not on the account
};

class CpuPlatform final : public Platform {
 public:
  explicit CpuPlatform(std::vector<CpuDevicePlan> plans) : plans_(std::move(plans)) {}

  DeviceKind kind() const override { return DeviceKind::cpu; }
  int num_devices() override { return static_cast<int>(plans_.size()); }
  std::string unavailable_reason() override { return {}; }
  DeviceInfo describe(int index) override { return plan(index).info; }
  MemoryInfo memory(int index) override { return memory_info(*plan(index).account); }
  std::unique_ptr<Device> open(int index) override {
    return std::make_unique<TeamDevice>(plan(index));
  }

 private:
  const CpuDevicePlan& plan(int index) const {
    check(index >= 0 && index < static_cast<int>(plans_.size()),
          "cpu {} does not exist: there are {} cpu devices, numbered from 0",
          index,
          plans_.size());
    return plans_[static_cast<std::size_t>(index)];
  }

  const std::vector<CpuDevicePlan> plans_;
};

void require_allowed(const std::vector<int>& wanted, const std::vector<int>& allowed) {
  for (const int core : wanted) {
    check(std::count(wanted.begin(), wanted.end(), core) == 1, "core {} is listed twice", core);
    check(std::find(allowed.begin(), allowed.end(), core) != allowed.end(),
          "core {} is not among those this process may use: {}",
          core,
          format_cores(allowed));
  }
}

// One core per thread where a thread has its core to itself; otherwise all of an explicit list, or
// no restriction.
std::vector<std::vector<int>> thread_affinity(const std::vector<int>& hand,
                                              const std::vector<int>& explicit_cores,
                                              bool pinned) {
  std::vector<std::vector<int>> affinity;
  for (const int core : hand) {
    if (pinned)
      affinity.push_back({core});
    else if (!explicit_cores.empty())
      affinity.push_back(explicit_cores);
  }
  return affinity;
}

}  // namespace

std::unique_ptr<Platform> create_cpu_platform(const CpuPlatformOptions& options) {
  check(options.num_devices >= 1, "cpu: {} devices asked, at least 1 needed", options.num_devices);
  const std::vector<int> allowed = affinity_cores();
  require_allowed(options.cores, allowed);
  const UsableCores usable =
      options.cores.empty() ? usable_cores(allowed) : UsableCores{options.cores, false};
  const CpuIsa isa = options.isa ? *options.isa : default_cpu_isa();
  const std::vector<CpuIsa> supported = supported_cpu_isas();
  check(std::find(supported.begin(), supported.end(), isa) != supported.end(),
        "cpu: this machine does not run {}",
        to_string(isa));

  const bool shared = options.num_devices > static_cast<int>(usable.cores.size());
  if (shared)
    log::warn(fmt::runtime(options.choose(
                  "cpu: {} devices share {} cores: good for trying a placement, not for "
                  "speed",
                  "cpu：{} 个设备共用 {} 个核心：可用来试验放置方式，速度没有意义")),
              options.num_devices,
              usable.cores.size());
  const bool pinned = !shared && !usable.limited_by_quota && !pinning_switched_off();

  const std::vector<std::uint64_t>& limits = options.memory_limits_bytes;
  check(limits.size() <= 1 || limits.size() == static_cast<std::size_t>(options.num_devices),
        "cpu: {} memory limits for {} devices; give one, or one per device",
        limits.size(),
        options.num_devices);
  const auto num_devices = static_cast<std::uint64_t>(options.num_devices);
  const HostMemory host = host_memory();

  const std::string model_name = cpu_model_name();
  const std::vector<std::vector<int>> hands = deal_cores(usable.cores, options.num_devices);
  std::vector<CpuDevicePlan> plans;
  for (int index = 0; index < options.num_devices; ++index) {
    const std::vector<int>& hand = hands[static_cast<std::size_t>(index)];
    const auto num_cores = static_cast<int>(hand.size());
    std::uint64_t total = host.total_bytes / num_devices;
    std::uint64_t limit = host.available_bytes / num_devices;
    if (!limits.empty())
      total = limit = limits[limits.size() == 1 ? 0 : static_cast<std::size_t>(index)];
    plans.push_back(
        {.info = {.kind = DeviceKind::cpu,
                  .index = index,
                  .physical_index = hand.front(),
                  .name = fmt::format(
                      fmt::runtime(options.choose(num_cores == 1 ? "{}, {} core" : "{}, {} cores",
                                                  "{}，{} 个核心")),
                      model_name,
                      num_cores),
                  .details = fmt::format(
                      fmt::runtime(options.choose(
                          num_cores == 1 ? "{}, core {}{}" : "{}, cores {}{}", "{}，核心 {}{}")),
                      to_string(isa),
                      format_cores(hand),
                      shared   ? options.choose(", shared", "，共用")
                      : pinned ? options.choose(", pinned", "，已绑定")
                               : std::string_view()),
                  .num_cores = shared ? static_cast<double>(usable.cores.size()) /
                                            static_cast<double>(options.num_devices)
                                      : static_cast<double>(num_cores)},
         .team = {.num_threads = num_cores,
                  .affinity = thread_affinity(hand, options.cores, pinned),
                  .spin = shared ? std::chrono::microseconds{0} : kSpin,
                  .isa = isa,
                  .name = fmt::format("cpu{}", index)},
         .account = std::make_shared<MemoryAccount>(total, limit)});
  }
  return std::make_unique<CpuPlatform>(std::move(plans));
}

}  // namespace fastchat::device
