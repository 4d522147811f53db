#include "model/decoder_stage.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "model/rope.h"
#include "model/stage_memory.h"
#include "model/stage_weights.h"

namespace fastchat::model {
namespace {

using device::Buffer;
using device::DType;
using ops::TensorView;

TensorView vector_of(const Buffer& buffer) {
  if (buffer.empty()) return {};
  return buffer.view(DType::f32, {static_cast<std::int64_t>(buffer.size_bytes() / sizeof(float))});
}

}  // namespace

struct DecoderStage::State {
  ModelConfig config;
  parallel::StagePlacement placement;
  DType dtype;
  StepLimits limits;
  ops::Ops& ops;
  parallel::Communicator* communicator;  // nullptr: the stage is on one device
  parallel::TensorShare share;
  ArenaLayout layout;
  StageWeights weights;
  Buffer arena;
  float rotary_scale = 1.0f;

  void attention(device::Stream& stream,
                 const StageInput& input,
                 std::size_t layer_in_stage,
                 TensorView normed,
                 TensorView rotary_table,
                 TensorView delta) const;
  void mlp(device::Stream& stream,
           std::size_t layer_in_stage,
           TensorView normed,
           TensorView delta) const;
  TensorView logits(device::Stream& stream,
                    const StageInput& input,
                    TensorView residual,
                    TensorView delta) const;
  void check_input(const StageInput& input) const;
  ops::KvSpec kv_spec() const {
    return {.num_kv_heads = share.kv_heads.count, .head_dim = config.head_dim, .dtype = dtype};
  }
  /// What this rank computed of a sum over the group becomes the sum.
  void sum_over_group(TensorView partial) const {
    if (communicator != nullptr) communicator->all_reduce(partial);
  }
};

namespace {

/// The axes without what only matters to those who choose the split.
parallel::TensorAxes axes_of(const ModelConfig& config) {
  return {.num_heads = config.num_heads,
          .num_kv_heads = config.num_kv_heads,
          .intermediate = config.intermediate_size,
          .hidden = config.hidden_size,
          .vocab = config.vocab_size};
}

}  // namespace

DecoderStage::DecoderStage(const ModelConfig& config,
                           const parallel::StagePlacement& placement,
                           DType dtype,
                           const StepLimits& limits,
                           std::int64_t max_model_len,
                           ops::Ops& ops,
                           device::Stream& stream,
                           WeightSource& weights,
                           const LoadProgress& progress,
                           parallel::Communicator* communicator)
    : state_(new State{
          .config = config,
          .placement = placement,
          .dtype = dtype,
          .limits = limits,
          .ops = ops,
          .communicator = communicator,
          .share = parallel::share_of(
              axes_of(config), placement, communicator == nullptr ? 0 : communicator->rank()),
      }) {
  FASTCHAT_ASSERT((communicator == nullptr ? 1 : communicator->size()) ==
                      std::max(1, static_cast<int>(placement.devices.size())),
                  "a stage on {} devices",
                  placement.devices.size());
  state_->layout = ArenaLayout(
      config, state_->share, dtype, limits, placement.has_embedding, placement.has_head);
  FASTCHAT_ASSERT(placement.first_layer >= 0 && placement.num_layers >= 0 &&
                      placement.first_layer + placement.num_layers <= config.num_layers,
                  "layers {} to {} of {}",
                  placement.first_layer,
                  placement.first_layer + placement.num_layers,
                  config.num_layers);
  check(device::is_float(dtype),
        "model dtype: expected f32, f16 or bf16, found {}",
        device::to_string(dtype));
  const ArenaLayout& layout = state_->layout;
  const RotaryFrequencies rotary = rotary_frequencies(config.rope, max_model_len);
  state_->rotary_scale = rotary.attention_scale;
  // The arena first: weights are the large part, and what does not fit should be theirs to report.
  state_->arena = ops.device().allocate(layout.size_bytes, "workspace");
  ops.reserve_scratch(stream, largest_step(config, state_->share, dtype, limits, max_model_len));
  stream.copy_from_host(static_cast<char*>(state_->arena.data()) + layout.inverse_frequencies,
                        rotary.inverse_frequencies.data(),
                        rotary.inverse_frequencies.size() * sizeof(float));
  stream.synchronize();
  state_->weights =
      load_stage_weights(config, placement, state_->share, dtype, ops, stream, weights, progress);
}

DecoderStage::~DecoderStage() = default;

const ModelConfig& DecoderStage::config() const { return state_->config; }
ops::KvSpec DecoderStage::kv_spec(std::int64_t) const { return state_->kv_spec(); }
std::uint64_t DecoderStage::weight_bytes() const { return model::weight_bytes(state_->weights); }
std::uint64_t DecoderStage::workspace_bytes() const { return state_->arena.size_bytes(); }

StageOutput DecoderStage::forward(device::Stream& stream, const StageInput& input) {
  const State& s = *state_;
  s.check_input(input);
  if (input.num_tokens == 0) return {};
  const ModelConfig& config = s.config;
  const std::int64_t num_tokens = input.num_tokens;
  const std::int64_t hidden = config.hidden_size;

  // The residual stream is f32 whatever the dtype: sums over many layers keep their small terms,
  // and the values that overflow 16 bits in deep layers have room.
  TensorView residual = input.hidden;
  if (s.placement.has_embedding) {
    residual = s.arena.view(DType::f32, {num_tokens, hidden}, s.layout.residual);
    const TensorView table =
        s.weights.embedding.view(s.dtype, {config.vocab_size, s.share.hidden.count});
    const TensorView columns = residual.slice_columns(s.share.hidden.begin, s.share.hidden.count);
    s.ops.embedding(stream, table, input.token_ids, columns);
    if (s.communicator != nullptr)
      s.communicator->all_gather(columns, residual, s.placement.split.hidden);
  }
  const TensorView rotary_table =
      s.arena.view(DType::f32, {num_tokens, config.rope.rotary_dim}, s.layout.rotary_table);
  if (s.placement.num_layers > 0)
    s.ops.rotary_table(
        stream,
        input.positions,
        s.arena.view(DType::f32, {config.rope.rotary_dim / 2}, s.layout.inverse_frequencies),
        s.rotary_scale,
        rotary_table);

  const TensorView normed = s.arena.view(s.dtype, {num_tokens, hidden}, s.layout.normed);
  // What the last sub-layer computed, in f32 like the residual it is added to together with the
  // norm that comes next: one rounding to 16 bits less per sub-layer, and room for the down
  // projections that overflow f16. The ranks of a group have parts of it, which are summed.
  const TensorView delta = s.arena.view(DType::f32, {num_tokens, hidden}, s.layout.delta);
  bool delta_pending = false;
  for (std::size_t i = 0; i < s.weights.layers.size(); ++i) {
    const LayerWeights& layer = s.weights.layers[i];
    const TensorView attention_norm = vector_of(layer.attention_norm);
    if (delta_pending)
      s.ops.add_rms_norm(stream, residual, delta, attention_norm, config.norm_eps, normed);
    else
      s.ops.rms_norm(stream, residual, attention_norm, config.norm_eps, normed);
    s.attention(stream, input, i, normed, rotary_table, delta);
    const std::int64_t layer_index = s.placement.first_layer + static_cast<std::int64_t>(i);
    if (input.on_part) input.on_part(layer_index, "attention", delta);
    s.ops.add_rms_norm(stream, residual, delta, vector_of(layer.mlp_norm), config.norm_eps, normed);
    s.mlp(stream, i, normed, delta);
    if (input.on_part) input.on_part(layer_index, "MLP", delta);
    delta_pending = true;
  }

  if (s.placement.has_head)
    return {.logits = s.logits(stream, input, residual, delta_pending ? delta : TensorView())};
  if (delta_pending) s.ops.add(stream, residual, delta);
  return {.hidden = residual};
}

void DecoderStage::State::attention(device::Stream& stream,
                                    const StageInput& input,
                                    std::size_t layer_in_stage,
                                    TensorView normed,
                                    TensorView rotary_table,
                                    TensorView delta) const {
  const LayerWeights& layer = weights.layers[layer_in_stage];
  const std::int64_t heads = share.heads.count * config.head_dim;
  const std::int64_t kv_heads = share.kv_heads.count * config.head_dim;
  const TensorView qkv = arena.view(dtype, {input.num_tokens, heads + 2 * kv_heads}, layout.qkv);
  ops.linear(stream, normed, layer.qkv, vector_of(layer.qkv_bias), qkv);
  if (config.qk_norm) {
    const auto norm_heads = [&](std::int64_t first, std::int64_t width, const Buffer& weight) {
      const TensorView x =
          qkv.slice_columns(first, width)
              .reshaped({input.num_tokens, width / config.head_dim, config.head_dim});
      ops.rms_norm(stream, x, vector_of(weight), config.norm_eps, x);
    };
    norm_heads(0, heads, layer.q_norm);
    norm_heads(heads, kv_heads, layer.k_norm);
  }
  // Query and key columns lie side by side: one rotation for both.
  ops.rotary(stream, qkv.slice_columns(0, heads + kv_heads), config.head_dim, rotary_table);

  const ops::KvLayer& kv = input.kv[layer_in_stage];
  if (input.writes_kv)
    ops.kv_write(stream,
                 qkv.slice_columns(heads, kv_heads),
                 qkv.slice_columns(heads + kv_heads, kv_heads),
                 input.slots,
                 kv);
  const TensorView out = arena.view(dtype, {input.num_tokens, heads}, layout.attention);
  const auto layer_index = static_cast<std::size_t>(placement.first_layer) + layer_in_stage;
  ops.paged_attention(
      stream,
      {.q = qkv.slice_columns(0, heads),
       .out = out,
       .kv = kv,
       .metadata = input.attention,
       .num_heads = share.heads.count,
       .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim))),
       .window = config.layer_window[layer_index]});
  ops.linear(stream, out, layer.attention_output, vector_of(layer.attention_output_bias), delta);
  sum_over_group(delta);
}

