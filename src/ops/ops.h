// The catalogue of operations: everything a decoder needs from a device. One implementation per
// device kind.
//
// Every method enqueues on `stream` and returns before completion; views must stay valid until
// then. Inputs and outputs are memory of the stream's device. T is the activation dtype: f32, f16
// or bf16. Residual streams may be f32 whatever T is. Sums accumulate in f32. On the cpu each
// output's order of summation depends on K and on the KV length only (batch invariance). Methods
// throw UnsupportedOp by default: a young backend runs what it has. Wrong shapes or dtypes throw
// Failure naming the operation.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "device/device.h"
#include "ops/sampling.h"

namespace fastchat::ops {

using device::Buffer;
using device::Device;
using device::DType;
using device::Stream;
using device::TensorView;

/// Facts the planner and the engine need before (or without) opening a device.
struct OpsTraits {
  std::int64_t linear_row_multiple = 1;     // packed weights round out_features up to this
  std::int64_t linear_column_multiple = 1;  // and in_features up to this
  std::int64_t kv_block_size = 16;          // KV positions per block
  std::uint64_t scratch_bytes =
      0;  // memory of a device that its operations may take beside the arena
  std::uint64_t collective_bytes = 0;  // and what a group of devices takes on each of them
  /// Indices outside what they point into are harmless: embedding and gather_rows give NaN,
  /// kv_write passes over them, resolve_tokens gives -1. Else they are the caller's error, and may
  /// end the card's work; sampling then gives ids that exist where there is no token, see
  /// SampleOutput.
  bool tolerates_bad_indices = true;
  /// The residual stream, what is added to it, and the norm weights are f32 beside any model's
  /// dtype; else of that dtype, as those operations want them.
  bool f32_residual = true;
  bool f32_bias = true;  // biases of linear layers; else of the model's dtype
  /// Operations cost more than their bytes: cosines and sines of all positions are kept, and a step
  /// picks its rows instead of computing them.
  bool keeps_rotary_table = false;

  DType residual_dtype(DType dtype) const { return f32_residual ? DType::f32 : dtype; }
  DType bias_dtype(DType dtype) const { return f32_bias ? DType::f32 : dtype; }
};

/// Facts of the operations of one kind of device, with bf16 or without.
OpsTraits traits(device::DeviceKind kind, bool has_bf16 = true);

/// Part of a checkpoint's tensor in host memory: row-major, rows `row_stride` elements apart.
struct WeightSlice {
  const void* data = nullptr;
  DType dtype = DType::f32;  // f32, f16, bf16; or i8, which `row_scales` make numbers of
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t row_stride = 0;
  const float* row_scales = nullptr;  // [rows], with i8: what the elements of a row count
};

/// How a linear layer's weight is held, and what it is multiplied by.
struct LinearFormat {
  /// f32, f16, bf16; or i8: whole numbers of -127 to 127 and an f32 scale per output row,
  /// max|row| / 127.
  DType weight = DType::f32;
  /// f32, f16, bf16: x as it comes. i8, with i8 weights: each row of x is made whole numbers of
  /// -127 to 127 times max|row| / 127 first, and products are of whole numbers.
  DType input = DType::f32;

