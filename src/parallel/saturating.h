// Sums and products of byte counts that stay at the largest number instead of starting again at 0.
#pragma once

#include <cstdint>
#include <limits>

namespace fastchat::parallel {

inline constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

inline std::uint64_t plus(std::uint64_t a, std::uint64_t b) {
  return a > kHuge - b ? kHuge : a + b;
}

inline std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  return a != 0 && b > kHuge / a ? kHuge : a * b;
}

}  // namespace fastchat::parallel
