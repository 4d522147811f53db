#include "ops/cases/op_case.h"

#include <algorithm>

namespace fastchat::ops::cases {
namespace {

struct Sequence {
  std::int32_t context_len;  // with the new tokens
  std::int32_t query_len;
};

struct Attention {
  const char* name;
  std::vector<Sequence> sequences;
  std::int64_t num_heads = 1;
  std::int64_t num_kv_heads = 1;
  std::int64_t head_dim = 64;
  std::int64_t window = 0;
  float softcap = 0.0f;
};

/// Writes all keys and values of all sequences, to blocks in a scrambled order, then attends.
std::vector<float> run_attention(Rig& rig, DType dtype, const Attention& shape) {
  const std::int64_t block_size = rig.ops().traits().kv_block_size;
  const auto num_seqs = static_cast<std::int64_t>(shape.sequences.size());
  std::int64_t num_tokens = 0;
  std::int64_t max_context = 0;
  std::int64_t max_query = 0;
  std::int64_t num_blocks = 1;  // block 0 stays unused
  for (const Sequence& sequence : shape.sequences) {
    num_tokens += sequence.query_len;
    max_context = std::max<std::int64_t>(max_context, sequence.context_len);
    max_query = std::max<std::int64_t>(max_query, sequence.query_len);
    num_blocks += (sequence.context_len + block_size - 1) / block_size;
  }
  const std::int64_t max_blocks = (max_context + block_size - 1) / block_size + 1;
  std::vector<std::int32_t> starts = {0};
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> slots;
  std::vector<std::int32_t> table(static_cast<std::size_t>(num_seqs * max_blocks), -1);
  auto next_block = static_cast<std::int32_t>(num_blocks - 1);
  for (std::size_t seq = 0; seq < shape.sequences.size(); ++seq) {
    const Sequence& sequence = shape.sequences[seq];
    starts.push_back(starts.back() + sequence.query_len);
    lengths.push_back(sequence.context_len);
    for (std::int32_t position = 0; position < sequence.context_len; ++position) {
      std::int32_t& block = table[seq * static_cast<std::size_t>(max_blocks) +
                                  static_cast<std::size_t>(position / block_size)];
      if (position % block_size == 0) block = next_block--;
      slots.push_back(static_cast<std::int32_t>(block * block_size + position % block_size));
    }
  }
  if (rig.traits().tolerates_bad_indices) {
    slots.push_back(-1);
    slots.push_back(static_cast<std::int32_t>(num_blocks * block_size));  // one past the end
  }
  const auto num_slots = static_cast<std::int64_t>(slots.size());
  const std::int64_t kv_width = shape.num_kv_heads * shape.head_dim;
  const std::int64_t width = shape.num_heads * shape.head_dim;
  const KvLayer kv = rig.blank_kv(
      {.num_kv_heads = shape.num_kv_heads, .head_dim = shape.head_dim, .dtype = dtype}, num_blocks);
  // q, k and v of a token side by side, as one linear layer writes them.
  const TensorView keys_values =
      rig.upload(random_values(1, num_slots * 2 * kv_width), dtype, {num_slots, 2 * kv_width});
  rig.ops().kv_write(rig.stream(),
                     keys_values.slice_columns(0, kv_width),
                     keys_values.slice_columns(kv_width, kv_width),
                     rig.upload(slots),
                     kv);
  const TensorView q =
      rig.upload(random_values(2, num_tokens * (width + 8), 2.0f), dtype, {num_tokens, width + 8});
  const TensorView out = rig.blank(dtype, {num_tokens, width});
  rig.ops().paged_attention(
      rig.stream(),
      {.q = q.slice_columns(8, width),
       .out = out,
       .kv = kv,
       .metadata = {.query_starts = rig.upload(starts),
                    .context_lens = rig.upload(lengths),
                    .block_table = rig.upload(table).reshaped({num_seqs, max_blocks}),
                    .num_seqs = num_seqs,
                    .max_query_len = max_query,
                    .max_context_len = max_context,
                    .host_query_starts = starts,
                    .host_context_lens = lengths},
       .num_heads = shape.num_heads,
       .scale = 0.25f,
       .softcap = shape.softcap,
       .window = shape.window});
  return rig.download(out);
}

}  // namespace

std::vector<OpCase> attention_cases() {
  const std::vector<Attention> shapes = {
      {.name = "decode, 1 head of 64", .sequences = {{33, 1}}},
      {.name = "first token",
       .sequences = {{1, 1}},
       .num_heads = 2,
       .num_kv_heads = 2,
       .head_dim = 8},
      {.name = "mixed batch, 7 heads on 1",
       .sequences = {{40, 40}, {65, 1}, {100, 17}, {1, 1}, {31, 2}},
       .num_heads = 14,
       .num_kv_heads = 2,
       .head_dim = 64},
      {.name = "prefill of 130, 2 heads of 128",
       .sequences = {{130, 130}},
       .num_heads = 2,
       .num_kv_heads = 2,
       .head_dim = 128},
      {.name = "long decode, 3 heads on 1",
       .sequences = {{700, 1}},
       .num_heads = 3,
       .num_kv_heads = 1,
       .head_dim = 32},
      {.name = "long mixed, head of 24",
       .sequences = {{520, 3}, {257, 1}, {600, 9}},
       .num_heads = 2,
       .num_kv_heads = 1,
       .head_dim = 24},
      {.name = "window 20",
       .sequences = {{90, 50}, {300, 1}, {15, 15}},
       .num_heads = 2,
       .num_kv_heads = 2,
       .head_dim = 16,
       .window = 20},
      {.name = "window 300",
       .sequences = {{600, 2}},
       .num_heads = 2,
       .num_kv_heads = 1,
       .head_dim = 16,
       .window = 300},
      {.name = "softcap 5",
       .sequences = {{70, 3}},
       .num_heads = 2,
       .num_kv_heads = 1,
       .head_dim = 80,
       .softcap = 5.0f},
      {.name = "head of 288", .sequences = {{50, 5}}, .head_dim = 288},
      {.name = "60 heads on 1, window 1",
       .sequences = {{9, 2}},
       .num_heads = 60,
       .num_kv_heads = 1,
       .head_dim = 16,
       .window = 1},
  };
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const Attention& shape : shapes) {
      std::int32_t longest = 0;
      for (const Sequence& sequence : shape.sequences)
        longest = std::max(longest, sequence.context_len);
      cases.push_back(
          {.op = "paged_attention",
           .name = shape.name,
           .dtype = dtype,
           // Two sums, over the head and over the context, and the exponential of the first.
           .tolerance = tolerance(dtype, shape.head_dim + longest) + 4e-6,
           .run = [=](Rig& rig) { return run_attention(rig, dtype, shape); }});
    }
  }
  return cases;
}

}  // namespace fastchat::ops::cases
