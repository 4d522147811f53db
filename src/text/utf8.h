// UTF-8 in bytes that may be anything.
#pragma once

#include <cstddef>
#include <string_view>

namespace fastchat::text {

/// What the bytes at the start of a text are, by the rules of "maximal subparts" that decoders
/// agree on: a character; bytes that begin none; or the beginning of one that the text's end cuts.
struct Utf8Unit {
  enum Kind { character, broken, incomplete } kind;
  std::size_t size;  // bytes
};

/// `bytes` are not empty.
Utf8Unit first_utf8_unit(std::string_view bytes);

bool is_utf8(std::string_view bytes);

}  // namespace fastchat::text
