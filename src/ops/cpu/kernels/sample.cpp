// Passes over a row of logits. Bound by the read of the row, and by exp.
#include "ops/cpu/kernels/math.h"
#include "ops/cpu/kernels/rows.h"
#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

FASTCHAT_INLINE F32 weights(F32 x, float max, float inverse_temperature, float quantum) {
  // -infinity times an infinite temperature's inverse would be NaN; such a logit has weight 0.
  const F32 scaled = (x - max) * inverse_temperature;
  const F32 weight = exp(x == broadcast(-kInfinity) ? x : scaled);
  // In the sum the last bit of the mantissa weighs `quantum`, or more.
  const F32 anchor = broadcast(quantum * 0x1.8p23f);
  return (weight + anchor) - anchor;
}

}  // namespace

RowScan scan(const float* x, std::int64_t count, float* chunk_max) {
  F32 all = broadcast(-kInfinity);
  I32 nan = {};
  for (std::int64_t chunk = 0; chunk * kChunk < count; ++chunk) {
    const float* first = x + chunk * kChunk;
    const std::int64_t length = count - chunk * kChunk < kChunk ? count - chunk * kChunk : kChunk;
    F32 max = broadcast(-kInfinity);
    std::int64_t i = 0;
    for (; i + kLanes <= length; i += kLanes) {
      const F32 v = load(first + i);
      nan |= v != v;
      max = maximum(v, max);
    }
    for (; i < length; ++i) {
      const F32 v = broadcast(first[i]);
      nan |= v != v;
      max = maximum(v, max);
    }
    chunk_max[chunk] = reduce_max(max);
    all = maximum(max, all);
  }
  for (int lane = 0; lane < kLanes; ++lane)
    if (nan[lane] != 0) return {__builtin_nanf("")};
  return {reduce_max(all)};
}

void sample_weights(const float* x,
                    std::int64_t count,
                    float max,
                    float inverse_temperature,
                    float quantum,
                    float* out) {
  for_each_vector(
      count, FASTCHAT_BODY(i, lanes) {
        store_some(
            out + i, weights(load_some(x + i, lanes), max, inverse_temperature, quantum), lanes);
      });
}

double sample_mass(
    const float* x, std::int64_t count, float max, float inverse_temperature, float quantum) {
  F64 sums = {};
  for_each_vector(
      count, FASTCHAT_BODY(i, lanes) {
        F32 term = weights(load_some(x + i, lanes), max, inverse_temperature, quantum);
        for (int lane = lanes; lane < kLanes; ++lane) term[lane] = 0.0f;
        sums = sums + __builtin_convertvector(term, F64);
      });
  double total = 0.0;
  for (int lane = 0; lane < kLanes; ++lane) total += sums[lane];
  return total;
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
