// Multiply-adds on registers only: what an instruction set can do at best, for speeds to be read
// against.
#include "ops/cpu/kernels/peaks.h"

#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

constexpr int kSums = 12;  // independent sums: more than latency × throughput of any fma unit

// Keeps the compiler from folding rounds together. (AVX-512 without registers for it: tests compile
// these kernels with the instructions emulated.)
#if defined(FASTCHAT_ISA_AVX512) && defined(__AVX512F__)
#define FASTCHAT_KEEP(v) asm volatile("" : "+v"(v))
#elif defined(FASTCHAT_ISA_NEON)
#define FASTCHAT_KEEP(v) asm volatile("" : "+w"(v))
#elif defined(__x86_64__) && !defined(FASTCHAT_ISA_AVX512)
#define FASTCHAT_KEEP(v) asm volatile("" : "+x"(v))
#else
#define FASTCHAT_KEEP(v) asm volatile("" : "+m"(v))
#endif

}  // namespace

std::int64_t multiply_adds_f32(std::int64_t rounds) {
  F32 sums[kSums] = {};
  F32 a = broadcast(1e-9f);
  F32 b = broadcast(1.0f);
  for (std::int64_t i = 0; i < rounds; ++i) {
    FASTCHAT_UNROLL
    for (int s = 0; s < kSums; ++s) {
      sums[s] = fma(a, b, sums[s]);
      FASTCHAT_KEEP(sums[s]);
    }
  }
  return rounds * kSums * kLanes;
}

#if defined(FASTCHAT_ISA_AVX512_BF16) || defined(FASTCHAT_ISA_NEON_BF16)
std::int64_t multiply_adds_bf16(std::int64_t rounds) {
  F32 sums[kSums] = {};
  const U32 a = broadcast_u32(0x3C003C00u);  // twice 2^-7
  const U32 b = broadcast_u32(0x3F803F80u);  // twice 1
  for (std::int64_t i = 0; i < rounds; ++i) {
    FASTCHAT_UNROLL
    for (int s = 0; s < kSums; ++s) {
      sums[s] = dot_pairs(sums[s], a, b);
      FASTCHAT_KEEP(sums[s]);
    }
  }
  return rounds * kSums * kLanes * 2;
}
#endif

std::int64_t multiply_adds_int8(std::int64_t rounds) {
#if defined(FASTCHAT_ISA_AVX512) || defined(FASTCHAT_ISA_AVX2) || defined(FASTCHAT_ISA_NEON)
  I32 sums[kSums] = {};
#if defined(FASTCHAT_ISA_AVX512_BF16)
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
#elif defined(FASTCHAT_ISA_AVX512)
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
  const __m512i ones = _mm512_set1_epi16(1);
#elif defined(FASTCHAT_ISA_AVX2)
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
  const __m256i ones = _mm256_set1_epi16(1);
#else
  int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(2);
#endif
  for (std::int64_t i = 0; i < rounds; ++i) {
    FASTCHAT_KEEP(a);  // or the products would be computed once
    FASTCHAT_UNROLL
    for (int s = 0; s < kSums; ++s) {
#if defined(FASTCHAT_ISA_AVX512_BF16)  // which has VNNI too
      sums[s] = (I32)_mm512_dpbusd_epi32((__m512i)sums[s], a, b);
#elif defined(FASTCHAT_ISA_AVX512)
      sums[s] = sums[s] + (I32)_mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ones);
#elif defined(FASTCHAT_ISA_AVX2)
      sums[s] = sums[s] + (I32)_mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones);
#else
      sums[s] = (I32)vdotq_s32((int32x4_t)sums[s], a, b);
#endif
      FASTCHAT_KEEP(sums[s]);
      FASTCHAT_KEEP(b);
    }
  }
  return rounds * kSums * kLanes * 4;
#else
  I32 sums[kSums] = {};
  I32 a = broadcast_i32(1);
  for (std::int64_t i = 0; i < rounds; ++i) {
    FASTCHAT_UNROLL
    for (int s = 0; s < kSums; ++s) {
      sums[s] = sums[s] + a * a;
      FASTCHAT_KEEP(sums[s]);
    }
  }
  return rounds * kSums * kLanes;
#endif
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
