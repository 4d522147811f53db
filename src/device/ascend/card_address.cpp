#include "device/ascend/card_address.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "base/log.h"
#include "device/ascend/cann.h"
#include "device/ascend/cann_library.h"
#include "device/ascend/dcmi.h"

namespace fastchat::device::ascend {
namespace {

constexpr int kPciAddressSince = 920;  // CANN that brought aclrtDeviceGetPCIBusId

std::string ask_runtime(int index) {
  if (cann().version() < kPciAddressSince) return {};
  void* const symbol = cann().find("aclrtDeviceGetPCIBusId");
  if (symbol == nullptr) return {};
  std::array<char, 32> address{};
  const auto get = reinterpret_cast<decltype(&aclrtDeviceGetPCIBusId)>(symbol);
  if (get(index, address.data(), static_cast<std::int32_t>(address.size())) != ACL_SUCCESS)
    return {};
  address.back() = '\0';
  std::string text = address.data();
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return text;
}

/// Never closed: the library keeps what dcmi_init has set up.
void* open_management_library() {
  for (const char* name : {"libdcmi.so",
                           "/usr/local/dcmi/libdcmi.so",
                           "/usr/local/Ascend/driver/lib64/driver/libdcmi.so"})
    if (void* const handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL)) return handle;
  return nullptr;
}

struct Management {
  decltype(&dcmi_get_card_id_device_id_from_logicid) find_card = nullptr;
  decltype(&dcmi_get_device_pcie_info_v2) pcie_info = nullptr;
  bool is_ready = false;

  Management() {
    void* const handle = open_management_library();
    if (handle == nullptr) return;
    const auto init = reinterpret_cast<decltype(&dcmi_init)>(dlsym(handle, "dcmi_init"));
    find_card = reinterpret_cast<decltype(find_card)>(
        dlsym(handle, "dcmi_get_card_id_device_id_from_logicid"));
    pcie_info =
        reinterpret_cast<decltype(pcie_info)>(dlsym(handle, "dcmi_get_device_pcie_info_v2"));
    is_ready = init != nullptr && find_card != nullptr && pcie_info != nullptr && init() == DCMI_OK;
  }
};

std::string ask_management(int physical_index) {
  static const Management kManagement;
  if (!kManagement.is_ready) return {};
  int card = 0;
  int device = 0;
  dcmi_pcie_info_all info{};
  if (kManagement.find_card(&card, &device, static_cast<unsigned int>(physical_index)) != DCMI_OK ||
      kManagement.pcie_info(card, device, &info) != DCMI_OK)
    return {};
  return fmt::format(
      "{:04x}:{:02x}:{:02x}.{:x}", info.domain, info.bdf_busid, info.bdf_deviceid, info.bdf_funcid);
}

}  // namespace

std::string card_address(int index, int physical_index) {
  std::string address = ask_runtime(index);
  if (address.empty()) address = ask_management(physical_index);
  if (address.empty())
    log::debug("npu {}: neither CANN nor the driver tells its PCI address", index);
  return address;
}

}  // namespace fastchat::device::ascend
