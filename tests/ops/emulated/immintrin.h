// Stands before the compiler's <immintrin.h> when kernels are compiled for tests only: AVX-512's
// intrinsics that the kernels use, computed with what every machine has. SIMDe has most of them;
// the bf16 product is written here because SIMDe's (0.7.4) neither flushes subnormals nor adds in
// the order of the instruction, and the f16 conversions because it has none of this width.
#pragma once

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/avx512/fmadd.h>
#include <simde/x86/avx512/madd.h>
#include <simde/x86/avx512/maddubs.h>
#include <simde/x86/avx512/set1.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "device/dtype.h"

namespace fastchat::ops::cpu::emulated {

typedef std::uint16_t Bf16x32 __attribute__((vector_size(64)));

inline float widen(std::uint16_t bf16) {
  // Subnormal inputs are zeros: no exponent, no value.
  const std::uint32_t bits =
      (bf16 & 0x7F80u) == 0 ? (bf16 & 0x8000u) << 16 : std::uint32_t{bf16} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float flush(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

/// VDPBF16PS as Intel's manual has it: the odd products first, each multiply-add rounded once to
/// nearest even, subnormal inputs and results flushed to zero.
inline simde__m512 dpbf16_ps(simde__m512 sum, Bf16x32 a, Bf16x32 b) {
  float sums[16];
  std::memcpy(sums, &sum, sizeof sums);
  for (int i = 0; i < 16; ++i) {
    sums[i] = flush(std::fma(widen(a[2 * i + 1]), widen(b[2 * i + 1]), flush(sums[i])));
    sums[i] = flush(std::fma(widen(a[2 * i]), widen(b[2 * i]), sums[i]));
  }
  std::memcpy(&sum, sums, sizeof sums);
  return sum;
}

inline simde__m512 cvtph_ps(simde__m256i half) {
  std::uint16_t narrow[16];
  float wide[16];
  std::memcpy(narrow, &half, sizeof narrow);
  for (int i = 0; i < 16; ++i) wide[i] = device::f16_to_f32(narrow[i]);
  simde__m512 result;
  std::memcpy(&result, wide, sizeof result);
  return result;
}

/// Rounds to nearest even.
inline simde__m256i cvtps_ph(simde__m512 single) {
  float wide[16];
  std::uint16_t narrow[16];
  std::memcpy(wide, &single, sizeof wide);
  for (int i = 0; i < 16; ++i) narrow[i] = device::f32_to_f16(wide[i]);
  simde__m256i result;
  std::memcpy(&result, narrow, sizeof result);
  return result;
}

/// Sign-extended.
inline simde__m512i cvtepi8_epi32(simde__m128i bytes) {
  std::int8_t narrow[16];
  std::int32_t wide[16];
  std::memcpy(narrow, &bytes, sizeof narrow);
  for (int i = 0; i < 16; ++i) wide[i] = narrow[i];
  simde__m512i result;
  std::memcpy(&result, wide, sizeof result);
  return result;
}

inline simde__m512 cvtepi32_ps(simde__m512i whole) {
  std::int32_t values[16];
  float converted[16];
  std::memcpy(values, &whole, sizeof values);
  for (int i = 0; i < 16; ++i) converted[i] = static_cast<float>(values[i]);
  simde__m512 result;
  std::memcpy(&result, converted, sizeof result);
  return result;
}

}  // namespace fastchat::ops::cpu::emulated

// The kernels use the forms below with all lanes only.
// NOLINTBEGIN(bugprone-reserved-identifier): names of intrinsics
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps(sum, a, b)                                                       \
  ::fastchat::ops::cpu::emulated::dpbf16_ps(sum,                                          \
                                            (::fastchat::ops::cpu::emulated::Bf16x32)(a), \
                                            (::fastchat::ops::cpu::emulated::Bf16x32)(b))
#undef _mm512_maskz_cvtph_ps
#define _mm512_maskz_cvtph_ps(mask, half) ::fastchat::ops::cpu::emulated::cvtph_ps(half)
#undef _mm512_maskz_cvtepi8_epi32
#define _mm512_maskz_cvtepi8_epi32(mask, bytes) ::fastchat::ops::cpu::emulated::cvtepi8_epi32(bytes)
#undef _mm512_maskz_cvtepi32_ps
#define _mm512_maskz_cvtepi32_ps(mask, whole) ::fastchat::ops::cpu::emulated::cvtepi32_ps(whole)
#undef _mm512_maskz_cvtps_ph
#define _mm512_maskz_cvtps_ph(mask, single, rounding) \
  ::fastchat::ops::cpu::emulated::cvtps_ph(single)
// NOLINTEND(bugprone-reserved-identifier)
