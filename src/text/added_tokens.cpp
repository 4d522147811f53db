#include "text/added_tokens.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace fastchat::text {
namespace {

bool flag(const Json& token, const char* key) {
  const auto found = token.is_object() ? token.find(key) : token.end();
  return found != token.end() && found->is_boolean() && found->get<bool>();
}

std::optional<AddedToken> parse_token(std::string_view key, const Json& json) {
  AddedToken token;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
  std::optional<std::string> content = token_content(json);
  if (error != std::errc() || end != key.data() + key.size() || token.id < 0 ||
      token.id > INT32_MAX || !content || content->empty())
    return std::nullopt;
  token.content = *std::move(content);
  token.special = flag(json, "special");
  token.lstrip = flag(json, "lstrip");
  token.rstrip = flag(json, "rstrip");
  token.single_word = flag(json, "single_word");
  if (json.is_object() && json.contains("normalized")) token.normalized = flag(json, "normalized");
  return token;
}

}  // namespace

Result<std::vector<AddedToken>> listed_tokens(const Json& config, const Json& added_tokens) {
  std::vector<AddedToken> tokens;
  if (const auto decoder = config.find("added_tokens_decoder"); decoder != config.end()) {
    if (!decoder->is_object()) {
      return Error{ErrorCode::invalid_request,
                   "tokenizer_config.json: added_tokens_decoder must be an object"};
    }
    for (const auto& [key, json] : decoder->items()) {
      std::optional<AddedToken> token = parse_token(key, json);
      if (!token) {
        return Error{
            ErrorCode::invalid_request,
            fmt::format("tokenizer_config.json: added_tokens_decoder[\"{}\"] must map an id to a "
                        "token with content",
                        key)};
      }
      tokens.push_back(*std::move(token));
    }
  } else if (added_tokens.is_object()) {
    for (const auto& [content, id] : added_tokens.items()) {
      if (!id.is_number_unsigned() || id > INT32_MAX || content.empty()) {
        return Error{ErrorCode::invalid_request, "added_tokens.json must map tokens to ids"};
      }
      tokens.push_back({.id = id.get<std::int64_t>(), .content = content, .normalized = false});
    }
  }
  std::sort(tokens.begin(), tokens.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.id < b.id;
  });
  return tokens;
}

std::vector<std::string> named_special_tokens(const Json& config) {
  std::vector<std::string> names;
  const auto add = [&](const Json& token) {
    std::optional<std::string> name = token_content(token);
    if (name && !name->empty()) names.push_back(*std::move(name));
  };
  for (const char* key : {"bos_token",
                          "eos_token",
                          "unk_token",
                          "sep_token",
                          "pad_token",
                          "cls_token",
                          "mask_token"}) {
    if (const auto token = config.find(key); token != config.end()) add(*token);
  }
  const auto additional = config.find("additional_special_tokens");
  if (additional != config.end() && additional->is_array()) {
    for (const Json& token : *additional) add(token);
  }
  return names;
}

}  // namespace fastchat::text
