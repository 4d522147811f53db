// What the control groups around this process allow it, version 1 and 2. Containers set their
// limits there.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace fastchat::device {

struct CgroupMemory {
  std::uint64_t limit_bytes = std::numeric_limits<std::uint64_t>::max();  // max = no limit
  std::uint64_t available_bytes =
      std::numeric_limits<std::uint64_t>::max();  // file cache counts as available
};

/// The tightest memory limit from this process's group up to the root. `root` is put before every
/// path.
CgroupMemory cgroup_memory(const std::string& root = "");

/// Cores' worth of time that the tightest quota gives, for example 1.5; nullopt = no quota.
std::optional<double> cgroup_cpu_quota(const std::string& root = "");

}  // namespace fastchat::device
