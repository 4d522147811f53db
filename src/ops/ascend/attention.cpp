// Paged KV cache and attention on Ascend cards: FusedInferAttentionScore in the form that each CANN
// version allows.
#include <limits>
#include <vector>

#include "ops/ascend/launch.h"
#include "ops/ascend/npu_ops.h"
#include "ops/checks.h"

namespace fastchat::ops::ascend {

using device::ascend::cann;
using device::ascend::Feature;
using device::ascend::npu_stream;
using device::ascend::NpuStream;

namespace {

constexpr std::int64_t kMaskSize = 2048;  // of the compressed causal mask, whatever the lengths are
constexpr std::int64_t kCausal = 3;       // sparse mode: query i sees keys up to kv_len - q_len + i
constexpr std::int64_t kUnlimited = std::numeric_limits<std::int32_t>::max();

struct KvTensors {
  void* keys = nullptr;
  void* values = nullptr;
  std::int64_t width = 0;  // elements of one position
};

void require_16_bits(DType dtype) {
  if (dtype == DType::f32)
    throw UnsupportedOp(
        "paged_attention: Ascend's attention takes f16 and bf16; use --dtype float16 or bfloat16");
}

/// What Ascend's attention does not take.
void require_supported(const PagedAttentionArgs& args) {
  require_16_bits(args.q.dtype());
  if (args.kv.spec.head_dim % 16 != 0)
    throw UnsupportedOp(
        fmt::format("paged_attention: Ascend's attention takes heads of a multiple of 16, not {}",
                    args.kv.spec.head_dim));
  if (args.softcap != 0.0f)
    throw UnsupportedOp("paged_attention: soft caps are not available on npu");
  if (args.window != 0 && args.metadata.max_context_len > args.window)
    throw UnsupportedOp(
        fmt::format("paged_attention: a context of {} tokens goes past the sliding window of {}, "
                    "which this version does not have on npu; promise less with --max-model-len {}",
                    args.metadata.max_context_len,
                    args.window,
                    args.window));
}

KvTensors kv_tensors(const KvLayer& kv, std::int64_t block_size) {
  const std::int64_t width = kv.spec.num_kv_heads * kv.spec.head_dim;
  const auto bytes =
      static_cast<std::size_t>(kv.num_blocks * block_size * width) * size_of(kv.spec.dtype);
  return {kv.data, static_cast<char*>(kv.data) + bytes, width};
}

}  // namespace

void NpuOps::kv_write(Stream& stream, TensorView k, TensorView v, TensorView slots, KvLayer kv) {
  check_kv_write(k, v, slots, kv);
  require_16_bits(kv.spec.dtype);
  const std::int64_t rows = slots.rows();
  if (rows == 0) return;
  NpuStream& npu = npu_stream(stream, "kv_write");
  const ScratchScope scope(npu);
  const std::int64_t block_size = traits_.kv_block_size;
  const std::int64_t heads = kv.spec.num_kv_heads;
  const std::int64_t head_dim = kv.spec.head_dim;
  const KvTensors cache = kv_tensors(kv, block_size);
  const DType dtype = kv.spec.dtype;
  const AclTensor key(k.data(), dtype, {rows, heads, head_dim}, {k.row_stride(), head_dim, 1});
  const AclTensor value(v.data(), dtype, {rows, heads, head_dim}, {v.row_stride(), head_dim, 1});
  if (cann().has(Feature::scatter_kv)) {
    const AclTensor keys(cache.keys, dtype, {kv.num_blocks, block_size, heads, head_dim});
    const AclTensor values(cache.values, dtype, {kv.num_blocks, block_size, heads, head_dim});
    FASTCHAT_ACLNN(npu,
                   aclnnScatterPaKvCache,
                   key.get(),
                   keys.get(),
                   AclTensor(slots).get(),
                   value.get(),
                   values.get(),
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr);
    return;
  }
  const AclTensor indices(slots.data(), DType::i32, {rows, 1});
  const std::int64_t positions = kv.num_blocks * block_size;
  const auto scatter = [&](void* data, const AclTensor& update) {
    const AclTensor whole(data, dtype, {positions, heads, head_dim});
    FASTCHAT_ACLNN(npu, aclnnScatterNdUpdate, whole.get(), indices.get(), update.get());
  };
  scatter(cache.keys, key);
  scatter(cache.values, value);
}

// Made once per card, on the stream that first needs it.
const AclTensor& NpuOps::causal_mask(NpuStream& stream) {
  if (mask_.empty()) {
    std::vector<std::int8_t> upper(static_cast<std::size_t>(kMaskSize * kMaskSize));
    for (std::int64_t row = 0; row < kMaskSize; ++row)
      for (std::int64_t column = row + 1; column < kMaskSize; ++column)
        upper[static_cast<std::size_t>(row * kMaskSize + column)] = 1;
    mask_ = device_.allocate(upper.size(), "attention mask");
    stream.copy_from_host(mask_.data(), upper.data(), upper.size());
    stream.synchronize();
    mask_tensor_ = AclTensor(mask_.data(), DType::i8, {kMaskSize, kMaskSize});
  }
  return mask_tensor_;
}

void NpuOps::run_attention(NpuStream& stream,
                           const PagedAttentionArgs& args,
                           const AclTensor& query,
                           const AclTensor& out,
                           const AclTensor& block_table,
                           std::span<const std::int64_t> query_lens,
                           std::span<const std::int64_t> context_lens,
                           const char* layout,
                           const aclTensor* mask,
                           std::int64_t sparse_mode) {
  const KvLayer& kv = args.kv;
  const std::int64_t block_size = traits_.kv_block_size;
  const KvTensors cache = kv_tensors(kv, block_size);
  const AclTensorList keys(
      AclTensor(cache.keys, kv.spec.dtype, {kv.num_blocks, block_size, cache.width}));
  const AclTensorList values(
      AclTensor(cache.values, kv.spec.dtype, {kv.num_blocks, block_size, cache.width}));
  const AclIntArray query_array(query_lens);
  const AclIntArray context_array(context_lens);
  aclIntArray* const queries = query_lens.empty() ? nullptr : query_array.get();
  char* const layout_name = const_cast<char*>(layout);  // CANN's prototypes lack the const
  // The long list of what is not used: position shift, quantization, padding, shared prefixes.
  const auto run = [&](const char* name, auto phase1, auto phase2, auto... rope) {
    launch(stream,
           name,
           phase1,
           phase2,
           query.get(),
           keys.get(),
           values.get(),
           nullptr,
           mask,
           queries,
           context_array.get(),
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           block_table.get(),
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           nullptr,
           rope...,
           args.num_heads,
           static_cast<double>(args.scale),
           kUnlimited,
           kUnlimited,
           layout_name,
           kv.spec.num_kv_heads,
           sparse_mode,
           std::int64_t{0},
           block_size,
           std::int64_t{0},
           false,
           std::int64_t{0},
           std::int64_t{0},
           out.get(),
           nullptr);
  };
  if (cann().has(Feature::attention_v3)) {
    run("aclnnFusedInferAttentionScoreV3",
        FASTCHAT_CANN(aclnnFusedInferAttentionScoreV3GetWorkspaceSize),
        FASTCHAT_CANN(aclnnFusedInferAttentionScoreV3),
        nullptr,
        nullptr,
        nullptr);
  } else {
    run("aclnnFusedInferAttentionScoreV2",
        FASTCHAT_CANN(aclnnFusedInferAttentionScoreV2GetWorkspaceSize),
        FASTCHAT_CANN(aclnnFusedInferAttentionScoreV2));
  }
}

void NpuOps::attend(NpuStream& stream,
                    const PagedAttentionArgs& args,
                    std::int64_t first,
                    std::int64_t last) {
  const ScratchScope scope(stream);
  const AttentionMetadata& metadata = args.metadata;
  const std::int64_t num_seqs = last - first;
  const std::int64_t begin = metadata.host_query_starts[static_cast<std::size_t>(first)];
  const std::int64_t end = metadata.host_query_starts[static_cast<std::size_t>(last)];
  const std::int64_t query_len = (end - begin) / num_seqs;
  const auto at_row = [](const TensorView& view, std::int64_t row) {
    return static_cast<char*>(view.data()) +
           static_cast<std::size_t>(row * view.row_stride()) * size_of(view.dtype());
  };
  const std::int64_t width = args.q.dim(1);
  const std::int64_t q_stride = args.q.row_stride();
  const AclTensor query(at_row(args.q, begin),
                        args.q.dtype(),
                        {num_seqs, query_len, width},
                        {query_len * q_stride, q_stride, 1});
  const AclTensor out(at_row(args.out, begin), args.out.dtype(), {num_seqs, query_len, width});
  const AclTensor table(metadata.block_table.slice_rows(first, num_seqs));
  std::vector<std::int64_t> context_lens;
  for (std::int64_t i = first; i < last; ++i)
    context_lens.push_back(metadata.host_context_lens[static_cast<std::size_t>(i)]);
  const bool prefill = query_len > 1;
  const std::vector<std::int64_t> query_lens(prefill ? 1 : 0, query_len);
  run_attention(stream,
                args,
                query,
                out,
                table,
                query_lens,
                context_lens,
                "BSH",
                prefill ? causal_mask(stream).get() : nullptr,
                prefill ? kCausal : 0);
}

// The operator is told that every sequence fills its row of the block table, and masks by what lies
// on the card which positions do not count: what is recorded holds for any lengths.
void NpuOps::attend_padded(NpuStream& stream, const PagedAttentionArgs& args) {
  const AttentionMetadata& metadata = args.metadata;
  const std::int64_t num_seqs = metadata.num_seqs;
  const std::int64_t padded = metadata.padded_context_len;
  FASTCHAT_ASSERT(args.q.rows() == num_seqs && padded % traits_.kv_block_size == 0 &&
                      padded / traits_.kv_block_size == metadata.block_table.dim(1),
                  "paged_attention: {} queries of {} sequences over {} positions in {} blocks",
                  args.q.rows(),
                  num_seqs,
                  padded,
                  metadata.block_table.dim(1));
  prepare_padding(stream, metadata);
  const ScratchScope scope(stream);
  const std::int64_t width = args.q.dim(1);
  const AclTensor query(
      args.q.data(), args.q.dtype(), {num_seqs, 1, width}, {args.q.row_stride(), width, 1});
  const AclTensor out(args.out.data(), args.out.dtype(), {num_seqs, 1, width});
  const std::int64_t mask_shape[] = {num_seqs, padded};
  const AclTensor mask(padding_mask_.data(), ACL_BOOL, mask_shape);
  const std::vector<std::int64_t> context_lens(static_cast<std::size_t>(num_seqs), padded);
  run_attention(stream,
                args,
                query,
                out,
                AclTensor(metadata.block_table),
                {},
                context_lens,
                "BSH",
                mask.get(),
                0);
}

void NpuOps::attend_adjustably(NpuStream& stream, const PagedAttentionArgs& args) {
  FASTCHAT_ASSERT(args.q.rows() == args.metadata.num_seqs && args.metadata.max_query_len == 1,
                  "paged_attention: {} queries of {} sequences",
                  args.q.rows(),
                  args.metadata.num_seqs);
  PagedAttentionArgs kept = args;
  kept.metadata.host_query_starts = {};
  kept.metadata.host_context_lens = {};
  stream.enqueue_adjustable(
      [this, kept](NpuStream& on, std::span<const std::int32_t> lengths) {
        const ScratchScope scope(on);
        const std::int64_t num_seqs = kept.metadata.num_seqs;
        FASTCHAT_ASSERT(static_cast<std::int64_t>(lengths.size()) == num_seqs,
                        "{} lengths of {} sequences",
                        lengths.size(),
                        num_seqs);
        const std::int64_t width = kept.q.dim(1);
        const AclTensor query(
            kept.q.data(), kept.q.dtype(), {num_seqs, 1, width}, {kept.q.row_stride(), width, 1});
        const AclTensor out(kept.out.data(), kept.out.dtype(), {num_seqs, 1, width});
        run_attention(on,
                      kept,
                      query,
                      out,
                      AclTensor(kept.metadata.block_table),
                      {},
                      std::vector<std::int64_t>(lengths.begin(), lengths.end()),
                      "BSH",
                      nullptr,
                      0);
      },
      args.metadata.host_context_lens);
}

// position + 0.5 - length is positive past the end; with its magnitude added it is 0 before, and
// what is not 0 is true.
void NpuOps::prepare_padding(NpuStream& stream, const AttentionMetadata& metadata) {
  if (padding_is_ready_) return;
  const std::int64_t num_seqs = metadata.num_seqs;
  const std::int64_t padded = metadata.padded_context_len;
  reserve_padding(stream, num_seqs, padded);
  const ScratchScope scope(stream);
  const TensorView lengths = temporary(stream, DType::f32, {num_seqs, 1});
  FASTCHAT_ACLNN(stream,
                 aclnnCast,
                 AclTensor(metadata.context_lens.data(), DType::i32, {num_seqs, 1}).get(),
                 ACL_FLOAT,
                 AclTensor(lengths).get());
  const AclTensor beyond(temporary(stream, DType::f32, {num_seqs, padded}));
  const AclTensor magnitude(temporary(stream, DType::f32, {num_seqs, padded}));
  const AclScalar one(1.0f);
  FASTCHAT_ACLNN(stream,
                 aclnnSub,
                 AclTensor(padding_positions_.data(), DType::f32, {1, padded}).get(),
                 AclTensor(lengths).get(),
                 one.get(),
                 beyond.get());
  FASTCHAT_ACLNN(stream, aclnnAbs, beyond.get(), magnitude.get());
  FASTCHAT_ACLNN(stream, aclnnInplaceAdd, beyond.get(), magnitude.get(), one.get());
  const std::int64_t mask_shape[] = {num_seqs, padded};
  FASTCHAT_ACLNN(stream,
                 aclnnCast,
                 beyond.get(),
                 ACL_BOOL,
                 AclTensor(padding_mask_.data(), ACL_BOOL, mask_shape).get());
  padding_is_ready_ = knows_steps_;
}

void NpuOps::reserve_padding(NpuStream& stream, std::int64_t num_seqs, std::int64_t context_len) {
  const auto mask_bytes = static_cast<std::size_t>(num_seqs * context_len);
  if (padding_mask_.size_bytes() < mask_bytes) {
    stream.synchronize();  // work of an earlier step may still read the old one
    padding_mask_ = device_.allocate(mask_bytes, "attention mask");
  }
  const std::size_t position_bytes = static_cast<std::size_t>(context_len) * sizeof(float);
  if (padding_positions_.size_bytes() >= position_bytes) return;
  stream.synchronize();
  padding_positions_ = device_.allocate(position_bytes, "attention mask");
  FASTCHAT_ACLNN(stream,
                 aclnnArange,
                 AclScalar(0.5f).get(),
                 AclScalar(static_cast<float>(context_len)).get(),
                 AclScalar(1.0f).get(),
                 AclTensor(padding_positions_.data(), DType::f32, {context_len}).get());
}

void NpuOps::attend_packed(NpuStream& stream, const PagedAttentionArgs& args) {
  const ScratchScope scope(stream);
  const AttentionMetadata& metadata = args.metadata;
  const std::int64_t rows = args.q.rows();
  const std::int64_t head_dim = args.kv.spec.head_dim;
  const AclTensor query(args.q.data(),
                        args.q.dtype(),
                        {rows, args.num_heads, head_dim},
                        {args.q.row_stride(), head_dim, 1});
  const AclTensor out(args.out.data(), args.out.dtype(), {rows, args.num_heads, head_dim});
  // Query lengths add up, those of the cache do not.
  const std::vector<std::int64_t> query_ends(metadata.host_query_starts.begin() + 1,
                                             metadata.host_query_starts.end());
  const std::vector<std::int64_t> context_lens(metadata.host_context_lens.begin(),
                                               metadata.host_context_lens.end());
  run_attention(stream,
                args,
                query,
                out,
                AclTensor(metadata.block_table),
                query_ends,
                context_lens,
                "TND",
                causal_mask(stream).get(),
                kCausal);
}

void NpuOps::paged_attention(Stream& stream, const PagedAttentionArgs& args) {
  check_paged_attention(args);
  const AttentionMetadata& metadata = args.metadata;
  const std::int64_t num_seqs = metadata.num_seqs;
  if (num_seqs == 0) return;
  NpuStream& npu = npu_stream(stream, "paged_attention");
  require_supported(args);
  if (metadata.padded_context_len > 0) {
    attend_padded(npu, args);
    return;
  }
  if (metadata.lengths_may_change) {
    attend_adjustably(npu, args);
    return;
  }
  FASTCHAT_ASSERT(static_cast<std::int64_t>(metadata.host_query_starts.size()) == num_seqs + 1 &&
                      static_cast<std::int64_t>(metadata.host_context_lens.size()) == num_seqs,
                  "paged_attention: lengths of {} sequences are not known on the host",
                  num_seqs);
  // Packed rows need as many fields of the table as there are sequences, and grouped heads.
  const bool grouped = args.num_heads != args.kv.spec.num_kv_heads;
  if (metadata.max_query_len > 1 && grouped && cann().has(Feature::packed_prefill)) {
    attend_packed(npu, args);
    return;
  }
  // Runs of sequences with one new token go together, others by themselves.
  const auto query_len = [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    return metadata.host_query_starts[at + 1] - metadata.host_query_starts[at];
  };
  for (std::int64_t first = 0; first < num_seqs;) {
    std::int64_t last = first + 1;
    if (query_len(first) == 1)
      while (last < num_seqs && query_len(last) == 1) ++last;
    if (query_len(first) > 0) attend(npu, args, first, last);
    first = last;
  }
}

}  // namespace fastchat::ops::ascend
