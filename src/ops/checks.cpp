#include "ops/checks.h"

#include <initializer_list>
#include <string>

namespace fastchat::ops {
namespace {

/// `view` has this shape (-1 = any extent) and, unless empty, one of these dtypes.
void require(std::string_view op,
             std::string_view argument,
             const TensorView& view,
             std::initializer_list<std::int64_t> shape,
             std::initializer_list<DType> dtypes) {
  bool matches = view.rank() == static_cast<int>(shape.size());
  int index = 0;
  if (matches) {
    for (const std::int64_t extent : shape) {
      if (extent >= 0 && view.dim(index) != extent) matches = false;
      ++index;
    }
  }
  bool dtype_matches = dtypes.size() == 0;
  for (const DType dtype : dtypes) dtype_matches = dtype_matches || view.dtype() == dtype;
  if (matches && dtype_matches && (!view.empty() || view.num_elements() == 0)) return;
  std::string expected;
  for (const DType dtype : dtypes)
    expected += fmt::format("{}{}", expected.empty() ? "" : "|", device::to_string(dtype));
  std::string extents;
  for (const std::int64_t extent : shape) {
    extents += extents.empty() ? "" : ", ";
    extents += extent < 0 ? std::string("any") : fmt::format("{}", extent);
  }
  fail("{}: {} is {}{}, expected {}[{}]",
       op,
       argument,
       view.describe(),
       view.empty() ? " (null)" : "",
       expected,
       extents);
}

constexpr std::initializer_list<DType> kFloats = {DType::f32, DType::f16, DType::bf16};

/// The residual stream may be f32 beside any T.
void require_same_or_f32(std::string_view op,
                         std::string_view argument,
                         const TensorView& view,
                         DType dtype) {
  check(view.dtype() == dtype || view.dtype() == DType::f32,
        "{}: {} is {}, expected f32 or {}",
        op,
        argument,
        view.describe(),
        device::to_string(dtype));
}

void check_kv(std::string_view op, const KvLayer& kv) {
  check(kv.data != nullptr && kv.num_blocks > 0,
        "{}: the KV layer has no blocks (num_blocks {})",
        op,
        kv.num_blocks);
  check(kv.spec.num_kv_heads > 0 && kv.spec.head_dim > 0 && kv.spec.head_dim % 2 == 0,
        "{}: {} KV heads of {} elements, expected at least one head and an even number of elements",
        op,
        kv.spec.num_kv_heads,
        kv.spec.head_dim);
  check(device::is_float(kv.spec.dtype),
        "{}: KV of {}, expected f32, f16 or bf16",
        op,
        device::to_string(kv.spec.dtype));
}

void check_top(std::string_view op, std::int64_t rows, const SampleOutput& output) {
  if (output.top_tokens.empty()) return;
  require(op, "top_tokens", output.top_tokens, {rows, -1}, {DType::i32});
  require(op, "top_logprobs", output.top_logprobs, {rows, output.top_tokens.dim(1)}, {DType::f32});
}

}  // namespace

namespace {

SliceShape shape_of(std::string_view op, std::span<const WeightSlice> slices, bool int8_allowed) {
  check(!slices.empty(), "{}: no slices", op);
  SliceShape shape{.rows = 0, .columns = slices[0].columns};
  for (const WeightSlice& slice : slices) {
    const bool is_quantized =
        int8_allowed && slice.dtype == DType::i8 && slice.row_scales != nullptr;
    // Rows that are all the same one stand for a tensor where only its size matters.
    const bool has_rows =
        slice.row_stride >= slice.columns || slice.row_stride == 0 || slice.rows == 1;
    check(slice.data != nullptr && has_rows && (device::is_float(slice.dtype) || is_quantized) &&
              slice.rows > 0 && slice.columns == shape.columns && slice.columns > 0,
          "{}: slice {}[{}, {}] with rows {} apart{}, expected f32|f16|bf16{}[any, {}]",
          op,
          device::to_string(slice.dtype),
          slice.rows,
          slice.columns,
          slice.row_stride,
          slice.data == nullptr ? " (null)" : "",
          int8_allowed ? "|i8 with scales" : "",
          shape.columns);
    shape.rows += slice.rows;
  }
  return shape;
}

}  // namespace

SliceShape check_slices(std::string_view op, std::span<const WeightSlice> slices, DType dtype) {
  check(device::is_float(dtype),
        "{}: to {}, expected f32, f16 or bf16",
        op,
        device::to_string(dtype));
  return shape_of(op, slices, /*int8_allowed=*/false);
}

SliceShape check_slices(std::string_view op,
                        std::span<const WeightSlice> slices,
                        LinearFormat format) {
  const bool is_float = device::is_float(format.weight) && device::is_float(format.input);
  const bool is_int8 =
      format.is_quantized() && (device::is_float(format.input) || format.input == DType::i8);
  check(is_float || is_int8,
        "{}: to {} for inputs of {}, expected f32, f16, bf16, or i8 for inputs of these or i8",
        op,
        device::to_string(format.weight),
        device::to_string(format.input));
  return shape_of(op, slices, /*int8_allowed=*/true);
}

void check_embedding(const TensorView& table, const TensorView& ids, const TensorView& out) {
  require("embedding", "table", table, {-1, -1}, kFloats);
  require("embedding", "ids", ids, {-1}, {DType::i32});
  require("embedding", "out", out, {ids.dim(0), table.dim(1)}, kFloats);
}

void check_gather_rows(const TensorView& x, const TensorView& indices, const TensorView& out) {
  require("gather_rows", "x", x, {-1, -1}, {});
  require("gather_rows", "indices", indices, {-1}, {DType::i32});
  require("gather_rows", "out", out, {indices.dim(0), x.dim(1)}, {x.dtype()});
}

void check_resolve_tokens(const TensorView& ids,
                          const TensorView& rows,
                          const TensorView& sources,
                          const TensorView& sampled) {
  require("resolve_tokens", "ids", ids, {-1}, {DType::i32});
  const std::int64_t count = rows.empty() ? ids.dim(0) : rows.num_elements();
  if (!rows.empty()) require("resolve_tokens", "rows", rows, {-1}, {DType::i32});
  require("resolve_tokens", "sources", sources, {count}, {DType::i32});
  require("resolve_tokens", "sampled", sampled, {-1}, {DType::i32});
}

void check_rms_norm(const TensorView& x, const TensorView& weight, const TensorView& out) {
  constexpr std::string_view kOp = "rms_norm";
  if (x.rank() != 3) {
    check_norm(kOp, x, weight, {}, out);
    return;
  }
  require(kOp, "x", x, {-1, -1, -1}, kFloats);
  require(kOp, "weight", weight, {x.dim(2)}, kFloats);
  require(kOp, "out", out, {x.dim(0), x.dim(1), x.dim(2)}, kFloats);
  require_same_or_f32(kOp, "x", x, out.dtype());
}

void check_norm(std::string_view op,
                const TensorView& x,
                const TensorView& weight,
                const TensorView& bias,
                const TensorView& out) {
  require(op, "x", x, {-1, -1}, kFloats);
  require(op, "weight", weight, {x.dim(1)}, kFloats);
  if (!bias.empty()) require(op, "bias", bias, {x.dim(1)}, kFloats);
  require(op, "out", out, {x.dim(0), x.dim(1)}, kFloats);
  require_same_or_f32(op, "x", x, out.dtype());
}

void check_add(std::string_view op, const TensorView& out, const TensorView& x) {
  require(op, "residual", out, {-1, -1}, kFloats);
  require(op, "x", x, {out.dim(0), out.dim(1)}, kFloats);
}

void check_linear(const TensorView& x,
                  const PackedLinear& weight,
                  const TensorView& bias,
                  const TensorView& out) {
  check(!weight.empty(), "linear: the weight is empty");
  require("linear", "x", x, {-1, weight.in_features}, kFloats);
  if (!bias.empty())
    require("linear", "bias", bias, {weight.out_features}, {DType::f32, x.dtype()});
  require("linear", "out", out, {x.dim(0), weight.out_features}, kFloats);
  require_same_or_f32("linear", "out", out, x.dtype());
}

void check_rotary_table(const TensorView& positions,
                        const TensorView& inverse_frequencies,
                        const TensorView& out) {
  require("rotary_table", "positions", positions, {-1}, {DType::i32});
  require("rotary_table", "inverse_frequencies", inverse_frequencies, {-1}, {DType::f32});
  require(
      "rotary_table", "out", out, {positions.dim(0), 2 * inverse_frequencies.dim(0)}, {DType::f32});
}

void check_rotary(const TensorView& x,
                  std::int64_t head_dim,
                  const TensorView& table,
                  const TensorView& out) {
  require("rotary", "x", x, {-1, -1}, kFloats);
  require("rotary", "out", out, {x.dim(0), x.dim(1)}, {x.dtype()});
  require("rotary", "table", table, {x.dim(0), -1}, {DType::f32});
  check(
      head_dim > 0 && x.dim(1) % head_dim == 0 && table.dim(1) % 2 == 0 && table.dim(1) <= head_dim,
      "rotary: x is {} with heads of {} and a table of {}, expected whole heads and an even "
      "rotary_dim of at most a head",
      x.describe(),
      head_dim,
      table.describe());
}

void check_kv_write(const TensorView& k,
                    const TensorView& v,
                    const TensorView& slots,
                    const KvLayer& kv) {
  check_kv("kv_write", kv);
  require("kv_write", "slots", slots, {-1}, {DType::i32});
  const std::int64_t width = kv.spec.num_kv_heads * kv.spec.head_dim;
  require("kv_write", "k", k, {slots.dim(0), width}, {kv.spec.dtype});
  require("kv_write", "v", v, {slots.dim(0), width}, {kv.spec.dtype});
}

void check_paged_attention(const PagedAttentionArgs& args) {
  constexpr std::string_view kOp = "paged_attention";
  check_kv(kOp, args.kv);
  check(args.num_heads > 0 && args.num_heads % args.kv.spec.num_kv_heads == 0,
        "{}: {} heads over {} KV heads, expected a multiple",
        kOp,
        args.num_heads,
        args.kv.spec.num_kv_heads);
  const std::int64_t width = args.num_heads * args.kv.spec.head_dim;
  require(kOp, "q", args.q, {-1, width}, {args.kv.spec.dtype});
  require(kOp, "out", args.out, {args.q.dim(0), width}, {args.q.dtype()});
  const AttentionMetadata& metadata = args.metadata;
  require(kOp, "query_starts", metadata.query_starts, {metadata.num_seqs + 1}, {DType::i32});
  require(kOp, "context_lens", metadata.context_lens, {metadata.num_seqs}, {DType::i32});
  require(kOp, "block_table", metadata.block_table, {metadata.num_seqs, -1}, {DType::i32});
}

void check_gated_activation(const TensorView& gate_up, const TensorView& out) {
  require("gated_activation", "out", out, {-1, -1}, kFloats);
  require("gated_activation", "gate_up", gate_up, {out.dim(0), 2 * out.dim(1)}, {out.dtype()});
}

void check_sample(const TensorView& logits,
                  const SamplingBatch& batch,
                  const SampleOutput& output) {
  constexpr std::string_view kOp = "sample";
  require(kOp, "logits", logits, {static_cast<std::int64_t>(batch.rows.size()), -1}, {DType::f32});
  require(kOp, "tokens", output.tokens, {logits.dim(0)}, {DType::i32});
  bool any_logprobs = false;
  for (const SamplingRow& row : batch.rows) {
    any_logprobs = any_logprobs || row.num_logprobs >= 0;
    check(row.bias_begin >= 0 && row.bias_begin <= row.bias_end &&
              static_cast<std::size_t>(row.bias_end) <= batch.biases.size() &&
              row.count_begin >= 0 && row.count_begin <= row.count_end &&
              static_cast<std::size_t>(row.count_end) <= batch.counts.size(),
          "{}: a row's biases [{}, {}) and counts [{}, {}) lie outside of the batch's {} and {}",
          kOp,
          row.bias_begin,
          row.bias_end,
          row.count_begin,
          row.count_end,
          batch.biases.size(),
          batch.counts.size());
  }
  if (any_logprobs) require(kOp, "logprobs", output.logprobs, {logits.dim(0)}, {DType::f32});
  check_top(kOp, logits.dim(0), output);
}

void check_token_logprobs(const TensorView& logits,
                          const TensorView& targets,
                          const SampleOutput& output) {
  constexpr std::string_view kOp = "token_logprobs";
  require(kOp, "logits", logits, {-1, -1}, {DType::f32});
  require(kOp, "targets", targets, {logits.dim(0)}, {DType::i32});
  require(kOp, "logprobs", output.logprobs, {logits.dim(0)}, {DType::f32});
  check_top(kOp, logits.dim(0), output);
}

}  // namespace fastchat::ops
