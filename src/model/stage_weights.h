// The packed weights of one stage, and their loading.
#pragma once

#include <cstdint>
#include <vector>

#include "model/decoder_stage.h"

namespace fastchat::model {

/// Linear weights are in the formats of the config for the stage's dtype; norm weights of hidden
/// states in the residual's, those of heads in f32; biases as the device's traits say. Absent ones
/// are empty.
/// Sizes are those of the rank's share; biases of what the ranks' parts are summed into are on rank
/// 0.
struct LayerWeights {
  ops::Buffer attention_norm;  // [hidden]
  ops::PackedLinear qkv;       // q rows, then k, then v
  ops::Buffer qkv_bias;
  ops::Buffer q_norm;  // f32 [head_dim], for all heads; with qk_norm
  ops::Buffer k_norm;
  ops::PackedLinear attention_output;
  ops::Buffer attention_output_bias;
  ops::Buffer mlp_norm;       // [hidden]
  ops::PackedLinear gate_up;  // gate rows, then up
  ops::Buffer gate_up_bias;
  ops::PackedLinear down;
  ops::Buffer down_bias;
};

struct StageWeights {
  ops::Buffer embedding;  // dtype [vocab, hidden columns of the share]; first stage
  std::vector<LayerWeights> layers;
  ops::Buffer final_norm;  // [hidden]; last stage
  ops::PackedLinear head;  // last stage
};

/// Loads and packs layer by layer: at most one layer's tensors (or the embedding, or the head) are
/// held by the source at a time. Throws Failure, OutOfMemory.
StageWeights load_stage_weights(const ModelConfig& config,
                                const parallel::StagePlacement& placement,
                                const parallel::TensorShare& share,
                                device::DType dtype,
                                ops::Ops& ops,
                                device::Stream& stream,
                                WeightSource& source,
                                const LoadProgress& progress);

/// Device memory of loaded weights.
std::uint64_t weight_bytes(const StageWeights& weights);

}  // namespace fastchat::model
