// The driver's management library, as far as it says where a card is on the PCI bus.
#include <atomic>

#include "device/ascend/dcmi.h"
#include "emulator/settings.h"

using emulator::settings;

namespace {

std::atomic<bool> is_initialised{false};

/// As in an Atlas 800T A2, where the numbers of cards and buses have different orders; further
/// cards follow on buses of their own.
unsigned int bus_of(int card) {
  constexpr unsigned int kBuses[] = {0xc1, 0xc2, 0x81, 0x82, 0x01, 0x02, 0x41, 0x42};
  constexpr int kNumBuses = sizeof kBuses / sizeof kBuses[0];
  return card < kNumBuses ? kBuses[card] : 0x90U + static_cast<unsigned int>(card - kNumBuses);
}

bool is_card(int card) { return card >= 0 && card < settings().num_cards; }

}  // namespace

extern "C" {

int dcmi_init() {
  is_initialised = true;
  return DCMI_OK;
}

int dcmi_get_card_id_device_id_from_logicid(int* card_id, int* device_id, unsigned int logic_id) {
  if (!is_initialised) return DCMI_ERR_CODE_INNER_ERR;
  if (card_id == nullptr || device_id == nullptr || !is_card(static_cast<int>(logic_id)))
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  *card_id = static_cast<int>(logic_id);
  *device_id = 0;
  return DCMI_OK;
}

int dcmi_get_device_pcie_info_v2(int card_id, int device_id, dcmi_pcie_info_all* info) {
  if (!is_initialised) return DCMI_ERR_CODE_INNER_ERR;
  if (info == nullptr || device_id != 0 || !is_card(card_id))
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  *info = {.venderid = 0x19e5, .deviceid = 0xd802, .bdf_busid = bus_of(card_id)};
  return DCMI_OK;
}
}
