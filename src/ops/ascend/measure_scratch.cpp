// What a card's operations take beside their arguments: phase 1 of every operator of the largest
// step is asked, and nothing is run.
#include <algorithm>
#include <numeric>
#include <vector>

#include "ops/ascend/launch.h"
#include "ops/ascend/npu_ops.h"

namespace fastchat::ops::ascend {

using device::ascend::NpuStream;

namespace {

/// What alignment of a stage's tensors costs, and the last page of their memory.
constexpr std::uint64_t kAllocatorBytes = std::uint64_t{4} << 20;

/// By which the widest part of a gather may be wider than the average.
constexpr std::int64_t kWidestUnit = 512;

/// Arguments of a step that no operator ever reads: phase 1 looks at shapes, dtypes and alignment.
class LargestStepRun {
 public:
  LargestStepRun(NpuOps& ops, NpuStream& stream, const LargestStep& step, void* memory)
      : ops_(ops), stream_(stream), step_(step), memory_(memory) {}

  void run() {
    const std::int64_t tokens = step_.num_tokens;
    const std::int64_t q_width = step_.num_heads * step_.head_dim;
    const std::int64_t kv_width = step_.num_kv_heads * step_.head_dim;
    const TensorView ids = any(DType::i32, {tokens});
    const DType residual_dtype = ops_.traits().residual_dtype(step_.dtype);
    const TensorView residual = any(residual_dtype, {tokens, step_.hidden});
    const TensorView normed = any(step_.dtype, {tokens, step_.hidden});
    const TensorView weight = any(residual_dtype, {step_.hidden});
    const TensorView table = any(DType::f32, {tokens, step_.rotary_dim});
    ops_.resolve_tokens(stream_, ids, ids, ids, any(DType::i32, {step_.logits_rows}));
    ops_.embedding(stream_, any(step_.dtype, {step_.vocab, step_.hidden}), ids, residual);
    ops_.rotary_table(stream_, ids, any(DType::f32, {step_.rotary_dim / 2}), 1.0f, table);
    ops_.rms_norm(stream_, residual, weight, 1e-6f, normed);
    ops_.add_rms_norm(stream_, residual, residual, weight, 1e-6f, normed);

    const TensorView qkv = any(step_.dtype, {tokens, q_width + 2 * kv_width});
    linear(normed, step_.qkv, qkv);
    // Results do not lie over what they are made of.
    const TensorView rotated(
        static_cast<char*>(memory_) + qkv.size_bytes(), step_.dtype, {tokens, q_width + kv_width});
    ops_.rotary(stream_, qkv.slice_columns(0, q_width + kv_width), step_.head_dim, table, rotated);
    const KvLayer kv{
        .data = memory_,
        .num_blocks = blocks_of_a_sequence() * step_.num_seqs,
        .spec = {
            .num_kv_heads = step_.num_kv_heads, .head_dim = step_.head_dim, .dtype = step_.dtype}};
    ops_.kv_write(stream_,
                  qkv.slice_columns(q_width, kv_width),
                  qkv.slice_columns(q_width + kv_width, kv_width),
                  ids,
                  kv);
    const TensorView attended = any(step_.dtype, {tokens, q_width});
    // One sequence has all of the tokens; or every sequence has one.
    attention(qkv, attended, kv, {0, static_cast<std::int32_t>(tokens)});
    const std::int64_t decodes = std::min(step_.num_seqs, tokens);
    std::vector<std::int32_t> starts(static_cast<std::size_t>(decodes) + 1);
    std::iota(starts.begin(), starts.end(), 0);
    attention(qkv, attended, kv, starts);
    if (ops_.device().has_graphs()) attention(qkv, attended, kv, starts, padded_context());
    linear(attended, step_.attention_output, residual);

    const TensorView gate_up = any(step_.dtype, {tokens, 2 * step_.intermediate});
    const TensorView activated = any(step_.dtype, {tokens, step_.intermediate});
    linear(normed, step_.gate_up, gate_up);
    ops_.gated_activation(stream_, gate_up, step_.activation, activated);
    linear(activated, step_.down, residual);

    const TensorView logits = any(DType::f32, {step_.logits_rows, step_.vocab});
    if (step_.group_size > 1) {
      gather(tokens, step_.hidden);
      gather(step_.logits_rows, step_.vocab);
    }
    ops_.gather_rows(stream_,
                     residual,
                     any(DType::i32, {step_.logits_rows}),
                     any(residual_dtype, {step_.logits_rows, step_.hidden}));
    linear(any(step_.dtype, {step_.logits_rows, step_.hidden}), step_.head, logits);
    // Draws take more than arg-max, and each filter some.
    std::vector<SamplingRow> rows(static_cast<std::size_t>(step_.logits_rows));
    for (SamplingRow& row : rows) {
      row.top_k = 50;
      row.top_p = 0.9f;
      row.min_p = 0.05f;
    }
    ops_.sample(stream_,
                logits,
                {.rows = rows, .biases = {}, .counts = {}},
                {.tokens = any(DType::i32, {step_.logits_rows}),
                 .logprobs = any(DType::f32, {step_.logits_rows}),
                 .top_tokens = {},
                 .top_logprobs = {}});
  }

