#include "emulator/address_space.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace emulator {
namespace {

constexpr size_t kPart = size_t{64} << 10;     // of Storage
constexpr size_t kGrain = size_t{64} << 10;    // blocks share no page, whatever the page size
constexpr size_t kMisalignment = 64;           // what a block's address is a multiple of, odd times
constexpr size_t kHugePage = size_t{2} << 20;  // reservations
constexpr size_t kArena = size_t{1} << 30;
constexpr int kPoison = 0xFF;  // NaN in every float type, -1 in every integer type

constexpr uint8_t kUntouched = 0;
constexpr uint8_t kFilling = 1;
constexpr uint8_t kTouched = 2;

size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

void* map_or_throw(size_t bytes, int protection) {
  void* address =
      mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  return address;
}

}  // namespace

// ---- storage ----------------------------------------------------------------------------------

TouchedBytes& touched_bytes(int card) {
  static std::array<TouchedBytes, kMaxCards>& cards = *new std::array<TouchedBytes, kMaxCards>();
  return cards[static_cast<size_t>(card)];
}

Storage::Storage(int card, size_t bytes)
    : card_(card), bytes_(bytes), parts_((bytes + kPart - 1) / kPart) {}

Storage::~Storage() {
  uint64_t bytes = 0;
  for (size_t part = 0; part < parts_.size(); ++part) {
    if (parts_[part] == kTouched) bytes += std::min(kPart, bytes_ - part * kPart);
  }
  touched_bytes(card_).now -= bytes;
}

void Storage::touch(std::byte* base, size_t first, size_t last, bool all_written) {
  for (size_t part = first / kPart; part * kPart < last; ++part) {
    std::atomic<uint8_t>& state = parts_[part];
    if (state.load(std::memory_order_acquire) == kTouched) continue;
    const size_t begin = part * kPart;
    const size_t end = std::min(begin + kPart, bytes_);
    uint8_t expected = kUntouched;
    if (state.compare_exchange_strong(expected, kFilling)) {
      const bool covered = all_written && first <= begin && end <= last;
      if (!covered) std::memset(base + begin, kPoison, end - begin);
      touched_bytes(card_).now += end - begin;
      touched_bytes(card_).total += end - begin;
      state.store(kTouched, std::memory_order_release);
    } else {
      while (state.load(std::memory_order_acquire) != kTouched) std::this_thread::yield();
    }
  }
}

PhysicalMemory::PhysicalMemory(int card, size_t bytes)
    : storage_(std::make_shared<Storage>(card, bytes)),
      file_(memfd_create("card memory", MFD_CLOEXEC)) {
  if (file_ < 0 || ftruncate(file_, static_cast<off_t>(bytes)) != 0) {
    if (file_ >= 0) close(file_);
    throw std::bad_alloc();
  }
}

PhysicalMemory::~PhysicalMemory() { close(file_); }

// ---- addresses --------------------------------------------------------------------------------

AddressSpace& address_space() {
  static AddressSpace& space = *new AddressSpace();
  return space;
}

AddressSpace::Arena& AddressSpace::new_arena(size_t bytes) {
  auto arena = std::make_unique<Arena>();
  // Room to align the first range, since mmap aligns to pages only.
  arena->size = round_up(bytes + kHugePage, kArena);
  arena->bytes = static_cast<std::byte*>(map_or_throw(arena->size, PROT_READ | PROT_WRITE));
  arena->device = reinterpret_cast<uintptr_t>(map_or_throw(arena->size, PROT_NONE));
  Arena& made = *arena;
  arenas_.emplace(made.device + made.size, std::move(arena));
  return made;
}

AddressSpace::Arena* AddressSpace::arena_of(uintptr_t address) const {
  const auto above = arenas_.upper_bound(address);
  return above != arenas_.end() && above->second->device <= address ? above->second.get() : nullptr;
}

std::byte* AddressSpace::host_address(uintptr_t address) const {
  const Arena& arena = *arena_of(address);
  return arena.bytes + (address - arena.device);
}

