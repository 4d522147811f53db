// exp, tanh and erf of vectors of f32. The same operations in the same order everywhere, so
// instruction sets with a fused multiply-add agree bit for bit.
#pragma once

#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

/// exp, relative error below 2e-7. 0 below -87.3 (where results turn subnormal), exp(88) above 88;
/// NaN stays NaN. Polynomial of Cephes' expf.
FASTCHAT_INLINE F32 exp(F32 x) {
  constexpr float kLow = -87.3f;
  constexpr float kHigh = 88.0f;
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  const I32 underflow = x < broadcast(kLow);
  F32 v = x > broadcast(kHigh) ? broadcast(kHigh) : x;
  v = underflow ? broadcast(kLow) : v;
  const F32 shifted = fma(v, broadcast(kLog2E), broadcast(kRound));
  const F32 n = shifted - kRound;
  F32 r = fma(n, broadcast(-kLn2High), v);
  r = fma(n, broadcast(-kLn2Low), r);
  F32 p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.0f;
  const F32 power = from_bits((bits_of(shifted) << 23) + (127u << 23));
  return underflow ? F32{} : p * power;
}

/// tanh, absolute error below 1e-6. Rational approximation of Eigen's ptanh.
FASTCHAT_INLINE F32 tanh(F32 x) {
  constexpr float kClamp = 7.90531110763549805f;
  F32 v = x > broadcast(kClamp) ? broadcast(kClamp) : x;
  v = v < broadcast(-kClamp) ? broadcast(-kClamp) : v;
  const F32 s = v * v;
  F32 p = broadcast(-2.76076847742355e-16f);
  p = fma(p, s, broadcast(2.00018790482477e-13f));
  p = fma(p, s, broadcast(-8.60467152213735e-11f));
  p = fma(p, s, broadcast(5.12229709037114e-08f));
  p = fma(p, s, broadcast(1.48572235717979e-05f));
  p = fma(p, s, broadcast(6.37261928875436e-04f));
  p = fma(p, s, broadcast(4.89352455891786e-03f));
  F32 q = broadcast(1.19825839466702e-06f);
  q = fma(q, s, broadcast(1.18534705686654e-04f));
  q = fma(q, s, broadcast(2.26843463243900e-03f));
  q = fma(q, s, broadcast(4.89352518554385e-03f));
  return p * v / q;
}

/// erf, absolute error below 1e-6. Rational approximation of Eigen's perf.
FASTCHAT_INLINE F32 erf(F32 x) {
  constexpr float kClamp = 4.0f;
  F32 v = x > broadcast(kClamp) ? broadcast(kClamp) : x;
  v = v < broadcast(-kClamp) ? broadcast(-kClamp) : v;
  const F32 s = v * v;
  F32 p = broadcast(-2.72614225801306e-10f);
  p = fma(p, s, broadcast(2.77068142495902e-08f));
  p = fma(p, s, broadcast(-2.10102402082508e-06f));
  p = fma(p, s, broadcast(-5.69250639462346e-05f));
  p = fma(p, s, broadcast(-7.34990630326855e-04f));
  p = fma(p, s, broadcast(-2.95459980854025e-03f));
  p = fma(p, s, broadcast(-1.60960333262415e-02f));
  F32 q = broadcast(-1.45660718464996e-05f);
  q = fma(q, s, broadcast(-2.13374055278905e-04f));
  q = fma(q, s, broadcast(-1.68282697438203e-03f));
  q = fma(q, s, broadcast(-7.37332916720468e-03f));
  q = fma(q, s, broadcast(-1.42647390514189e-02f));
  return p * v / q;
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
