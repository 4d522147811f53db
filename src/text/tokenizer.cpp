#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "text/ffi.h"
#include "text/files.h"

namespace fastchat::text {
namespace {

struct AddedToken {
  std::int64_t id;
  Json json;
};

/// Tokens that tokenizer_config.json or added_tokens.json put behind the vocabulary, by id.
Result<std::vector<AddedToken>> listed_tokens(const Json& config, const Json& added_tokens) {
  std::vector<AddedToken> tokens;
  if (const auto decoder = config.find("added_tokens_decoder"); decoder != config.end()) {
    if (!decoder->is_object()) {
      return Error{ErrorCode::invalid_request,
                   "tokenizer_config.json: added_tokens_decoder must be an object"};
    }
    for (const auto& [key, token] : decoder->items()) {
      std::int64_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0 ||
          !token_content(token)) {
        return Error{
            ErrorCode::invalid_request,
            fmt::format("tokenizer_config.json: added_tokens_decoder[\"{}\"] must map an id to a "
                        "token with content",
                        key)};
      }
      Json json = token.is_object() ? token : Json{{"content", token}};
      json["id"] = id;
      tokens.push_back({id, std::move(json)});
    }
  } else if (added_tokens.is_object()) {
    for (const auto& [content, id] : added_tokens.items()) {
      if (!id.is_number_unsigned() || id > INT32_MAX) {
        return Error{ErrorCode::invalid_request, "added_tokens.json must map tokens to ids"};
      }
      const auto number = id.get<std::int64_t>();
      tokens.push_back({number, {{"content", content}, {"id", number}, {"normalized", false}}});
    }
  }
  std::sort(tokens.begin(), tokens.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.id < b.id;
  });
  return tokens;
}

/// The named special tokens, in the order in which the reference adds those that are not there yet.
std::vector<std::string> named_special_tokens(const Json& config) {
  std::vector<std::string> names;
  const auto add = [&](const Json& token) {
    if (std::optional<std::string> name = token_content(token)) names.push_back(*name);
  };
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    if (const auto token = config.find(key); token != config.end()) add(*token);
  }
  const auto additional = config.find("additional_special_tokens");
  if (additional != config.end() && additional->is_array()) {
    for (const Json& token : *additional) add(token);
  }
  return names;
}

Result<Json> added_tokens_of(const Json& config, const Json& added_tokens_file) {
  Result<std::vector<AddedToken>> listed = listed_tokens(config, added_tokens_file);
  if (!listed) return listed.error();
  const std::vector<std::string> specials = named_special_tokens(config);
  Json added = Json::array();
  for (AddedToken& token : *listed) {
    const std::string content = token_content(token.json).value_or("");
    if (std::find(specials.begin(), specials.end(), content) != specials.end()) {
      token.json["special"] = true;
    }
    added.push_back(std::move(token.json));
  }
  for (const std::string& content : specials) {
    const bool known = std::any_of(added.begin(), added.end(), [&](const Json& token) {
      return token_content(token) == content;
    });
    if (!known) added.push_back({{"content", content}, {"special", true}, {"normalized", false}});
  }
  return added;
}

/// "qwen2" or "gpt2": which pre-tokenizer goes with the vocabulary.
Result<std::string> family_of(const Json& config, const std::filesystem::path& folder) {
  std::string name = "Qwen2Tokenizer";
  if (const auto found = config.find("tokenizer_class");
      found != config.end() && found->is_string()) {
    name = found->get<std::string>();
  }
  if (name == "Qwen2Tokenizer" || name == "Qwen2TokenizerFast") return std::string("qwen2");
  if (name == "GPT2Tokenizer" || name == "GPT2TokenizerFast") return std::string("gpt2");
  return Error{
      ErrorCode::unsupported,
      fmt::format("{}: a {} is read from tokenizer.json, which is missing; from vocab.json "
                  "and merges.txt only Qwen2Tokenizer and GPT2Tokenizer are built",
                  folder.string(),
                  name)};
}

}  // namespace

Tokenizer::Tokenizer(fct_tokenizer* handle)
    : handle_(handle, fct_tokenizer_free), byte_level_(fct_tokenizer_is_byte_level(handle) != 0) {}

Result<Tokenizer> Tokenizer::from_json(std::string_view json) {
  fct_tokenizer* handle = nullptr;
  fct_buffer error{};
  const fct_status status = fct_tokenizer_from_json(json.data(), json.size(), &handle, &error);
  if (status != fct_ok) return take_error(status, error);
  return Tokenizer(handle);
}

