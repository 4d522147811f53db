// Sampling parameters as a client may send them: what is refused, and what a step is told.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "engine/request.h"
#include "ops/sampling.h"

namespace fastchat::engine {

/// Errors: invalid_request naming the parameter, what is expected and what was found.
Result<void> validate(const SamplingParams& params, std::int64_t vocab_size);

/// What is the same for all tokens of a sequence; draw_index and the ranges are the step's.
ops::SamplingRow sampling_row(const SamplingParams& params, std::uint64_t seed);

/// Whether a choice depends on the tokens chosen before it, which the host must know then.
bool counts_tokens(const SamplingParams& params);

/// Whether num_logprobs or num_prompt_logprobs asks for any.
inline bool wants_logprobs(const SamplingParams& params) { return params.num_logprobs >= 0; }
inline bool wants_prompt_logprobs(const SamplingParams& params) {
  return params.num_prompt_logprobs >= 0;
}

}  // namespace fastchat::engine
