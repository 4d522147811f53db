// What the chat loop needs from whatever answers: the engine in `fastchat cli`, a script in tests.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/request.h"

namespace fastchat::serve {

struct ChatTurn {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct ChatParams {
  engine::SamplingParams sampling;
  std::vector<std::string> stop;  // strings that end the answer and are not part of it
  /// As in FastChat: an end that the model chose in the middle of a sentence is not accepted; the
  /// answer goes on with the next best token.
  bool judge_sent_end = false;
};

/// How one answer went.
struct Generation {
  engine::FinishReason finish_reason = engine::FinishReason::none;
  std::string error;          // with FinishReason::error
  bool context_full = false;  // ended because prompt and answer reached the model's context
  std::int64_t num_prompt_tokens = 0;
  std::int64_t num_cached_tokens = 0;  // of the prompt, not computed again
  std::int64_t num_output_tokens = 0;
  std::chrono::duration<double> time_to_first_token{};
  std::chrono::duration<double> decode_time{};  // from the first token to the last
};

class ChatBackend {
 public:
  virtual ~ChatBackend() = default;
  /// Answers `turns`. `on_text` gets the pieces of the answer, whole characters of UTF-8, on the
  /// calling thread; `cancelled` is asked often, and once true the answer ends with
  /// FinishReason::cancelled. Errors: invalid_request (the chat template refuses the turns),
  /// context_too_long (how many tokens, how many fit), overloaded. An exception out of `on_text`
  /// cancels the answer and passes through.
  virtual Result<Generation> generate(std::span<const ChatTurn> turns,
                                      const ChatParams& params,
                                      const std::function<void(std::string_view)>& on_text,
                                      const std::function<bool()>& cancelled) = 0;
};

}  // namespace fastchat::serve