 private:
  TensorView any(DType dtype, std::initializer_list<std::int64_t> shape) const {
    return {memory_, dtype, shape};
  }
  std::int64_t blocks_of_a_sequence() const {
    const std::int64_t block_size = ops_.traits().kv_block_size;
    return (step_.max_context + block_size - 1) / block_size;
  }

  std::int64_t padded_context() const {
    return blocks_of_a_sequence() * ops_.traits().kv_block_size;
  }

  void linear(const TensorView& x, LinearFormat format, const TensorView& out) {
    PackedLinear weight;
    weight.storage = ops_.device().allocate(1, "measuring of workspace");
    weight.format = format;
    weight.out_features = out.dim(1);
    weight.in_features = x.dim(1);
    ops_.linear(stream_, x, weight, any(ops_.traits().bias_dtype(step_.dtype), {out.dim(1)}), out);
  }

  /// A communicator's: what one rank sends, at most all of it, and what it gets from all.
  void gather(std::int64_t rows, std::int64_t width) {
    const ScratchScope scope(stream_);
    const std::int64_t widest = width / step_.group_size + kWidestUnit;
    temporary(stream_, DType::f32, {rows, widest});
    temporary(stream_, DType::f32, {step_.group_size * rows, widest});
  }

  void attention(const TensorView& qkv,
                 const TensorView& out,
                 const KvLayer& kv,
                 const std::vector<std::int32_t>& starts,
                 std::int64_t padded_context_len = 0) {
    const auto num_seqs = static_cast<std::int64_t>(starts.size()) - 1;
    const std::int64_t num_tokens = starts.back();
    const std::vector<std::int32_t> contexts(static_cast<std::size_t>(num_seqs),
                                             static_cast<std::int32_t>(step_.max_context));
    const std::int64_t q_width = step_.num_heads * step_.head_dim;
    ops_.paged_attention(
        stream_,
        {.q = qkv.slice_rows(0, num_tokens).slice_columns(0, q_width),
         .out = out.slice_rows(0, num_tokens),
         .kv = kv,
         .metadata = {.query_starts = any(DType::i32, {num_seqs + 1}),
                      .context_lens = any(DType::i32, {num_seqs}),
                      .block_table = any(DType::i32, {num_seqs, blocks_of_a_sequence()}),
                      .num_seqs = num_seqs,
                      .max_query_len = starts[1],
                      .max_context_len = step_.max_context,
                      .host_query_starts = starts,
                      .host_context_lens = contexts,
                      .padded_context_len = padded_context_len},
         .num_heads = step_.num_heads,
         .scale = 1.0f});
  }

  NpuOps& ops_;
  NpuStream& stream_;
  const LargestStep& step_;
  void* memory_;
};

}  // namespace

/// Operations of their own, so that what is kept from step to step is not the device's.
NpuOps::Scratch NpuOps::plan_scratch(const LargestStep& step) {
  NpuOps ops(device_);
  NpuStream stream(device_, NpuStream::Mode::plans);
  const Buffer memory = device_.allocate(std::size_t{1} << 16, "measuring of workspace");
  LargestStepRun(ops, stream, step, memory.data()).run();
  return {.of_stream = stream.peak_scratch_bytes(),
          .of_ops = ops.rotation_.size_bytes() + ops.mask_.size_bytes() +
                    ops.padding_mask_.size_bytes() + ops.padding_positions_.size_bytes()};
}

std::uint64_t NpuOps::measure_scratch(const LargestStep& step) {
  const Scratch scratch = plan_scratch(step);
  return scratch.of_stream + scratch.of_ops + kAllocatorBytes;
}

// What operations keep as well: it would else be taken when KV has all that is left, and recorded
// steps hold on to where it lies.
void NpuOps::reserve_scratch(Stream& stream, const LargestStep& step) {
  NpuStream& npu = device::ascend::npu_stream(stream, "reserve_scratch");
  npu.reserve_scratch(plan_scratch(step).of_stream);
  causal_mask(npu);
  reserve_rotation(npu, step.num_tokens, step.rotary_dim, step.dtype);
  if (device_.has_graphs()) {
    const std::int64_t block_size = traits_.kv_block_size;
    reserve_padding(npu,
                    std::min(step.num_seqs, step.num_tokens),
                    (step.max_context + block_size - 1) / block_size * block_size);
  }
}

}  // namespace fastchat::ops::ascend
