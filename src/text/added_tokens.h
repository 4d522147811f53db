// Tokens that a model folder's small files put beside its vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/files.h"

namespace fastchat::text {

struct AddedToken {
  std::int64_t id = -1;  // below 0: not stated
  std::string content;   // never empty
  bool special = false;
  bool lstrip = false;  // takes the blanks before it along
  bool rstrip = false;
  bool single_word = false;  // not inside of words
  std::optional<bool> normalized;
};

/// Tokens that tokenizer_config.json lists in full (added_tokens_decoder) or else added_tokens.json
/// names, by id. Errors: invalid_request.
Result<std::vector<AddedToken>> listed_tokens(const Json& config, const Json& added_tokens);

/// The named special tokens of tokenizer_config.json (bos_token, …), in the order in which the
/// reference adds those that are not there yet.
std::vector<std::string> named_special_tokens(const Json& config);

}  // namespace fastchat::text
