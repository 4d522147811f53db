// Byte counts as people write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fastchat {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

/// "512 B", "1.50 KiB", "13.00 GiB": two decimals above bytes.
std::string format_bytes(std::uint64_t bytes);

/// Reads "13GiB", "13Gib" (as FastChat's documents write it), "13G", "500MB", "1.5 GiB", "4096".
/// Case does not matter. KB, MB, GB, TB are powers of 1000 and KiB… powers of 1024, as in
/// accelerate; a bare K, M, G, T is a power of 1024. Errors: invalid_request.
Result<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace fastchat
