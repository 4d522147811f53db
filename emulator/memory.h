// Card memory as an account, pinned host memory, and which of them an address belongs to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulator/runtime.h"

namespace emulator {

/// Takes bytes of the card's memory; false when it has not so many free. The caller holds the
/// runtime's lock.
bool charge(Card& card, uint64_t bytes);
/// Any thread, with or without the lock: whatever held the bytes may go anywhere.
void uncharge(Card& card, uint64_t bytes);
uint64_t free_bytes(const Card& card);

enum class Place { device, pinned, pageable };
/// Where `bytes` at an address lie: card memory (alive or not), pinned host memory, or any other
/// host memory.
Place place_of(const void* address, size_t bytes);

/// What a copy passes through and how long that takes in modelled time; nothing outside the paced
/// mode.
struct Passage {
  Route route = Route::none;
  Simulated duration{0};
};
Passage passage_of(const void* to, const void* from, double bytes);

/// Copies between any two places on behalf of a card. In the paced mode card memory is only
/// checked, and what the host gets is zeros. Throws DeviceFault: 507013 for addresses of no live
/// memory, 507899 between cards without peer access in both directions.
void copy_bytes(int card, void* to, const void* from, size_t bytes);
void set_bytes(int card, void* to, int value, size_t bytes);

/// Mapped memory and handles of the card go.
void release_physical_memory(const Card& card);

}  // namespace emulator
