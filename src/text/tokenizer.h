// Text to token ids and back, by the model's own tokenizer files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_model.h"

namespace fastchat::text {

// Immutable once made: any thread may call any function. Cheap to move, shared when copied.
class Tokenizer {
 public:
  /// The tokenizer of a model folder: tokenizer.json, else vocab.json and merges.txt (Qwen2's and
  /// GPT-2's byte-level BPE, with the added tokens of tokenizer_config.json), else tokenizer.model
  /// (SentencePiece, as LlamaTokenizer reads it). Errors: not_found if the folder has none;
  /// unsupported for other families without a tokenizer.json; invalid_request for a malformed
  /// file, which the message names.
  static Result<Tokenizer> from_folder(const std::filesystem::path& folder);

  /// From the contents of a tokenizer.json. Errors: invalid_request.
  static Result<Tokenizer> from_json(std::string_view json);

  /// Token ids of a text.
  ///   add_special_tokens  add what the model's tokenizer puts around a text (often a BOS token,
  ///   for Qwen2 nothing).
  ///                       False for rendered chat templates, which contain their special tokens
  ///   parse_special       names of special tokens in the text become these tokens; false for text
  ///   that must not
  ///                       speak for the system. The first such call copies the tokenizer's tables
  /// Errors: invalid_request if the text is not UTF-8.
  Result<std::vector<std::int32_t>> encode(std::string_view text,
                                           bool add_special_tokens,
                                           bool parse_special = true) const {
    return model_->encode(text, add_special_tokens, parse_special);
  }

  /// Text of token ids; ids without a token are left out, bytes that are not UTF-8 become U+FFFD.
  /// Errors: internal.
  Result<std::string> decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
    return model_->decode(ids, skip_special_tokens);
  }

  /// The token as it stands in the vocabulary ("Ġworld", "<|im_end|>").
  std::optional<std::string> id_to_token(std::int32_t id) const { return model_->id_to_token(id); }
  std::optional<std::int32_t> token_to_id(std::string_view token) const {
    return model_->token_to_id(token);
  }

  /// Number of tokens, added ones included. A model's logits may be wider.
  std::int32_t vocab_size() const { return model_->vocab_size(); }
  bool is_special(std::int32_t id) const { return model_->is_special(id); }

  /// How text comes from tokens whose bytes are joined; empty if decoding does more than that.
  const std::optional<ByteDecoding>& byte_decoding() const { return byte_decoding_; }
  /// Appends the bytes that a token stands for, where there is a byte_decoding(); none for an id
  /// without a token.
  void append_token_bytes(std::int32_t id, std::string& bytes) const {
    model_->append_token_bytes(id, bytes);
  }

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerModel> model);

  std::shared_ptr<const TokenizerModel> model_;
  std::optional<ByteDecoding> byte_decoding_;
};

}  // namespace fastchat::text
