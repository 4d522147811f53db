// POST /v1/chat/completions: what a client may ask.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "serve/api/sampling_fields.h"
#include "text/chat_template.h"

namespace fastchat::serve::api {

struct ChatRequest {
  CommonFields common;
  text::Json messages;                    // as templates take them: content is text
  std::optional<std::string> raw_prompt;  // FastChat: "messages" may be one string, the prompt
  text::RenderOptions render;
  bool continues_final_message = false;  // the last message is the beginning of the answer
};

/// Throws ApiError.
ChatRequest read_chat_request(const text::Json& body,
                              const engine::SamplingParams& defaults,
                              bool is_strict);

/// Messages as clients send them, as templates take them: parts of text joined by new lines,
/// "developer" as "system", arguments of tool calls as objects. Throws ApiError, naming the place.
text::Json template_messages(const text::Json& messages);

}  // namespace fastchat::serve::api
