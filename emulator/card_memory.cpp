// How operators reach card memory.
#include <fmt/format.h>

#include <utility>

#include "emulator/address_space.h"
#include "emulator/op.h"
#include "emulator/runtime.h"

namespace emulator {
namespace {

// What an operator gets for a range of no bytes; never read.
std::byte nothing[1];

}  // namespace

uint64_t CardMemory::reachable() const {
  return card_bit(card_) | runtime().cards[static_cast<size_t>(card_)]->reaches.load();
}

void CardMemory::check(const void* address, size_t bytes) const {
  if (bytes == 0) return;
  auto found = address_space().check(reinterpret_cast<uintptr_t>(address), bytes, reachable());
  if (!found.why.empty()) throw DeviceFault{ACL_ERROR_RT_AICORE_EXCEPTION, std::move(found.why)};
}

std::byte* CardMemory::find(const void* address, size_t bytes, bool all_written) {
  if (bytes == 0) return nothing;
  auto found = address_space().resolve(
      reinterpret_cast<uintptr_t>(address), bytes, reachable(), all_written);
  if (found.bytes == nullptr) throw DeviceFault{ACL_ERROR_RT_AICORE_EXCEPTION, found.why};
  used_.insert(used_.end(), found.storage.begin(), found.storage.end());
  return found.bytes;
}

void CardMemory::check_alive() const {
  for (const auto& storage : used_) {
    if (storage->released) {
      throw DeviceFault{ACL_ERROR_RT_AICORE_EXCEPTION,
                        "memory was freed while the task was using it"};
    }
  }
}

}  // namespace emulator
