// Which cores this process may use, and how they are dealt out to devices.
#pragma once

#include <string>
#include <vector>

namespace fastchat::device {

/// The logical cores that the system lets this process run on, ascending.
std::vector<int> affinity_cores();

/// One logical core of each physical core, neighbours in a socket next to each other. Two hardware
/// threads of one core share its multipliers and its memory port, so the second adds waiting and no
/// speed. `root` is put before every path; cores that sysfs does not describe are kept.
std::vector<int> one_per_physical_core(const std::vector<int>& cores, const std::string& root = "");

struct UsableCores {
  std::vector<int> cores;
  bool limited_by_quota = false;  // fewer than there are: the system chooses which ones run
};
/// one_per_physical_core of `affinity`, at most as many as the control group's time quota keeps
/// busy (at least one). Rounded down: a thread that runs out of time in the middle of a step stops
/// all others at the next barrier.
UsableCores usable_cores(const std::vector<int>& affinity, const std::string& root = "");

/// Contiguous runs of `cores`, as equal as possible; with more devices than cores, one core each
/// and neighbours share.
std::vector<std::vector<int>> deal_cores(const std::vector<int>& cores, int num_devices);

/// Those of `cores` on the NUMA node of a PCI device ("0000:c1:00.0"), ascending; empty where sysfs
/// names no node, or the node has none of them.
std::vector<int> cores_near(const std::string& pci_address,
                            const std::vector<int>& cores,
                            const std::string& root = "");

/// FASTCHAT_CPU_PIN=0: threads run wherever the system puts them.
bool pinning_switched_off();

/// "Intel(R) Xeon(R) …", "Kunpeng-920", or "aarch64 cpu 0x41/0xd0c" where nothing better is known.
std::string cpu_model_name(const std::string& root = "");

/// "0-3,8".
std::string format_cores(const std::vector<int>& cores);
/// The other way round, as sysfs writes them; what cannot be read is left out.
std::vector<int> parse_cores(const std::string& text);

}  // namespace fastchat::device
