#include "text/utf8.h"

namespace fastchat::text {

Utf8Unit first_utf8_unit(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Utf8Unit::character, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Unit::broken, 1};
  const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Overlong forms, surrogates and numbers above U+10FFFF show in the second byte.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < size; ++i) {
    if (i == bytes.size()) return {Utf8Unit::incomplete, i};
    const bool continues = i == 1 ? byte(i) >= low && byte(i) <= high : (byte(i) & 0xC0) == 0x80;
    if (!continues) return {Utf8Unit::broken, i};
  }
  return {Utf8Unit::character, size};
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Unit unit = first_utf8_unit(bytes);
    if (unit.kind != Utf8Unit::character) return false;
    bytes.remove_prefix(unit.size);
  }
  return true;
}

}  // namespace fastchat::text
