#include "device/ascend/npu_device.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "device/ascend/block_pool.h"
#include "device/ascend/cann_error.h"
#include "device/ascend/cann_library.h"
#include "device/ascend/card_address.h"
#include "device/ascend/driver_version.h"
#include "device/ascend/host_facts.h"
#include "device/ascend/host_verdicts.h"
#include "device/ascend/npu_stream.h"
#include "device/ascend/visible_cards.h"
#include "device/cpu/cpu_topology.h"
#include "device/cpu/thread_team.h"

namespace fastchat::device {
namespace ascend {
namespace {

thread_local int bound_card = -1;

void bind_card(int card) {
  if (bound_card == card) return;
  bound_card = -1;
  check_status(FASTCHAT_CANN(aclrtSetDevice)(card), "aclrtSetDevice", std::to_string(card));
  bound_card = card;
}

/// Free and total bytes of the thread's current card.
std::pair<std::uint64_t, std::uint64_t> card_memory() {
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  FASTCHAT_CANN_CALL(aclrtGetMemInfo, ACL_HBM_MEM, &free_bytes, &total_bytes);
  return {free_bytes, total_bytes};
}

DeviceInfo describe_card(int index) {
  const char* const soc = FASTCHAT_CANN(aclrtGetSocName)();
  DeviceInfo info{.kind = DeviceKind::npu,
                  .index = index,
                  .physical_index = physical_card(visible_cards_mask(), index)};
  info.name = soc == nullptr ? "Ascend card" : soc;
  // The 310 family and the first 910 have none; all of 910B and 910_93 do.
  info.has_bf16 = info.name.find("910B") != std::string::npos ||
                  info.name.find("910_9") != std::string::npos ||
                  info.name.find("950") != std::string::npos;
  info.details = fmt::format("card {}, CANN {}", info.physical_index, cann().version_text());
  return info;
}

std::uint64_t limit_of(const NpuPlatformOptions& options, int index) {
  const std::vector<std::uint64_t>& limits = options.memory_limits_bytes;
  if (limits.empty()) return 0;
  if (limits.size() == 1) return limits.front();
  return static_cast<std::size_t>(index) < limits.size() ? limits[static_cast<std::size_t>(index)]
                                                         : 0;
}

/// What this process holds on a card; shared by the platform's listing and the opened device.
struct CardAccount {
  std::uint64_t limit_bytes = 0;  // 0: none
  std::atomic<std::uint64_t> allocated_bytes{0};
};

/// FASTCHAT_CARD_POOL=0: every allocation is one of the runtime's own, so that tools which watch
/// those see each use of freed memory.
bool pools_memory() {
  static const bool kPools = [] {
    const char* const value = std::getenv("FASTCHAT_CARD_POOL");
    return value == nullptr || std::strcmp(value, "0") != 0;
  }();
  return kPools;
}

/// Of the thread's current card; `pooled_bytes` are taken from it and not in use.
MemoryInfo memory_of(const CardAccount& account, std::size_t pooled_bytes = 0) {
  auto [free_bytes, total_bytes] = card_memory();
  free_bytes += pooled_bytes;
  const std::uint64_t allocated = account.allocated_bytes;
  if (const std::uint64_t limit = account.limit_bytes; limit != 0) {
    free_bytes = std::min(free_bytes, limit - std::min(limit, allocated));
    total_bytes = std::min(total_bytes, limit);
  }
  return {.total_bytes = total_bytes, .free_bytes = free_bytes, .allocated_bytes = allocated};
}

class OpenNpuDevice final : public NpuDevice {
 public:
  /// Threads that drive the card run on `near_cores`; empty = wherever the system puts them.
  OpenNpuDevice(DeviceInfo info, std::shared_ptr<CardAccount> account, std::vector<int> near_cores)
      : NpuDevice(std::move(info)),
        account_(std::move(account)),
        near_cores_(std::move(near_cores)) {
    bind();
  }
  ~OpenNpuDevice() override {
    if (const std::uint64_t held = account_->allocated_bytes; held != 0)
      log::error("npu {}: closed with {} still held", info_.index, format_bytes(held));
  }

  const DeviceInfo& info() const override { return info_; }
  MemoryInfo memory() const override {
    bind();
    return memory_of(*account_, pooled_bytes());
  }
  bool has_graphs() const override { return true; }
  bool graphs_take_lengths() const override {
    if (!cann().has(Feature::graphs)) return true;  // calls are made again, with other lengths
    constexpr DriverVersion kFirst{.major = 25, .minor = 0, .is_release = false, .number = 1};
    const auto driver = parse_driver_version(cann().driver_version_text());
    return cann().has(Feature::graph_updates) && (!driver || *driver >= kFirst);
  }

  void prepare_thread() override {
    set_up_thread(near_cores_, fmt::format("npu.{}", info_.index));
    bind();
  }

  std::unique_ptr<Stream> create_stream() override { return std::make_unique<NpuStream>(*this); }
  std::unique_ptr<Event> create_event() override { return std::make_unique<NpuEvent>(*this); }

