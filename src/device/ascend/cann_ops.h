// Facts of CANN's C interface, part 5: the operators (libopapi.so; from 8.5 libopapi_math.so,
// _nn.so and _transformer.so). Every operator is two functions: aclnnXGetWorkspaceSize(arguments…,
// workspace_size, executor) checks, plans and takes down everything on the host; aclnnX(workspace,
// size, executor, stream) enqueues. A number in a comment is the CANN release that brought the
// operator, where that is after 8.0. "null: …" says what a missing argument means. Included through
// cann.h.
#pragma once
// NOLINTBEGIN(readability-identifier-naming): the vendor's names are the interface.

#include "device/ascend/cann_types.h"

#define CANN_OPERATOR(NAME, ...)                                        \
  aclnnStatus NAME##GetWorkspaceSize(                                   \
      __VA_ARGS__, uint64_t* workspace_size, aclOpExecutor** executor); \
  aclnnStatus NAME(                                                     \
      void* workspace, uint64_t workspace_size, aclOpExecutor* executor, aclrtStream stream)

extern "C" {
// A table, one operator after the other.
// clang-format off
// ---- rows of tables ---------------------------------------------------------------------------
CANN_OPERATOR(aclnnEmbedding, const aclTensor* weight, const aclTensor* indices,
    const aclTensor* out);
CANN_OPERATOR(aclnnIndexSelect, const aclTensor* self, int64_t dim, const aclTensor* index,
    aclTensor* out);
CANN_OPERATOR(aclnnGatherV2, const aclTensor* self, int64_t dim, const aclTensor* index,
    aclTensor* out);
CANN_OPERATOR(aclnnGather, const aclTensor* self, int64_t dim, const aclTensor* index,
    aclTensor* out);

// ---- norms; rstd is f32 -----------------------------------------------------------------------
CANN_OPERATOR(aclnnRmsNorm, const aclTensor* x, const aclTensor* gamma, double epsilon,
    const aclTensor* y, const aclTensor* rstd);
CANN_OPERATOR(aclnnAddRmsNorm, const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma,
    double epsilon, const aclTensor* y, const aclTensor* rstd, const aclTensor* sum);
CANN_OPERATOR(aclnnInplaceAddRmsNorm,  // 8.5; x1 becomes y, x2 the sum
    aclTensor* x1, aclTensor* x2, const aclTensor* gamma, double epsilon, const aclTensor* rstd);
CANN_OPERATOR(aclnnAddRmsNormDynamicQuant, const aclTensor* x1, const aclTensor* x2,
    const aclTensor* gamma, const aclTensor* smooth_scale1, const aclTensor* smooth_scale2,
    double epsilon, const aclTensor* y1, const aclTensor* y2, const aclTensor* sum,
    const aclTensor* scale1, const aclTensor* scale2);
CANN_OPERATOR(aclnnLayerNorm, const aclTensor* input, const aclIntArray* normalized_shape,
    const aclTensor* weight, const aclTensor* bias, double epsilon, aclTensor* out, aclTensor* mean,
    aclTensor* rstd);

// ---- element-wise -----------------------------------------------------------------------------
CANN_OPERATOR(aclnnAdd, const aclTensor* self, const aclTensor* other, const aclScalar* alpha,
    aclTensor* out);
CANN_OPERATOR(aclnnInplaceAdd, const aclTensor* self, const aclTensor* other,
    const aclScalar* alpha);
CANN_OPERATOR(aclnnAdds, const aclTensor* self, const aclScalar* other, const aclScalar* alpha,
    aclTensor* out);
CANN_OPERATOR(aclnnInplaceAdds, const aclTensor* self, const aclScalar* other,
    const aclScalar* alpha);
CANN_OPERATOR(aclnnSub, const aclTensor* self, const aclTensor* other, const aclScalar* alpha,
    aclTensor* out);
CANN_OPERATOR(aclnnInplaceSub, aclTensor* self, const aclTensor* other,
    const aclScalar* alpha);
CANN_OPERATOR(aclnnMul, const aclTensor* self, const aclTensor* other, aclTensor* out);
CANN_OPERATOR(aclnnInplaceMul, aclTensor* self, const aclTensor* other);
CANN_OPERATOR(aclnnMuls, const aclTensor* self, const aclScalar* other, aclTensor* out);
CANN_OPERATOR(aclnnInplaceMuls, aclTensor* self, const aclScalar* other);
CANN_OPERATOR(aclnnDiv, const aclTensor* self, const aclTensor* other, aclTensor* out);
CANN_OPERATOR(aclnnInplaceDiv, aclTensor* self, const aclTensor* other);
CANN_OPERATOR(aclnnDivs, const aclTensor* self, const aclScalar* other, aclTensor* out);
CANN_OPERATOR(aclnnInplaceDivs, aclTensor* self, const aclScalar* other);
CANN_OPERATOR(aclnnAbs, const aclTensor* self, aclTensor* out);
CANN_OPERATOR(aclnnCos, const aclTensor* self, aclTensor* out);
CANN_OPERATOR(aclnnSin, const aclTensor* self, aclTensor* out);
CANN_OPERATOR(aclnnPowScalarTensor, const aclScalar* self, const aclTensor* exponent,
    const aclTensor* out);

// ---- copies, fills, shapes --------------------------------------------------------------------
CANN_OPERATOR(aclnnCast, const aclTensor* self, aclDataType dtype, aclTensor* out);
CANN_OPERATOR(aclnnInplaceCopy,  // strided, broadcasts, converts
    aclTensor* self, const aclTensor* source);
CANN_OPERATOR(aclnnInplaceZero, aclTensor* self);
CANN_OPERATOR(aclnnInplaceFillScalar, aclTensor* self, const aclScalar* value);
CANN_OPERATOR(aclnnInplaceMaskedFillScalar, aclTensor* self, const aclTensor* mask,
    const aclScalar* value);
CANN_OPERATOR(aclnnArange, const aclScalar* start, const aclScalar* end, const aclScalar* step,
    aclTensor* out);
CANN_OPERATOR(aclnnCat, const aclTensorList* tensors, int64_t dim, aclTensor* out);
CANN_OPERATOR(aclnnPermute, const aclTensor* self, const aclIntArray* dims, aclTensor* out);
CANN_OPERATOR(aclnnSlice, const aclTensor* self, int64_t dim, int64_t start, int64_t end,
    int64_t step, aclTensor* out);
CANN_OPERATOR(aclnnRepeat, const aclTensor* self, const aclIntArray* repeats, aclTensor* out);
CANN_OPERATOR(aclnnRepeatInterleaveIntWithDim, const aclTensor* self, int64_t repeats, int64_t dim,
    int64_t output_size, aclTensor* out);
CANN_OPERATOR(aclnnConstantPadNd, const aclTensor* self, const aclIntArray* pad,
    const aclScalar* value, aclTensor* out);
CANN_OPERATOR(aclnnCumsum, const aclTensor* self, int64_t dim, aclDataType dtype, aclTensor* out);

// ---- matrix products; cube_math_type: CANN_CUBE_… ---------------------------------------------
CANN_OPERATOR(aclnnMm, const aclTensor* self, const aclTensor* mat2, aclTensor* out,
    int8_t cube_math_type);
CANN_OPERATOR(aclnnMatmul, const aclTensor* self, const aclTensor* mat2, aclTensor* out,
    int8_t cube_math_type);
CANN_OPERATOR(aclnnBatchMatMul, const aclTensor* self, const aclTensor* mat2, aclTensor* out,
    int8_t cube_math_type);
CANN_OPERATOR(aclnnAddmm, const aclTensor* self, const aclTensor* mat1, const aclTensor* mat2,
    const aclScalar* beta, const aclScalar* alpha, aclTensor* out, int8_t cube_math_type);
CANN_OPERATOR(aclnnMatmulWeightNz,  // 8.3
    const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cube_math_type);
CANN_OPERATOR(aclnnBatchMatMulWeightNz,  // 8.3
    const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cube_math_type);
CANN_OPERATOR(aclnnAddmmWeightNz,  // 8.3
    const aclTensor* self, const aclTensor* mat1, const aclTensor* mat2, const aclScalar* beta,
    const aclScalar* alpha, aclTensor* out, int8_t cube_math_type);
CANN_OPERATOR(aclnnTransMatmulWeight,  // to FRACTAL_NZ in place
    aclTensor* weight);
CANN_OPERATOR(aclnnNpuFormatCast,  // 8.3
    const aclTensor* source, aclTensor* target);
// One function each. `elements`: with the padding of FRACTAL_NZ; f16 unless a dtype is given.
aclnnStatus aclnnCalculateMatmulWeightSize(const aclIntArray* shape, uint64_t* elements);
aclnnStatus aclnnCalculateMatmulWeightSizeV2(const aclIntArray* shape, aclDataType dtype,
    uint64_t* elements);
// 8.3; the caller deletes [] the dims.
aclnnStatus aclnnNpuFormatCastCalculateSizeAndFormat(const aclTensor* source, int target_format,
    int additional_dtype, int64_t** target_dims, uint64_t* num_target_dims, int* actual_format);

// ---- quantized --------------------------------------------------------------------------------
CANN_OPERATOR(aclnnDynamicQuant, const aclTensor* x, const aclTensor* smooth_scales,
    const aclTensor* y, const aclTensor* scale);
CANN_OPERATOR(aclnnDynamicQuantV2, const aclTensor* x, const aclTensor* smooth_scales,
    const aclTensor* group_index, int64_t dst_type, const aclTensor* y, const aclTensor* scale,
    const aclTensor* offset);
CANN_OPERATOR(aclnnAscendQuantV3, const aclTensor* x, const aclTensor* scale,
    const aclTensor* offset, bool sqrt_mode, const char* round_mode, int32_t dst_type, int32_t axis,
    const aclTensor* y);
CANN_OPERATOR(aclnnQuantMatmulV3, const aclTensor* x1, const aclTensor* x2, const aclTensor* scale,
    const aclTensor* offset, const aclTensor* bias, bool transpose_x1, bool transpose_x2,
    const aclTensor* out);
CANN_OPERATOR(aclnnQuantMatmulV4, const aclTensor* x1, const aclTensor* x2, const aclTensor* scale,
    const aclTensor* offset, const aclTensor* per_token_scale, const aclTensor* bias,
    bool transpose_x1, bool transpose_x2, const aclTensor* out);
CANN_OPERATOR(aclnnQuantMatmulV5,  // 8.2, as a replacement of V4 8.3
    const aclTensor* x1, const aclTensor* x2, const aclTensor* x1_scale, const aclTensor* x2_scale,
    const aclTensor* y_scale, const aclTensor* x1_offset, const aclTensor* x2_offset,
    const aclTensor* y_offset, const aclTensor* bias, bool transpose_x1, bool transpose_x2,
    int64_t group_size, aclTensor* out);
CANN_OPERATOR(aclnnTransQuantParamV2, const aclTensor* scale, const aclTensor* offset,
    const aclTensor* out);
CANN_OPERATOR(aclnnWeightQuantBatchMatmulV2, const aclTensor* x, const aclTensor* weight,
    const aclTensor* antiquant_scale, const aclTensor* antiquant_offset,
    const aclTensor* quant_scale, const aclTensor* quant_offset, const aclTensor* bias,
    int antiquant_group_size, const aclTensor* y);

// ---- rotary embedding -------------------------------------------------------------------------
CANN_OPERATOR(aclnnRotaryPositionEmbedding, const aclTensor* x, const aclTensor* cos,
    const aclTensor* sin, int64_t mode, aclTensor* out);
CANN_OPERATOR(aclnnApplyRotaryPosEmb, aclTensor* query, aclTensor* key, const aclTensor* cos,
    const aclTensor* sin, int64_t layout);
CANN_OPERATOR(aclnnApplyRotaryPosEmbV2,  // 8.2
    aclTensor* query, aclTensor* key, const aclTensor* cos, const aclTensor* sin, int64_t layout,
    char* rotary_mode);
CANN_OPERATOR(aclnnRopeWithSinCosCache, const aclTensor* positions, const aclTensor* query,
    const aclTensor* key, const aclTensor* cos_sin_cache, const aclIntArray* mrope_section,
    int64_t head_size, bool is_neox_style, aclTensor* query_out, aclTensor* key_out);

// ---- KV cache ---------------------------------------------------------------------------------
CANN_OPERATOR(aclnnScatterPaKvCache,  // 8.3; previews of 8.3 end after cache_mode
    const aclTensor* key, aclTensor* key_cache, const aclTensor* slot_mapping,
    const aclTensor* value, aclTensor* value_cache, const aclTensor* compress_lens,
    const aclTensor* compress_seq_offset, const aclTensor* seq_lens, char* cache_mode,
    char* scatter_mode, const aclIntArray* strides, const aclIntArray* offsets);
CANN_OPERATOR(aclnnScatterNdUpdate, aclTensor* self, const aclTensor* indices,
    const aclTensor* updates);
CANN_OPERATOR(aclnnInplaceIndexCopy, aclTensor* self, int64_t dim, const aclTensor* index,
    const aclTensor* source);

// ---- attention --------------------------------------------------------------------------------
// The arguments that all versions share, in three runs; later versions add theirs in between.
#define CANN_FIA_TENSORS                                                                       \
  const aclTensor *query, const aclTensorList *key, const aclTensorList *value,                \
      const aclTensor *pse_shift, const aclTensor *atten_mask,                                 \
      const aclIntArray *actual_seq_lengths, const aclIntArray *actual_seq_lengths_kv,         \
      const aclTensor *deq_scale1, const aclTensor *quant_scale1, const aclTensor *deq_scale2, \
      const aclTensor *quant_scale2, const aclTensor *quant_offset2,                           \
      const aclTensor *antiquant_scale, const aclTensor *antiquant_offset,                     \
      const aclTensor *block_table, const aclTensor *query_padding_size,                       \
      const aclTensor *kv_padding_size, const aclTensor *key_antiquant_scale,                  \
      const aclTensor *key_antiquant_offset, const aclTensor *value_antiquant_scale,           \
      const aclTensor *value_antiquant_offset, const aclTensor *key_shared_prefix,             \
      const aclTensor *value_shared_prefix, const aclIntArray *actual_shared_prefix_len
#define CANN_FIA_ROPE \
  const aclTensor *query_rope, const aclTensor *key_rope, const aclTensor *key_rope_antiquant_scale
#define CANN_FIA_ATTRIBUTES                                                                        \
  int64_t num_heads, double scale, int64_t pre_tokens, int64_t next_tokens, char *input_layout,    \
      int64_t num_key_value_heads, int64_t sparse_mode, int64_t inner_precise, int64_t block_size, \
      int64_t antiquant_mode, bool softmax_lse_flag, int64_t key_antiquant_mode,                   \
      int64_t value_antiquant_mode
#define CANN_FIA_OUTPUTS const aclTensor *attention_out, const aclTensor *softmax_lse

CANN_OPERATOR(aclnnFusedInferAttentionScoreV2, CANN_FIA_TENSORS, CANN_FIA_ATTRIBUTES,
    CANN_FIA_OUTPUTS);
CANN_OPERATOR(aclnnFusedInferAttentionScoreV3,  // 8.1
    CANN_FIA_TENSORS, CANN_FIA_ROPE, CANN_FIA_ATTRIBUTES, CANN_FIA_OUTPUTS);
CANN_OPERATOR(aclnnFusedInferAttentionScoreV4,  // 8.3; its first preview has no learnable_sink
    CANN_FIA_TENSORS, CANN_FIA_ROPE, const aclTensor* dequant_scale_query,
    const aclTensor* learnable_sink, CANN_FIA_ATTRIBUTES, int64_t query_quant_mode,
    CANN_FIA_OUTPUTS);
// 8.5: the workspace for the longest sequences, for graphs. In no header of CANN.
aclnnStatus aclnnFusedInferAttentionScoreV2GetMaxWorkspaceSize(CANN_FIA_TENSORS,
    CANN_FIA_ATTRIBUTES, CANN_FIA_OUTPUTS, uint64_t* workspace_size, aclOpExecutor** executor);
aclnnStatus aclnnFusedInferAttentionScoreV3GetMaxWorkspaceSize(CANN_FIA_TENSORS, CANN_FIA_ROPE,
    CANN_FIA_ATTRIBUTES, CANN_FIA_OUTPUTS, uint64_t* workspace_size, aclOpExecutor** executor);

// ---- activations ------------------------------------------------------------------------------
CANN_OPERATOR(aclnnSwiGlu, const aclTensor* x, int64_t dim, const aclTensor* out);
CANN_OPERATOR(aclnnSilu, const aclTensor* self, aclTensor* out);
CANN_OPERATOR(aclnnGelu, const aclTensor* self, aclTensor* out);
CANN_OPERATOR(aclnnGeluV2, const aclTensor* x, int64_t approximate, aclTensor* y);

// ---- sampling ---------------------------------------------------------------------------------
CANN_OPERATOR(aclnnSoftmax, const aclTensor* self, int64_t dim, aclTensor* out);
CANN_OPERATOR(aclnnLogSoftmax, const aclTensor* self, int64_t dim, aclTensor* out);
CANN_OPERATOR(aclnnArgMax, const aclTensor* self, int64_t dim, bool keep_dim, aclTensor* out);
CANN_OPERATOR(aclnnTopk, const aclTensor* self, int64_t k, int64_t dim, bool largest, bool sorted,
    aclTensor* values, aclTensor* indices);
CANN_OPERATOR(aclnnSort, const aclTensor* self, bool stable, int64_t dim, bool descending,
    aclTensor* values, aclTensor* indices);
CANN_OPERATOR(aclnnMultinomial, const aclTensor* self, int64_t num_samples, bool replacement,
    int64_t seed, int64_t offset, aclTensor* out);
CANN_OPERATOR(aclnnApplyTopKTopP,  // 8.2
    const aclTensor* logits, const aclTensor* p, const aclTensor* k, aclTensor* out);
// clang-format on
}

#undef CANN_FIA_TENSORS
#undef CANN_FIA_ROPE
#undef CANN_FIA_ATTRIBUTES
#undef CANN_FIA_OUTPUTS
#undef CANN_OPERATOR
// NOLINTEND(readability-identifier-naming)
