// One stage of a decoder on one device: its packed weights and its forward pass.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/model_config.h"
#include "model/weight_source.h"
#include "ops/ops.h"
#include "parallel/communicator.h"
#include "parallel/placement.h"
#include "parallel/planner.h"

namespace fastchat::model {

/// Called with the bytes of checkpoint tensors packed since the last call. Any thread, one at a
/// time.
using LoadProgress = std::function<void(std::uint64_t bytes)>;

/// Bounds of a step, fixed when a stage is made; the arena is sized by them.
struct StepLimits {
  std::int64_t max_num_tokens = 0;
  std::int64_t max_num_seqs = 0;
  std::int64_t max_logits_rows = 0;
};

/// One forward pass of a stage: views of this device's memory, filled before on the same stream. R
/// is the dtype of the residual stream, OpsTraits::residual_dtype().
struct StageInput {
  std::int64_t num_tokens = 0;
  ops::TensorView token_ids;  // i32 [num_tokens]; first stage
  ops::TensorView
      hidden;  // R [num_tokens, hidden_size], the residual stream; later stages. Overwritten
  ops::TensorView positions;  // i32 [num_tokens]
  ops::TensorView slots;      // i32 [num_tokens]
  ops::AttentionMetadata attention;
  std::span<const ops::KvLayer> kv;  // one per layer of this stage
  /// i32 [num_logits]: token indices; last stage. Empty: all tokens, in order.
  ops::TensorView logits_rows;
  std::int64_t num_logits = 0;
  /// Where set, called when a layer's work has been enqueued: its index in the model, and what its
  /// attention and its MLP added to the residual stream, R [num_tokens, hidden_size]. For finding
  /// where numbers overflow.
  std::function<void(std::int64_t layer, std::string_view part, ops::TensorView delta)> on_part;
  bool writes_kv = true;  // false: it was written by the same pass before
};

struct StageOutput {
  // R [num_tokens, hidden_size]; all but the last stage. Valid until the next forward: in the
  // arena of the first stage, input.hidden itself of later ones.
  ops::TensorView hidden;
  ops::TensorView logits;  // f32 [num_logits, vocab_size]; last stage, rank 0 of its group. In the
                           // arena
};

/// One rank's part of a stage. Rank thread only.
class DecoderStage {
 public:
  /// Loads and packs the weights of `placement` layer by layer; `dtype` is the dtype of linear
  /// weights, activations and KV. `max_model_len` fixes rope scalings that depend on the length.
  /// `communicator` is this rank's end of the group that `placement` names, and outlives the stage;
  /// nullptr for a group of one. Throws Failure, OutOfMemory.
  DecoderStage(const ModelConfig& config,
               const parallel::StagePlacement& placement,
               device::DType dtype,
               const StepLimits& limits,
               std::int64_t max_model_len,
               ops::Ops& ops,
               device::Stream& stream,
               WeightSource& weights,
               const LoadProgress& progress,
               parallel::Communicator* communicator = nullptr);
  ~DecoderStage();

  /// Enqueues one forward pass on `stream`.
  StageOutput forward(device::Stream& stream, const StageInput& input);

  const ModelConfig& config() const;
  ops::KvSpec kv_spec(std::int64_t layer_in_stage) const;
  std::uint64_t weight_bytes() const;     // device memory of packed weights
  std::uint64_t workspace_bytes() const;  // device memory of the arena

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What a device that has `share` of the tensors runs at most.
ops::LargestStep largest_step(const ModelConfig& config,
                              const parallel::TensorShare& share,
                              device::DType dtype,
                              const StepLimits& limits,
                              std::int64_t max_model_len);

/// The axes along which a group of devices can share a stage's tensors.
parallel::TensorAxes tensor_axes(const ModelConfig& config, const ops::OpsTraits& traits);

/// The planner's view of what one rank with `share` of every tensor has: bytes as the stages will
/// allocate them, and the work of a token. `dtype` as in DecoderStage.
parallel::ModelSizes model_sizes(const ModelConfig& config,
                                 device::DType dtype,
                                 const ops::OpsTraits& traits,
                                 const parallel::TensorShare& share);
/// Of a device that has all of its layers' tensors.
parallel::ModelSizes model_sizes(const ModelConfig& config,
                                 device::DType dtype,
                                 const ops::OpsTraits& traits);

}  // namespace fastchat::model
