// From what a client sent to the tokens of a prompt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serve/api/chat_request.h"
#include "serve/api/served_model.h"

namespace fastchat::serve::api {

struct Prompt {
  std::vector<std::int32_t> tokens;
  bool is_thinking = false;  // the model goes on inside of its thoughts
};

/// Throws ApiError: no template, the template refuses the messages, text that is no UTF-8.
Prompt chat_prompt(const ServedModel& model, const ChatRequest& request);
/// With the special tokens that the tokenizer puts around a text. Throws ApiError.
std::vector<std::int32_t> text_prompt(const ServedModel& model, const std::string& text);
/// Throws ApiError where the prompt leaves no room for an answer; else lowers max_tokens to the
/// room there is, as FastChat does.
void fit_into_context(const ServedModel& model,
                      std::size_t num_prompt_tokens,
                      engine::SamplingParams& sampling);

}  // namespace fastchat::serve::api
