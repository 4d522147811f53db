// Answers by the engine: template, tokenizer, engine, and back to text, handed from the engine
// thread to the terminal thread.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "serve/cli/chat_backend.h"
#include "text/chat_template.h"
#include "text/conversation_template.h"
#include "text/tokenizer.h"

namespace fastchat::serve {

/// Writes a conversation as the tokens of its prompt. Errors: invalid_request.
using PromptEncoder =
    std::function<Result<std::vector<std::int32_t>>(std::span<const ChatTurn> turns)>;
/// By the model's own chat template. Keeps references.
PromptEncoder model_prompts(const text::Tokenizer& tokenizer,
                            const text::ChatTemplate& chat_template);
/// By one of FastChat's, whose text the tokenizer's special tokens are added to, as there; but a
/// BOS that the template writes itself is not doubled. Keeps references.
PromptEncoder conversation_prompts(const text::Tokenizer& tokenizer,
                                   const text::ConversationTemplate& conversation);

/// Keeps references; all outlive it. Turns that begin like earlier ones find their keys and values
/// in the engine's prefix cache.
class EngineBackend : public ChatBackend {
 public:
  EngineBackend(engine::RequestQueue& engine,
                const text::Tokenizer& tokenizer,
                PromptEncoder encode_prompt)
      : engine_(engine), tokenizer_(tokenizer), encode_prompt_(std::move(encode_prompt)) {}

  Result<Generation> generate(std::span<const ChatTurn> turns,
                              const ChatParams& params,
                              const std::function<void(std::string_view)>& on_text,
                              const std::function<bool()>& cancelled) override;

 private:
  engine::RequestQueue& engine_;
  const text::Tokenizer& tokenizer_;
  PromptEncoder encode_prompt_;
};

}  // namespace fastchat::serve
