#include "device/cpu/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "device/cpu/cgroup.h"

namespace fastchat::device {
namespace {

constexpr std::size_t kSmallAlignment = 64;  // a cache line, and the widest vector register

// "MemAvailable:    1234 kB" of /proc/meminfo.
std::uint64_t read_meminfo(const std::string& root, std::string_view key) {
  std::ifstream file(root + "/proc/meminfo");
  std::string name;
  std::uint64_t kilobytes = 0;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    if (fields >> name >> kilobytes && name == key) return kilobytes * 1024;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

std::size_t page_size() {
  static const auto kSize = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return kSize;
}

void* allocate_host_memory(std::size_t size_bytes) {
  if (size_bytes < kHugeBlockBytes)
    return std::aligned_alloc(kSmallAlignment, round_up(size_bytes, kSmallAlignment));
  if (size_bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  const MappingPlan plan = plan_mapping(size_bytes, page_size(), kHugeBlockBytes);
  void* reserved = mmap(
      nullptr, plan.reserved_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(reserved);
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::size_t head_bytes = round_up(address, kHugeBlockBytes) - address;
  const std::size_t tail_bytes = plan.reserved_bytes - head_bytes - plan.mapped_bytes;
  if (head_bytes > 0) munmap(begin, head_bytes);
  if (tail_bytes > 0) munmap(begin + head_bytes + plan.mapped_bytes, tail_bytes);
  // Where the kernel has no huge pages the block works as well, only slower.
  madvise(begin + head_bytes, plan.mapped_bytes, MADV_HUGEPAGE);
  return begin + head_bytes;
}

void free_host_memory(void* data, std::size_t size_bytes) noexcept {
  if (data == nullptr) return;
  if (size_bytes < kHugeBlockBytes)
    std::free(data);
  else
    munmap(data, plan_mapping(size_bytes, page_size(), kHugeBlockBytes).mapped_bytes);
}

HostMemory host_memory(const std::string& root) {
  HostMemory memory{read_meminfo(root, "MemTotal:"), read_meminfo(root, "MemAvailable:")};
  const CgroupMemory cgroup = cgroup_memory(root);
  memory.total_bytes = std::min(memory.total_bytes, cgroup.limit_bytes);
  memory.available_bytes = std::min(memory.available_bytes, cgroup.available_bytes);
  return memory;
}

bool MemoryAccount::take(std::uint64_t size_bytes) {
  std::uint64_t allocated = allocated_bytes_.load();
  do {
    if (size_bytes > limit_bytes_ || allocated > limit_bytes_ - size_bytes) return false;
  } while (!allocated_bytes_.compare_exchange_weak(allocated, allocated + size_bytes));
  return true;
}

}  // namespace fastchat::device
