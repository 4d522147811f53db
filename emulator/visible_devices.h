// ASCEND_RT_VISIBLE_DEVICES as the vendor reads it.
#pragma once

#include <vector>

namespace emulator {

/// Physical ids of the visible cards; their positions are the ids that clients use. Null `text`
/// (unset): all cards. Empty when nothing is valid: an empty text, a first character that is no
/// digit, ids that do not ascend strictly. Only the first 128 characters count; what follows a
/// character that is neither digit nor comma, a second comma, or an id of no card is ignored.
std::vector<int> parse_visible_devices(const char* text, int num_cards);

}  // namespace emulator
