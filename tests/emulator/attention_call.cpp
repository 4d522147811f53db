#include "tests/emulator/attention_call.h"

#include <memory>

namespace emulator_test {

AttentionCall::AttentionCall(std::string layout,
                             const Tensor& query,
                             std::vector<const Tensor*> keys,
                             std::vector<const Tensor*> values,
                             const Tensor& out,
                             int64_t num_heads,
                             int64_t num_key_heads,
                             double scale)
    : layout(std::move(layout)),
      query(query),
      keys(std::move(keys)),
      values(std::move(values)),
      out(out),
      num_heads(num_heads),
      num_key_heads(num_key_heads),
      scale(scale) {}

/// body(phase 1, phase 2's name, arguments…) for the version asked.
template <typename Body>
auto AttentionCall::with_arguments(Cann& cann, int version, Body&& body) {
  const TensorList key_list(cann, keys);
  const TensorList value_list(cann, values);
  std::unique_ptr<Ints> query_ends;
  std::unique_ptr<Ints> key_ends;
  if (!query_lengths.empty()) query_ends = std::make_unique<Ints>(cann, query_lengths);
  if (!key_lengths.empty()) key_ends = std::make_unique<Ints>(cann, key_lengths);
  const aclIntArray* q_ends = query_ends ? static_cast<aclIntArray*>(*query_ends) : nullptr;
  const aclIntArray* k_ends = key_ends ? static_cast<aclIntArray*>(*key_ends) : nullptr;
  const aclTensorList* key = key_list;
  const aclTensorList* value = value_list;
  const aclTensor* none = nullptr;
  const aclIntArray* no_ints = nullptr;
  const int64_t zero = 0;
  const bool flag = softmax_lse_flag || softmax_lse != nullptr;
  // clang-format off
  if (version == 2) {
    return body(
        query, key, value, bias, mask, q_ends, k_ends, none, none, none, none, none, none, none, block_table,
        none, none, none, none, none, none, none, none, no_ints,
        num_heads, scale, pre_tokens, next_tokens, layout.data(), num_key_heads, sparse_mode, inner_precise,
        block_size, zero, flag, zero, zero, out, softmax_lse);
  }
  return body(
      query, key, value, bias, mask, q_ends, k_ends, none, none, none, none, none, none, none, block_table,
      none, none, none, none, none, none, none, none, no_ints, query_rope, none, none,
      num_heads, scale, pre_tokens, next_tokens, layout.data(), num_key_heads, sparse_mode, inner_precise,
      block_size, zero, flag, zero, zero, out, softmax_lse);
  // clang-format on
}

aclnnStatus AttentionCall::run(Cann& cann, int version) {
  return with_arguments(cann, version, [&](auto... args) -> aclnnStatus {
    if constexpr (sizeof...(args) == 39) {
      return RUN(cann, aclnnFusedInferAttentionScoreV2, args...);
    } else {
      return RUN(cann, aclnnFusedInferAttentionScoreV3, args...);
    }
  });
}

aclnnStatus AttentionCall::plan(Cann& cann, int version, uint64_t* workspace) {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const aclnnStatus status = with_arguments(cann, version, [&](auto... args) -> aclnnStatus {
    if constexpr (sizeof...(args) == 39) {
      return CANN_CALL(cann, aclnnFusedInferAttentionScoreV2GetWorkspaceSize)(
          args..., &size, &executor);
    } else {
      return CANN_CALL(cann, aclnnFusedInferAttentionScoreV3GetWorkspaceSize)(
          args..., &size, &executor);
    }
  });
  if (status == 0) CANN_CALL(cann, aclDestroyAclOpExecutor)(executor);
  if (workspace != nullptr) *workspace = size;
  return status;
}

uint64_t AttentionCall::workspace(Cann& cann) {
  uint64_t size = 0;
  return plan(cann, 3, &size) == 0 ? size : 0;
}

uint64_t AttentionCall::largest_workspace(Cann& cann) {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  with_arguments(cann, 3, [&](auto... args) -> aclnnStatus {
    if constexpr (sizeof...(args) == 39) {
      return -1;
    } else {
      const aclnnStatus status = CANN_CALL(
          cann, aclnnFusedInferAttentionScoreV3GetMaxWorkspaceSize)(args..., &size, &executor);
      if (status == 0) CANN_CALL(cann, aclDestroyAclOpExecutor)(executor);
      return status;
    }
  });
  return size;
}

}  // namespace emulator_test
