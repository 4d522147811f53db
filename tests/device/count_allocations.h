// Counts calls of operator new in this test program, on every thread.
#pragma once

#include <cstdint>

namespace fastchat::test {

std::uint64_t num_allocations();

}  // namespace fastchat::test