  LinearFormat() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a dtype says it all where nothing is quantized
  LinearFormat(DType dtype) : weight(dtype), input(dtype) {}
  LinearFormat(DType weight_dtype, DType input_dtype) : weight(weight_dtype), input(input_dtype) {}
  bool is_quantized() const { return weight == DType::i8; }
};

/// A linear layer's weight in the layout its device likes best. Opaque but for its sizes.
struct PackedLinear {
  Buffer storage;
  LinearFormat format;
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  bool empty() const { return storage.empty(); }
};

/// Bytes that a packed weight takes on a device with these traits.
std::uint64_t packed_linear_bytes(const OpsTraits& traits,
                                  std::int64_t out_features,
                                  std::int64_t in_features,
                                  LinearFormat format);
/// Where the row scales of a quantized weight begin in its storage.
std::uint64_t row_scales_offset(const OpsTraits& traits,
                                std::int64_t out_features,
                                std::int64_t in_features);

/// What one layer keeps per KV position.
struct KvSpec {
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  DType dtype = DType::f32;
};

/// Bytes of one block (keys and values of kv_block_size positions) of one layer. The layout inside
/// is the device's.
std::uint64_t kv_block_bytes(const OpsTraits& traits, const KvSpec& spec);

/// One layer's blocks.
struct KvLayer {
  void* data = nullptr;  // num_blocks * kv_block_bytes
  std::int64_t num_blocks = 0;
  KvSpec spec;
};

/// Which tokens of a step belong to which sequence, and where their KV lies. Arrays in device
/// memory; the scalar bounds are known on the host when the step is enqueued.
struct AttentionMetadata {
  TensorView query_starts;  // i32 [num_seqs + 1]: new tokens 3, 1, 2 give 0 3 4 6
  TensorView context_lens;  // i32 [num_seqs]: KV positions once this step's tokens are written
  TensorView block_table;   // i32 [num_seqs, max_blocks]: block ids; -1 past the end
  std::int64_t num_seqs = 0;
  std::int64_t max_query_len = 0;
  std::int64_t max_context_len = 0;
  /// The first two once more in host memory, valid during the call: some devices' operators want
  /// lengths when they are enqueued.
  std::span<const std::int32_t> host_query_starts;
  std::span<const std::int32_t> host_context_lens;
  /// > 0: what is enqueued is recorded for steps of other lengths, so nothing may be taken from the
  /// host's arrays or the bounds above. Every sequence has one new token, the block table has rows
  /// of this many positions, all in blocks whose numbers are finite: those past the end of a
  /// sequence may be read, and do not count. A multiple of the block size.
  std::int64_t padded_context_len = 0;
  /// What is enqueued may be recorded for steps of other lengths, told by Graph::set_lengths(): at
  /// most as many as the block table has room for. Every sequence has one new token.
  bool lengths_may_change = false;
};

struct PagedAttentionArgs {
  TensorView q;    // T [num_tokens, num_heads * head_dim], rows may be strided; rotated
  TensorView out;  // T [num_tokens, num_heads * head_dim]; may not alias q
  KvLayer kv;
  AttentionMetadata metadata;
  std::int64_t num_heads = 0;  // a multiple of kv.spec.num_kv_heads
  float scale = 1.0f;          // multiplies q·k
  float softcap = 0.0f;        // > 0: scores become softcap * tanh(score / softcap)
  std::int64_t window = 0;     // > 0: a token sees itself and the window - 1 positions before it
};

enum class Activation : std::uint8_t { silu, gelu, gelu_tanh };

/// The largest step of a decoder that a device is to run: what scratch memory depends on.
struct LargestStep {
  std::int64_t num_tokens = 0;
  std::int64_t num_seqs = 0;
  std::int64_t logits_rows = 0;
  std::int64_t max_context = 0;  // KV positions of a sequence
  std::int64_t hidden = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t rotary_dim = 0;
  std::int64_t intermediate = 0;
  std::int64_t vocab = 0;
  std::int64_t group_size = 1;  // devices that compute the stage together
  DType dtype = DType::f32;     // of activations and KV
  LinearFormat qkv;
  LinearFormat attention_output;
  LinearFormat gate_up;
  LinearFormat down;
  LinearFormat head;
  Activation activation = Activation::silu;
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual Device& device() = 0;
  virtual const OpsTraits& traits() const = 0;
  /// Which implementation runs, for the log: "avx512", "reference".
  virtual std::string_view name() const = 0;

  /// Bytes that the operations of such a step take on this device beside their arguments, asked of
  /// the device where it can tell. Throws UnsupportedOp for what it does not have.
  virtual std::uint64_t measure_scratch(const LargestStep& step);
  /// Makes `stream` hold what it will need for such steps. Throws OutOfMemory.
  virtual void reserve_scratch(Stream& stream, const LargestStep& step);

  /// Packs the rows of all `slices`, one below the other, rounded to `format`; i8 slices keep
  /// their numbers and scales in an i8 format. All have equal `columns`. Memory is allocated as
  /// "weights"; the slices stay valid until `stream` has passed. Rows with a weight that is no
  /// finite number give outputs that are none in an i8 format. Throws OutOfMemory.
  virtual PackedLinear pack_linear(Stream& stream,
                                   std::span<const WeightSlice> slices,
                                   LinearFormat format);
  /// Copies and converts a plain tensor (norm weight, bias, embedding table): the slices' rows one
  /// below the other.
  virtual Buffer pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype);

  /// A step's operations follow, on one stream: until the next call, views of equal addresses and
  /// shapes have equal contents in every layer. What an operation derives from a step's tables and
  /// lengths is then derived once.
  virtual void begin_step() {}

  /// out[i] = table[ids[i]].   ids i32 [n]; table T' [vocab, hidden]; out f32 or T [n, hidden].
  /// An id outside [0, vocab) gives a row of NaN, which sampling reports, where the traits have it.
  virtual void embedding(Stream& stream, TensorView table, TensorView ids, TensorView out);

