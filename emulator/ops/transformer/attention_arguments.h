// FusedInferAttentionScore, first half: the arguments of all its versions in one struct, and the
// vendor's rules about them for Atlas A2.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "emulator/ops/phase1.h"

namespace emulator {

enum class Layout { bsh, bsnd, bnsd, bnsd_bsnd, tnd };

/// As the client passed them. Those that are not emulated are only counted.
struct RawAttention {
  const aclTensor* query = nullptr;
  const aclTensorList* key = nullptr;
  const aclTensorList* value = nullptr;
  const aclTensor* pse_shift = nullptr;
  const aclTensor* atten_mask = nullptr;
  const aclIntArray* query_lengths = nullptr;
  const aclIntArray* key_lengths = nullptr;
  const aclTensor* block_table = nullptr;
  int64_t num_heads = 0;
  double scale = 1;
  int64_t pre_tokens = 0;
  int64_t next_tokens = 0;
  const char* layout = nullptr;
  int64_t num_key_value_heads = 0;
  int64_t sparse_mode = 0;
  int64_t inner_precise = 0;
  int64_t block_size = 0;
  bool softmax_lse_flag = false;
  const aclTensor* out = nullptr;
  const aclTensor* softmax_lse = nullptr;
  const char* not_emulated = nullptr;  // the first optional argument of that kind that is given
};

/// What attention computes, checked.
struct Attention {
  Layout layout = Layout::bsh;
  Operand query, out;
  std::vector<Operand> keys, values;  // one tensor, or one per sequence
  std::optional<Operand> bias, mask, block_table, log_sum_exp;
  int64_t num_heads = 0;
  int64_t num_key_heads = 0;
  int64_t head_dim = 0;
  int64_t num_sequences = 0;
  int64_t query_capacity = 0;  // Q_S of dense layouts; the longest sequence in TND
  int64_t key_capacity = 0;    // KV_S of dense layouts; what a row of the block table reaches
  int64_t block_size = 0;      // 0 without paging
  bool heads_before_positions = false;  // paged cache (blocks, N, block size, D)
  Dims query_starts;                    // TND: first token of each sequence; else 0s
  Dims query_lengths, key_lengths;
  Dims key_starts;  // TND without paging: first token of each; else 0s
  double scale = 1;
  int64_t pre_tokens = 0;
  int64_t next_tokens = 0;
  int64_t sparse_mode = 0;  // 0 where the vendor ignores it
  int64_t inner_precise = 0;

  bool packed() const { return layout == Layout::tnd; }
  bool paged() const { return block_table.has_value(); }
  bool decode() const { return !packed() && query_capacity == 1; }
  bool compressed_mask() const { return sparse_mode >= 2; }
};

/// Takes the arguments down and refuses what the vendor refuses (161001, 161002, 561002), or, with
/// 561003, what only the emulator lacks.
Attention take_attention(Phase1& op, const RawAttention& raw);

/// Elements of a (sequence, position, head, value) view of the query or the output, whatever the
/// layout.
struct HeadStrides {
  int64_t sequence, position, head, value;
};
HeadStrides head_strides(const Operand& operand, Layout layout, int64_t head_dim);

}  // namespace emulator
