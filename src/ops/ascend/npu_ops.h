// Operations of Ascend cards, composed of CANN's operators.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "device/ascend/npu_stream.h"
#include "ops/ascend/acl_objects.h"
#include "ops/ascend/card_sampler.h"
#include "ops/ops.h"

namespace fastchat::ops {

OpsTraits npu_traits(bool has_bf16);
/// Throws Failure unless `device` is an npu of this program.
std::unique_ptr<Ops> create_npu_ops(Device& device);

namespace ascend {

/// Weights stay as checkpoints have them, [out, in] row-major: the matrix units read a transposed
/// view without a copy. A layer's KV: all blocks of keys, then all blocks of values, each block
/// [kv_block_size, num_kv_heads, head_dim].
class NpuOps final : public Ops {
 public:
  explicit NpuOps(device::ascend::NpuDevice& device);

  Device& device() override { return device_; }
  const OpsTraits& traits() const override { return traits_; }
  std::string_view name() const override { return "cann"; }

  /// By phase 1 of every operator of the step.
  std::uint64_t measure_scratch(const LargestStep& step) override;
  void reserve_scratch(Stream& stream, const LargestStep& step) override;

  PackedLinear pack_linear(Stream& stream,
                           std::span<const WeightSlice> slices,
                           LinearFormat format) override;
  Buffer pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype) override;
  void embedding(Stream& stream, TensorView table, TensorView ids, TensorView out) override;
  void gather_rows(Stream& stream, TensorView x, TensorView indices, TensorView out) override;
  void begin_step() override;
  void resolve_tokens(Stream& stream,
                      TensorView ids,
                      TensorView rows,
                      TensorView sources,
                      TensorView sampled) override;
  void rms_norm(
      Stream& stream, TensorView x, TensorView weight, float eps, TensorView out) override;
  void layer_norm(Stream& stream,
                  TensorView x,
                  TensorView weight,
                  TensorView bias,
                  float eps,
                  TensorView out) override;
  void add_rms_norm(Stream& stream,
                    TensorView residual,
                    TensorView x,
                    TensorView weight,
                    float eps,
                    TensorView out) override;
  void add(Stream& stream, TensorView out, TensorView x) override;
  void linear(Stream& stream,
              TensorView x,
              const PackedLinear& weight,
              TensorView bias,
              TensorView out) override;
  void rotary_table(Stream& stream,
                    TensorView positions,
                    TensorView inverse_frequencies,
                    float scale,
                    TensorView out) override;
  void rotary(Stream& stream,
              TensorView x,
              std::int64_t head_dim,
              TensorView table,
              TensorView out) override;
  void kv_write(Stream& stream, TensorView k, TensorView v, TensorView slots, KvLayer kv) override;
  void paged_attention(Stream& stream, const PagedAttentionArgs& args) override;
  void gated_activation(Stream& stream,
                        TensorView gate_up,
                        Activation activation,
                        TensorView out) override;
  void sample(Stream& stream,
              TensorView logits,
              const SamplingBatch& batch,
              SampleOutput output) override;
  void token_logprobs(Stream& stream,
                      TensorView logits,
                      TensorView targets,
                      SampleOutput output) override;

 private:
  struct Scratch {
    std::uint64_t of_stream = 0;
    std::uint64_t of_ops = 0;  // what operations keep from step to step
  };
  Scratch plan_scratch(const LargestStep& step);
  /// out = x, converted, strided on both sides.
  static void convert(device::ascend::NpuStream& stream, const AclTensor& out, const AclTensor& x);
  void upload(Stream& stream,
              std::span<const WeightSlice> slices,
              DType dtype,
              const Buffer& weights);
  void upload_quantized(Stream& stream,
                        std::span<const WeightSlice> slices,
                        const PackedLinear& packed);
  /// out = x · weightᵀ, 8-bit weights.   x, out T; out dense
  void multiply(device::ascend::NpuStream& stream,
                TensorView x,
                const PackedLinear& weight,
                TensorView out);
  void multiply_w8a16(device::ascend::NpuStream& stream,
                      TensorView x,
                      const PackedLinear& weight,
                      TensorView out);
  void multiply_w8a8(device::ascend::NpuStream& stream,
                     TensorView x,
                     const PackedLinear& weight,
                     TensorView out);
  void norm_into(device::ascend::NpuStream& stream,
                 TensorView x,
                 TensorView weight,
                 float eps,
                 TensorView residual_sum,
                 TensorView out);
  /// Cosines and sines of the step's table as the rotary operator wants them.
  void prepare_rotation(device::ascend::NpuStream& stream, TensorView table, DType dtype);
  void reserve_rotation(device::ascend::NpuStream& stream,
                        std::int64_t rows,
                        std::int64_t dim,
                        DType dtype);
  /// Sequences [first, last), whose new tokens are one each, or one sequence of many.
  void attend(device::ascend::NpuStream& stream,
              const PagedAttentionArgs& args,
              std::int64_t first,
              std::int64_t last);
  void attend_packed(device::ascend::NpuStream& stream, const PagedAttentionArgs& args);
  /// One new token of each sequence, whose lengths a recording leaves open.
  void attend_adjustably(device::ascend::NpuStream& stream, const PagedAttentionArgs& args);
  void run_attention(device::ascend::NpuStream& stream,
                     const PagedAttentionArgs& args,
                     const AclTensor& query,
                     const AclTensor& out,
                     const AclTensor& block_table,
                     std::span<const std::int64_t> query_lens,
                     std::span<const std::int64_t> context_lens,
                     const char* layout,
                     const aclTensor* mask,
                     std::int64_t sparse_mode);
  const AclTensor& causal_mask(device::ascend::NpuStream& stream);
  /// One new token of each sequence over rows of padded_context_len positions.
  void attend_padded(device::ascend::NpuStream& stream, const PagedAttentionArgs& args);
  /// Makes padding_mask_ of the step's lengths, once per step.
  void prepare_padding(device::ascend::NpuStream& stream, const AttentionMetadata& metadata);
  /// Memory for the masks of such steps, and what they are made of.
  void reserve_padding(device::ascend::NpuStream& stream,
                       std::int64_t num_seqs,
                       std::int64_t context_len);
  /// Logits of [n, vocab] on the host; waits for the stream.
  float* download_logits(device::ascend::NpuStream& stream, TensorView logits);
  struct HostOutput;
  void write_output(device::ascend::NpuStream& stream,
                    const SampleOutput& output,
                    std::int64_t rows);

  device::ascend::NpuDevice& device_;
  OpsTraits traits_;

  bool knows_steps_ = false;  // begin_step() is called
  Buffer rotation_;           // T [2, n, rotary_dim]: cosines, sines; each half twice
  DType rotation_dtype_ = DType::f32;
  std::int64_t rotation_rows_ = 0;
  std::int64_t rotation_dim_ = 0;
  const void* rotation_table_ = nullptr;  // what it was made of
  bool rotation_is_ready_ = false;        // of this step

  Buffer mask_;  // i8 [2048, 2048], 1 above the diagonal
  AclTensor mask_tensor_;

  Buffer padding_positions_;       // f32 [most positions]: 0.5, 1.5, …
  Buffer padding_mask_;            // BOOL [num_seqs, padded_context_len], 1 past a sequence's end
  bool padding_is_ready_ = false;  // of this step

  CardSampler card_sampler_;
  Buffer host_logits_;  // pinned
  Buffer host_output_;  // pinned: tokens, logprobs, top tokens, top logprobs
  std::vector<std::byte> sampler_scratch_;
};

}  // namespace ascend
}  // namespace fastchat::ops
