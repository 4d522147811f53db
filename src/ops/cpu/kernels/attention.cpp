// Paged attention. Prefill is compute-bound: a tile of query rows shares every key and value it
// reads. Decode is bound by the read of keys and values, shared by the query heads of a KV head.
//
// Both products are panel products over blocks of the KV cache, which is why keys lie
// [head_dim][position]. A partition's softmax is taken in two passes; partitions are merged in
// order. A position that a row may not see has weight 0 and adds nothing, so a row's result does
// not depend on the rows beside it.
#include "ops/cpu/kernels/attention.h"

#include "ops/cpu/kernels/math.h"
#include "ops/cpu/kernels/panel_product.h"
#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

FASTCHAT_INLINE std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
FASTCHAT_INLINE std::int64_t larger(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

FASTCHAT_INLINE std::int64_t head_elements(const KvPointers& kv) {
  return kv.head_dim * kKvBlockSize;
}
/// Elements from the start of the layer to the keys of a head in a block; the values follow
/// num_kv_heads heads later.
FASTCHAT_INLINE std::int64_t key_offset(const KvPointers& kv,
                                        std::int64_t block,
                                        std::int64_t head) {
  return (block * 2 * kv.num_kv_heads + head) * head_elements(kv);
}
FASTCHAT_INLINE std::int64_t value_offset(const KvPointers& kv,
                                          std::int64_t block,
                                          std::int64_t head) {
  return key_offset(kv, block, head) + kv.num_kv_heads * head_elements(kv);
}
FASTCHAT_INLINE const void* at(const KvPointers& kv, std::int64_t offset) {
  return static_cast<const char*>(kv.data) + offset * size_of(kv.element);
}

/// Where weight (k, column) of a panel product lies, in elements.
template <typename W>
FASTCHAT_INLINE std::int64_t place(W*, std::int64_t k, std::int64_t column, std::int64_t pitch) {
  return k * pitch + column;
}
FASTCHAT_INLINE std::int64_t place(Bf16*, std::int64_t k, std::int64_t column, std::int64_t pitch) {
  return (k - k % 2) * pitch + 2 * column + k % 2;
}

FASTCHAT_INLINE std::int64_t position_of(const AttentionArgs& args,
                                         const AttentionTile& tile,
                                         std::int64_t row) {
  return tile.first_position + row / args.group;
}
/// First position that a token sees.
FASTCHAT_INLINE std::int64_t first_seen(const AttentionArgs& args, std::int64_t position) {
  return args.window > 0 ? larger(0, position + 1 - args.window) : 0;
}
/// Elements to the query, and output, of a row of the tile.
FASTCHAT_INLINE std::int64_t element_of(const AttentionArgs& args,
                                        const AttentionTile& tile,
                                        std::int64_t row,
                                        std::int64_t stride) {
  return (tile.first_token + row / args.group) * stride +
         (tile.kv_head * args.group + row % args.group) * args.kv.head_dim;
}

}  // namespace

void kv_write(const KvWriteArgs& args, std::int64_t begin, std::int64_t end) {
  const KvPointers& kv = args.kv;
  dispatch(kv.element, [&]<typename T>(T* type) {
    T* data = static_cast<T*>(kv.data);
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t slot = args.slots[token];
      if (slot < 0 || slot >= kv.num_blocks * kKvBlockSize) continue;
      const std::int64_t block = slot / kKvBlockSize;
      const std::int64_t offset = slot % kKvBlockSize;
      for (std::int64_t head = 0; head < kv.num_kv_heads; ++head) {
        const T* k =
            static_cast<const T*>(args.k.data) + token * args.k.stride + head * kv.head_dim;
        const T* v =
            static_cast<const T*>(args.v.data) + token * args.v.stride + head * kv.head_dim;
        T* keys = data + key_offset(kv, block, head);
        T* values = data + value_offset(kv, block, head);
        for (std::int64_t d = 0; d < kv.head_dim; ++d) {
          keys[place(type, d, offset, kKvBlockSize)] = k[d];
          values[place(type, offset, d, kv.head_dim)] = v[d];
        }
      }
    }
  });
}

void attention_queries(const AttentionArgs& args, const AttentionTile& tile, float* q) {
  const std::int64_t rows = tile.row_end - tile.row_begin;
  dispatch(args.q.element, [&]<typename T>(T*) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const T* source = static_cast<const T*>(args.q.data) +
                        element_of(args, tile, tile.row_begin + row, args.q.stride);
      for (std::int64_t d = 0; d < args.kv.head_dim; d += kDepth) {
        float* out = q + (d / kDepth * rows + row) * kDepth;
        for_each_vector(
            smaller(kDepth, args.kv.head_dim - d), FASTCHAT_BODY(i, lanes) {
              store_some(out + i, load_some(source + d + i, lanes) * args.scale, lanes);
            });
      }
    }
  });
}

