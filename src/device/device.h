// The runtime seam: what every kind of device offers, and nothing of any vendor.
// One implementation per kind (cpu/, ascend/, later cuda/); stub/ shows the least one can be.
//
// Work is enqueued on streams and runs later, in order within a stream. Two streams are ordered
// only by events. Host threads may call any method of different objects at once; one Stream is used
// by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "device/tensor.h"

namespace fastchat::device {

class Device;
class Stream;

enum class DeviceKind : std::uint8_t { cpu, npu, cuda, stub };

/// "cpu", "npu", "cuda", "stub": FastChat's words for --device.
std::string_view to_string(DeviceKind kind);

struct DeviceInfo {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;           // position among the visible devices of this kind; the rank order
  int physical_index = 0;  // the vendor's number of the card; for cpu the first core
  std::string name;        // "Intel(R) Xeon(R) …, 1 core", "Ascend910B1"
  std::string details;     // instruction set, driver and runtime versions
  bool has_bf16 = true;    // operations take bf16
  /// Cores of a cpu device, its part of one where devices share them; 0 = unknown.
  double num_cores = 0.0;
};

struct MemoryInfo {
  std::uint64_t total_bytes = 0;      // what the device has, or the limit given for it
  std::uint64_t free_bytes = 0;       // what an allocation could get now
  std::uint64_t allocated_bytes = 0;  // what this process holds through Device::allocate
};

/// What is installed for a kind of device: {"driver_version", "driver", "25.2.0"}.
struct Fact {
  std::string key;    // stable, for programs
  std::string label;  // for people
  std::string value;
};

/// Something that keeps devices of a kind from working, or that their user should know.
struct Finding {
  std::string code;     // stable, for programs: "no_permission"
  bool blocks = false;  // devices do not work before it is mended
  std::string text;     // one line: what is wrong and what to do
};

struct Diagnosis {
  std::vector<Fact> facts;
  std::vector<Finding> findings;  // most likely cause first
};

/// Memory of one device, freed with its owner. Move-only. Freeing is stream-ordered by the owner's
/// care: the last work that uses it has completed, or runs on the stream that the next user runs
/// on.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, void* data, std::size_t size_bytes)
      : device_(&device), data_(data), size_bytes_(size_bytes) {}
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void reset();
  bool empty() const { return data_ == nullptr; }
  void* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  Device* device() const { return device_; }
  /// A dense view of the bytes from `offset_bytes` on.
  TensorView view(DType dtype,
                  std::initializer_list<std::int64_t> shape,
                  std::size_t offset_bytes = 0) const;

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

/// A point in a stream that other streams and hosts can wait for. Reusable: recording again moves
/// it.
class Event {
 public:
  virtual ~Event() = default;
  /// Blocks the calling thread until the last recording has been reached. Returns at once if never
  /// recorded. Throws Failure if work before it failed.
  virtual void synchronize() = 0;
  /// True once the last recording has been reached (or nothing was recorded).
  virtual bool query() = 0;
};

/// Work captured from a stream, to be run again at the cost of one call. Pointers in it must stay
/// valid.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Enqueues the captured work on `stream`, which belongs to the device that captured it.
  virtual void launch(Stream& stream) = 0;
  /// Attention that was captured for lengths that may change (ops::AttentionMetadata) sees so many
  /// positions of each sequence from the next launch on. What that takes is enqueued on `updates`,
  /// another stream of the device: it is to wait for the last launch's work, and the next launch's
  /// for it. Nothing to do where operations read lengths from device memory. Throws Failure; the
  /// graph is of no use then.
  virtual void set_lengths(Stream& /*updates*/, std::span<const std::int32_t> /*context_lens*/) {}
};

