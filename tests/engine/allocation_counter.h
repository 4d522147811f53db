// Counts this program's heap allocations by thread: operator new is replaced in the test binary.
#pragma once

#include <cstdint>

namespace fastchat::engine::testing {

/// Calls of operator new by the calling thread so far.
std::uint64_t num_allocations();

}  // namespace fastchat::engine::testing