  void reserve(std::size_t size_bytes, std::string_view purpose) override {
    if (size_bytes == 0 || !pools_memory()) return;
    bind();
    const std::uint64_t limit = account_->limit_bytes;
    const bool within_limit =
        limit == 0 ||
        size_bytes <= limit - std::min<std::uint64_t>(limit, account_->allocated_bytes);
    aclError status = ACL_ERROR_RT_MEMORY_ALLOCATION;
    if (within_limit) {
      const std::lock_guard lock(mutex_);
      if (pool_.reserve(size_bytes)) return;
      status = last_status_;
    }
    no_room(size_bytes, purpose, status);
  }

  Buffer allocate_host(std::size_t size_bytes) override {
    if (size_bytes == 0) return {*this, nullptr, 0};
    bind();
    void* data = nullptr;
    const aclError status = FASTCHAT_CANN(aclrtMallocHost)(&data, size_bytes);
    if (status != ACL_SUCCESS)
      throw OutOfMemory(describe_failure(status, "aclrtMallocHost", format_bytes(size_bytes)));
    const std::lock_guard lock(mutex_);
    host_blocks_.insert(data);
    return {*this, data, size_bytes};
  }

  bool can_access_peer(const Device& other) const override {
    if (other.info().kind != DeviceKind::npu) return false;
    if (other.info().index == info_.index) return true;
    bind();
    int32_t can = 0;
    FASTCHAT_CANN_CALL(aclrtDeviceCanAccessPeer, &can, info_.index, other.info().index);
    return can != 0;
  }

 protected:
  void* allocate_bytes(std::size_t size_bytes, std::string_view purpose) override {
    bind();
    const std::uint64_t limit = account_->limit_bytes;
    const std::uint64_t before = account_->allocated_bytes.fetch_add(size_bytes);
    const bool within_limit = limit == 0 || (before <= limit && size_bytes <= limit - before);
    aclError status = ACL_ERROR_RT_MEMORY_ALLOCATION;
    if (within_limit) {
      const std::lock_guard lock(mutex_);
      void* const data = pools_memory() ? pool_.allocate(size_bytes) : take_block(size_bytes);
      if (data != nullptr) return data;
      status = last_status_;
    }
    account_->allocated_bytes -= size_bytes;
    no_room(size_bytes, purpose, status);
  }

  [[noreturn]] void no_room(std::size_t size_bytes,
                            std::string_view purpose,
                            aclError status) const {
    const MemoryInfo now = memory();
    std::string text = fmt::format(
        "npu {}: no room for {}: asked {}, allocated {}, free {} of {}; promise less context "
        "(--max-model-len), use more cards (--num-gpus), or see who holds the rest with npu-smi "
        "info",
        info_.index,
        purpose,
        format_bytes(size_bytes),
        format_bytes(now.allocated_bytes),
        format_bytes(now.free_bytes),
        format_bytes(now.total_bytes));
    if (status != ACL_ERROR_RT_MEMORY_ALLOCATION)
      text += "\n" + describe_failure(status, "aclrtMalloc");
    throw OutOfMemory(text);
  }

  void free_bytes(void* data, std::size_t size_bytes) noexcept override {
    try {
      bind();
      bool is_host_block = false;
      {
        const std::lock_guard lock(mutex_);
        is_host_block = host_blocks_.erase(data) > 0;
        if (!is_host_block) {
          account_->allocated_bytes -= size_bytes;
          if (pools_memory())
            pool_.free(data);
          else
            give_back(data);
        }
      }
      if (is_host_block) FASTCHAT_CANN_CALL(aclrtFreeHost, data);
    } catch (const std::exception& failure) {
      log::error("npu {}: {}", info_.index, failure.what());
    }
  }

 private:
  /// nullptr: last_status_ says why. The card is the thread's.
  void* take_block(std::size_t size_bytes) {
    void* data = nullptr;
    last_status_ = FASTCHAT_CANN(aclrtMalloc)(&data, size_bytes, ACL_MEM_MALLOC_HUGE_FIRST);
    return last_status_ == ACL_SUCCESS ? data : nullptr;
  }
  static void give_back(void* data) { FASTCHAT_CANN_CALL(aclrtFree, data); }
  std::size_t pooled_bytes() const {
    const std::lock_guard lock(mutex_);
    return pool_.free_bytes();
  }

  const std::shared_ptr<CardAccount> account_;
  const std::vector<int> near_cores_;
  mutable std::mutex mutex_;
  std::unordered_set<void*> host_blocks_;  // of allocate_host: not on the account
  aclError last_status_ = ACL_SUCCESS;     // of take_block
  BlockPool pool_{[this](std::size_t size_bytes) { return take_block(size_bytes); }, give_back};
};

class NpuPlatform final : public Platform {
 public:
  explicit NpuPlatform(NpuPlatformOptions options) : options_(std::move(options)) {}