void DecoderStage::State::mlp(device::Stream& stream,
                              std::size_t layer_in_stage,
                              TensorView normed,
                              TensorView delta) const {
  const LayerWeights& layer = weights.layers[layer_in_stage];
  const std::int64_t num_tokens = normed.rows();
  const std::int64_t intermediate = share.intermediate.count;
  const TensorView gate_up = arena.view(dtype, {num_tokens, 2 * intermediate}, layout.gate_up);
  const TensorView activated = arena.view(dtype, {num_tokens, intermediate}, layout.activated);
  ops.linear(stream, normed, layer.gate_up, vector_of(layer.gate_up_bias), gate_up);
  ops.gated_activation(stream, gate_up, config.activation, activated);
  ops.linear(stream, activated, layer.down, vector_of(layer.down_bias), delta);
  sum_over_group(delta);
}

// Only the rows that are asked for are normed and multiplied by the head, which weighs as much as
// several layers.
TensorView DecoderStage::State::logits(device::Stream& stream,
                                       const StageInput& input,
                                       TensorView residual,
                                       TensorView delta) const {
  const std::int64_t rows = input.num_logits;
  if (rows == 0) return {};
  const TensorView row_residual =
      arena.view(DType::f32, {rows, config.hidden_size}, layout.row_residual);
  const TensorView row_normed = arena.view(dtype, {rows, config.hidden_size}, layout.row_normed);
  ops.gather_rows(stream, residual, input.logits_rows, row_residual);
  if (delta.empty()) {
    ops.rms_norm(stream, row_residual, vector_of(weights.final_norm), config.norm_eps, row_normed);
  } else {
    const TensorView row_delta =
        arena.view(DType::f32, {rows, config.hidden_size}, layout.row_delta);
    ops.gather_rows(stream, delta, input.logits_rows, row_delta);
    ops.add_rms_norm(stream,
                     row_residual,
                     row_delta,
                     vector_of(weights.final_norm),
                     config.norm_eps,
                     row_normed);
  }
  // Rank 0 computes its columns where they belong and collects the others.
  const bool collects = share.rank == 0;
  const std::int64_t width = collects ? config.vocab_size : share.vocab.count;
  const TensorView out = arena.view(DType::f32, {rows, width}, layout.logits);
  const TensorView mine = out.slice_columns(0, share.vocab.count);
  ops.linear(stream, row_normed, weights.head, {}, mine);
  if (communicator != nullptr)
    communicator->gather(mine, collects ? out : TensorView(), placement.split.vocab);
  return collects ? out : TensorView();
}