Result<Tokenizer> Tokenizer::from_folder(const std::filesystem::path& folder) {
  const auto whole = read_if_present(folder / "tokenizer.json");
  if (!whole) return whole.error();
  if (whole->has_value()) {
    Result<Tokenizer> tokenizer = from_json(**whole);
    if (tokenizer) return tokenizer;
    return Error{
        tokenizer.error().code,
        fmt::format("{}: {}", (folder / "tokenizer.json").string(), tokenizer.error().message)};
  }

  const auto vocab = read_if_present(folder / "vocab.json");
  if (!vocab) return vocab.error();
  const auto merges = read_if_present(folder / "merges.txt");
  if (!merges) return merges.error();
  if (!vocab->has_value() || !merges->has_value()) {
    const char* hint = std::filesystem::exists(folder / "tokenizer.model")
                           ? "; a SentencePiece tokenizer.model is not read"
                           : "";
    return Error{ErrorCode::not_found,
                 fmt::format("no tokenizer in {}: expected tokenizer.json, or vocab.json with "
                             "merges.txt{}",
                             folder.string(),
                             hint)};
  }

  Result<Json> config = read_json_object(folder / "tokenizer_config.json");
  if (!config) return config.error();
  if (config->is_null()) *config = Json::object();
  const Result<Json> added_file = read_json_object(folder / "added_tokens.json");
  if (!added_file) return added_file.error();
  const Result<std::string> family = family_of(*config, folder);
  if (!family) return family.error();
  const Result<Json> added = added_tokens_of(*config, *added_file);
  if (!added) {
    return Error{added.error().code, fmt::format("{}: {}", folder.string(), added.error().message)};
  }
  const auto prefix_space = config->find("add_prefix_space");
  const Json spec{{"family", *family},
                  {"add_prefix_space", prefix_space != config->end() && *prefix_space == true},
                  {"added_tokens", *added}};
  const std::string spec_text = spec.dump();

  fct_tokenizer* handle = nullptr;
  fct_buffer error{};
  const fct_status status = fct_tokenizer_from_bpe((*vocab)->data(),
                                                   (*vocab)->size(),
                                                   (*merges)->data(),
                                                   (*merges)->size(),
                                                   spec_text.data(),
                                                   spec_text.size(),
                                                   &handle,
                                                   &error);
  if (status != fct_ok) {
    Error failed = take_error(status, error);
    failed.message = fmt::format("{}: {}", folder.string(), failed.message);
    return failed;
  }
  return Tokenizer(handle);
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text,
                                                    bool add_special_tokens,
                                                    bool parse_special) const {
  fct_ids ids{};
  fct_buffer error{};
  const fct_status status = fct_tokenizer_encode(
      handle_.get(), text.data(), text.size(), add_special_tokens, parse_special, &ids, &error);
  if (status != fct_ok) return take_error(status, error);
  std::vector<std::int32_t> result(ids.data, ids.data + ids.size);
  fct_ids_free(ids);
  return result;
}

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids,
                                      bool skip_special_tokens) const {
  fct_buffer text{};
  fct_buffer error{};
  // Signed and unsigned variants of a type may alias; a negative id becomes one that no vocabulary
  // has.
  const auto* data = reinterpret_cast<const std::uint32_t*>(ids.data());
  const fct_status status =
      fct_tokenizer_decode(handle_.get(), data, ids.size(), skip_special_tokens, &text, &error);
  if (status != fct_ok) return Error{ErrorCode::internal, take(error)};
  return take(text);
}

std::optional<std::string> Tokenizer::id_to_token(std::int32_t id) const {
  fct_buffer token{};
  if (!fct_tokenizer_id_to_token(handle_.get(), static_cast<std::uint32_t>(id), &token)) {
    return std::nullopt;
  }
  return take(token);
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view token) const {
  std::uint32_t id = 0;
  if (!fct_tokenizer_token_to_id(handle_.get(), token.data(), token.size(), &id)) {
    return std::nullopt;
  }
  return static_cast<std::int32_t>(id);
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(fct_tokenizer_vocab_size(handle_.get()));
}

bool Tokenizer::is_special(std::int32_t id) const {
  return fct_tokenizer_is_special(handle_.get(), static_cast<std::uint32_t>(id)) != 0;
}

void Tokenizer::append_token_bytes(std::int32_t id, std::string& bytes) const {
  std::array<char, 64> buffer;
  const auto token = static_cast<std::uint32_t>(id);
  const std::size_t size =
      fct_tokenizer_token_bytes(handle_.get(), token, buffer.data(), buffer.size());
  if (size <= buffer.size()) {
    bytes.append(buffer.data(), size);
    return;
  }
  const std::size_t start = bytes.size();
  bytes.resize(start + size);
  fct_tokenizer_token_bytes(handle_.get(), token, bytes.data() + start, size);
}

}  // namespace fastchat::text
