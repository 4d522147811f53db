#include "emulator/host_memory.h"

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>

namespace emulator {
namespace {

constexpr size_t kAlignment = 64;

struct Pinned {
  std::mutex mutex;
  struct Range {
    size_t bytes;
    bool is_ours;
  };
  std::map<uintptr_t, Range> ranges;
};

Pinned& pinned() {
  static Pinned& state = *new Pinned();
  return state;
}

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

bool remove(void* address, bool is_ours) {
  Pinned& state = pinned();
  const std::lock_guard lock(state.mutex);
  const auto found = state.ranges.find(number(address));
  if (found == state.ranges.end() || found->second.is_ours != is_ours) return false;
  state.ranges.erase(found);
  return true;
}

}  // namespace

void* allocate_pinned(size_t bytes) {
  void* address =
      std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (address == nullptr) return nullptr;
  Pinned& state = pinned();
  const std::lock_guard lock(state.mutex);
  state.ranges[number(address)] = {bytes, true};
  return address;
}

bool free_pinned(void* address) {
  if (!remove(address, true)) return false;
  std::free(address);  // NOLINT: from aligned_alloc
  return true;
}

bool register_pinned(void* address, size_t bytes) {
  Pinned& state = pinned();
  const std::lock_guard lock(state.mutex);
  const auto next = state.ranges.lower_bound(number(address));
  if (next != state.ranges.end() && next->first < number(address) + bytes) return false;
  if (next != state.ranges.begin() &&
      std::prev(next)->first + std::prev(next)->second.bytes > number(address)) {
    return false;
  }
  state.ranges[number(address)] = {bytes, false};
  return true;
}

bool unregister_pinned(void* address) { return remove(address, false); }

bool is_pinned(const void* address, size_t bytes) {
  Pinned& state = pinned();
  const std::lock_guard lock(state.mutex);
  const auto above = state.ranges.upper_bound(number(address));
  if (above == state.ranges.begin()) return false;
  const auto& [begin, range] = *std::prev(above);
  return number(address) + bytes <= begin + range.bytes;
}

}  // namespace emulator