  DeviceKind kind() const override { return DeviceKind::npu; }

  int num_devices() override {
    if (CannLibrary::load() == nullptr) return 0;
    std::uint32_t count = 0;
    const aclError status = FASTCHAT_CANN(aclrtGetDeviceCount)(&count);
    if (status != ACL_SUCCESS) {
      reason_ = describe_failure(status, "aclrtGetDeviceCount");
      return 0;
    }
    reason_.clear();
    return static_cast<int>(count);
  }

  std::string unavailable_reason() override {
    if (num_devices() > 0) return {};
    // Without a card there is at least one finding.
    return judge(read_host_facts(this_host()), ask_runtime(), options_.choose).front().text;
  }

  Diagnosis diagnose() override {
    const HostFacts facts = read_host_facts(this_host());
    const RuntimeState runtime = ask_runtime();
    return {.facts = list_facts(facts, runtime, options_.choose),
            .findings = judge(facts, runtime, options_.choose)};
  }

  DeviceInfo describe(int index) override {
    require_index(index);
    return describe_card(index);
  }

  MemoryInfo memory(int index) override {
    require_index(index);
    bind_card(index);
    return memory_of(*account(index));
  }

  std::unique_ptr<Device> open(int index) override {
    require_index(index);
    DeviceInfo info = describe_card(index);
    std::vector<int> near_cores = cores_of(info);
    return std::make_unique<OpenNpuDevice>(std::move(info), account(index), std::move(near_cores));
  }

 private:
  void require_index(int index) {
    const int count = num_devices();
    check(index >= 0 && index < count,
          "npu {} does not exist: there are {} visible npu devices, numbered from 0{}{}",
          index,
          count,
          count == 0 ? "; " : "",
          count == 0 ? unavailable_reason() : "");
  }

  std::vector<int> cores_of(const DeviceInfo& info) const {
    if (pinning_switched_off()) return {};
    std::vector<int> cores = cores_near(
        card_address(info.index, info.physical_index), affinity_cores(), options_.system_root);
    if (!cores.empty())
      log::info("npu {}: its thread runs on cores {}", info.index, format_cores(cores));
    return cores;
  }

  RuntimeState ask_runtime() {
    RuntimeState state;
    const int num_cards = num_devices();
    if (CannLibrary::load() == nullptr) {
      state.failure = CannLibrary::why_not();
      return state;
    }
    if (num_cards == 0) state.failure = reason_.empty() ? "aclrtGetDeviceCount gives 0" : reason_;
    state.cann_version_text = cann().version_text();
    state.cann_path = cann().path();
    state.driver_version = cann().driver_version_text();
    if (const char* const soc = FASTCHAT_CANN(aclrtGetSocName)(); soc != nullptr) state.soc = soc;
    for (int index = 0; index < num_cards; ++index) {
      CardState card{.physical_index = describe_card(index).physical_index};
      try {
        const MemoryInfo now = memory(index);
        card.total_bytes = now.total_bytes;
        card.free_bytes = now.free_bytes;
        card.allocated_bytes = now.allocated_bytes;
      } catch (const Failure& failure) {
        card.failure = failure.what();
      }
      state.cards.push_back(card);
    }
    return state;
  }

  std::shared_ptr<CardAccount> account(int index) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<CardAccount>& account = accounts_[index];
    if (!account) {
      account = std::make_shared<CardAccount>();
      account->limit_bytes = limit_of(options_, index);
    }
    return account;
  }

  const NpuPlatformOptions options_;
  std::string reason_;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<CardAccount>> accounts_;
};

}  // namespace

bool launches_block() {
  static const bool kBlocks = [] {
    for (const char* name : {"FASTCHAT_LAUNCH_BLOCKING", "ASCEND_LAUNCH_BLOCKING"})
      if (const char* value = std::getenv(name); value != nullptr && std::strcmp(value, "1") == 0)
        return true;
    return false;
  }();
  return kBlocks;
}

void NpuDevice::bind() const { bind_card(info_.index); }

void NpuDevice::enable_peer(const NpuDevice& other) const {
  static std::mutex mutex;
  static std::set<std::pair<int, int>> enabled;
  const int card = info_.index;
  const int peer = other.info_.index;
  const std::lock_guard lock(mutex);
  // The runtime wants both directions, each told from its own card.
  if (!enabled.insert(std::minmax(card, peer)).second) return;
  const auto enable = [](int from, int towards) {
    bind_card(from);
    check_status(FASTCHAT_CANN(aclrtDeviceEnablePeerAccess)(towards, 0),
                 "aclrtDeviceEnablePeerAccess",
                 fmt::format("card {} towards card {}", from, towards));
  };
  enable(peer, card);
  enable(card, peer);
}

}  // namespace ascend

std::unique_ptr<Platform> create_npu_platform(const NpuPlatformOptions& options) {
  return std::make_unique<ascend::NpuPlatform>(options);
}

}  // namespace fastchat::device
