// Memory of the host: aligned blocks, what is available, and the account that a cpu device keeps of
// its share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastchat::device {

/// Blocks of at least this size are mapped on their own, aligned to it, and ask for huge pages: a
/// stream of weights through 4 KiB pages spends a good part of its time on address translation.
inline constexpr std::size_t kHugeBlockBytes = 2 * 1024 * 1024;

/// The next multiple of `multiple`, which is a power of two.
constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) & ~(multiple - 1);
}

/// How a block is cut from address space: reserve enough that an aligned start lies inside, then
/// give back both ends.
struct MappingPlan {
  std::size_t mapped_bytes = 0;    // what stays mapped: whole pages
  std::size_t reserved_bytes = 0;  // what is asked of the system first
};
constexpr MappingPlan plan_mapping(std::size_t size_bytes,
                                   std::size_t page_bytes,
                                   std::size_t alignment) {
  const std::size_t mapped = round_up(size_bytes, page_bytes);
  return {mapped, mapped + (alignment > page_bytes ? alignment - page_bytes : 0)};
}

/// Bytes of a mapping, from its start.
struct PageRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  constexpr std::uint64_t size_bytes() const { return end - begin; }
  bool operator==(const PageRange&) const = default;
};
/// The whole pages that hold bytes of [begin, end); empty when it is.
constexpr PageRange touched_pages(std::uint64_t begin, std::uint64_t end, std::size_t page_bytes) {
  if (begin >= end) return {begin, begin};
  return {begin - begin % page_bytes, round_up(end, page_bytes)};
}

/// The system's page size, asked once: 4 KiB on x86, 4, 16 or 64 KiB on aarch64.
std::size_t page_size();

/// A block aligned to 64 bytes, or to kHugeBlockBytes from that size on. nullptr when the system
/// refuses.
void* allocate_host_memory(std::size_t size_bytes);
/// Frees a block of allocate_host_memory; `size_bytes` as asked there. nullptr is ignored.
void free_host_memory(void* data, std::size_t size_bytes) noexcept;

struct HostMemory {
  std::uint64_t total_bytes =
      0;  // of the machine, or of the tightest control group around this process
  std::uint64_t available_bytes =
      0;  // what can be taken now without swapping; file cache counts as available
};
/// Reads /proc and the control groups. `root` is put before every path (tests bring their own).
HostMemory host_memory(const std::string& root = "");

/// What one device may hold and holds. Several devices keep separate accounts. Any thread.
class MemoryAccount {
 public:
  /// total = what is shown as the device's memory; limit <= what allocations may add up to.
  MemoryAccount(std::uint64_t total_bytes, std::uint64_t limit_bytes)
      : total_bytes_(total_bytes), limit_bytes_(limit_bytes) {}

  /// Books `size_bytes` if they stay within the limit; returns whether they did.
  bool take(std::uint64_t size_bytes);
  void give_back(std::uint64_t size_bytes) { allocated_bytes_.fetch_sub(size_bytes); }

  std::uint64_t total_bytes() const { return total_bytes_; }
  std::uint64_t limit_bytes() const { return limit_bytes_; }
  std::uint64_t allocated_bytes() const { return allocated_bytes_.load(); }

 private:
  const std::uint64_t total_bytes_;
  const std::uint64_t limit_bytes_;
  std::atomic<std::uint64_t> allocated_bytes_{0};
};

}  // namespace fastchat::device
