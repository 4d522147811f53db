// Bytes of a stage's arena, in one place: what the planner counts is what a DecoderStage allocates.
#pragma once

#include <cstdint>

#include "model/decoder_stage.h"
#include "model/model_config.h"

namespace fastchat::model {

/// The arena's size is linear: per_token * tokens + per_logits_row * rows (last stage) + fixed.
struct ArenaCosts {
  std::uint64_t residual_per_token =
      0;  // first stage only: later ones work in the hidden states they are given
  std::uint64_t per_token = 0;  // without the residual
  std::uint64_t per_logits_row = 0;
  std::uint64_t fixed = 0;  // rotary frequencies and kept rotations, alignment of every part
};

ArenaCosts arena_costs(const ModelConfig& config,
                       const parallel::TensorShare& share,
                       device::DType dtype,
                       const ops::OpsTraits& traits);

/// Of which cosines and sines are kept; 0: they are computed in every step.
std::int64_t num_kept_rotations(const ModelConfig& config, const ops::OpsTraits& traits);

/// Byte offsets of the arena's parts, for the largest step. Parts of the two halves of a layer
/// share their memory. Heads, intermediate and vocabulary are those of the rank's share; rank 0 of
/// a group collects the logits of the whole vocabulary.
struct ArenaLayout {
  ArenaLayout() = default;
  ArenaLayout(const ModelConfig& config,
              const parallel::TensorShare& share,
              device::DType dtype,
              const ops::OpsTraits& traits,
              const StepLimits& limits,
              bool has_embedding,
              bool has_head);

  std::uint64_t inverse_frequencies = 0;  // f32 [rotary_dim / 2]
  std::uint64_t kept_rotations = 0;       // f32 [num_kept_rotations, rotary_dim]
  std::uint64_t residual = 0;             // R [tokens, hidden], R the residual's dtype
  std::uint64_t rotary_table = 0;         // f32 [tokens, rotary_dim]
  std::uint64_t normed = 0;               // T [tokens, hidden]
  std::uint64_t delta = 0;         // R [tokens, hidden]: what a sub-layer adds to the residual
  std::uint64_t qkv = 0;           // T [tokens, (heads + 2 * kv heads) * head_dim]
  std::uint64_t rotated = 0;       // T [tokens, (heads + kv heads) * head_dim]: queries, keys
  std::uint64_t attention = 0;     // T [tokens, heads * head_dim]
  std::uint64_t gate_up = 0;       // T [tokens, 2 * intermediate]; over qkv
  std::uint64_t activated = 0;     // T [tokens, intermediate]
  std::uint64_t row_residual = 0;  // R [rows, hidden]
  std::uint64_t row_delta = 0;     // R [rows, hidden]
  std::uint64_t row_normed = 0;    // T [rows, hidden]
  std::uint64_t logits = 0;        // f32 [rows, vocab]
  std::uint64_t size_bytes = 0;
};

}  // namespace fastchat::model
