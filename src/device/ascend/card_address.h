// Where a card sits on the PCI bus.
#pragma once

#include <string>

namespace fastchat::device::ascend {

/// "0000:c1:00.0", as sysfs writes it, of the visible card `index`; empty where neither the runtime
/// (from 9.2 on) nor the driver's management library tells. After CannLibrary::load().
std::string card_address(int index, int physical_index);

}  // namespace fastchat::device::ascend
