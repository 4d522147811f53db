#include "serve/api/prompts.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/reasoning.h"

namespace fastchat::serve::api {
namespace {

std::string render(const ServedModel& model, const ChatRequest& request) {
  if (request.raw_prompt) return *request.raw_prompt;
  if (model.chat_template == nullptr)
    throw ApiError(
        400,
        fmt::format("the model '{}' has no chat template: use /v1/completions", model.id),
        "messages");
  Result<std::string> rendered = model.chat_template->render(request.messages, request.render);
  if (!rendered) {
    ApiError error = to_api_error(rendered.error());
    error.param = "messages";
    throw error;
  }
  if (!request.continues_final_message) return *std::move(rendered);
  // What the template puts behind the last message is not said yet.
  const std::string last = request.messages.back()["content"].get<std::string>();
  const std::size_t place = rendered->rfind(last);
  if (place == std::string::npos)
    refuse("continue_final_message",
           "the chat template changes the last message, so it cannot be continued");
  rendered->resize(place + last.size());
  return *std::move(rendered);
}

std::vector<std::int32_t> encode(const ServedModel& model,
                                 const std::string& text,
                                 bool add_special_tokens) {
  Result<std::vector<std::int32_t>> tokens = model.tokenizer->encode(text, add_special_tokens);
  if (!tokens) throw to_api_error(tokens.error());
  return *std::move(tokens);
}

}  // namespace

Prompt chat_prompt(const ServedModel& model, const ChatRequest& request) {
  const std::string text = render(model, request);
  // The template writes the special tokens itself: adding them again would double the BOS.
  return {.tokens = encode(model, text, request.raw_prompt.has_value()),
          .is_thinking = model.thinks && text::ends_thinking(text)};
}

std::vector<std::int32_t> text_prompt(const ServedModel& model, const std::string& text) {
  return encode(model, text, true);
}

void fit_into_context(const ServedModel& model,
                      std::size_t num_prompt_tokens,
                      engine::SamplingParams& sampling) {
  const std::int64_t room = model.max_model_len() - static_cast<std::int64_t>(num_prompt_tokens);
  if (room <= 0) {
    ApiError error(400,
                   fmt::format("This model's maximum context length is {} tokens. However, your "
                               "messages resulted in {} tokens. Please reduce the length of the "
                               "messages.",
                               model.max_model_len(),
                               num_prompt_tokens),
                   "messages");
    error.code = "context_length_exceeded";
    throw error;
  }
  if (sampling.max_tokens <= 0 || sampling.max_tokens > room)
    sampling.max_tokens = static_cast<std::int32_t>(room);
  sampling.min_tokens = std::min(sampling.min_tokens, sampling.max_tokens);
}

}  // namespace fastchat::serve::api
