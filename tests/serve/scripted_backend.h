// A chat backend that answers by a script, for tests of the terminal.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "serve/cli/chat_backend.h"

namespace fastchat::serve {

/// Answers with the pieces that `script` returns for the turns. A piece kWait waits for `gate` (or
/// Ctrl-C).
class ScriptedBackend : public ChatBackend {
 public:
  static constexpr const char* kWait = "\x01";
  using Script = std::function<Result<std::vector<std::string>>(std::span<const ChatTurn>)>;

  explicit ScriptedBackend(
      Script script, std::function<bool()> gate = [] { return false; })
      : script_(std::move(script)), gate_(std::move(gate)) {}

  engine::FinishReason finish_reason = engine::FinishReason::stop;
  bool context_full = false;
  std::vector<std::vector<ChatTurn>> asked;

  Result<Generation> generate(std::span<const ChatTurn> turns,
                              const ChatParams&,
                              const std::function<void(std::string_view)>& on_text,
                              const std::function<bool()>& cancelled) override {
    asked.emplace_back(turns.begin(), turns.end());
    Result<std::vector<std::string>> pieces = script_(turns);
    if (!pieces) return pieces.error();
    Generation generation;
    generation.finish_reason = finish_reason;
    generation.context_full = context_full;
    generation.num_prompt_tokens = 40;
    generation.num_cached_tokens = 32;
    generation.num_output_tokens = 5;
    generation.time_to_first_token = std::chrono::milliseconds(4);
    generation.decode_time = std::chrono::milliseconds(8);
    if (finish_reason == engine::FinishReason::error) generation.error = "device 1 failed";
    for (const std::string& piece : *pieces) {
      while (piece == kWait && !cancelled() && !gate_())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (cancelled()) {
        generation.finish_reason = engine::FinishReason::cancelled;
        break;
      }
      if (piece != kWait) on_text(piece);
    }
    return generation;
  }

 private:
  Script script_;
  std::function<bool()> gate_;
};

}  // namespace fastchat::serve
