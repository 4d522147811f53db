// UTF-8 from people and files, checked byte by byte: nothing here depends on the locale.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fastchat::serve {

/// Bytes of the well-formed character that starts `text` (1 to 4), or 0 when it starts with none.
std::size_t utf8_length(std::string_view text);

/// Number of bytes that a character starting with `lead` has: 1 to 4, or 0 for a byte that starts
/// none.
std::size_t utf8_expected_length(unsigned char lead);

void append_utf8(std::string& text, char32_t character);

/// The first character of well-formed, non-empty `text`.
char32_t first_character(std::string_view text);

/// The same text with every maximal ill-formed part replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

/// The same text without what a terminal would obey: control characters other than newline and tab
/// become U+FFFD. `text` is well-formed.
std::string without_control_characters(std::string_view text);

}  // namespace fastchat::serve
