// What stands behind a Tokenizer: one implementation per library that reads tokenizer files.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastchat::text {

/// How text comes from tokens whose bytes are simply joined.
struct ByteDecoding {
  bool strips_leading_space = false;  // the first token's, once
  bool replaces_every_byte = false;   // U+FFFD for each byte of a broken unit, not for the unit
};

/// The functions of Tokenizer, which has their contracts. Immutable: any thread.
class TokenizerModel {
 public:
  virtual ~TokenizerModel() = default;
  virtual Result<std::vector<std::int32_t>> encode(std::string_view text,
                                                   bool add_special_tokens,
                                                   bool parse_special) const = 0;
  virtual Result<std::string> decode(std::span<const std::int32_t> ids,
                                     bool skip_special_tokens) const = 0;
  virtual std::optional<std::string> id_to_token(std::int32_t id) const = 0;
  virtual std::optional<std::int32_t> token_to_id(std::string_view token) const = 0;
  virtual std::int32_t vocab_size() const = 0;
  virtual bool is_special(std::int32_t id) const = 0;
  /// Empty if decoding does more than join bytes.
  virtual std::optional<ByteDecoding> byte_decoding() const = 0;
  virtual void append_token_bytes(std::int32_t id, std::string& bytes) const = 0;
};

}  // namespace fastchat::text
