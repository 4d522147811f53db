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

/// "Intel(R) Xeon(R) …", "Kunpeng-920", or "aarch64 cpu 0x41/0xd0c" where nothing better is known.
std::string cpu_model_name(const std::string& root = "");

/// "0-3,8".
std::string format_cores(const std::vector<int>& cores);

}  // namespace fastchat::device
