#include "device/cpu/cgroup.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

namespace fastchat::device {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream{std::string(text)};
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& parts, std::string_view part) {
  return std::find(parts.begin(), parts.end(), part) != parts.end();
}

// One number of a file; nullopt when there is no such file or it says "max".
std::optional<std::int64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

// The value behind `key` in a file of "key value" lines.
std::uint64_t read_key(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value)
    if (name == key) return value;
  return 0;
}

struct Mount {
  std::string group_root;  // the group that the mount point shows; not "/" inside some containers
  std::string directory;
};

// Where the hierarchy of a version 1 controller, or of version 2 (empty controller), is mounted.
// A line of mountinfo: id parent device root mount-point options [tags…] - type source
// super-options
std::optional<Mount> find_mount(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (dash - fields.begin() < 6 || fields.end() - dash < 4) continue;
    const bool wanted = controller.empty()
                            ? dash[1] == "cgroup2"
                            : dash[1] == "cgroup" && contains(split(dash[3], ','), controller);
    if (wanted) return Mount{fields[3], root + fields[4]};
  }
  return std::nullopt;
}

// This process's group in that hierarchy. A line of /proc/self/cgroup: id:controllers:path
std::optional<std::string> find_group(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool wanted =
        controller.empty() ? controllers.empty() : contains(split(controllers, ','), controller);
    if (wanted) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The directories of this process's group and of all groups around it, as far as they are visible.
std::vector<std::string> group_directories(const std::string& root, std::string_view controller) {
  const std::optional<Mount> mount = find_mount(root, controller);
  std::optional<std::string> group = find_group(root, controller);
  if (!mount || !group) return {};
  if (*group == mount->group_root || group->starts_with(mount->group_root + "/"))
    group->erase(0, mount->group_root.size());
  std::vector<std::string> directories;
  while (true) {
    const std::string directory =
        group->empty() || *group == "/" ? mount->directory : mount->directory + *group;
    std::error_code ignored;
    if (std::filesystem::is_directory(directory, ignored)) directories.push_back(directory);
    if (directory == mount->directory) return directories;
    const std::size_t slash = group->rfind('/');
    group->erase(slash == std::string::npos ? 0 : slash);
  }
}

void tighten(CgroupMemory& memory,
             std::optional<std::int64_t> limit,
             std::optional<std::int64_t> usage,
             std::uint64_t reclaimable) {
  if (!limit || *limit < 0) return;
  const auto limit_bytes = static_cast<std::uint64_t>(*limit);
  const auto used = static_cast<std::uint64_t>(std::max<std::int64_t>(usage.value_or(0), 0));
  const std::uint64_t held = used > reclaimable ? used - reclaimable : 0;
  memory.limit_bytes = std::min(memory.limit_bytes, limit_bytes);
  memory.available_bytes =
      std::min(memory.available_bytes, limit_bytes > held ? limit_bytes - held : 0);
}

}  // namespace

CgroupMemory cgroup_memory(const std::string& root) {
  CgroupMemory memory;
  for (const std::string& directory : group_directories(root, "")) {
    const std::string stat = directory + "/memory.stat";
    tighten(memory,
            read_number(directory + "/memory.max"),
            read_number(directory + "/memory.current"),
            read_key(stat, "inactive_file") + read_key(stat, "active_file"));
  }
  for (const std::string& directory : group_directories(root, "memory")) {
    const std::string stat = directory + "/memory.stat";
    tighten(memory,
            read_number(directory + "/memory.limit_in_bytes"),
            read_number(directory + "/memory.usage_in_bytes"),
            read_key(stat, "total_inactive_file") + read_key(stat, "total_active_file"));
  }
  return memory;
}

std::optional<double> cgroup_cpu_quota(const std::string& root) {
  std::optional<double> cores;
  const auto tighten_cores = [&](std::int64_t quota, std::int64_t period) {
    if (quota <= 0 || period <= 0) return;
    const double share = static_cast<double>(quota) / static_cast<double>(period);
    if (!cores || share < *cores) cores = share;
  };
  for (const std::string& directory : group_directories(root, "")) {
    std::ifstream file(directory + "/cpu.max");  // "150000 100000" or "max 100000"
    std::int64_t quota = 0;
    std::int64_t period = 0;
    if (file >> quota >> period) tighten_cores(quota, period);
  }
  for (const std::string& directory : group_directories(root, "cpu"))
    tighten_cores(read_number(directory + "/cpu.cfs_quota_us").value_or(-1),
                  read_number(directory + "/cpu.cfs_period_us").value_or(0));
  return cores;
}

}  // namespace fastchat::device
