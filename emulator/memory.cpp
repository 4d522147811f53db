#include "emulator/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "emulator/address_space.h"
#include "emulator/host_memory.h"
#include "emulator/op.h"

namespace emulator {
namespace {

// Another card's memory takes part in a copy only when both sides have been told of each other.
bool may_copy(int card, int owner) {
  if (owner == card) return true;
  const std::lock_guard lock(runtime().mutex);
  const auto& cards = runtime().cards;
  return cards[static_cast<size_t>(card)]->reaches.count(owner) > 0 &&
         cards[static_cast<size_t>(owner)]->reaches.count(card) > 0;
}

// What keeps the storage of a range alive and the host's pointer to it.
struct Reached {
  std::byte* bytes = nullptr;
  std::vector<std::shared_ptr<Storage>> storage;

  void check_alive() const {
    for (const auto& part : storage) {
      if (part->released)
        throw DeviceFault{ACL_ERROR_RT_SYS_DMA, "memory was freed while it was copied"};
    }
  }
};

Reached reach(int card, const void* address, size_t bytes, bool all_written) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (!address_space().is_device_address(at)) {
    return {static_cast<std::byte*>(const_cast<void*>(address)), {}};
  }
  bool no_peer = false;
  const auto may_reach = [&](int owner) {
    const bool may = may_copy(card, owner);
    no_peer = no_peer || !may;
    return may;
  };
  auto found = address_space().resolve(at, bytes, may_reach, all_written);
  if (found.bytes == nullptr) {
    throw DeviceFault{no_peer ? ACL_ERROR_RT_DRV_INTERNAL_ERROR : ACL_ERROR_RT_SYS_DMA, found.why};
  }
  return {found.bytes, std::move(found.storage)};
}

}  // namespace

uint64_t free_bytes(const Card& card) {
  const uint64_t held = card.taken_bytes + card.used_bytes;
  return held >= card.memory_bytes ? 0 : card.memory_bytes - held;
}

bool charge(Card& card, uint64_t bytes) {
  if (bytes > free_bytes(card)) return false;
  card.used_bytes += bytes;
  card.peak_bytes = std::max(card.peak_bytes, card.used_bytes.load());
  return true;
}

void uncharge(Card& card, uint64_t bytes) { card.used_bytes -= bytes; }

Place place_of(const void* address, size_t bytes) {
  if (address_space().is_device_address(reinterpret_cast<uintptr_t>(address))) return Place::device;
  return is_pinned(address, bytes) ? Place::pinned : Place::pageable;
}

void copy_bytes(int card, void* to, const void* from, size_t bytes) {
  if (bytes == 0 || to == from) return;
  const Reached source = reach(card, from, bytes, false);
  const Reached target = reach(card, to, bytes, true);
  std::memmove(target.bytes, source.bytes, bytes);
  source.check_alive();
  target.check_alive();
}

void set_bytes(int card, void* to, int value, size_t bytes) {
  if (bytes == 0) return;
  const Reached target = reach(card, to, bytes, true);
  std::memset(target.bytes, value, bytes);
  target.check_alive();
}

}  // namespace emulator
