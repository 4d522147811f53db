// One vector of f32 for the instruction set this file is compiled for: FASTCHAT_ISA names it and
// its namespace. Compilers' vector types carry the arithmetic (+ - * / and comparisons); here are
// loads, stores, conversions and the fused multiply-add. Everything is static: nothing may be
// shared between instruction sets (see ../kernels.h).
#pragma once

#include <cstdint>

#include "ops/cpu/kernels.h"

#if defined(FASTCHAT_ISA_AVX512_BF16)
#define FASTCHAT_ISA_AVX512  // and has it all
#endif
#if defined(FASTCHAT_ISA_NEON_BF16)
#define FASTCHAT_ISA_NEON
#endif

#if defined(FASTCHAT_ISA_AVX512) || defined(FASTCHAT_ISA_AVX2)
#include <immintrin.h>
#elif defined(FASTCHAT_ISA_NEON)
#include <arm_neon.h>
#endif

#define FASTCHAT_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define FASTCHAT_UNROLL _Pragma("unroll")
#else
#define FASTCHAT_UNROLL _Pragma("GCC unroll 32")
#endif

namespace fastchat::ops::cpu::FASTCHAT_ISA {

#if defined(FASTCHAT_ISA_AVX512)
constexpr int kLanes = 16;
#elif defined(FASTCHAT_ISA_AVX2)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float F32 __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t I32 __attribute__((vector_size(kLanes * 4)));
typedef std::uint32_t U32 __attribute__((vector_size(kLanes * 4)));
typedef std::uint16_t U16 __attribute__((vector_size(kLanes * 2)));
typedef double F64 __attribute__((vector_size(kLanes * 8)));

/// Elements in memory.
struct F16 {
  std::uint16_t bits;
};
struct Bf16 {
  std::uint16_t bits;
};

constexpr float kInfinity = __builtin_inff();
/// Lowest finite f32: the maximum of nothing. Unlike -infinity it may be subtracted from itself.
constexpr float kLowest = -3.40282347e38f;

FASTCHAT_INLINE F32 broadcast(float value) {
#if defined(FASTCHAT_ISA_AVX512)
  return (F32)_mm512_set1_ps(value);
#elif defined(FASTCHAT_ISA_AVX2)
  return (F32)_mm256_set1_ps(value);
#else
  return F32{value, value, value, value};
#endif
}
FASTCHAT_INLINE I32 broadcast_i32(std::int32_t value) { return I32{} + value; }
/// Whether there is dot_pairs().
#if defined(FASTCHAT_ISA_AVX512_BF16) || defined(FASTCHAT_ISA_NEON_BF16)
constexpr bool kPairProducts = true;
#else
constexpr bool kPairProducts = false;
#endif

FASTCHAT_INLINE U32 bits_of(F32 v) { return (U32)v; }
FASTCHAT_INLINE F32 from_bits(U32 v) { return (F32)v; }

template <typename Vector, typename T>
FASTCHAT_INLINE Vector load_raw(const T* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// a * b + c, rounded once where the instruction set can.
FASTCHAT_INLINE F32 fma(F32 a, F32 b, F32 c) {
#if defined(FASTCHAT_ISA_AVX512)
  return (F32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(FASTCHAT_ISA_AVX2)
  return (F32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(FASTCHAT_ISA_NEON)
  return (F32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

// dot_pairs: lanes are pairs of bf16: sum + a's × b's of the one half + of the other. Subnormals
// count as 0, whatever the thread's floating-point mode.
#if defined(FASTCHAT_ISA_AVX512_BF16)
FASTCHAT_INLINE U32 broadcast_u32(std::uint32_t value) {
  return (U32)_mm512_set1_epi32(static_cast<int>(value));
}
FASTCHAT_INLINE F32 dot_pairs(F32 sum, U32 a, U32 b) {
  return (F32)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#elif defined(FASTCHAT_ISA_NEON_BF16)
FASTCHAT_INLINE U32 broadcast_u32(std::uint32_t value) { return (U32)vdupq_n_u32(value); }
FASTCHAT_INLINE F32 dot_pairs(F32 sum, U32 a, U32 b) {
  return (F32)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
}
#endif

FASTCHAT_INLINE F32 load(const float* p) { return load_raw<F32>(p); }
FASTCHAT_INLINE void store(float* p, F32 v) { __builtin_memcpy(p, &v, sizeof v); }

FASTCHAT_INLINE F32 load(const Bf16* p) {
  return from_bits(__builtin_convertvector(load_raw<U16>(p), U32) << 16);
}
FASTCHAT_INLINE void store(Bf16* p, F32 v) {
  const U32 bits = bits_of(v);
  const U32 rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const U32 result = v != v ? (bits >> 16) | 0x40u : rounded;
  const U16 narrow = __builtin_convertvector(result, U16);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}

// The maskz forms, because GCC 12 warns of the undefined vector inside the plain ones.
#if defined(FASTCHAT_ISA_AVX512)
FASTCHAT_INLINE F32 load(const F16* p) {
  return (F32)_mm512_maskz_cvtph_ps(0xFFFF, load_raw<__m256i>(p));
}
FASTCHAT_INLINE void store(F16* p, F32 v) {
  const __m256i narrow =
      _mm512_maskz_cvtps_ph(0xFFFF, (__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}
#elif defined(FASTCHAT_ISA_AVX2)
FASTCHAT_INLINE F32 load(const F16* p) { return (F32)_mm256_cvtph_ps(load_raw<__m128i>(p)); }
FASTCHAT_INLINE void store(F16* p, F32 v) {
  const __m128i narrow = _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}
#elif defined(FASTCHAT_ISA_NEON)
FASTCHAT_INLINE F32 load(const F16* p) {
  return (F32)vcvt_f32_f16(vreinterpret_f16_u16(load_raw<uint16x4_t>(p)));
}
FASTCHAT_INLINE void store(F16* p, F32 v) {
  const float16x4_t narrow = vcvt_f16_f32((float32x4_t)v);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}
#else
// Without instructions for it: whole vectors of integer arithmetic, one choice per lane.
FASTCHAT_INLINE F32 load(const F16* p) {
  const U32 half = __builtin_convertvector(load_raw<U16>(p), U32);
  const U32 magnitude = half & 0x7FFFu;
  const F32 subnormal = __builtin_convertvector((I32)magnitude, F32) * 0x1.0p-24f;
  const U32 normal = (magnitude << 13) + (112u << 23);
  const U32 special = 0x7F800000u | ((magnitude & 0x3FFu) << 13);
  const U32 result =
      magnitude < 0x400u ? bits_of(subnormal) : (magnitude >= 0x7C00u ? special : normal);
  return from_bits(result | ((half & 0x8000u) << 16));
}
FASTCHAT_INLINE void store(F16* p, F32 v) {
  const U32 bits = bits_of(v);
  const U32 magnitude = bits & 0x7FFFFFFFu;
  // Adding 1/2 leaves a subnormal's f16 bits, rounded, at the end of the mantissa.
  const U32 subnormal = bits_of(from_bits(magnitude) + 0.5f) - 0x3F000000u;
  const U32 normal = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  const U32 special = magnitude > 0x7F800000u ? U32{} + 0x7E00u : U32{} + 0x7C00u;
  const U32 result =
      magnitude < 0x38800000u ? subnormal : (magnitude >= 0x477FF000u ? special : normal);
  const U16 narrow = __builtin_convertvector(result | ((bits >> 16) & 0x8000u), U16);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}
#endif

FASTCHAT_INLINE F32 load(const std::int8_t* p) {
#if defined(FASTCHAT_ISA_AVX512)
  return (F32)_mm512_maskz_cvtepi32_ps(0xFFFF,
                                       _mm512_maskz_cvtepi8_epi32(0xFFFF, load_raw<__m128i>(p)));
#elif defined(FASTCHAT_ISA_AVX2)
  return (F32)_mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#elif defined(FASTCHAT_ISA_NEON)
  std::int32_t raw;
  __builtin_memcpy(&raw, p, sizeof raw);
  const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(raw));
  return (F32)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
#else
  F32 v;
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(p[i]);
  return v;
#endif
}

/// The first `count` elements, then zeros. count <= kLanes.
template <typename T>
FASTCHAT_INLINE F32 load_some(const T* p, int count) {
  if (count == kLanes) return load(p);
  T buffer[kLanes] = {};
  __builtin_memcpy(buffer, p, static_cast<std::size_t>(count) * sizeof(T));
  return load(buffer);
}
template <typename T>
FASTCHAT_INLINE void store_some(T* p, F32 v, int count) {
  if (count == kLanes) return store(p, v);
  T buffer[kLanes];
  store(buffer, v);
  __builtin_memcpy(p, buffer, static_cast<std::size_t>(count) * sizeof(T));
}

/// The same for an element type known at run time only: where it varies beside others, this keeps
/// the number of instantiations down, at the cost of a branch per vector that is always the same.
FASTCHAT_INLINE F32 load_any(const void* p, Element element, std::int64_t index, int count) {
  switch (element) {
    case Element::f32:
      return load_some(static_cast<const float*>(p) + index, count);
    case Element::f16:
      return load_some(static_cast<const F16*>(p) + index, count);
    case Element::bf16:
      return load_some(static_cast<const Bf16*>(p) + index, count);
    case Element::i8:
      break;
  }
  return F32{};
}

/// To the nearest whole number, ties to even; for magnitudes below 2^22.
FASTCHAT_INLINE F32 round_to_whole(F32 v) {
  constexpr float kShift = 0x1.8p23f;
  return (v + kShift) - kShift;
}

/// Lane by lane; the second where the first is NaN.
FASTCHAT_INLINE F32 maximum(F32 a, F32 b) { return a > b ? a : b; }

/// Adds lanes in a fixed tree.
FASTCHAT_INLINE float reduce_add(F32 v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}
FASTCHAT_INLINE float reduce_max(F32 v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i)
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

/// body(index, lanes) over [0, count) in vectors, the last one shorter.
template <typename Body>
FASTCHAT_INLINE void for_each_vector(std::int64_t count, Body&& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, kLanes);
  if (i < count) body(i, static_cast<int>(count - i));
}
// NOLINTBEGIN(bugprone-macro-parentheses): its arguments are names of parameters
#define FASTCHAT_BODY(index, lanes) \
  [&](std::int64_t index, int lanes) __attribute__((always_inline))
// NOLINTEND(bugprone-macro-parentheses)

/// Calls body(T*) with T for the element type, a floating-point one.
template <typename Body>
FASTCHAT_INLINE void dispatch(Element element, Body&& body) {
  switch (element) {
    case Element::f32:
      return body(static_cast<float*>(nullptr));
    case Element::f16:
      return body(static_cast<F16*>(nullptr));
    case Element::bf16:
      return body(static_cast<Bf16*>(nullptr));
    case Element::i8:
      break;
  }
}
/// Any element type: what weights may be.
template <typename Body>
FASTCHAT_INLINE void dispatch_weight(Element element, Body&& body) {
  if (element == Element::i8) return body(static_cast<std::int8_t*>(nullptr));
  dispatch(element, body);
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
