// Parts of answers that several endpoints share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/errors.h"
#include "serve/api/generation.h"
#include "serve/api/served_model.h"
#include "text/files.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"

namespace fastchat::serve::api {

/// "chatcmpl-" and random letters.
std::string fresh_id(std::string_view prefix);
std::int64_t unix_seconds();

struct Usage {
  std::int64_t num_prompt_tokens = 0;
  std::int64_t num_cached_tokens = 0;
  std::int64_t num_output_tokens = 0;
};
text::Json usage_json(const Usage& usage);

/// "stop" or "length"; null while it goes on.
text::Json finish_reason_json(const Progress& progress);
/// Throws ApiError where the sequence could not be generated.
void require_success(const Progress& progress);

/// What one sequence's text is: thoughts, of models that have them, and the answer.
class AnswerText {
 public:
  /// `is_thinking`: the prompt ends inside of the thoughts.
  AnswerText(const ServedModel& model, bool is_thinking);

  text::ReasoningSplitter::Parts take(const Progress& progress);
  bool has_thoughts() const { return splitter_.has_value(); }
  /// Tokens until the answer began.
  std::int32_t num_reasoning_tokens() const { return num_reasoning_tokens_; }

 private:
  std::optional<text::ReasoningSplitter> splitter_;
  bool answers_ = false;
  std::int32_t num_reasoning_tokens_ = 0;
};

/// A token's text; its bytes may be part of a character.
std::string token_bytes(const text::Tokenizer& tokenizer, std::int32_t token);
/// {"token", "logprob", "bytes", "top_logprobs"} of each, as chats have them.
text::Json chat_logprobs(const text::Tokenizer& tokenizer,
                         const std::vector<engine::TokenLogprob>& logprobs);
/// The same as text where all of it must be UTF-8: what is none becomes U+FFFD.
std::string readable(std::string_view bytes);

/// `json` as an event of a stream.
std::string sse_event(const text::Json& json);
inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";
inline constexpr std::string_view kSseKeepAlive = ": keep-alive\n\n";

}  // namespace fastchat::serve::api
