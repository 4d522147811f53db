// Card memory. A device address lies in a range that is reserved and never accessible, so the host
// faults on it; the bytes are kept in a second range of the same size, at the same offset, of which
// the kernel backs only what was touched.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

namespace emulator {

inline constexpr int kMaxCards = 64;
/// Sets of cards are bits.
constexpr uint64_t card_bit(int card) { return uint64_t{1} << card; }

/// Which parts of a piece of memory were touched. A part is filled with 0xFF when it is touched
/// first.
class Storage {
 public:
  Storage(int card, size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// `base` is where byte 0 lies. Parts that [first, last) covers whole are left alone when
  /// `all_written`.
  void touch(std::byte* base, size_t first, size_t last, bool all_written);

  int card() const { return card_; }
  size_t bytes() const { return bytes_; }
  /// The client freed it; an operator that still has it in use has read rubbish.
  std::atomic<bool> released{false};

 private:
  int card_;
  size_t bytes_;
  std::vector<std::atomic<uint8_t>> parts_;
};

/// Memory that a handle of aclrtMallocPhysical stands for; it can be mapped at several addresses.
class PhysicalMemory {
 public:
  /// Throws std::bad_alloc when the kernel refuses.
  PhysicalMemory(int card, size_t bytes);
  ~PhysicalMemory();
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  const std::shared_ptr<Storage>& storage() const { return storage_; }
  int file() const { return file_; }

 private:
  std::shared_ptr<Storage> storage_;
  int file_;
};

/// What is found at a device address.
struct Block {
  uintptr_t address = 0;
  size_t bytes = 0;  // as asked for: not one byte behind them may be touched
  std::shared_ptr<Storage> storage;
  std::shared_ptr<PhysicalMemory> physical;  // of mapped memory
};

/// Process-wide. Any thread.
class AddressSpace {
 public:
  /// A block of card memory. The address is aligned to 64 bytes, as the vendor promises, and on
  /// purpose to no more.
  uintptr_t allocate(int card, size_t bytes);
  /// False when no block of `allocate` begins there.
  bool release(uintptr_t address);

  /// Addresses without memory, for mappings; 2 MiB aligned.
  uintptr_t reserve(size_t bytes);
  enum class ReleaseResult { done, not_reserved, still_mapped };
  ReleaseResult release_range(uintptr_t address);
  /// False when the range is not inside one reservation, or overlaps a mapping.
  bool map(uintptr_t address, const std::shared_ptr<PhysicalMemory>& physical);
  /// The mapping that began there.
  std::optional<Block> unmap(uintptr_t address);

  /// The live block that holds the address.
  std::optional<Block> find(uintptr_t address) const;
  /// Whether the address belongs to cards at all, alive or not.
  bool is_device_address(uintptr_t address) const;

  struct Resolved {
    std::byte* bytes = nullptr;  // null: `why` says what is wrong
    std::vector<std::shared_ptr<Storage>> storage;
    std::string why;
    bool out_of_reach = false;  // `why` it failed: the memory of a card that is not reachable
  };
  /// Where the host finds the bytes. They must lie in one block, or in mappings side by side, of
  /// cards whose bits are set in `reachable`.
  Resolved resolve(uintptr_t address, size_t bytes, uint64_t reachable, bool all_written);
  /// The same without the bytes: nothing is touched. Only `why` and `out_of_reach` are set.
  Resolved check(uintptr_t address, size_t bytes, uint64_t reachable) const;

  /// Everything that `allocate` gave for the card goes.
  void release_card(int card);
  /// Every mapping of the card's memory goes.
  void unmap_card(int card);

 private:
  // A range is used again only when its arena has been gone through, so that stale addresses show.
  struct Arena {
    uintptr_t device = 0;
    std::byte* bytes = nullptr;
    size_t size = 0;
    size_t next = 0;
    std::map<size_t, size_t> used;  // offset → bytes
  };

  template <typename Visit>
  Resolved walk(uintptr_t address, size_t bytes, uint64_t reachable, const Visit& visit) const;
  uintptr_t take(size_t bytes, size_t alignment);
  static std::optional<size_t> gap(const Arena& arena, size_t from, size_t bytes, size_t alignment);
  void give_back(uintptr_t address);
  Arena& new_arena(size_t bytes);
  Arena* arena_of(uintptr_t address) const;
  std::byte* host_address(uintptr_t address) const;
  void drop(const Block& block, uintptr_t taken);

  mutable std::shared_mutex mutex_;
  std::map<uintptr_t, std::unique_ptr<Arena>> arenas_;  // by end address
  std::map<uintptr_t, Block> blocks_;
  std::map<uintptr_t, size_t> reservations_;
};

AddressSpace& address_space();

/// Bytes of a card's memory that were touched, for the report.
struct TouchedBytes {
  std::atomic<uint64_t> now{0};
  std::atomic<uint64_t> total{0};  // touched again after a free: counted again
};
TouchedBytes& touched_bytes(int card);

}  // namespace emulator
