#include "engine/sampling_params.h"

#include <cmath>
#include <string_view>

#include "engine/step.h"

namespace fastchat::engine {
namespace {

/// The name of the first parameter that is not what it should be.
class Checker {
 public:
  template <typename T>
  void expect(bool holds, std::string_view name, std::string_view expected, const T& found) {
    if (!holds && !error_)
      error_ = Error{ErrorCode::invalid_request,
                     fmt::format("{}: expected {}, found {}", name, expected, found)};
  }
  Result<void> result() && { return error_ ? Result<void>(*std::move(error_)) : Result<void>(); }

 private:
  std::optional<Error> error_;
};

}  // namespace

Result<void> validate(const SamplingParams& params, std::int64_t vocab_size) {
  // Comparisons are written so that a NaN fails them.
  Checker checker;
  checker.expect(params.temperature >= 0 && std::isfinite(params.temperature),
                 "temperature",
                 "a number of at least 0",
                 params.temperature);
  checker.expect(
      params.top_p > 0 && params.top_p <= 1, "top_p", "a number in (0, 1]", params.top_p);
  checker.expect(params.top_k >= -1, "top_k", "a count, or 0 or -1 for all", params.top_k);
  checker.expect(
      params.min_p >= 0 && params.min_p <= 1, "min_p", "a number in [0, 1]", params.min_p);
  checker.expect(params.repetition_penalty > 0 && std::isfinite(params.repetition_penalty),
                 "repetition_penalty",
                 "a number above 0",
                 params.repetition_penalty);
  checker.expect(params.presence_penalty >= -2 && params.presence_penalty <= 2,
                 "presence_penalty",
                 "a number in [-2, 2]",
                 params.presence_penalty);
  checker.expect(params.frequency_penalty >= -2 && params.frequency_penalty <= 2,
                 "frequency_penalty",
                 "a number in [-2, 2]",
                 params.frequency_penalty);
  const auto in_vocabulary = [&](std::int32_t token) { return token >= 0 && token < vocab_size; };
  const std::string vocabulary = fmt::format("token ids in [0, {})", vocab_size);
  for (const auto& [token, bias] : params.logit_bias) {
    checker.expect(in_vocabulary(token), "logit_bias", vocabulary, token);
    checker.expect(bias >= -100 && bias <= 100, "logit_bias", "biases in [-100, 100]", bias);
  }
  for (const std::int32_t token : params.stop_token_ids)
    checker.expect(in_vocabulary(token), "stop_token_ids", vocabulary, token);
  checker.expect(
      params.max_tokens >= 0, "max_tokens", "a count, or 0 for no limit", params.max_tokens);
  checker.expect(params.min_tokens >= 0, "min_tokens", "a count", params.min_tokens);
  if (params.max_tokens > 0)
    checker.expect(params.min_tokens <= params.max_tokens,
                   "min_tokens",
                   fmt::format("at most max_tokens, which is {}", params.max_tokens),
                   params.min_tokens);
  const std::string logprobs = fmt::format("-1 for none, or a count up to {}", kMaxLogprobs);
  checker.expect(params.num_logprobs >= -1 && params.num_logprobs <= kMaxLogprobs,
                 "num_logprobs",
                 logprobs,
                 params.num_logprobs);
  checker.expect(params.num_prompt_logprobs >= -1 && params.num_prompt_logprobs <= kMaxLogprobs,
                 "num_prompt_logprobs",
                 logprobs,
                 params.num_prompt_logprobs);
  return std::move(checker).result();
}

ops::SamplingRow sampling_row(const SamplingParams& params, std::uint64_t seed) {
  ops::SamplingRow row;
  row.temperature = params.temperature;
  row.top_p = params.top_p;
  row.min_p = params.min_p;
  row.top_k = params.top_k;
  row.repetition_penalty = params.repetition_penalty;
  row.presence_penalty = params.presence_penalty;
  row.frequency_penalty = params.frequency_penalty;
  row.seed = seed;
  row.num_logprobs = params.num_logprobs;
  return row;
}

bool counts_tokens(const SamplingParams& params) {
  return params.repetition_penalty != 1.0f || params.presence_penalty != 0.0f ||
         params.frequency_penalty != 0.0f;
}

}  // namespace fastchat::engine
