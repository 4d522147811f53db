// What a client asks of the engine, and what it gets back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fastchat::engine {

/// How to choose tokens and when to stop. Defaults are OpenAI's and Hugging Face's neutral values.
struct SamplingParams {
  float temperature = 1.0f;           // below 1e-5: greedy
  float top_p = 1.0f;                 // (0, 1]
  std::int32_t top_k = 0;             // 0 or -1: all
  float min_p = 0.0f;                 // [0, 1]
  float repetition_penalty = 1.0f;    // > 0
  float presence_penalty = 0.0f;      // [-2, 2]
  float frequency_penalty = 0.0f;     // [-2, 2]
  std::optional<std::uint64_t> seed;  // none: a fresh one per request
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  std::int32_t max_tokens = 0;  // 0: up to the context's end
  std::int32_t min_tokens = 0;  // stop ids are not chosen before
  std::vector<std::int32_t>
      stop_token_ids;  // the model's own are added by the engine unless ignore_eos
  bool ignore_eos = false;
  std::int32_t num_logprobs = -1;         // -1 none, 0 chosen token only, k also the k most likely
  std::int32_t num_prompt_logprobs = -1;  // likewise for every prompt token but the first
};

enum class FinishReason : std::uint8_t { none, stop, length, cancelled, error };

/// "stop", "length", "cancelled", "error"; "" for none.
std::string_view to_string(FinishReason reason);

struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0.0f;
  std::vector<std::pair<std::int32_t, float>> top;  // by falling logprob
};

/// News of one sequence. The engine thread makes it and hands it to the request's listener.
struct SequenceOutput {
  std::span<const std::int32_t> new_tokens;       // without the stop id that ended it
  std::span<const TokenLogprob> new_logprobs;     // one per new token when asked
  std::span<const TokenLogprob> prompt_logprobs;  // once, with the first output, when asked
  FinishReason finish_reason = FinishReason::none;
  std::int32_t stop_token_id = -1;  // the id that ended it, if one did
  std::string error;                // with FinishReason::error
  std::int32_t num_prompt_tokens = 0;
  std::int32_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache
  std::int32_t num_output_tokens = 0;  // so far
};

enum class Verdict : std::uint8_t { go_on, stop };

/// Receives a sequence's output on the engine thread; must be quick and must not block. Returning
/// Verdict::stop ends the sequence with FinishReason::stop (stop strings live above the engine,
/// where text is); the listener is then not called again. Otherwise the call with a finish reason
/// is the last.
class OutputListener {
 public:
  virtual ~OutputListener() = default;
  virtual Verdict on_output(const SequenceOutput& output) = 0;
};

using RequestId = std::uint64_t;

struct Request {
  std::vector<std::int32_t> prompt;
  SamplingParams sampling;
  std::shared_ptr<OutputListener> listener;
};

}  // namespace fastchat::engine
