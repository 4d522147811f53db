// The table of this instruction set's kernels.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels/attention.h"
#include "ops/cpu/kernels/linear.h"
#include "ops/cpu/kernels/peaks.h"
#include "ops/cpu/kernels/rows.h"
#include "ops/cpu/kernels/simd.h"

#define FASTCHAT_TEXT_OF(name) #name
#define FASTCHAT_TEXT(name) FASTCHAT_TEXT_OF(name)

namespace fastchat::ops::cpu::FASTCHAT_ISA {

namespace {

constexpr auto bf16_peak() -> std::int64_t (*)(std::int64_t) {
  if constexpr (kPairProducts) return multiply_adds_bf16;
  return nullptr;
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {
    .name = FASTCHAT_TEXT(FASTCHAT_ISA),
    .convert = convert,
    .add = add,
    .rms_norm = rms_norm,
    .add_rms_norm = add_rms_norm,
    .layer_norm = layer_norm,
    .rotary = rotary,
    .gated_activation = gated_activation,
    .kv_write = kv_write,
    .pack = pack,
    .quantize_row = quantize_row,
    .linear_input_scales = linear_input_scales,
    .linear_prepare = linear_prepare,
    .linear_stream = linear_stream,
    .linear_tile = linear_tile,
    .attention_queries = attention_queries,
    .attention_partition = attention_partition,
    .attention_merge = attention_merge,
    .attention_finish = attention_finish,
    .scan = scan,
    .sample_weights = sample_weights,
    .sample_mass = sample_mass,
    .multiply_adds_f32 = multiply_adds_f32,
    .multiply_adds_bf16 = bf16_peak(),
    .multiply_adds_int8 = multiply_adds_int8,
};

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
