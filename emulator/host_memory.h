// Pinned host memory: of aclrtMallocHost, and registered.
#pragma once

#include <cstddef>

namespace emulator {

/// Null when the host has not so much.
void* allocate_pinned(size_t bytes);
/// False when it was not allocated so.
bool free_pinned(void* address);
/// False when part of the range is pinned already.
bool register_pinned(void* address, size_t bytes);
bool unregister_pinned(void* address);
bool is_pinned(const void* address, size_t bytes);

}  // namespace emulator
