// Kernels of the KV cache and of attention; what they do is said at struct Kernels.
#pragma once

#include "ops/cpu/kernels.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

void kv_write(const KvWriteArgs& args, std::int64_t begin, std::int64_t end);
void attention_queries(const AttentionArgs& args, const AttentionTile& tile, float* q);
void attention_partition(const AttentionArgs& args,
                         const AttentionTile& tile,
                         const float* q,
                         std::int64_t partition,
                         float* scores,
                         const AttentionState& out);
void attention_merge(const AttentionState& state,
                     const AttentionState& later,
                     std::int64_t num_rows);
void attention_finish(const AttentionArgs& args,
                      const AttentionTile& tile,
                      const AttentionState& state);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
