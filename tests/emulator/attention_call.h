// The forty arguments of FusedInferAttentionScore with the usual values; tests set what they are
// about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/emulator/ops_fixture.h"

namespace emulator_test {

class AttentionCall {
 public:
  AttentionCall(std::string layout,
                const Tensor& query,
                std::vector<const Tensor*> keys,
                std::vector<const Tensor*> values,
                const Tensor& out,
                int64_t num_heads,
                int64_t num_key_heads,
                double scale);

  /// Both phases of version 2 or 3.
  aclnnStatus run(Cann& cann, int version);
  /// Phase 1 alone; the executor is destroyed.
  aclnnStatus plan(Cann& cann, int version, uint64_t* workspace = nullptr);
  uint64_t workspace(Cann& cann);
  uint64_t largest_workspace(Cann& cann);

  std::string layout;
  const aclTensor* query;
  std::vector<const Tensor*> keys, values;
  const aclTensor* out;
  int64_t num_heads, num_key_heads;
  double scale;
  std::vector<int64_t> query_lengths, key_lengths;  // empty: null
  const aclTensor* bias = nullptr;
  const aclTensor* mask = nullptr;
  const aclTensor* block_table = nullptr;
  const aclTensor* query_rope = nullptr;
  int64_t block_size = 0;
  int64_t sparse_mode = 0;
  int64_t inner_precise = 0;
  int64_t pre_tokens = 2147483647;
  int64_t next_tokens = 2147483647;
  const aclTensor* softmax_lse = nullptr;
  bool softmax_lse_flag = false;  // also set by softmax_lse

 private:
  template <typename Body>
  auto with_arguments(Cann& cann, int version, Body&& body);
};

}  // namespace emulator_test
