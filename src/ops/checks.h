// What the catalogue demands of arguments, said once for all devices. Each throws Failure naming
// the operation, what was expected and what came. Devices add what only they demand.
#pragma once

#include <span>
#include <string_view>

#include "ops/ops.h"

namespace fastchat::ops {

/// The slices' columns; the sum of their rows in `rows`.
struct SliceShape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};
/// To a floating-point dtype; or, for linear layers, to the weights of a format, from slices that
/// may be i8.
SliceShape check_slices(std::string_view op, std::span<const WeightSlice> slices, DType dtype);
SliceShape check_slices(std::string_view op,
                        std::span<const WeightSlice> slices,
                        LinearFormat format);

void check_embedding(const TensorView& table, const TensorView& ids, const TensorView& out);
void check_gather_rows(const TensorView& x, const TensorView& indices, const TensorView& out);
void check_resolve_tokens(const TensorView& ids,
                          const TensorView& rows,
                          const TensorView& sources,
                          const TensorView& sampled);
/// x and out [n, width] or [n, groups, width].
void check_rms_norm(const TensorView& x, const TensorView& weight, const TensorView& out);
/// add_rms_norm, and layer_norm with or without bias.
void check_norm(std::string_view op,
                const TensorView& x,
                const TensorView& weight,
                const TensorView& bias,
                const TensorView& out);
void check_add(std::string_view op, const TensorView& out, const TensorView& x);
void check_linear(const TensorView& x,
                  const PackedLinear& weight,
                  const TensorView& bias,
                  const TensorView& out);
void check_rotary_table(const TensorView& positions,
                        const TensorView& inverse_frequencies,
                        const TensorView& out);
void check_rotary(const TensorView& x,
                  std::int64_t head_dim,
                  const TensorView& table,
                  const TensorView& out);
void check_kv_write(const TensorView& k,
                    const TensorView& v,
                    const TensorView& slots,
                    const KvLayer& kv);
void check_paged_attention(const PagedAttentionArgs& args);
void check_gated_activation(const TensorView& gate_up, const TensorView& out);
void check_sample(const TensorView& logits, const SamplingBatch& batch, const SampleOutput& output);
void check_token_logprobs(const TensorView& logits,
                          const TensorView& targets,
                          const SampleOutput& output);

}  // namespace fastchat::ops
