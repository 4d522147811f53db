#include "device/stub/stub_device.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace fastchat::device {
namespace {

constexpr std::size_t kAlignment = 64;

// A port guarantees: what is on the account is exactly what Device::allocate gave and Buffer has
// not yet returned, from whichever thread; it outlives the opened device, because the platform
// shows it too.
struct Account {
  explicit Account(std::uint64_t limit) : limit_bytes(limit) {}
  const std::uint64_t limit_bytes;
  std::atomic<std::uint64_t> allocated_bytes{0};

  MemoryInfo info() const {
    const std::uint64_t allocated = allocated_bytes.load();
    return {limit_bytes, limit_bytes - allocated, allocated};
  }
};

// A port guarantees: an event refers to its latest recording; never recorded counts as reached;
// recording again while the earlier recording is pending leaves those who already wait for the
// earlier one waiting for that one. Any thread may call.
class StubEvent final : public Event {
 public:
  // A port guarantees: returns only when all work before the recording is done and its results can
  // be read by the host and by work that follows; throws Failure with the device's own words if
  // some of that work failed.
  void synchronize() override {}
  // A port guarantees: never blocks; failed work counts as reached.
  bool query() override { return true; }
};

// A port guarantees: work runs in the order it was enqueued, each piece seeing what those before it
// wrote. Calls return before the work is done where the device can; nothing is allocated per call
// in a steady state; pointers are checked by the caller, sizes of zero are allowed and do nothing
// (then pointers may be null).
class StubStream final : public Stream {
 public:
  explicit StubStream(Device& device) : device_(device) {}

  Device& device() override { return device_; }

  // A port guarantees: reached after all work enqueued on this stream so far, and not before.
  void record(Event& event) override { require_own_kind(event); }

  // A port guarantees: work enqueued later on this stream starts after the recording that is the
  // latest now, whatever device of this kind recorded it. The host does not block. A failure before
  // the event fails this stream's later work as well, with the same message.
  void wait(Event& event) override { require_own_kind(event); }

  // A port guarantees: everything enqueued is done when it returns; a failure is thrown once, and
  // work enqueued afterwards runs.
  void synchronize() override {}

  // A port guarantees: the source is read before synchronize() returns and may be pageable memory.
  // If the vendor's call is synchronous for pageable memory, it must still come after the work
  // enqueued before it.
  void copy_from_host(void* destination, const void* source, std::size_t size_bytes) override {
    copy(destination, source, size_bytes);
  }

  // A port guarantees: the destination is complete once an event recorded after the copy has been
  // reached.
  void copy_to_host(void* destination, const void* source, std::size_t size_bytes) override {
    copy(destination, source, size_bytes);
  }

  // A port guarantees: any alignment and size.
  void copy(void* destination, const void* source, std::size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(destination, source, size_bytes);
  }

  // A port guarantees: works for every pair of its devices; where can_access_peer() says no,
  // through host memory.
  void copy_from_peer(void* destination,
                      const void* source,
                      Device& source_device,
                      std::size_t size_bytes) override {
    check(source_device.info().kind == DeviceKind::stub,
          "stub: copy_from_peer from a device of kind {}",
          to_string(source_device.info().kind));
    copy(destination, source, size_bytes);
  }

  // A port guarantees: any alignment and size.
  void fill(void* destination, std::uint8_t value, std::size_t size_bytes) override {
    if (size_bytes > 0) std::memset(destination, value, size_bytes);
  }

  // begin_capture and end_capture stay as Stream has them: UnsupportedOp. A port with graphs
  // guarantees: nothing runs while capturing; every launch runs all of it, in order, behind what
  // the stream holds; record, wait and synchronize inside a capture throw Failure; the graph may be
  // dropped once it was launched.

 private:
  static void require_own_kind(Event& event) {
    check(dynamic_cast<StubEvent*>(&event) != nullptr,
          "stub: this event belongs to another kind of device");
  }

  Device& device_;
};

// A port guarantees: methods may be called from any thread, also where the vendor's current device
// is a property of the thread; two opened devices do not see each other's memory limits.
class StubDevice final : public Device {
 public:
  StubDevice(DeviceInfo info, std::shared_ptr<Account> account)
      : info_(std::move(info)), account_(std::move(account)) {}

  const DeviceInfo& info() const override { return info_; }

  // A port guarantees: what is true now. free = what one allocation could get, other processes' use
  // counted.
  MemoryInfo memory() const override { return account_->info(); }

  // A port guarantees: at least a handful of streams per device, each with an order of its own.
  std::unique_ptr<Stream> create_stream() override { return std::make_unique<StubStream>(*this); }
  std::unique_ptr<Event> create_event() override { return std::make_unique<StubEvent>(); }

