#include "device/ascend/driver_version.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <vector>

namespace fastchat::device::ascend {
namespace {

struct Pairing {
  int cann_version;
  std::string_view driver;
};

// From the vendor's release notes of CANN and of its PyTorch extension ("Ascend HDK" is driver and
// firmware), newest first.
constexpr Pairing kPairings[] = {
    {900, "25.5.1"},
    {850, "25.5.0"},
    {830, "25.3.RC1"},
    {820, "25.2.0"},
    {810, "25.0.RC1"},
    {800, "24.1.RC3"},
};

std::optional<int> parse_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string_view> split_at_dots(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    if (end == text.size()) return parts;
    begin = end + 1;
  }
}

bool is_candidate(std::string_view part) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return part.size() > 2 && lower(part[0]) == 'r' && lower(part[1]) == 'c';
}

}  // namespace

std::optional<DriverVersion> parse_driver_version(std::string_view text) {
  const std::vector<std::string_view> parts = split_at_dots(text);
  if (parts.size() < 2) return std::nullopt;
  const std::optional<int> major = parse_number(parts[0]);
  const std::optional<int> minor = parse_number(parts[1]);
  if (!major || !minor) return std::nullopt;
  DriverVersion version{.major = *major, .minor = *minor, .is_release = true};
  if (parts.size() == 2) return version;
  version.is_release = !is_candidate(parts[2]);
  const std::optional<int> number =
      parse_number(version.is_release ? parts[2] : parts[2].substr(2));
  if (!number) return std::nullopt;
  version.number = *number;
  // What comes further back ("25.0.rc1.b120") tells builds apart, not what they can do.
  if (parts.size() > 3) version.patch = parse_number(parts[3]).value_or(0);
  return version;
}

std::string_view paired_driver(int cann_version) {
  for (const Pairing& pairing : kPairings)
    if (cann_version >= pairing.cann_version) return pairing.driver;
  return {};
}

}  // namespace fastchat::device::ascend
