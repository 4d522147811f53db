// Facts of libdcmi.so, the driver's management library: where a card sits on the PCI bus. It counts
// a host's cards as the runtime does before ASCEND_RT_VISIBLE_DEVICES ("logic id"); a card of its
// own has one or more devices.
#pragma once
// NOLINTBEGIN(readability-identifier-naming): the vendor's names are the interface.

inline constexpr int DCMI_OK = 0;
inline constexpr int DCMI_ERR_CODE_INVALID_PARAMETER = -8001;
inline constexpr int DCMI_ERR_CODE_INNER_ERR = -8005;

struct dcmi_pcie_info_all {
  unsigned int venderid;
  unsigned int subvenderid;
  unsigned int deviceid;
  unsigned int subdeviceid;
  int domain;
  unsigned int bdf_busid;
  unsigned int bdf_deviceid;
  unsigned int bdf_funcid;
  unsigned char reserve[32];
};
static_assert(sizeof(dcmi_pcie_info_all) == 64);

extern "C" {
int dcmi_init();  // before all others
int dcmi_get_card_id_device_id_from_logicid(int* card_id, int* device_id, unsigned int logic_id);
int dcmi_get_device_pcie_info_v2(int card_id, int device_id, dcmi_pcie_info_all* info);
}
// NOLINTEND(readability-identifier-naming)
