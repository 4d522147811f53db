#include "emulator/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include <sys/mman.h>
#include <unistd.h>

#include "emulator/address_space.h"
#include "emulator/costs.h"
#include "emulator/host_memory.h"
#include "emulator/op.h"
#include "emulator/settings.h"

namespace emulator {
namespace {

// Another card's memory takes part in a copy only when both sides have been told of each other.
uint64_t copies_with(int card) {
  const auto& cards = runtime().cards;
  uint64_t reachable = card_bit(card);
  for (const auto& other : cards) {
    const bool there = (cards[static_cast<size_t>(card)]->reaches & card_bit(other->id)) != 0;
    const bool back = (other->reaches & card_bit(card)) != 0;
    if (there && back) reachable |= card_bit(other->id);
  }
  return reachable;
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

void require_reached(const AddressSpace::Resolved& found) {
  if (found.why.empty()) return;
  const aclError code = found.out_of_reach ? ACL_ERROR_RT_DRV_INTERNAL_ERROR : ACL_ERROR_RT_SYS_DMA;
  throw DeviceFault{code, found.why};
}

Reached reach(int card, const void* address, size_t bytes, bool all_written) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (!address_space().is_device_address(at)) {
    return {static_cast<std::byte*>(const_cast<void*>(address)), {}};
  }
  auto found = address_space().resolve(at, bytes, copies_with(card), all_written);
  require_reached(found);
  return {found.bytes, std::move(found.storage)};
}

// False for host memory.
bool check_reach(int card, const void* address, size_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (!address_space().is_device_address(at)) return false;
  require_reached(address_space().check(at, bytes, copies_with(card)));
  return true;
}

// None for host memory, and for what is no live memory.
std::optional<int> card_of(const void* address) {
  const auto block = address_space().find(reinterpret_cast<uintptr_t>(address));
  if (!block) return std::nullopt;
  return block->storage->card();
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
  if (paced()) {
    check_reach(card, from, bytes);
    if (!check_reach(card, to, bytes)) std::memset(to, 0, bytes);
    return;
  }
  const Reached source = reach(card, from, bytes, false);
  const Reached target = reach(card, to, bytes, true);
  std::memmove(target.bytes, source.bytes, bytes);
  source.check_alive();
  target.check_alive();
}

Passage passage_of(const void* to, const void* from, double bytes) {
  if (!paced()) return {};
  const auto target = card_of(to);
  const auto source = card_of(from);
  if (!target && !source) return {};
  if (!source) return {Route::host_to_card, costs().host_copy(bytes)};
  if (!target) return {Route::card_to_host, costs().host_copy(bytes)};
  if (*target != *source) return {Route::peer, costs().peer_copy(bytes)};
  return {Route::none, costs().card_copy(2 * bytes)};
}

namespace {

/// Pages that the kernel gives back are zero when they are touched again: a card's worth of zeros
/// takes no memory of the host.
void set_zero(std::byte* to, size_t bytes) {
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(to);
  const uintptr_t begin = (first + kPage - 1) / kPage * kPage;
  const uintptr_t end = (first + bytes) / kPage * kPage;
  if (begin >= end) {
    std::memset(to, 0, bytes);
    return;
  }
  std::byte* const pages = to + (begin - first);
  const size_t in_pages = end - begin;
  std::memset(to, 0, begin - first);
  std::memset(pages + in_pages, 0, first + bytes - end);
  // Files in memory want their pages removed, others only dropped.
  if (madvise(pages, in_pages, MADV_REMOVE) != 0 && madvise(pages, in_pages, MADV_DONTNEED) != 0)
    std::memset(pages, 0, in_pages);
}

}  // namespace

void set_bytes(int card, void* to, int value, size_t bytes) {
  if (bytes == 0) return;
  if (paced()) {
    check_reach(card, to, bytes);
    return;
  }
  const Reached target = reach(card, to, bytes, true);
  if (value == 0)
    set_zero(target.bytes, bytes);
  else
    std::memset(target.bytes, value, bytes);
  target.check_alive();
}

}  // namespace emulator
