#include "model/stage_weights.h"

#include <exception>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "model/models.h"

namespace fastchat::model {
namespace {

using parallel::AxisRange;
using parallel::TensorShare;

/// What is taken of a checkpoint's tensor.
struct Part {
  std::string name;
  std::int64_t num_rows = 0;
  std::int64_t num_columns = 0;  // of the whole tensor; 0: a vector
  AxisRange rows;
  AxisRange columns;
  bool counted = true;  // in the progress: no other rank counts the same bytes
};

Part matrix(std::string name,
            std::int64_t num_rows,
            std::int64_t num_columns,
            const AxisRange& rows,
            const AxisRange& columns) {
  return {.name = std::move(name),
          .num_rows = num_rows,
          .num_columns = num_columns,
          .rows = rows,
          .columns = columns};
}

Part vector(std::string name, std::int64_t size, const AxisRange& rows) {
  return {.name = std::move(name), .num_rows = size, .rows = rows};
}

/// The same on every rank; rank 0 reports it.
Part replicated(Part part, const TensorShare& share) {
  part.counted = share.rank == 0;
  return part;
}

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

  /// Parts of tensors of the same number of columns, one below the other.
  ops::PackedLinear linear(std::initializer_list<Part> parts, ops::LinearFormat format) {
    slice(parts);
    return ops_.pack_linear(stream_, slices_, format);
  }
  /// Parts of tensors, one below the other.
  ops::Buffer plain(std::initializer_list<Part> parts, device::DType dtype) {
    slice(parts);
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
  void slice(std::initializer_list<Part> parts) {
    slices_.clear();
    for (const Part& part : parts) slices_.push_back(get(part));
  }

  ops::WeightSlice get(const Part& part) {
    const std::int64_t shape[] = {part.num_rows, part.num_columns};
    ops::WeightSlice slice = source_.get(part.name, std::span(shape, part.num_columns > 0 ? 2 : 1));
    names_.push_back(part.name);
    const std::uint64_t element = device::size_of(slice.dtype);
    slice.data =
        static_cast<const char*>(slice.data) +
        static_cast<std::uint64_t>(part.rows.begin * slice.row_stride + part.columns.begin) *
            element;
    if (slice.row_scales != nullptr) slice.row_scales += part.rows.begin;
    slice.rows = part.rows.count;
    if (part.num_columns > 0) slice.columns = part.columns.count;
    if (part.counted) bytes_ += static_cast<std::uint64_t>(slice.rows * slice.columns) * element;
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

/// In elements instead of heads.
AxisRange columns_of(const AxisRange& heads, std::int64_t head_dim) {
  return {heads.begin * head_dim, heads.count * head_dim};
}

void load_layer(const ModelConfig& config,
                const TensorShare& share,
                const TensorNames& names,
                std::int64_t layer,
                device::DType dtype,
                const ops::OpsTraits& traits,
                Loader& loader,
                LayerWeights& out) {
  const device::DType norm_dtype = traits.residual_dtype(dtype);
  const device::DType bias_dtype = traits.bias_dtype(dtype);
  const auto weight = [&](std::string_view name) { return names.in_layer(layer, name, ".weight"); };
  const auto bias = [&](std::string_view name) { return names.in_layer(layer, name, ".bias"); };
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t intermediate = config.intermediate_size;
  const std::int64_t heads = config.num_heads * config.head_dim;
  const std::int64_t kv_heads = config.num_kv_heads * config.head_dim;
  const AxisRange all_hidden{0, hidden};
  const LayerQuantization quantization = layer_quantization(config, layer);
  const AxisRange my_heads = columns_of(share.heads, config.head_dim);
  const AxisRange my_kv_heads = columns_of(share.kv_heads, config.head_dim);
  // A KV head that several ranks have is reported by the one with the first of its query heads.
  const bool counts_kv =
      share.heads.begin * config.num_kv_heads % config.num_heads == 0 || share.rank == 0;
  const auto of_kv = [&](Part part) {
    part.counted = counts_kv;
    return part;
  };
  const auto norm = [&](std::string_view name, std::int64_t size) {
    return replicated(vector(names.in_layer(layer, name), size, {0, size}), share);
  };

  out.attention_norm = loader.plain({norm(names.attention_norm, hidden)}, norm_dtype);
  out.qkv =
      loader.linear({matrix(weight(names.q), heads, hidden, my_heads, all_hidden),
                     of_kv(matrix(weight(names.k), kv_heads, hidden, my_kv_heads, all_hidden)),
                     of_kv(matrix(weight(names.v), kv_heads, hidden, my_kv_heads, all_hidden))},
                    linear_format(quantization.qkv, dtype));
  if (config.qkv_bias)
    out.qkv_bias = loader.plain({vector(bias(names.q), heads, my_heads),
                                 of_kv(vector(bias(names.k), kv_heads, my_kv_heads)),
                                 of_kv(vector(bias(names.v), kv_heads, my_kv_heads))},
                                bias_dtype);
  if (config.qk_norm) {
    out.q_norm = loader.plain({norm(names.q_norm, config.head_dim)}, device::DType::f32);
    out.k_norm = loader.plain({norm(names.k_norm, config.head_dim)}, device::DType::f32);
  }
  out.attention_output =
      loader.linear({matrix(weight(names.attention_output), hidden, heads, all_hidden, my_heads)},
                    linear_format(quantization.attention_output, dtype));
  if (config.attention_output_bias && share.rank == 0)
    out.attention_output_bias =
        loader.plain({vector(bias(names.attention_output), hidden, all_hidden)}, bias_dtype);

  out.mlp_norm = loader.plain({norm(names.mlp_norm, hidden)}, norm_dtype);
  out.gate_up = loader.linear(
      {matrix(weight(names.gate), intermediate, hidden, share.intermediate, all_hidden),
       matrix(weight(names.up), intermediate, hidden, share.intermediate, all_hidden)},
      linear_format(quantization.gate_up, dtype));
  out.down = loader.linear(
      {matrix(weight(names.down), hidden, intermediate, all_hidden, share.intermediate)},
      linear_format(quantization.down, dtype));
  if (config.mlp_bias) {
    out.gate_up_bias = loader.plain({vector(bias(names.gate), intermediate, share.intermediate),
                                     vector(bias(names.up), intermediate, share.intermediate)},
                                    bias_dtype);
    if (share.rank == 0)
      out.down_bias = loader.plain({vector(bias(names.down), hidden, all_hidden)}, bias_dtype);
  }
}

}  // namespace

StageWeights load_stage_weights(const ModelConfig& config,
                                const parallel::StagePlacement& placement,
                                const parallel::TensorShare& share,
                                device::DType dtype,
                                ops::Ops& ops,
                                device::Stream& stream,
                                WeightSource& source,
                                const LoadProgress& progress) {
  const TensorNames& names = family_of(config.architecture, "model configuration").names;
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t vocab = config.vocab_size;
  StageWeights weights;  // before the loader: it outlives what the loader waits for
  Loader loader(ops, stream, source, progress);
  if (placement.has_embedding) {
    weights.embedding = loader.plain(
        {matrix(std::string(names.embedding), vocab, hidden, {0, vocab}, share.hidden)}, dtype);
    loader.finish();
  }
  weights.layers.resize(static_cast<std::size_t>(placement.num_layers));
  for (int i = 0; i < placement.num_layers; ++i) {
    load_layer(config,
               share,
               names,
               placement.first_layer + i,
               dtype,
               ops.traits(),
               loader,
               weights.layers[static_cast<std::size_t>(i)]);
    loader.finish();
  }
  if (placement.has_head) {
    weights.final_norm = loader.plain(
        {replicated(vector(std::string(names.final_norm), hidden, {0, hidden}), share)},
        ops.traits().residual_dtype(dtype));
    loader.finish();
    const bool tied = config.tie_word_embeddings;
    weights.head = loader.linear({matrix(std::string(tied ? names.embedding : names.head),
                                         vocab,
                                         hidden,
                                         share.vocab,
                                         {0, hidden})},
                                 linear_format(config.head_quantization, dtype));
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
                                     &layer.q_norm,
                                     &layer.k_norm,
                                     &layer.attention_output_bias,
                                     &layer.mlp_norm,
                                     &layer.gate_up_bias,
                                     &layer.down_bias})
      bytes += plain->size_bytes();
  }
  return bytes;
}

}  // namespace fastchat::model