/// An ordered queue of work on one device. One thread at a time uses it.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device& device() = 0;

  /// Marks `event` as reached when all work enqueued so far is done.
  virtual void record(Event& event) = 0;
  /// Later work on this stream waits for `event`, which may belong to another device of the same
  /// kind.
  virtual void wait(Event& event) = 0;
  /// Blocks the calling thread until all enqueued work is done. Throws Failure if some of it
  /// failed; the stream is usable afterwards.
  virtual void synchronize() = 0;

  /// Copies `size_bytes` to this stream's device from host memory that stays valid until the copy
  /// is done.
  virtual void copy_from_host(void* destination, const void* source, std::size_t size_bytes) = 0;
  /// Copies `size_bytes` from this stream's device to host memory that stays valid until the copy
  /// is done.
  virtual void copy_to_host(void* destination, const void* source, std::size_t size_bytes) = 0;
  /// Copies within this device.
  virtual void copy(void* destination, const void* source, std::size_t size_bytes) = 0;
  /// Copies from memory of `source_device` (same kind, other card) to this stream's device. What
  /// fills the source is ordered before by the caller with wait().
  virtual void copy_from_peer(void* destination,
                              const void* source,
                              Device& source_device,
                              std::size_t size_bytes) = 0;
  /// Sets bytes of this device.
  virtual void fill(void* destination, std::uint8_t value, std::size_t size_bytes) = 0;

  /// Starts recording: work enqueued until end_capture() is kept instead of run. A graph holds one
  /// stream's own work: record(), wait() and synchronize() inside throw Failure. Throws
  /// UnsupportedOp where the device has no graphs.
  virtual void begin_capture();
  virtual std::unique_ptr<Graph> end_capture();
};

/// One card, or one set of cores. Owned by the context that main builds; outlives everything made
/// from it.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  virtual MemoryInfo memory() const = 0;

  /// Prepares the calling thread for driving this device, and names it; called once, before
  /// anything else is asked of the device on that thread.
  virtual void prepare_thread() {}

  virtual std::unique_ptr<Stream> create_stream() = 0;
  virtual std::unique_ptr<Event> create_event() = 0;

  /// `size_bytes` of device memory, aligned to at least 64 bytes, contents undefined. `purpose`
  /// ("weights", "kv cache", "workspace") appears in the message of the OutOfMemory it throws when
  /// the limit or the device's memory is exceeded: asked, allocated, free, total.
  Buffer allocate(std::size_t size_bytes, std::string_view purpose);
  /// Takes this much memory from the device now, for later allocations: what they ask beyond it is
  /// taken when they ask. Throws OutOfMemory as allocate() does. Nothing where allocating has no
  /// price.
  virtual void reserve(std::size_t /*size_bytes*/, std::string_view /*purpose*/) {}
  /// Host memory that this device copies fastest (pinned where that exists). Freed with the Buffer.
  virtual Buffer allocate_host(std::size_t size_bytes) = 0;

  /// Whether its streams can record: see Stream::begin_capture().
  virtual bool has_graphs() const { return false; }
  /// Graph::set_lengths() works.
  virtual bool graphs_take_lengths() const { return false; }

  /// Whether copy_from_peer from `other` needs no detour through host memory.
  virtual bool can_access_peer(const Device& other) const = 0;

 protected:
  friend class Buffer;
  virtual void* allocate_bytes(std::size_t size_bytes, std::string_view purpose) = 0;
  /// Frees memory of allocate_bytes and of allocate_host.
  virtual void free_bytes(void* data, std::size_t size_bytes) noexcept = 0;
};

/// One kind of device on this machine.
class Platform {
 public:
  virtual ~Platform() = default;
  virtual DeviceKind kind() const = 0;
  /// Devices that can be opened; 0 when the kind is not there.
  virtual int num_devices() = 0;
  /// One line: why this kind is not available and how to get it. Empty when it is.
  virtual std::string unavailable_reason() = 0;
  /// Description and memory without opening, for `fastchat devices` and the planner.
  virtual DeviceInfo describe(int index) = 0;
  virtual MemoryInfo memory(int index) = 0;
  /// For `fastchat devices`: what is installed, and what is wrong with it.
  virtual Diagnosis diagnose() { return {}; }
  /// Throws Failure when `index` is out of range or the device does not open.
  virtual std::unique_ptr<Device> open(int index) = 0;
};

}  // namespace fastchat::device
