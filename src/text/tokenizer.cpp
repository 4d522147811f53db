#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "text/added_tokens.h"
#include "text/ffi.h"
#include "text/files.h"
#include "text/sentencepiece_model.h"

namespace fastchat::text {
namespace {

Json to_json(const AddedToken& token) {
  Json json{{"content", token.content},
            {"special", token.special},
            {"lstrip", token.lstrip},
            {"rstrip", token.rstrip},
            {"single_word", token.single_word}};
  if (token.id >= 0) json["id"] = token.id;
  if (token.normalized) json["normalized"] = *token.normalized;
  return json;
}

Result<Json> added_tokens_of(const Json& config, const Json& added_tokens_file) {
  Result<std::vector<AddedToken>> listed = listed_tokens(config, added_tokens_file);
  if (!listed) return listed.error();
  const std::vector<std::string> specials = named_special_tokens(config);
  Json added = Json::array();
  for (AddedToken& token : *listed) {
    if (std::find(specials.begin(), specials.end(), token.content) != specials.end())
      token.special = true;
    added.push_back(to_json(token));
  }
  for (const std::string& content : specials) {
    const bool known = std::any_of(added.begin(), added.end(), [&](const Json& token) {
      return token_content(token) == content;
    });
    if (!known)
      added.push_back(to_json({.content = content, .special = true, .normalized = false}));
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

// The Rust crate's tokenizers.
class CrateModel : public TokenizerModel {
 public:
  explicit CrateModel(fct_tokenizer* handle) : handle_(handle) {}

  Result<std::vector<std::int32_t>> encode(std::string_view text,
                                           bool add_special_tokens,
                                           bool parse_special) const override {
    fct_ids ids{};
    fct_buffer error{};
    const fct_status status = fct_tokenizer_encode(
        handle_.get(), text.data(), text.size(), add_special_tokens, parse_special, &ids, &error);
    if (status != fct_ok) return take_error(status, error);
    std::vector<std::int32_t> result(ids.data, ids.data + ids.size);
    fct_ids_free(ids);
    return result;
  }

  Result<std::string> decode(std::span<const std::int32_t> ids,
                             bool skip_special_tokens) const override {
    fct_buffer text{};
    fct_buffer error{};
    // Signed and unsigned variants of a type may alias; a negative id becomes one that no
    // vocabulary has.
    const auto* data = reinterpret_cast<const std::uint32_t*>(ids.data());
    const fct_status status =
        fct_tokenizer_decode(handle_.get(), data, ids.size(), skip_special_tokens, &text, &error);
    if (status != fct_ok) return Error{ErrorCode::internal, take(error)};
    return take(text);
  }

  std::optional<std::string> id_to_token(std::int32_t id) const override {
    fct_buffer token{};
    if (!fct_tokenizer_id_to_token(handle_.get(), static_cast<std::uint32_t>(id), &token)) {
      return std::nullopt;
    }
    return take(token);
  }

  std::optional<std::int32_t> token_to_id(std::string_view token) const override {
    std::uint32_t id = 0;
    if (!fct_tokenizer_token_to_id(handle_.get(), token.data(), token.size(), &id)) {
      return std::nullopt;
    }
    return static_cast<std::int32_t>(id);
  }

  std::int32_t vocab_size() const override {
    return static_cast<std::int32_t>(fct_tokenizer_vocab_size(handle_.get()));
  }

  bool is_special(std::int32_t id) const override {
    return fct_tokenizer_is_special(handle_.get(), static_cast<std::uint32_t>(id)) != 0;
  }

  void append_token_bytes(std::int32_t id, std::string& bytes) const override {
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

  std::optional<ByteDecoding> byte_decoding() const override {
    if (fct_tokenizer_is_byte_level(handle_.get()) == 0) return std::nullopt;
    return ByteDecoding{};
  }

 private:
  struct Free {
    void operator()(fct_tokenizer* handle) const { fct_tokenizer_free(handle); }
  };
  std::unique_ptr<fct_tokenizer, Free> handle_;
};

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const TokenizerModel> model)
    : model_(std::move(model)), byte_decoding_(model_->byte_decoding()) {}

Result<Tokenizer> Tokenizer::from_json(std::string_view json) {
  fct_tokenizer* handle = nullptr;
  fct_buffer error{};
  const fct_status status = fct_tokenizer_from_json(json.data(), json.size(), &handle, &error);
  if (status != fct_ok) return take_error(status, error);
  return Tokenizer(std::make_shared<CrateModel>(handle));
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
    const auto sentencepiece = read_if_present(folder / "tokenizer.model");
    if (!sentencepiece) return sentencepiece.error();
    if (sentencepiece->has_value()) {
      auto model = read_sentencepiece_model(folder, **sentencepiece);
      if (!model) return model.error();
      return Tokenizer(*std::move(model));
    }
    return Error{ErrorCode::not_found,
                 fmt::format("no tokenizer in {}: expected tokenizer.json, vocab.json with "
                             "merges.txt, or tokenizer.model",
                             folder.string())};
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
  return Tokenizer(std::make_shared<CrateModel>(handle));
}

}  // namespace fastchat::text
