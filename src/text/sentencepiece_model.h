// SentencePiece's tokenizer.model, as Hugging Face's LlamaTokenizer reads it (Llama 2, Mistral 7B
// v0.1, Vicuna).
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "text/tokenizer_model.h"

namespace fastchat::text {

/// The tokenizer of `folder`, whose tokenizer.model holds `model`: with the added and special
/// tokens of tokenizer_config.json, or of added_tokens.json and special_tokens_map.json where that
/// names none. Model files are trusted: the library does not survive every forged one. Errors:
/// unsupported for classes other than LlamaTokenizer; invalid_request naming the malformed file.
Result<std::shared_ptr<const TokenizerModel>> read_sentencepiece_model(
    const std::filesystem::path& folder, std::string_view model);

}  // namespace fastchat::text
