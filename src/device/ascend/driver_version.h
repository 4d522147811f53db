// Versions of the Ascend driver, and which one a CANN is paired with.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace fastchat::device::ascend {

/// "24.1.rc3" < "24.1.0" < "25.0.rc1" < "25.0.rc1.1" < "25.2.0".
struct DriverVersion {
  int major = 0;
  int minor = 0;
  bool is_release = false;  // release candidates come before the release of their number
  int number = 0;           // of the candidate, or the third of a release
  int patch = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): of the generated code
  auto operator<=>(const DriverVersion&) const = default;
};

/// nullopt where the text is no version. Upper or lower case.
std::optional<DriverVersion> parse_driver_version(std::string_view text);

/// The oldest driver that the vendor pairs with this CANN (830 for 8.3), as the vendor writes it;
/// empty where no pairing is known. Older ones often work all the same: a reason for a failure, not
/// for a refusal.
std::string_view paired_driver(int cann_version);

}  // namespace fastchat::device::ascend
