// Answers by the engine: template, tokenizer, engine, and back to text, handed from the engine
// thread to the terminal thread.
#pragma once

#include "engine/engine.h"
#include "serve/cli/chat_backend.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace fastchat::serve {

/// Keeps references; all outlive it. Turns that begin like earlier ones find their keys and values
/// in the engine's prefix cache.
class EngineBackend : public ChatBackend {
 public:
  EngineBackend(engine::Engine& engine,
                const text::Tokenizer& tokenizer,
                const text::ChatTemplate& chat_template)
      : engine_(engine), tokenizer_(tokenizer), chat_template_(chat_template) {}

  Result<Generation> generate(std::span<const ChatTurn> turns,
                              const ChatParams& params,
                              const std::function<void(std::string_view)>& on_text,
                              const std::function<bool()>& cancelled) override;

 private:
  engine::Engine& engine_;
  const text::Tokenizer& tokenizer_;
  const text::ChatTemplate& chat_template_;
};

}  // namespace fastchat::serve
