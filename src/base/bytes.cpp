#include "base/bytes.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace fastchat {

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return Error{
        ErrorCode::invalid_request,
        fmt::format("'{}' is not a size in bytes ({}); write for example 13GiB, 800MiB or 4096",
                    text,
                    why)};
  };
  std::string compact;
  for (char c : text)
    if (!std::isspace(static_cast<unsigned char>(c)))
      compact += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (compact.empty()) return bad("it is empty");

  double value = 0;
  const char* first = compact.data();
  const char* last = first + compact.size();
  const auto [rest, status] = std::from_chars(first, last, value, std::chars_format::fixed);
  // from_chars reads "nan" and "inf" as numbers.
  if (status != std::errc{} || !std::isfinite(value)) return bad("it does not start with a number");
  if (value < 0) return bad("it is negative");

  const std::string_view unit(rest, static_cast<std::size_t>(last - rest));
  static constexpr std::string_view kPrefixes = "kmgt";
  double scale = 1;
  if (!unit.empty() && unit != "b") {
    const std::size_t power = kPrefixes.find(unit.front());
    const std::string_view tail = unit.substr(1);
    if (power == std::string_view::npos ||
        !(tail.empty() || tail == "b" || tail == "ib" || tail == "i"))
      return bad("its unit is not one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB");
    scale = std::pow(tail == "b" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  const double bytes = value * scale;
  if (bytes >= 9.2e18) return bad("it is too large");
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace fastchat
