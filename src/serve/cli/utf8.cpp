#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The second byte's range depends on the first (no overlong forms, no surrogates, nothing above
// U+10FFFF).
bool is_second_byte(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return second >= 0x80 && second <= 0xBF;
  }
}

// Bytes of `text` that begin a character correctly, complete or not; at least 1.
std::size_t well_begun(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t expected = utf8_expected_length(lead);
  std::size_t length = 1;
  while (length < expected && length < text.size()) {
    const auto byte = static_cast<unsigned char>(text[length]);
    if (length == 1 ? !is_second_byte(lead, byte) : (byte & 0xC0) != 0x80) break;
    ++length;
  }
  return length;
}

}  // namespace

std::size_t utf8_expected_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const std::size_t expected = utf8_expected_length(static_cast<unsigned char>(text[0]));
  return expected != 0 && well_begun(text) == expected ? expected : 0;
}

void append_utf8(std::string& text, char32_t character) {
  const auto byte = [&](char32_t bits) { text.push_back(static_cast<char>(bits)); };
  if (character < 0x80) {
    byte(character);
  } else if (character < 0x800) {
    byte(0xC0 | (character >> 6));
    byte(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    byte(0xE0 | (character >> 12));
    byte(0x80 | ((character >> 6) & 0x3F));
    byte(0x80 | (character & 0x3F));
  } else {
    byte(0xF0 | (character >> 18));
    byte(0x80 | ((character >> 12) & 0x3F));
    byte(0x80 | ((character >> 6) & 0x3F));
    byte(0x80 | (character & 0x3F));
  }
}

char32_t first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = utf8_expected_length(lead);
  char32_t character = length == 1 ? lead : lead & (0x7F >> length);
  for (std::size_t index = 1; index < length; ++index)
    character = (character << 6) | (static_cast<unsigned char>(text[index]) & 0x3F);
  return character;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::size_t taken = length != 0 ? length : well_begun(text);
    out += length != 0 ? text.substr(0, length) : kReplacement;
    text.remove_prefix(taken);
  }
  return out;
}

std::string without_control_characters(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text) == 0 ? 1 : utf8_length(text);
    const char32_t character = utf8_length(text) == 0 ? 0 : first_character(text);
    const bool control = (character < 0x20 && character != '\n' && character != '\t') ||
                         (character >= 0x7F && character < 0xA0);
    out += control ? kReplacement : text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace fastchat::serve