void DecoderStage::State::check_input(const StageInput& input) const {
  FASTCHAT_ASSERT(input.num_tokens <= limits.max_num_tokens,
                  "a step of {} tokens on a stage made for {}",
                  input.num_tokens,
                  limits.max_num_tokens);
  FASTCHAT_ASSERT(!placement.has_head || input.num_logits <= limits.max_logits_rows,
                  "{} rows of logits on a stage made for {}",
                  input.num_logits,
                  limits.max_logits_rows);
  FASTCHAT_ASSERT(input.kv.size() == weights.layers.size(),
                  "KV of {} layers for a stage of {}",
                  input.kv.size(),
                  weights.layers.size());
}

ops::LargestStep largest_step(const ModelConfig& config,
                              const parallel::TensorShare& share,
                              DType dtype,
                              const StepLimits& limits,
                              std::int64_t max_model_len) {
  // Formats of the layers are alike but for few; the first layer's stand for all.
  const LayerQuantization layer = layer_quantization(config, 0);
  return {.num_tokens = limits.max_num_tokens,
          .num_seqs = limits.max_num_seqs,
          .logits_rows = limits.max_logits_rows,
          .max_context = max_model_len,
          .hidden = config.hidden_size,
          .num_heads = share.heads.count,
          .num_kv_heads = share.kv_heads.count,
          .head_dim = config.head_dim,
          .rotary_dim = config.rope.rotary_dim,
          .intermediate = share.intermediate.count,
          .vocab = config.vocab_size,
          .group_size = share.size,
          .dtype = dtype,
          .qkv = linear_format(layer.qkv, dtype),
          .attention_output = linear_format(layer.attention_output, dtype),
          .gate_up = linear_format(layer.gate_up, dtype),
          .down = linear_format(layer.down, dtype),
          .head = linear_format(config.head_quantization, dtype),
          .activation = config.activation};
}

