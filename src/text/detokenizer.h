// Text of a growing sequence of tokens, given out as soon as it is final.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace fastchat::text {

/// Turns tokens into text one at a time. What the calls return, joined, is what Tokenizer::decode
/// gives for all tokens at once, and no piece ends inside a character. A call costs the same
/// however long the sequence is.
///
/// One exception, for a tokenizer.json that falls back to tokens of single bytes: when
/// bytes that are not UTF-8 directly follow a character made of such tokens, decode drops the
/// character too; here it has been shown.
// One per sequence; one thread at a time.
class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(Tokenizer tokenizer, bool skip_special_tokens = true);

  /// The text that became final with this token, often empty. Throws Failure if the tokenizer
  /// breaks.
  std::string push(std::int32_t id);

  /// The end of the sequence: what was held back, U+FFFD in place of half a character. Then ready
  /// for a new sequence.
  std::string finish();

 private:
  std::string push_bytes(std::int32_t id);
  void append_replacement(std::size_t size, std::string& text) const;
  std::string push_window(std::int32_t id);
  std::string decode(std::size_t first) const;

  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  // Where bytes are joined: the beginning of a character, at most 3 bytes.
  std::string bytes_;
  bool at_start_ = true;  // no token yet

  // Otherwise: the last tokens whose text was given out, for context, then those whose text was
  // not.
  std::vector<std::int32_t> window_;
  std::size_t num_shown_ = 0;
  std::string shown_text_;  // of the first num_shown_ tokens alone
};

}  // namespace fastchat::text