  // A port guarantees: memory the host can read and write, which copies run fastest from and to;
  // not on the account.
  Buffer allocate_host(std::size_t size_bytes) override {
    if (size_bytes == 0) return Buffer(*this, nullptr, 0);
    void* const data = allocate_aligned(size_bytes);
    if (data == nullptr)
      throw OutOfMemory(fmt::format("stub: no host buffer of {}", format_bytes(size_bytes)));
    const std::lock_guard lock(host_blocks_mutex_);
    host_blocks_.insert(data);
    return Buffer(*this, data, size_bytes);
  }

  // A port guarantees: symmetric, and true only if copies go from card to card.
  bool can_access_peer(const Device& other) const override {
    return other.info().kind == DeviceKind::stub;
  }

 protected:
  // A port guarantees: 64 bytes of alignment or more; the limit is kept exactly; OutOfMemory names
  // the purpose, what was asked, allocated and free, the limit, and what to do; after it the device
  // works as before.
  void* allocate_bytes(std::size_t size_bytes, std::string_view purpose) override {
    std::uint64_t allocated = account_->allocated_bytes.load();
    bool fits = false;
    do {
      fits = size_bytes <= account_->limit_bytes - allocated;
    } while (fits &&
             !account_->allocated_bytes.compare_exchange_weak(allocated, allocated + size_bytes));
    void* const data = fits ? allocate_aligned(size_bytes) : nullptr;
    if (data != nullptr) return data;
    if (fits) account_->allocated_bytes.fetch_sub(size_bytes);
    const MemoryInfo now = account_->info();
    throw OutOfMemory(
        fmt::format("stub {}: no room for {}: asked {}, allocated {}, free {} of a limit of {}; "
                    "raise the limit",
                    info_.index,
                    purpose,
                    format_bytes(size_bytes),
                    format_bytes(now.allocated_bytes),
                    format_bytes(now.free_bytes),
                    format_bytes(now.total_bytes)));
  }

  // A port guarantees: does not throw, not even when the device is lost.
  void free_bytes(void* data, std::size_t size_bytes) noexcept override {
    bool is_host_block = false;
    {
      const std::lock_guard lock(host_blocks_mutex_);
      is_host_block = host_blocks_.erase(data) > 0;
    }
    std::free(data);
    if (!is_host_block) account_->allocated_bytes.fetch_sub(size_bytes);
  }

 private:
  static void* allocate_aligned(std::size_t size_bytes) {
    if (size_bytes > SIZE_MAX - kAlignment) return nullptr;
    return std::aligned_alloc(kAlignment, (size_bytes + kAlignment - 1) / kAlignment * kAlignment);
  }

  const DeviceInfo info_;
  const std::shared_ptr<Account> account_;
  std::mutex host_blocks_mutex_;
  std::unordered_set<void*> host_blocks_;
};

class StubPlatform final : public Platform {
 public:
  explicit StubPlatform(const StubPlatformOptions& options) {
    for (int index = 0; index < options.num_devices; ++index)
      accounts_.push_back(std::make_shared<Account>(options.memory_limit_bytes));
  }

  DeviceKind kind() const override { return DeviceKind::stub; }

  // A port guarantees: answers on any machine without throwing; 0 where driver, library or card is
  // missing.
  int num_devices() override { return static_cast<int>(accounts_.size()); }

  // A port guarantees: names what is missing and how to get it, in one line.
  std::string unavailable_reason() override {
    return accounts_.empty() ? "stub: created with no devices" : "";
  }

  // A port guarantees: index counts what the vendor's visibility variable leaves; physical_index is
  // the card's number as the vendor's tools print it. Nothing is opened: another process's
  // exclusive card can be described.
  DeviceInfo describe(int index) override {
    account(index);
    return {.kind = DeviceKind::stub,
            .index = index,
            .physical_index = index,
            .name = "stub",
            .details = "runs as enqueued"};
  }

  MemoryInfo memory(int index) override { return account(index)->info(); }

  // A port guarantees: the vendor's context is made here and lives as long as the device; a card
  // that does not open gives a Failure with its index and the vendor's message.
  std::unique_ptr<Device> open(int index) override {
    return std::make_unique<StubDevice>(describe(index), account(index));
  }

 private:
  const std::shared_ptr<Account>& account(int index) const {
    check(index >= 0 && index < static_cast<int>(accounts_.size()),
          "stub {} does not exist: there are {} stub devices, numbered from 0",
          index,
          accounts_.size());
    return accounts_[static_cast<std::size_t>(index)];
  }

  std::vector<std::shared_ptr<Account>> accounts_;
};

}  // namespace

std::unique_ptr<Platform> create_stub_platform(const StubPlatformOptions& options) {
  return std::make_unique<StubPlatform>(options);
}

}  // namespace fastchat::device
