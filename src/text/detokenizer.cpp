#include "text/detokenizer.h"

#include <span>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace fastchat::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// A character has at most four bytes, so a fourth token that does not complete one never will be
// completed.
constexpr std::size_t kMaxTokensOfCharacter = 4;
// Tokens without text that are kept in case their text appears with a later token.
constexpr std::size_t kMaxSilentTokens = 16;

/// What the bytes at the start of a text are, by the rules of "maximal subparts" that decoders
/// agree on.
struct Unit {
  enum Kind { character, broken, incomplete } kind;
  std::size_t size;
};

Unit first_unit(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Unit::character, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Unit::broken, 1};
  const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Overlong forms, surrogates and numbers above U+10FFFF show in the second byte.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < size; ++i) {
    if (i == bytes.size()) return {Unit::incomplete, i};
    const bool continues = i == 1 ? byte(i) >= low && byte(i) <= high : (byte(i) & 0xC0) == 0x80;
    if (!continues) return {Unit::broken, i};
  }
  return {Unit::character, size};
}

}  // namespace

IncrementalDetokenizer::IncrementalDetokenizer(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

std::string IncrementalDetokenizer::push(std::int32_t id) {
  if (skip_special_tokens_ && tokenizer_.is_special(id)) return {};
  return tokenizer_.is_byte_level() ? push_bytes(id) : push_window(id);
}

std::string IncrementalDetokenizer::finish() {
  std::string rest;
  if (!bytes_.empty()) {
    rest = kReplacement;
  } else if (num_shown_ < window_.size()) {
    std::string text = decode(0);
    rest = text.starts_with(shown_text_) ? text.substr(shown_text_.size()) : decode(num_shown_);
  }
  bytes_.clear();
  window_.clear();
  shown_text_.clear();
  num_shown_ = 0;
  return rest;
}

std::string IncrementalDetokenizer::push_bytes(std::int32_t id) {
  tokenizer_.append_token_bytes(id, bytes_);
  std::string text;
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    const Unit unit = first_unit(rest);
    if (unit.kind == Unit::incomplete) break;
    text += unit.kind == Unit::character ? rest.substr(0, unit.size) : kReplacement;
    rest.remove_prefix(unit.size);
  }
  bytes_.erase(0, bytes_.size() - rest.size());
  return text;
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
