#include "model/decoder_stage.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/rope.h"
#include "model/stage_memory.h"
#include "model/stage_weights.h"

namespace fastchat::model {
namespace {

using device::Buffer;
using device::DType;
using ops::TensorView;

TensorView vector_of(const Buffer& buffer, DType dtype) {
  if (buffer.empty()) return {};
  return buffer.view(dtype,
                     {static_cast<std::int64_t>(buffer.size_bytes() / device::size_of(dtype))});
}

}  // namespace

struct DecoderStage::State {
  ModelConfig config;
  parallel::StagePlacement placement;
  DType dtype;
  DType residual_dtype;
  StepLimits limits;
  ops::Ops& ops;
  parallel::Communicator* communicator;  // nullptr: the stage is on one device
  parallel::TensorShare share;
  ArenaLayout layout;
  StageWeights weights;
  Buffer arena;
  float rotary_scale = 1.0f;
  std::int64_t num_kept_rotations = 0;

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
  /// f32 [n, rotary_dim]: cosines and sines of these positions.
  TensorView rotations(device::Stream& stream, TensorView positions) const;
  void keep_rotations(device::Stream& stream);
  TensorView kept_rotations() const {
    return arena.view(
        DType::f32, {num_kept_rotations, config.rope.rotary_dim}, layout.kept_rotations);
  }
  TensorView inverse_frequencies() const {
    return arena.view(DType::f32, {config.rope.rotary_dim / 2}, layout.inverse_frequencies);
  }
  void check_input(const StageInput& input) const;
  ops::KvSpec kv_spec() const {
    return {.num_kv_heads = share.kv_heads.count, .head_dim = config.head_dim, .dtype = dtype};
  }
  TensorView norm_weight(const Buffer& buffer) const { return vector_of(buffer, residual_dtype); }
  TensorView bias(const Buffer& buffer) const {
    return vector_of(buffer, ops.traits().bias_dtype(dtype));
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
          .residual_dtype = ops.traits().residual_dtype(dtype),
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
  state_->layout = ArenaLayout(config,
                               state_->share,
                               dtype,
                               ops.traits(),
                               limits,
                               placement.has_embedding,
                               placement.has_head);
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
  state_->num_kept_rotations = num_kept_rotations(config, ops.traits());
  // Beyond what the model is made for, should it be told to go there, they are computed.
  if (max_model_len > state_->num_kept_rotations) state_->num_kept_rotations = 0;
  if (state_->num_kept_rotations > 0) state_->keep_rotations(stream);
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
  s.ops.begin_step();
  const ModelConfig& config = s.config;
  const std::int64_t num_tokens = input.num_tokens;
  const std::int64_t hidden = config.hidden_size;

  // An f32 residual stream keeps the small terms of sums over many layers, and has room for values
  // that overflow 16 bits in deep ones; one of the model's dtype is half the traffic and saves the
  // conversions where the device's norms take one dtype.
  TensorView residual = input.hidden;
  if (s.placement.has_embedding) {
    residual = s.arena.view(s.residual_dtype, {num_tokens, hidden}, s.layout.residual);
    const TensorView table =
        s.weights.embedding.view(s.dtype, {config.vocab_size, s.share.hidden.count});
    if (s.communicator == nullptr) {
      s.ops.embedding(stream, table, input.token_ids, residual);
    } else {
      // Where the first layer's sum will be.
      const TensorView columns =
          s.arena.view(s.residual_dtype, {num_tokens, s.share.hidden.count}, s.layout.delta);
      s.ops.embedding(stream, table, input.token_ids, columns);
      s.communicator->all_gather(columns, residual, s.placement.split.hidden);
    }
  }
  const TensorView rotary_table =
      s.placement.num_layers == 0 ? TensorView() : s.rotations(stream, input.positions);

  const TensorView normed = s.arena.view(s.dtype, {num_tokens, hidden}, s.layout.normed);
  // What the last sub-layer computed, added to the residual together with the norm that comes next.
  // The ranks of a group have parts of it, which are summed.
  const TensorView delta = s.arena.view(s.residual_dtype, {num_tokens, hidden}, s.layout.delta);
  bool delta_pending = false;
  for (std::size_t i = 0; i < s.weights.layers.size(); ++i) {
    const LayerWeights& layer = s.weights.layers[i];
    const TensorView attention_norm = s.norm_weight(layer.attention_norm);
    if (delta_pending)
      s.ops.add_rms_norm(stream, residual, delta, attention_norm, config.norm_eps, normed);
    else
      s.ops.rms_norm(stream, residual, attention_norm, config.norm_eps, normed);
    s.attention(stream, input, i, normed, rotary_table, delta);
    const std::int64_t layer_index = s.placement.first_layer + static_cast<std::int64_t>(i);
    if (input.on_part) input.on_part(layer_index, "attention", delta);
    s.ops.add_rms_norm(
        stream, residual, delta, s.norm_weight(layer.mlp_norm), config.norm_eps, normed);
    s.mlp(stream, i, normed, delta);
    if (input.on_part) input.on_part(layer_index, "MLP", delta);
    delta_pending = true;
  }

  if (s.placement.has_head)
    return {.logits = s.logits(stream, input, residual, delta_pending ? delta : TensorView())};
  if (delta_pending) s.ops.add(stream, residual, delta);
  return {.hidden = residual};
}

TensorView DecoderStage::State::rotations(device::Stream& stream, TensorView positions) const {
  const TensorView table =
      arena.view(DType::f32, {positions.rows(), config.rope.rotary_dim}, layout.rotary_table);
  if (num_kept_rotations > 0)
    ops.gather_rows(stream, kept_rotations(), positions, table);
  else
    ops.rotary_table(stream, positions, inverse_frequencies(), rotary_scale, table);
  return table;
}

void DecoderStage::State::keep_rotations(device::Stream& stream) {
  std::vector<std::int32_t> every(static_cast<std::size_t>(num_kept_rotations));
  std::iota(every.begin(), every.end(), 0);
  const Buffer positions =
      ops.device().allocate(every.size() * sizeof(std::int32_t), "rotary table");
  stream.copy_from_host(positions.data(), every.data(), positions.size_bytes());
  // In parts: what operations take for their results in between is meant for steps.
  for (std::int64_t first = 0; first < num_kept_rotations; first += limits.max_num_tokens) {
    const std::int64_t count = std::min(limits.max_num_tokens, num_kept_rotations - first);
    ops.rotary_table(stream,
                     positions.view(DType::i32, {num_kept_rotations}, 0).slice_rows(first, count),
                     inverse_frequencies(),
                     rotary_scale,
                     kept_rotations().slice_rows(first, count));
  }
  stream.synchronize();
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
  ops.linear(stream, normed, layer.qkv, bias(layer.qkv_bias), qkv);
  if (config.qk_norm) {
    const auto norm_heads = [&](std::int64_t first, std::int64_t width, const Buffer& weight) {
      const TensorView x =
          qkv.slice_columns(first, width)
              .reshaped({input.num_tokens, width / config.head_dim, config.head_dim});
      ops.rms_norm(stream, x, vector_of(weight, DType::f32), config.norm_eps, x);
    };
    norm_heads(0, heads, layer.q_norm);
    norm_heads(heads, kv_heads, layer.k_norm);
  }
  // Query and key columns lie side by side: one rotation for both.
  const TensorView rotated =
      arena.view(dtype, {input.num_tokens, heads + kv_heads}, layout.rotated);
  ops.rotary(
      stream, qkv.slice_columns(0, heads + kv_heads), config.head_dim, rotary_table, rotated);

  const ops::KvLayer& kv = input.kv[layer_in_stage];
  if (input.writes_kv)
    ops.kv_write(stream,
                 rotated.slice_columns(heads, kv_heads),
                 qkv.slice_columns(heads + kv_heads, kv_heads),
                 input.slots,
                 kv);
  const TensorView out = arena.view(dtype, {input.num_tokens, heads}, layout.attention);
  const auto layer_index = static_cast<std::size_t>(placement.first_layer) + layer_in_stage;
  ops.paged_attention(
      stream,
      {.q = rotated.slice_columns(0, heads),
       .out = out,
       .kv = kv,
       .metadata = input.attention,
       .num_heads = share.heads.count,
       .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim))),
       .window = config.layer_window[layer_index]});
  ops.linear(stream, out, layer.attention_output, bias(layer.attention_output_bias), delta);
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
  ops.linear(stream, normed, layer.gate_up, bias(layer.gate_up_bias), gate_up);
  ops.gated_activation(stream, gate_up, config.activation, activated);
  ops.linear(stream, activated, layer.down, bias(layer.down_bias), delta);
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
  const TensorView row_normed = arena.view(dtype, {rows, config.hidden_size}, layout.row_normed);
  if (!input.logits_rows.empty()) {
    const auto gather = [&](TensorView& x, std::uint64_t offset) {
      const TensorView picked = arena.view(residual_dtype, {rows, config.hidden_size}, offset);
      ops.gather_rows(stream, x, input.logits_rows, picked);
      x = picked;
    };
    gather(residual, layout.row_residual);
    if (!delta.empty()) gather(delta, layout.row_delta);
  }
  const TensorView weight = norm_weight(weights.final_norm);
  if (delta.empty())
    ops.rms_norm(stream, residual, weight, config.norm_eps, row_normed);
  else
    ops.add_rms_norm(stream, residual, delta, weight, config.norm_eps, row_normed);
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
           (bias ? static_cast<std::uint64_t>(out_features) *
                       device::size_of(traits.bias_dtype(dtype))
                 : 0);
  };
  const bool sums = share.rank == 0;  // has the biases of what is summed over the group
  const DType residual = traits.residual_dtype(dtype);
  const std::uint64_t hidden_bytes = static_cast<std::uint64_t>(hidden) * device::size_of(residual);
  const std::uint64_t norm = hidden_bytes;
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
  const ArenaCosts arena = arena_costs(config, share, dtype, traits);
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
  sizes.hidden_bytes_per_token = hidden_bytes;
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
