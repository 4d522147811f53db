#include "device/cpu/cpu_topology.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>
#include <tuple>

#include "base/check.h"
#include "device/cpu/cgroup.h"

namespace fastchat::device {
namespace {

// One line of a file, empty when it cannot be read.
std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string topology_file(const std::string& root, int core, std::string_view name) {
  return fmt::format("{}/sys/devices/system/cpu/cpu{}/topology/{}", root, core, name);
}

int read_package(const std::string& root, int core) {
  const std::string text = read_line(topology_file(root, core, "physical_package_id"));
  int package = 0;
  std::from_chars(text.data(), text.data() + text.size(), package);
  return package;
}

struct Part {
  std::string_view implementer;
  std::string_view part;
  std::string_view name;
};

// Servers that Ascend cards are found in, and common others. Source: MIDR tables of util-linux,
// sys-utils/lscpu-arm.c.
constexpr std::array kArmParts = {
    Part{"0x48", "0xd01", "Kunpeng-920 (TaiShan v110)"},
    Part{"0x48", "0xd02", "Kunpeng (TaiShan v120)"},
    Part{"0x41", "0xd08", "Cortex-A72"},
    Part{"0x41", "0xd0c", "Neoverse-N1"},
    Part{"0x41", "0xd40", "Neoverse-V1"},
    Part{"0x41", "0xd49", "Neoverse-N2"},
    Part{"0x41", "0xd4f", "Neoverse-V2"},
    Part{"0x70", "0x662", "Phytium FTC662"},
    Part{"0x70", "0x663", "Phytium FTC663"},
};

constexpr std::string_view kArchitecture =
#if defined(__aarch64__)
    "aarch64";
#elif defined(__x86_64__)
    "x86_64";
#else
    "unknown";
#endif

}  // namespace

std::vector<int> affinity_cores() {
  constexpr std::size_t kMostCpus = 1 << 20;
  for (std::size_t num_cpus = 1024; num_cpus <= kMostCpus; num_cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(num_cpus);
    check(set != nullptr, "cpu: no memory for a mask of {} cores", num_cpus);
    const std::size_t set_bytes = CPU_ALLOC_SIZE(num_cpus);
    CPU_ZERO_S(set_bytes, set);
    const int status = sched_getaffinity(0, set_bytes, set);
    const int error = errno;
    std::vector<int> cores;
    for (std::size_t core = 0; status == 0 && core < num_cpus; ++core)
      if (CPU_ISSET_S(core, set_bytes, set)) cores.push_back(static_cast<int>(core));
    CPU_FREE(set);
    if (status == 0) return cores;
    // EINVAL: the kernel knows more cores than the mask holds.
    check(error == EINVAL, "cpu: sched_getaffinity failed: {}", std::strerror(error));
  }
  fail("cpu: this machine has more than {} cores", kMostCpus);
}

std::vector<int> one_per_physical_core(const std::vector<int>& cores, const std::string& root) {
  std::set<std::string> taken;  // sibling lists of the physical cores chosen so far
  std::vector<std::pair<int, int>> chosen;
  for (const int core : cores) {
    const std::string siblings = read_line(topology_file(root, core, "thread_siblings_list"));
    if (!siblings.empty() && !taken.insert(siblings).second) continue;
    chosen.emplace_back(read_package(root, core), core);
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<int> result;
  result.reserve(chosen.size());
  for (const auto& [package, core] : chosen) result.push_back(core);
  return result;
}

UsableCores usable_cores(const std::vector<int>& affinity, const std::string& root) {
  UsableCores usable{one_per_physical_core(affinity, root), false};
  const std::optional<double> quota = cgroup_cpu_quota(root);
  if (!quota) return usable;
  const auto most = static_cast<std::size_t>(std::max(1.0, *quota));
  if (most < usable.cores.size()) {
    usable.cores.resize(most);
    usable.limited_by_quota = true;
  }
  return usable;
}

std::vector<std::vector<int>> deal_cores(const std::vector<int>& cores, int num_devices) {
  const std::size_t num_cores = cores.size();
  const auto devices = static_cast<std::size_t>(num_devices);
  std::vector<std::vector<int>> hands(devices);
  for (std::size_t i = 0; i < devices; ++i) {
    const std::size_t first = i * num_cores / devices;
    const std::size_t last = std::max(first + 1, (i + 1) * num_cores / devices);
    hands[i].assign(cores.begin() + static_cast<std::ptrdiff_t>(first),
                    cores.begin() + static_cast<std::ptrdiff_t>(last));
  }
  return hands;
}

std::vector<int> cores_near(const std::string& pci_address,
                            const std::vector<int>& cores,
                            const std::string& root) {
  if (pci_address.empty()) return {};
  const std::string node =
      read_line(fmt::format("{}/sys/bus/pci/devices/{}/numa_node", root, pci_address));
  if (node.empty() || node.front() == '-') return {};  // -1: the firmware does not say
  const std::vector<int> of_node =
      parse_cores(read_line(fmt::format("{}/sys/devices/system/node/node{}/cpulist", root, node)));
  std::vector<int> near;
  std::set_intersection(
      cores.begin(), cores.end(), of_node.begin(), of_node.end(), std::back_inserter(near));
  return near;
}

bool pinning_switched_off() {
  const char* const value = std::getenv("FASTCHAT_CPU_PIN");
  return value != nullptr && std::string_view(value) == "0";
}

std::string cpu_model_name(const std::string& root) {
  std::ifstream file(root + "/proc/cpuinfo");
  std::string implementer;
  std::string part;
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || colon + 2 > line.size()) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    std::string value = line.substr(colon + 2);
    if (key == "model name") return value;
    if (key == "CPU implementer" && implementer.empty()) implementer = value;
    if (key == "CPU part" && part.empty()) part = value;
  }
  for (const Part& known : kArmParts)
    if (known.implementer == implementer && known.part == part) return std::string(known.name);
  if (implementer.empty()) return fmt::format("{} cpu", kArchitecture);
  return fmt::format("{} cpu {}/{}", kArchitecture, implementer, part);
}

std::string format_cores(const std::vector<int>& cores) {
  std::string text;
  for (std::size_t first = 0; first < cores.size();) {
    std::size_t last = first;
    while (last + 1 < cores.size() && cores[last + 1] == cores[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += first == last ? fmt::format("{}", cores[first])
                          : fmt::format("{}-{}", cores[first], cores[last]);
    first = last + 1;
  }
  return text;
}

std::vector<int> parse_cores(const std::string& text) {
  constexpr int kMostCores = 1 << 20;
  std::vector<int> cores;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    int first = 0;
    const char* const end = range.data() + range.size();
    const auto [after_first, error] = std::from_chars(range.data(), end, first);
    if (error != std::errc()) continue;
    int last = first;
    if (after_first != end && *after_first == '-' &&
        std::from_chars(after_first + 1, end, last).ec != std::errc())
      continue;
    for (int core = first; core <= last && last < kMostCores; ++core) cores.push_back(core);
  }
  std::sort(cores.begin(), cores.end());
  return cores;
}

}  // namespace fastchat::device
