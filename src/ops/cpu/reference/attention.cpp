#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace fastchat::ops::reference {

TensorView keys(const KvLayer& kv) {
  return TensorView(
      kv.data,
      kv.spec.dtype,
      {kv.num_blocks * cpu_traits().kv_block_size, kv.spec.num_kv_heads * kv.spec.head_dim});
}

TensorView values(const KvLayer& kv) {
  const TensorView k = keys(kv);
  return TensorView(k.as<char>() + k.size_bytes(), k.dtype(), {k.dim(0), k.dim(1)});
}

void kv_write(TensorView k, TensorView v, TensorView slots, KvLayer kv) {
  const TensorView all_keys = keys(kv);
  const TensorView all_values = values(kv);
  for (std::int64_t row = 0; row < slots.rows(); ++row) {
    const std::int32_t slot = get_index(slots, row);
    if (slot < 0 || slot >= all_keys.rows()) continue;
    for (std::int64_t i = 0; i < k.dim(1); ++i) {
      set(all_keys, slot, i, get(k, row, i));
      set(all_values, slot, i, get(v, row, i));
    }
  }
}

void paged_attention(const PagedAttentionArgs& args) {
  const std::int64_t block_size = cpu_traits().kv_block_size;
  const std::int64_t head_dim = args.kv.spec.head_dim;
  const std::int64_t group = args.num_heads / args.kv.spec.num_kv_heads;
  const TensorView k = keys(args.kv);
  const TensorView v = values(args.kv);
  const AttentionMetadata& metadata = args.metadata;
  for (std::int64_t seq = 0; seq < metadata.num_seqs; ++seq) {
    const std::int64_t begin = get_index(metadata.query_starts, seq);
    const std::int64_t end = get_index(metadata.query_starts, seq + 1);
    const std::int64_t context_len = get_index(metadata.context_lens, seq);
    const auto* blocks =
        metadata.block_table.as<const std::int32_t>() + seq * metadata.block_table.row_stride();
    // The row of the cache that holds a position; -1 where the table has no valid block.
    const auto row_of = [&](std::int64_t position) -> std::int64_t {
      const std::int64_t index = position / block_size;
      if (index >= metadata.block_table.dim(1)) return -1;
      const std::int64_t block = blocks[index];
      if (block < 0 || block >= args.kv.num_blocks) return -1;
      return block * block_size + position % block_size;
    };
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t position = context_len - (end - token);
      const std::int64_t first =
          args.window > 0 ? std::max<std::int64_t>(0, position + 1 - args.window) : 0;
      for (std::int64_t head = 0; head < args.num_heads; ++head) {
        const std::int64_t kv_column = head / group * head_dim;
        std::vector<double> weights;
        double max = -std::numeric_limits<double>::infinity();
        for (std::int64_t p = first; p <= position; ++p) {
          double score = row_of(p) < 0 ? std::numeric_limits<double>::quiet_NaN() : 0.0;
          for (std::int64_t d = 0; d < head_dim && row_of(p) >= 0; ++d)
            score += get(args.q, token, head * head_dim + d) * get(k, row_of(p), kv_column + d);
          score *= args.scale;
          if (args.softcap > 0.0f) score = args.softcap * std::tanh(score / args.softcap);
          weights.push_back(score);
          max = std::max(max, score);
        }
        double mass = 0.0;
        for (double& weight : weights) {
          weight = std::exp(weight - max);
          mass += weight;
        }
        for (std::int64_t d = 0; d < head_dim; ++d) {
          double sum = 0.0;
          for (std::int64_t p = first; p <= position; ++p) {
            const double value = row_of(p) < 0 ? 0.0 : get(v, row_of(p), kv_column + d);
            sum += weights[static_cast<std::size_t>(p - first)] * value;
          }
          set(args.out, token, head * head_dim + d, sum / mass);
        }
      }
    }
  }
}

}  // namespace fastchat::ops::reference