parallel::TensorAxes tensor_axes(const ModelConfig& config, const ops::OpsTraits& traits) {
  parallel::TensorAxes axes = axes_of(config);
  axes.unit = std::lcm(traits.linear_row_multiple, traits.linear_column_multiple);
  return axes;
}

parallel::ModelSizes model_sizes(const ModelConfig& config,
                                 DType dtype,
                                 const ops::OpsTraits& traits,
                                 const parallel::TensorShare& share) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t intermediate = share.intermediate.count;
  const std::int64_t heads = share.heads.count * config.head_dim;
  const std::int64_t kv_heads = share.kv_heads.count * config.head_dim;
  const auto linear = [&](std::int64_t out_features,
                          std::int64_t in_features,
                          Quantization quantization,
                          bool bias) {
    return ops::packed_linear_bytes(
               traits, out_features, in_features, linear_format(quantization, dtype)) +
           (bias ? static_cast<std::uint64_t>(out_features) * sizeof(float) : 0);
  };
  const bool sums = share.rank == 0;  // has the biases of what is summed over the group
  const std::uint64_t norm = static_cast<std::uint64_t>(hidden) * sizeof(float);
  const std::uint64_t qk_norm =
      config.qk_norm ? 2 * static_cast<std::uint64_t>(config.head_dim) * sizeof(float) : 0;
  const auto layer_bytes = [&](const LayerQuantization& layer) {
    return norm + qk_norm + linear(heads + 2 * kv_heads, hidden, layer.qkv, config.qkv_bias) +
           linear(hidden, heads, layer.attention_output, config.attention_output_bias && sums) +
           norm + linear(2 * intermediate, hidden, layer.gate_up, config.mlp_bias) +
           linear(hidden, intermediate, layer.down, config.mlp_bias && sums);
  };
  const std::uint64_t kv = ops::kv_block_bytes(
      traits, {.num_kv_heads = share.kv_heads.count, .head_dim = config.head_dim, .dtype = dtype});
  const ArenaCosts arena = arena_costs(config, share, dtype);
  const auto num_layers = static_cast<std::size_t>(config.num_layers);
  const auto flops = [](std::int64_t out_features, std::int64_t in_features) {
    return 2.0 * static_cast<double>(out_features) * static_cast<double>(in_features);
  };

  parallel::ModelSizes sizes;
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer)
    sizes.layer_weight_bytes.push_back(layer_bytes(layer_quantization(config, layer)));
  sizes.layer_kv_bytes_per_block.assign(num_layers, kv);
  sizes.kv_block_size = traits.kv_block_size;
  sizes.embedding_bytes =
      static_cast<std::uint64_t>(config.vocab_size * share.hidden.count) * device::size_of(dtype);
  sizes.head_bytes = norm + linear(share.vocab.count, hidden, config.head_quantization, false);
  sizes.tied_embedding = config.tie_word_embeddings;
  sizes.vocab_size = config.vocab_size;
  sizes.activation_bytes_per_token = arena.residual_per_token + arena.per_token;
  sizes.logits_bytes_per_row = arena.per_logits_row;
  sizes.fixed_bytes =
      arena.fixed + traits.scratch_bytes + (share.size > 1 ? traits.collective_bytes : 0);
  sizes.hidden_size = hidden;
  sizes.layer_flops_per_token =
      flops(heads + 2 * kv_heads, hidden) + flops(hidden, heads) + flops(3 * intermediate, hidden);
  sizes.layer_flops_per_position = 2 * flops(heads, 1);  // q·k, and the weighted sum of v
  sizes.head_flops_per_row = flops(share.vocab.count, hidden);
  return sizes;
}

parallel::ModelSizes model_sizes(const ModelConfig& config,
                                 DType dtype,
                                 const ops::OpsTraits& traits) {
  return model_sizes(config, dtype, traits, parallel::whole_share(axes_of(config)));
}

}  // namespace fastchat::model