std::optional<size_t> AddressSpace::gap(const Arena& arena,
                                        size_t from,
                                        size_t bytes,
                                        size_t alignment) {
  const auto aligned = [&](size_t offset) {
    return round_up(arena.device + offset, alignment) - arena.device;
  };
  size_t offset = aligned(from);
  auto used = arena.used.upper_bound(from);
  if (used != arena.used.begin()) {
    const auto& before = *std::prev(used);
    offset = std::max(offset, aligned(before.first + before.second));
  }
  for (; used != arena.used.end(); ++used) {
    if (offset + bytes <= used->first) return offset;
    offset = std::max(offset, aligned(used->first + used->second));
  }
  if (offset + bytes <= arena.size) return offset;
  return std::nullopt;
}

uintptr_t AddressSpace::take(size_t bytes, size_t alignment) {
  const auto use = [&](Arena& arena, size_t offset) {
    arena.used.emplace(offset, bytes);
    arena.next = offset + bytes;
    return arena.device + offset;
  };
  for (const bool again : {false, true}) {
    for (auto& [end, arena] : arenas_) {
      const auto offset = gap(*arena, again ? 0 : arena->next, bytes, alignment);
      if (offset) return use(*arena, *offset);
    }
  }
  Arena& arena = new_arena(bytes);
  return use(arena, *gap(arena, 0, bytes, alignment));
}

void AddressSpace::give_back(uintptr_t address) {
  Arena& arena = *arena_of(address);
  arena.used.erase(address - arena.device);
}

uintptr_t AddressSpace::allocate(int card, size_t bytes) {
  Block block{.bytes = bytes, .storage = std::make_shared<Storage>(card, bytes)};
  const std::unique_lock lock(mutex_);
  block.address = take(round_up(bytes + kMisalignment, kGrain), kGrain) + kMisalignment;
  blocks_.emplace(block.address, block);
  return block.address;
}

// The caller holds the lock. `taken`: where the range of the block begins.
void AddressSpace::drop(const Block& block, uintptr_t taken) {
  block.storage->released = true;
  madvise(
      host_address(taken), round_up(block.bytes + (block.address - taken), kGrain), MADV_DONTNEED);
  give_back(taken);
}

bool AddressSpace::release(uintptr_t address) {
  const std::unique_lock lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end() || found->second.physical) return false;
  drop(found->second, address - kMisalignment);
  blocks_.erase(found);
  return true;
}

void AddressSpace::release_card(int card) {
  const std::unique_lock lock(mutex_);
  std::erase_if(blocks_, [&](const auto& entry) {
    const Block& block = entry.second;
    if (block.physical || block.storage->card() != card) return false;
    drop(block, block.address - kMisalignment);
    return true;
  });
}

uintptr_t AddressSpace::reserve(size_t bytes) {
  const std::unique_lock lock(mutex_);
  const uintptr_t address = take(round_up(bytes, kHugePage), kHugePage);
  reservations_.emplace(address, bytes);
  return address;
}

AddressSpace::ReleaseResult AddressSpace::release_range(uintptr_t address) {
  const std::unique_lock lock(mutex_);
  const auto found = reservations_.find(address);
  if (found == reservations_.end()) return ReleaseResult::not_reserved;
  const auto mapped = blocks_.lower_bound(address);
  if (mapped != blocks_.end() && mapped->first < address + found->second)
    return ReleaseResult::still_mapped;
  give_back(address);
  reservations_.erase(found);
  return ReleaseResult::done;
}

bool AddressSpace::map(uintptr_t address, const std::shared_ptr<PhysicalMemory>& physical) {
  const size_t bytes = physical->storage()->bytes();
  const std::unique_lock lock(mutex_);
  const auto above = reservations_.upper_bound(address);
  if (above == reservations_.begin()) return false;
  const auto& [begin, size] = *std::prev(above);
  if (address + bytes > begin + size) return false;
  const auto next = blocks_.lower_bound(address);
  if (next != blocks_.end() && next->first < address + bytes) return false;
  if (next != blocks_.begin()) {
    const Block& before = std::prev(next)->second;
    if (before.address + before.bytes > address) return false;
  }
  if (mmap(host_address(address),
           bytes,
           PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_FIXED,
           physical->file(),
           0) == MAP_FAILED) {
    throw std::bad_alloc();
  }
  blocks_.emplace(address, Block{address, bytes, physical->storage(), physical});
  return true;
}

