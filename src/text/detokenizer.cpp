#include "text/detokenizer.h"

#include <span>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace fastchat::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// A character has at most four bytes, so a fourth token that does not complete one never will be
// completed.
constexpr std::size_t kMaxTokensOfCharacter = 4;
// Tokens without text that are kept in case their text appears with a later token.
constexpr std::size_t kMaxSilentTokens = 16;

}  // namespace

IncrementalDetokenizer::IncrementalDetokenizer(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

std::string IncrementalDetokenizer::push(std::int32_t id) {
  if (skip_special_tokens_ && tokenizer_.is_special(id)) return {};
  return tokenizer_.byte_decoding() ? push_bytes(id) : push_window(id);
}

std::string IncrementalDetokenizer::finish() {
  std::string rest;
  if (!bytes_.empty()) {
    append_replacement(bytes_.size(), rest);
  } else if (num_shown_ < window_.size()) {
    std::string text = decode(0);
    rest = text.starts_with(shown_text_) ? text.substr(shown_text_.size()) : decode(num_shown_);
  }
  bytes_.clear();
  at_start_ = true;
  window_.clear();
  shown_text_.clear();
  num_shown_ = 0;
  return rest;
}

std::string IncrementalDetokenizer::push_bytes(std::int32_t id) {
  if (!tokenizer_.id_to_token(id)) return {};
  tokenizer_.append_token_bytes(id, bytes_);
  if (std::exchange(at_start_, false) && tokenizer_.byte_decoding()->strips_leading_space &&
      bytes_.starts_with(' '))
    bytes_.erase(0, 1);
  std::string text;
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    const Utf8Unit unit = first_utf8_unit(rest);
    if (unit.kind == Utf8Unit::incomplete) break;
    if (unit.kind == Utf8Unit::character)
      text += rest.substr(0, unit.size);
    else
      append_replacement(unit.size, text);
    rest.remove_prefix(unit.size);
  }
  bytes_.erase(0, bytes_.size() - rest.size());
  return text;
}

// In place of a broken unit of `size` bytes.
void IncrementalDetokenizer::append_replacement(std::size_t size, std::string& text) const {
  const std::size_t count = tokenizer_.byte_decoding()->replaces_every_byte ? size : 1;
  for (std::size_t i = 0; i < count; ++i) text += kReplacement;
}

// The text of a token depends on what stands before it (a leading space is dropped at the start
// only, bytes join to characters). So decode a few earlier tokens with it and give out the
// difference, as vLLM and TGI do.
std::string IncrementalDetokenizer::push_window(std::int32_t id) {
  if (!tokenizer_.id_to_token(id)) return {};
  window_.push_back(id);
  const std::size_t num_pending = window_.size() - num_shown_;
  std::string text = decode(0);
  if (text.ends_with(kReplacement) && num_pending < kMaxTokensOfCharacter) return {};

  text = text.starts_with(shown_text_) ? text.substr(shown_text_.size()) : decode(num_shown_);
  if (text.empty()) {
    // Nothing to show yet: the first token's leading space, say.
    if (num_pending > kMaxSilentTokens) window_.pop_back();
    return {};
  }
  window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(num_shown_));
  num_shown_ = window_.size();
  shown_text_ = decode(0);
  return text;
}

std::string IncrementalDetokenizer::decode(std::size_t first) const {
  Result<std::string> text =
      tokenizer_.decode(std::span(window_).subspan(first), skip_special_tokens_);
  if (!text) fail("detokenization failed: {}", text.error().message);
  return *std::move(text);
}

}  // namespace fastchat::text
