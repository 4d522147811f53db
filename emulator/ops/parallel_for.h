// A handful of threads that share the loops of one operator. Streams have threads of their own, so
// a second operator that finds the helpers busy computes alone instead of waiting.
#pragma once

#include <cstdint>
#include <functional>

namespace emulator {

/// Calls body(begin, end) on disjoint ranges that cover [0, count), each a multiple of `grain` long
/// but for the last. Returns when all are done; body must not throw.
void parallel_for(int64_t count,
                  int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace emulator