  /// Rows of x picked by index.   indices i32 [n]; x [m, width]; out [n, width] of x's dtype.
  virtual void gather_rows(Stream& stream, TensorView x, TensorView indices, TensorView out);

  /// Replaces placeholders by tokens sampled earlier: ids[rows[i]] = sampled[sources[i]].
  ///   ids i32 [n], in place; rows i32 [k], each once, or empty: all of ids; sources i32 [k];
  ///   sampled i32 [m]
  virtual void resolve_tokens(
      Stream& stream, TensorView ids, TensorView rows, TensorView sources, TensorView sampled);

  /// out = x / rms(x) * weight over the last dimension.   x f32 or T [n, width], or [n, groups,
  /// width] where each of a row's groups (heads, say) is normed by itself, with the same weight;
  /// rows may be strided; weight T'' [width] (any float dtype); out T of x's shape. In place
  /// allowed for equal dtypes.
  virtual void rms_norm(Stream& stream, TensorView x, TensorView weight, float eps, TensorView out);
  /// out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias; bias may be empty.
  virtual void layer_norm(
      Stream& stream, TensorView x, TensorView weight, TensorView bias, float eps, TensorView out);
  /// residual += x; out = rms_norm(residual). The sum is rounded to the residual's dtype before it
  /// is normed, so the fused form equals add, then rms_norm, bit for bit: its default does just
  /// that.
  virtual void add_rms_norm(Stream& stream,
                            TensorView residual,
                            TensorView x,
                            TensorView weight,
                            float eps,
                            TensorView out);
  /// out += x, elementwise; dtypes may differ.
  virtual void add(Stream& stream, TensorView out, TensorView x);

  /// out = x · weightᵀ + bias.   x T [n, in], rows may be strided; bias [out] of the traits'
  /// bias_dtype(T), or empty; out T or f32 [n, out]. T is the format's input but for i8.
  virtual void linear(
      Stream& stream, TensorView x, const PackedLinear& weight, TensorView bias, TensorView out);

  /// cos and sin of position * inverse_frequencies, times `scale` (yarn's attention factor).
  ///   positions i32 [n]; inverse_frequencies f32 [rotary_dim / 2]; out f32 [n, rotary_dim]:
  ///   cosines, then sines
  virtual void rotary_table(Stream& stream,
                            TensorView positions,
                            TensorView inverse_frequencies,
                            float scale,
                            TensorView out);
  /// Rotates the first rotary_dim elements of each head, pairing element i with i + rotary_dim / 2;
  /// the others are copied.
  ///   x T [n, num_heads * head_dim], rows may be strided; table as rotary_table writes it; out of
  ///   x's shape and dtype, beside x
  virtual void rotary(
      Stream& stream, TensorView x, std::int64_t head_dim, TensorView table, TensorView out);

  /// Writes keys and values of new tokens to their slots (block * kv_block_size + offset; -1 =
  /// skip, where the traits have it).
  ///   k, v T [n, num_kv_heads * head_dim], rows may be strided; slots i32 [n]
  virtual void kv_write(Stream& stream, TensorView k, TensorView v, TensorView slots, KvLayer kv);
  /// Attention of the new tokens over the paged KV cache, causal within each sequence; see
  /// PagedAttentionArgs. Softmax accumulates in f32.
  virtual void paged_attention(Stream& stream, const PagedAttentionArgs& args);

  /// out = activation(gate) * up.   gate_up T [n, 2 * width]: gate columns, then up columns; out T
  /// [n, width]
  virtual void gated_activation(Stream& stream,
                                TensorView gate_up,
                                Activation activation,
                                TensorView out);

  /// Chooses one token per row of logits.   logits f32 [n, vocab], overwritten; see ops/sampling.h.
  virtual void sample(Stream& stream,
                      TensorView logits,
                      const SamplingBatch& batch,
                      SampleOutput output);

  /// Natural log-probabilities of given tokens, and of the k most likely of each row (prompt
  /// logprobs).
  ///   logits f32 [n, vocab]; targets i32 [n], -1 = none; output as in sample, with tokens unused
  virtual void token_logprobs(Stream& stream,
                              TensorView logits,
                              TensorView targets,
                              SampleOutput output);

 protected:
  [[noreturn]] void unsupported(std::string_view op);
};

/// The operations of `device`, for the kinds this build has. Throws Failure for others.
std::unique_ptr<Ops> create_ops(Device& device);

}  // namespace fastchat::ops
