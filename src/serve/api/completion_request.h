// POST /v1/completions: what a client may ask.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "serve/api/sampling_fields.h"

namespace fastchat::serve::api {

/// Text, or tokens.
using PromptInput = std::variant<std::string, std::vector<std::int32_t>>;

struct CompletionRequest {
  CommonFields common;
  std::vector<PromptInput> prompts;
  bool echoes = false;       // the prompt is part of the answer
  std::int32_t best_of = 1;  // as many are generated, the n likeliest given
  bool wants_logprobs = false;
  bool generates = true;  // false: max_tokens is 0, the prompt alone is looked at
};

/// Most prompts of one request.
inline constexpr std::size_t kMaxPrompts = 2048;

/// Throws ApiError.
CompletionRequest read_completion_request(const text::Json& body,
                                          const engine::SamplingParams& defaults,
                                          bool is_strict);

/// One text, several, one array of tokens, or several. Throws ApiError naming `name`.
std::vector<PromptInput> read_prompts(Fields& fields, const std::string& name);

}  // namespace fastchat::serve::api