std::optional<Block> AddressSpace::unmap(uintptr_t address) {
  const std::unique_lock lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end() || !found->second.physical) return std::nullopt;
  Block block = std::move(found->second);
  blocks_.erase(found);
  if (mmap(host_address(address),
           block.bytes,
           PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
           -1,
           0) == MAP_FAILED) {
    throw std::bad_alloc();
  }
  return block;
}

void AddressSpace::unmap_card(int card) {
  std::vector<uintptr_t> addresses;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [address, block] : blocks_) {
      if (block.physical && block.storage->card() == card) addresses.push_back(address);
    }
  }
  for (const uintptr_t address : addresses) unmap(address);
}

// ---- looking up -------------------------------------------------------------------------------

std::optional<Block> AddressSpace::find(uintptr_t address) const {
  const std::shared_lock lock(mutex_);
  const auto above = blocks_.upper_bound(address);
  if (above == blocks_.begin()) return std::nullopt;
  const Block& block = std::prev(above)->second;
  if (address >= block.address + block.bytes) return std::nullopt;
  return block;
}

bool AddressSpace::is_device_address(uintptr_t address) const {
  const std::shared_lock lock(mutex_);
  return arena_of(address) != nullptr;
}

// visit(block, first, last) for each block that the range lies in, with the part of the block. The
// caller holds the lock.
template <typename Visit>
AddressSpace::Resolved AddressSpace::walk(uintptr_t address,
                                          size_t bytes,
                                          uint64_t reachable,
                                          const Visit& visit) const {
  Resolved resolved;
  const auto fail = [&](std::string why) {
    resolved.why = std::move(why);
    return resolved;
  };
  auto at = blocks_.upper_bound(address);
  if (at == blocks_.begin())
    return fail(fmt::format("{:#x} is in no block of card memory", address));
  --at;
  uintptr_t position = address;
  const uintptr_t end = address + bytes;
  do {
    if (at == blocks_.end() || position < at->first ||
        position >= at->second.address + at->second.bytes) {
      return fail(position == address
                      ? fmt::format("{:#x} is in no live block of card memory", address)
                      : fmt::format("{} bytes at {:#x} reach {} bytes past the end of their block",
                                    bytes,
                                    address,
                                    end - position));
    }
    const Block& block = at->second;
    if ((reachable & card_bit(block.storage->card())) == 0) {
      resolved.out_of_reach = true;
      return fail(fmt::format("{:#x} is memory of card {}, to which there is no peer access",
                              address,
                              block.storage->card()));
    }
    const uintptr_t block_end = block.address + block.bytes;
    visit(block, position - block.address, std::min(end, block_end) - block.address);
    position = std::min(end, block_end);
    // Only mappings continue one another: blocks of `allocate` never touch.
    ++at;
  } while (position < end);
  return resolved;
}

AddressSpace::Resolved AddressSpace::resolve(uintptr_t address,
                                             size_t bytes,
                                             uint64_t reachable,
                                             bool all_written) {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Storage>> storage;
  Resolved resolved =
      walk(address, bytes, reachable, [&](const Block& block, size_t first, size_t last) {
        block.storage->touch(host_address(block.address), first, last, all_written);
        storage.push_back(block.storage);
      });
  if (!resolved.why.empty()) return resolved;
  resolved.storage = std::move(storage);
  resolved.bytes = host_address(address);
  return resolved;
}

AddressSpace::Resolved AddressSpace::check(uintptr_t address,
                                           size_t bytes,
                                           uint64_t reachable) const {
  const std::shared_lock lock(mutex_);
  return walk(address, bytes, reachable, [](const Block&, size_t, size_t) {});
}

}  // namespace emulator
