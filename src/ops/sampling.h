// What the sample operation needs to choose a token: plain data, part of a step's input.
#pragma once

#include <cstdint>
#include <span>

#include "device/tensor.h"

namespace fastchat::ops {

/// How to choose the next token of one row of logits. Applied in this order: logit bias,
/// repetition, presence and frequency penalties, temperature, top-k, top-p, min-p; then one draw.
/// Logprobs are of the model's own distribution, before all of these (as vLLM's raw_logprobs and
/// FastChat have it).
struct SamplingRow {
  float temperature = 1.0f;  // below 1e-5: greedy, the lowest id among equal logits
  float top_p =
      1.0f;  // keep the smallest set of most likely tokens whose mass reaches this; at least one
  float min_p = 0.0f;               // drop tokens less likely than min_p times the likeliest
  std::int32_t top_k = 0;           // keep the k most likely; 0 or less = all
  float repetition_penalty = 1.0f;  // Hugging Face's rule, over prompt and output tokens
  float presence_penalty = 0.0f;    // OpenAI's rules, over output tokens
  float frequency_penalty = 0.0f;
  /// The draw is a function of (seed, draw_index) alone, whatever else is in the batch.
  std::uint64_t seed = 0;
  std::uint64_t draw_index = 0;    // position of the token that is chosen, in its sequence
  std::int32_t num_logprobs = -1;  // -1 none, 0 the chosen token's, k: also of the k most likely
  /// Ranges in SamplingBatch::biases and ::counts.
  std::int32_t bias_begin = 0;
  std::int32_t bias_end = 0;
  std::int32_t count_begin = 0;
  std::int32_t count_end = 0;
};

struct LogitBias {
  std::int32_t token = 0;
  float bias = 0.0f;
};

/// How often a token occurred so far; each token at most once per row.
struct TokenCount {
  std::int32_t token = 0;
  std::int32_t in_output = 0;  // 0: the token is in the prompt only
};

/// Host memory that stays valid until the sample operation has run.
struct SamplingBatch {
  std::span<const SamplingRow> rows;
  std::span<const LogitBias> biases;
  std::span<const TokenCount> counts;
};

/// Device memory written by the sample operation.
struct SampleOutput {
  /// i32 [n]; -1 where the logits, bias and penalties applied, hold a NaN or +infinity (an
  /// overflow), or no finite value at all. Devices that do not tolerate bad indices give any token,
  /// and a logprob that is no finite number, however few logprobs the row asks for.
  device::TensorView tokens;
  device::TensorView logprobs;  // f32 [n], of the chosen token; undefined where num_logprobs < 0
  device::TensorView
      top_tokens;  // i32 [n, max_logprobs], by falling logprob; -1 past num_logprobs. May be empty
  device::TensorView top_logprobs;  // f32 [n, max_logprobs]
};

/// Uniform in [0, 1) from (seed, draw_index): a fixed function on every device, so that a seed
/// means one answer. Two rounds of splitmix64's finaliser; the upper 24 bits.
constexpr float uniform_draw(std::uint64_t seed, std::uint64_t draw_index) {
  std::uint64_t state = seed ^ (draw_index * 0x9E3779B97F4A7C15ull);
  for (int round = 0; round < 2; ++round) {
    state += 0x9E3779B97F4A7C15ull;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ull;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBull;
    state ^= state >> 31;
  }
  return static_cast<float>(state >> 40) * 0x1.0p-24f;
}

}  // namespace fastchat::ops