void attention_partition(const AttentionArgs& args,
                         const AttentionTile& tile,
                         const float* q,
                         std::int64_t partition,
                         float* scores,
                         const AttentionState& out) {
  static_assert(kPartition <= kDepth, "the rows of scores are the x of a panel product");
  const KvPointers& kv = args.kv;
  const std::int64_t rows = tile.row_end - tile.row_begin;
  const std::int64_t base = partition * kPartition;
  // Positions of this partition that some row sees: [seen_begin, seen_end), in blocks [first_block,
  // end_block).
  const std::int64_t last_position = position_of(args, tile, tile.row_end - 1);
  const std::int64_t seen_begin =
      larger(base, first_seen(args, position_of(args, tile, tile.row_begin)));
  const std::int64_t seen_end =
      smaller(base + kPartition, smaller(last_position + 1, tile.context_len));
  const std::int64_t first_block = seen_begin / kKvBlockSize;
  const std::int64_t end_block =
      seen_end > seen_begin ? (seen_end + kKvBlockSize - 1) / kKvBlockSize : first_block;
  const auto block_id = [&](std::int64_t block) __attribute__((always_inline)) {
    const std::int64_t id = block < tile.max_blocks ? tile.blocks[block] : -1;
    return id < kv.num_blocks ? id : -1;
  };

  for (std::int64_t block = first_block; block < end_block; ++block) {
    float* block_scores = scores + block * kKvBlockSize - base;
    const std::int64_t id = block_id(block);
    if (id <
        0) {  // a broken block table: the rows that need it turn to NaN, which sampling reports
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t i = 0; i < kKvBlockSize; ++i)
          block_scores[row * kDepth + i] = __builtin_nanf("");
      continue;
    }
    for (std::int64_t d = 0; d < kv.head_dim; d += kDepth) {
      panel_product({.x = q + d * rows,
                     .rows = rows,
                     .w = at(kv, key_offset(kv, id, tile.kv_head) + d * kKvBlockSize),
                     .w_element = kv.element,
                     .pitch = kKvBlockSize,
                     .columns = kKvBlockSize,
                     .depth = smaller(kDepth, kv.head_dim - d),
                     .c = block_scores,
                     .c_pitch = kDepth,
                     .accumulate = d > 0});
    }
  }

  I32 lane_index;
  for (int i = 0; i < kLanes; ++i) lane_index[i] = i;
  const std::int64_t computed_begin = first_block * kKvBlockSize - base;
  const std::int64_t computed_end = end_block * kKvBlockSize - base;
  for (std::int64_t row = 0; row < rows; ++row) {
    float* s = scores + row * kDepth;
    const std::int64_t position = position_of(args, tile, tile.row_begin + row);
    const I32 low = broadcast_i32(static_cast<std::int32_t>(
        larger(0, smaller(kPartition, first_seen(args, position) - base))));
    const I32 high = broadcast_i32(static_cast<std::int32_t>(
        larger(0, smaller(kPartition, smaller(position + 1, tile.context_len) - base))));
    F32 max = broadcast(kLowest);
    for (std::int64_t i = computed_begin; i < computed_end; i += kLanes) {
      F32 score = load(s + i);
      if (args.softcap > 0.0f)
        score = tanh(score / broadcast(args.softcap)) * broadcast(args.softcap);
      const I32 index = lane_index + static_cast<std::int32_t>(i);
      score = ((index >= low) & (index < high)) ? score : broadcast(-kInfinity);
      max = maximum(max, score);
      store(s + i, score);
    }
    const F32 shift = broadcast(reduce_max(max));
    // Sums of fixed lanes of the partition, wherever the part that is seen begins.
    F32 mass = {};
    for (std::int64_t i = computed_begin; i < computed_end; i += kLanes) {
      const F32 weight = exp(load(s + i) - shift);
      mass = mass + weight;
      store(s + i, weight);
    }
    out.max[row] = shift[0];
    out.mass[row] = reduce_add(mass);
  }

  if (first_block == end_block) {
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t d = 0; d < out.pitch; ++d) out.sum[row * out.pitch + d] = 0.0f;
    return;
  }
  for (std::int64_t block = first_block; block < end_block; ++block) {
    const std::int64_t id = block_id(block);
    // Positions from seen_end on hold no value yet; not even 0 times it may be added.
    const std::int64_t depth = smaller(kKvBlockSize, seen_end - block * kKvBlockSize);
    panel_product({.x = scores + block * kKvBlockSize - base,
                   .rows = rows,
                   .w = at(kv, value_offset(kv, id < 0 ? 0 : id, tile.kv_head)),
                   .w_element = kv.element,
                   .pitch = kv.head_dim,
                   .columns = kv.head_dim,
                   .depth = depth,
                   .c = out.sum,
                   .c_pitch = out.pitch,
                   .accumulate = block > first_block});
  }
}

void attention_merge(const AttentionState& state,
                     const AttentionState& later,
                     std::int64_t num_rows) {
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const float max = state.max[row] > later.max[row] ? state.max[row] : later.max[row];
    const F32 keep = exp(broadcast(state.max[row] - max));
    const F32 take = exp(broadcast(later.max[row] - max));
    state.max[row] = max;
    state.mass[row] = fma(broadcast(later.mass[row]), take, broadcast(state.mass[row]) * keep)[0];
    float* sum = state.sum + row * state.pitch;
    const float* later_sum = later.sum + row * later.pitch;
    for (std::int64_t d = 0; d < state.pitch; d += kLanes)
      store(sum + d, fma(load(later_sum + d), take, load(sum + d) * keep));
  }
}

void attention_finish(const AttentionArgs& args,
                      const AttentionTile& tile,
                      const AttentionState& state) {
  dispatch(args.out.element, [&]<typename T>(T*) {
    for (std::int64_t row = tile.row_begin; row < tile.row_end; ++row) {
      T* out = static_cast<T*>(args.out.data) + element_of(args, tile, row, args.out.stride);
      const float* sum = state.sum + (row - tile.row_begin) * state.pitch;
      const F32 mass = broadcast(state.mass[row - tile.row_begin]);
      for_each_vector(
          args.kv.head_dim,
          FASTCHAT_BODY(i, lanes) { store_some(out + i, load(sum + i) / mass, lanes); });
    }
  });
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
