// Rotary embedding: from the configuration's scaling to the frequencies that rotary_table takes.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config_reader.h"
#include "model/model_config.h"

namespace fastchat::model {

/// Reads "rope_theta" and "rope_scaling" (with "rope_type" or the older "type"), or the
/// "rope_parameters" that newer files have instead of both. `max_position_embeddings` is the file's
/// own value; kinds that need the length of pretraining take it where they name none. Throws
/// Failure.
RopeConfig parse_rope(const ConfigReader& reader,
                      std::int64_t head_dim,
                      std::int64_t max_position_embeddings);

/// The context that the scaling makes of `max_position_embeddings`, by vLLM's rule: linear and
/// dynamic multiply it by their factor, yarn multiplies the length of pretraining; llama3 and
/// longrope state the result already.
std::int64_t context_length(const RopeConfig& rope, std::int64_t max_position_embeddings);

struct RotaryFrequencies {
  std::vector<float> inverse_frequencies;  // [rotary_dim / 2]
  float attention_scale = 1.0f;            // multiplies cosines and sines
};

/// Frequencies in f32 arithmetic, step by step as transformers' modeling_rope_utils computes them.
/// transformers lets dynamic and longrope follow the longest sequence seen so far, so that an
/// answer depends on what came before and cached keys go stale. Here both are fixed at load by
/// `max_model_len`: dynamic is what transformers has once it has seen max_model_len positions;
/// longrope takes the long factors where max_model_len exceeds the length of pretraining, the short
/// ones where it does not.
RotaryFrequencies rotary_frequencies(const RopeConfig& rope, std::int64_t max_model_len);

}  // namespace fastchat::model
