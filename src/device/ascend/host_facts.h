// What the host shows of Ascend cards without asking CANN: device nodes, driver, CANN's packages.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "device/ascend/cann_root.h"

namespace fastchat::device::ascend {

/// Whose permissions are asked about.
struct Identity {
  uid_t user = 0;
  std::vector<gid_t> groups;
};
Identity this_process();

/// Where to look, and what the environment says. Tests give a folder that stands for "/".
struct HostView {
  std::string root;  // put before every path but those of `cann`
  Identity identity;
  std::optional<CannRoot> cann;
  std::vector<WrongPlace> wrong_places;
  std::optional<std::string> visible_mask;  // ASCEND_RT_VISIBLE_DEVICES
};
HostView this_host();

/// A file below /dev through which the driver is reached.
struct DeviceNode {
  std::string path;  // "/dev/davinci0"
  bool exists = false;
  bool is_usable = false;    // this process may read and write it
  bool group_helps = false;  // members of its group may
  std::string group;         // its name; its number where nobody has named it
  bool group_has_name = false;
};

struct HostFacts {
  std::vector<DeviceNode> shared_nodes;  // davinci_manager, devmm_svm, hisi_hdc: all are needed
  std::vector<DeviceNode> card_nodes;    // those that exist, ascending
  int num_pci_cards = 0;                 // Huawei's accelerators on the PCI bus
  bool has_driver_library = false;       // libascend_hal.so
  std::string driver_version;            // "25.2.0"; empty where the install says nothing
  bool in_container = false;
  std::optional<CannRoot> cann;
  std::vector<WrongPlace> wrong_places;
  std::vector<std::string> kernel_kinds;  // cards that CANN has kernels for: "ascend910b"
  std::optional<std::string> visible_mask;
};

/// Reads a few small files and folders; throws nothing.
HostFacts read_host_facts(const HostView& view);

/// "ascend910b" for "Ascend910B3": how CANN names the folder of its kernels. Empty = not known.
std::string kernel_kind(const std::string& soc);

}  // namespace fastchat::device::ascend
