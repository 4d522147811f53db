// Prefill and decode speed of a loaded model, through the engine as a client meets it.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/engine.h"

namespace fastchat::bench {

/// Tokens per second from submitting `batch` prompts of `prompt_len` random tokens each to the last
/// one's first token. Throws Failure when the engine refuses or fails.
double measure_prefill(engine::RequestQueue& engine,
                       std::int64_t vocab_size,
                       std::int64_t batch,
                       std::int64_t prompt_len,
                       std::uint64_t seed);

/// Tokens per second of `batch` sequences together, each going on from `context` random tokens (at
/// least one) for `gen_len` more; counted while all of them decode. The prompts are computed before
/// and found in the prefix cache, so that all sequences start together. Throws Failure when the
/// engine refuses or fails.
double measure_decode(engine::RequestQueue& engine,
                      std::int64_t vocab_size,
                      std::int64_t batch,
                      std::int64_t context,
                      std::int64_t gen_len,
                      std::uint64_t seed);

/// Requests that are alike.
struct LoadPart {
  std::int64_t num_streams = 1;
  std::int64_t prompt_len = 0;  // random tokens
  std::int64_t gen_len = 0;
};

/// Seconds from submitting all requests at once to the last token of the last one. Throws Failure
/// when the engine refuses or fails.
double measure_load(engine::RequestQueue& engine,
                    std::int64_t vocab_size,
                    const std::vector<LoadPart>& parts,
                    std::uint64_t seed);

}  // namespace fastchat::bench
