#include "model/stage_weights.h"

#include <exception>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "model/models.h"

namespace fastchat::model {
namespace {

// Packs tensors of one source. What it took is given back once the stream has passed.
class Loader {
 public:
  Loader(ops::Ops& ops, device::Stream& stream, WeightSource& source, const LoadProgress& progress)
      : ops_(ops), stream_(stream), source_(source), progress_(progress) {}
  /// Nothing may still read the source's memory when a failed load unwinds.
  ~Loader() {
    if (names_.empty()) return;
    try {
      stream_.synchronize();
    } catch (const std::exception& failure) {
      log::warn("loading weights: {}", failure.what());
    }
    for (const std::string& name : names_) source_.release(name);
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Tensors [rows, columns] of the same columns, one below the other.
  ops::PackedLinear linear(std::initializer_list<std::pair<std::string, std::int64_t>> tensors,
                           std::int64_t columns,
                           device::DType dtype) {
    slices_.clear();
    for (const auto& [name, rows] : tensors) slices_.push_back(get(name, {rows, columns}));
    return ops_.pack_linear(stream_, slices_, dtype);
  }
  /// Tensors [rows], one after the other, in f32.
  ops::Buffer vector(std::initializer_list<std::pair<std::string, std::int64_t>> tensors) {
    slices_.clear();
    for (const auto& [name, rows] : tensors) slices_.push_back(get(name, {rows}));
    return ops_.pack_plain(stream_, slices_, device::DType::f32);
  }
  ops::Buffer table(const std::string& name,
                    std::int64_t rows,
                    std::int64_t columns,
                    device::DType dtype) {
    slices_ = {get(name, {rows, columns})};
    return ops_.pack_plain(stream_, slices_, dtype);
  }

  /// Waits for the packing so far, releases its sources and reports them.
  void finish(bool report = true) {
    stream_.synchronize();
    for (const std::string& name : names_) source_.release(name);
    names_.clear();
    const std::uint64_t bytes = std::exchange(bytes_, 0);
    if (report && progress_) progress_(bytes);
  }

 private:
  ops::WeightSlice get(const std::string& name, std::initializer_list<std::int64_t> shape) {
    const ops::WeightSlice slice = source_.get(name, std::span(shape.begin(), shape.size()));
    names_.push_back(name);
    bytes_ += static_cast<std::uint64_t>(slice.rows * slice.columns) * device::size_of(slice.dtype);
    return slice;
  }

  ops::Ops& ops_;
  device::Stream& stream_;
  WeightSource& source_;
  const LoadProgress& progress_;
  std::vector<std::string> names_;
  std::vector<ops::WeightSlice> slices_;
  std::uint64_t bytes_ = 0;
};

void load_layer(const ModelConfig& config,
                const TensorNames& names,
                std::int64_t layer,
                device::DType dtype,
                Loader& loader,
                LayerWeights& out) {
  const auto weight = [&](std::string_view name) { return names.in_layer(layer, name, ".weight"); };
  const auto bias = [&](std::string_view name) { return names.in_layer(layer, name, ".bias"); };
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t intermediate = config.intermediate_size;
  const std::int64_t heads = config.num_heads * config.head_dim;
  const std::int64_t kv_heads = config.num_kv_heads * config.head_dim;

  out.attention_norm = loader.vector({{names.in_layer(layer, names.attention_norm), hidden}});
  out.qkv = loader.linear(
      {{weight(names.q), heads}, {weight(names.k), kv_heads}, {weight(names.v), kv_heads}},
      hidden,
      dtype);
  if (config.qkv_bias)
    out.qkv_bias = loader.vector(
        {{bias(names.q), heads}, {bias(names.k), kv_heads}, {bias(names.v), kv_heads}});
  out.attention_output = loader.linear({{weight(names.attention_output), hidden}}, heads, dtype);
  if (config.attention_output_bias)
    out.attention_output_bias = loader.vector({{bias(names.attention_output), hidden}});

  out.mlp_norm = loader.vector({{names.in_layer(layer, names.mlp_norm), hidden}});
  out.gate_up = loader.linear(
      {{weight(names.gate), intermediate}, {weight(names.up), intermediate}}, hidden, dtype);
  out.down = loader.linear({{weight(names.down), hidden}}, intermediate, dtype);
  if (config.mlp_bias) {
    out.gate_up_bias =
        loader.vector({{bias(names.gate), intermediate}, {bias(names.up), intermediate}});
    out.down_bias = loader.vector({{bias(names.down), hidden}});
  }
}

}  // namespace

StageWeights load_stage_weights(const ModelConfig& config,
                                const parallel::StagePlacement& placement,
                                device::DType dtype,
                                ops::Ops& ops,
                                device::Stream& stream,
                                WeightSource& source,
                                const LoadProgress& progress) {
  const TensorNames& names = family_of(config.architecture, "model configuration").names;
  StageWeights weights;  // before the loader: it outlives what the loader waits for
  Loader loader(ops, stream, source, progress);
  if (placement.has_embedding) {
    weights.embedding =
        loader.table(std::string(names.embedding), config.vocab_size, config.hidden_size, dtype);
    loader.finish();
  }
  weights.layers.resize(static_cast<std::size_t>(placement.num_layers));
  for (int i = 0; i < placement.num_layers; ++i) {
    load_layer(config,
               names,
               placement.first_layer + i,
               dtype,
               loader,
               weights.layers[static_cast<std::size_t>(i)]);
    loader.finish();
  }
  if (placement.has_head) {
    weights.final_norm = loader.vector({{std::string(names.final_norm), config.hidden_size}});
    loader.finish();
    const bool tied = config.tie_word_embeddings;
    weights.head =
        loader.linear({{std::string(tied ? names.embedding : names.head), config.vocab_size}},
                      config.hidden_size,
                      dtype);
    loader.finish(/*report=*/!tied);  // the first stage has reported the embedding
  }
  return weights;
}

std::uint64_t weight_bytes(const StageWeights& weights) {
  std::uint64_t bytes = weights.embedding.size_bytes() + weights.final_norm.size_bytes() +
                        weights.head.storage.size_bytes();
  for (const LayerWeights& layer : weights.layers) {
    for (const ops::PackedLinear* linear :
         {&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down})
      bytes += linear->storage.size_bytes();
    for (const ops::Buffer* plain : {&layer.attention_norm,
                                     &layer.qkv_bias,
                                     &layer.attention_output_bias,
                                     &layer.mlp_norm,
                                     &layer.gate_up_bias,
                                     &layer.down_bias})
      bytes += plain->size_bytes();
  }
  return bytes;
}

}  // namespace fastchat::model
