// The kernels, written on vectors of eight floats that the compiler maps to the instruction set at
// hand. Compiled once per instruction set with EMULATOR_ISA naming the namespace: nothing here may
// be inline and shared with other files, or the linker could keep the copy that the machine at hand
// cannot run.
#include <cstring>

#include "emulator/ops/kernels/kernels.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace emulator::EMULATOR_ISA {

extern const Kernels kTable;

namespace {

constexpr int64_t kLanes = 8;
using Vector = float __attribute__((vector_size(32)));
using Words = uint32_t __attribute__((vector_size(32)));
using Shorts = uint16_t __attribute__((vector_size(16)));
using Bytes = int8_t __attribute__((vector_size(8)));
using Integers = int32_t __attribute__((vector_size(32)));

#define EMULATOR_INLINE __attribute__((always_inline)) inline

EMULATOR_INLINE void load(const float* from, Vector& out) { std::memcpy(&out, from, sizeof(out)); }

EMULATOR_INLINE void load(const Brain* from, Vector& out) {
  Shorts bits;
  std::memcpy(&bits, from, sizeof(bits));
  out = reinterpret_cast<Vector>(__builtin_convertvector(bits, Words) << 16);
}

EMULATOR_INLINE void load(const Half* from, Vector& out) {
#ifdef __F16C__
  __m128i bits;
  std::memcpy(&bits, from, sizeof(bits));
  const __m256 wide = _mm256_cvtph_ps(bits);
  std::memcpy(&out, &wide, sizeof(out));
#else
  Shorts bits;
  std::memcpy(&bits, from, sizeof(bits));
  const Words words = __builtin_convertvector(bits, Words);
  const Words sign = (words & 0x8000u) << 16;
  const Vector scaled = reinterpret_cast<Vector>((words & 0x7fffu) << 13) * 0x1p112f;
  const Words infinite = reinterpret_cast<Words>(scaled >= 65536.0f) & 0x7f800000u;
  out = reinterpret_cast<Vector>(reinterpret_cast<Words>(scaled) | infinite | sign);
#endif
}

EMULATOR_INLINE void load(const int8_t* from, Vector& out) {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof(bytes));
  out = __builtin_convertvector(__builtin_convertvector(bytes, Integers), Vector);
}

EMULATOR_INLINE float scalar(float value) { return value; }
EMULATOR_INLINE float scalar(int8_t value) { return value; }
EMULATOR_INLINE float scalar(Brain value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof(out));
  return out;
}
EMULATOR_INLINE float scalar(Half value) {
  const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7fffu) << 13;
  float scaled;
  std::memcpy(&scaled, &magnitude, sizeof(scaled));
  scaled *= 0x1p112f;
  uint32_t bits;
  std::memcpy(&bits, &scaled, sizeof(bits));
  if (scaled >= 65536.0f) bits |= 0x7f800000u;
  bits |= static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  std::memcpy(&scaled, &bits, sizeof(scaled));
  return scaled;
}

template <typename In>
void widen_row(const In* in, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vector v;
    load(in + i, v);
    std::memcpy(out + i, &v, sizeof(v));
  }
  for (; i < count; ++i) out[i] = scalar(in[i]);
}

void narrow_brain_row(const float* in, int64_t count, Brain* out) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, in + i, sizeof(bits));
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t nan = (bits >> 16) | 0x40u;
    out[i].bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  }
}

EMULATOR_INLINE uint16_t narrowed(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  float absolute;
  std::memcpy(&absolute, &magnitude, sizeof(absolute));
  const float shifted = absolute + 0.5f;
  uint32_t subnormal;
  std::memcpy(&subnormal, &shifted, sizeof(subnormal));
  subnormal -= 0x3f000000u;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  uint32_t out = magnitude < 0x38800000u ? subnormal : normal;
  if (magnitude >= 0x477ff000u) out = 0x7c00u;
  if (magnitude > 0x7f800000u) out = 0x7e00u;
  return static_cast<uint16_t>(out | sign);
}

void narrow_half_row(const float* in, int64_t count, Half* out) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + kLanes <= count; i += kLanes) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
    std::memcpy(out + i, &bits, sizeof(bits));
  }
#endif
  for (; i < count; ++i) out[i].bits = narrowed(in[i]);
}

/// M rows of x by N rows of w: all M·N sums stay in registers.
template <int M, int N, typename W>
EMULATOR_INLINE void tile(const float* x,
                          int64_t x_stride,
                          const W* w,
                          int64_t w_stride,
                          int64_t k,
                          float* out,
                          int64_t out_stride) {
  Vector sums[M][N] = {};
  int64_t c = 0;
  for (; c + kLanes <= k; c += kLanes) {
    Vector weights[N];
    for (int j = 0; j < N; ++j) load(w + j * w_stride + c, weights[j]);
    for (int i = 0; i < M; ++i) {
      Vector values;
      load(x + i * x_stride + c, values);
      for (int j = 0; j < N; ++j) sums[i][j] += values * weights[j];
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j) {
      const Vector& s = sums[i][j];
      float sum = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
      for (int64_t t = c; t < k; ++t) sum += x[i * x_stride + t] * scalar(w[j * w_stride + t]);
      out[i * out_stride + j] += sum;
    }
  }
}

template <int M, int N, typename W>
void tiles(const float* x,
           int64_t x_stride,
           const W* w,
           int64_t w_stride,
           int64_t n,
           int64_t k,
           float* out,
           int64_t out_stride) {
  int64_t j = 0;
  for (; j + N <= n; j += N) {
    tile<M, N>(x, x_stride, w + j * w_stride, w_stride, k, out + j, out_stride);
  }
  for (; j < n; ++j) {
    tile<M, 1>(x, x_stride, w + j * w_stride, w_stride, k, out + j, out_stride);
  }
}

template <typename W>
void dot(const float* x,
         int64_t x_stride,
         int64_t m,
         const W* w,
         int64_t w_stride,
         int64_t n,
         int64_t k,
         float* out,
         int64_t out_stride) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) {
    tiles<4, 3>(x + i * x_stride, x_stride, w, w_stride, n, k, out + i * out_stride, out_stride);
  }
  for (; i + 2 <= m; i += 2) {
    tiles<2, 4>(x + i * x_stride, x_stride, w, w_stride, n, k, out + i * out_stride, out_stride);
  }
  for (; i < m; ++i) {
    tiles<1, 4>(x + i * x_stride, x_stride, w, w_stride, n, k, out + i * out_stride, out_stride);
  }
}

void dot_exact_rows(const int8_t* x,
                    int64_t x_stride,
                    int64_t m,
                    const int8_t* w,
                    int64_t w_stride,
                    int64_t n,
                    int64_t k,
                    int32_t* out,
                    int64_t out_stride) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const int8_t* a = x + i * x_stride;
      const int8_t* b = w + j * w_stride;
      int32_t sum = 0;
      for (int64_t c = 0; c < k; ++c) {
        sum += static_cast<int16_t>(a[c]) * static_cast<int16_t>(b[c]);
      }
      out[i * out_stride + j] += sum;
    }
  }
}

/// M rows of weights over two vectors of columns.
template <int M>
EMULATOR_INLINE void combine_rows(const float* weights,
                                  int64_t weights_stride,
                                  const float* values,
                                  int64_t values_stride,
                                  int64_t n,
                                  int64_t k,
                                  float* out,
                                  int64_t out_stride) {
  int64_t j = 0;
  for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
    Vector sums[M][2] = {};
    for (int64_t c = 0; c < k; ++c) {
      Vector left;
      Vector right;
      load(values + c * values_stride + j, left);
      load(values + c * values_stride + j + kLanes, right);
      for (int i = 0; i < M; ++i) {
        sums[i][0] += left * weights[i * weights_stride + c];
        sums[i][1] += right * weights[i * weights_stride + c];
      }
    }
    for (int i = 0; i < M; ++i) {
      for (int half = 0; half < 2; ++half) {
        float* to = out + i * out_stride + j + half * kLanes;
        Vector old;
        load(to, old);
        old += sums[i][half];
        std::memcpy(to, &old, sizeof(old));
      }
    }
  }
  for (; j < n; ++j) {
    for (int i = 0; i < M; ++i) {
      float sum = 0;
      for (int64_t c = 0; c < k; ++c) {
        sum += weights[i * weights_stride + c] * values[c * values_stride + j];
      }
      out[i * out_stride + j] += sum;
    }
  }
}

void combine(const float* weights,
             int64_t weights_stride,
             int64_t m,
             const float* values,
             int64_t values_stride,
             int64_t n,
             int64_t k,
             float* out,
             int64_t out_stride) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) {
    combine_rows<4>(weights + i * weights_stride,
                    weights_stride,
                    values,
                    values_stride,
                    n,
                    k,
                    out + i * out_stride,
                    out_stride);
  }
  for (; i < m; ++i) {
    combine_rows<1>(weights + i * weights_stride,
                    weights_stride,
                    values,
                    values_stride,
                    n,
                    k,
                    out + i * out_stride,
                    out_stride);
  }
}

/// e^x by 2^n · e^r with |r| ≤ ln2 / 2 and a polynomial of degree 6.
EMULATOR_INLINE void exponential(Vector& x) {
  const Integers vanishes = x < -87.0f;
  const Vector low = Vector{} - 87.0f;
  const Vector high = Vector{} + 88.0f;
  x = vanishes ? low : x;
  x = x > high ? high : x;
  const Vector shifted = x * 1.44269504f + 12582912.0f;  // 1.5 · 2^23: rounds to a whole number
  const Vector n = shifted - 12582912.0f;
  const Vector r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  Vector p = Vector{} + 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 0.16666667f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Integers exponent = (__builtin_convertvector(n, Integers) + 127) << 23;
  const Vector result = p * reinterpret_cast<Vector>(exponent);
  x = vanishes ? Vector{} : result;
}

float exponential_row(float* row, int64_t count, float shift) {
  Vector sums = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vector v;
    load(row + i, v);
    v -= shift;
    exponential(v);
    std::memcpy(row + i, &v, sizeof(v));
    sums += v;
  }
  float sum = 0;
  if (i < count) {
    Vector v = {};
    std::memcpy(&v, row + i, sizeof(float) * static_cast<size_t>(count - i));
    v -= shift;
    exponential(v);
    std::memcpy(row + i, &v, sizeof(float) * static_cast<size_t>(count - i));
    for (int64_t lane = 0; lane < count - i; ++lane) sum += v[lane];
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  return sum;
}

}  // namespace

const Kernels kTable = {
    .widen_half = widen_row<Half>,
    .widen_brain = widen_row<Brain>,
    .narrow_half = narrow_half_row,
    .narrow_brain = narrow_brain_row,
    .dot_float = dot<float>,
    .dot_half = dot<Half>,
    .dot_brain = dot<Brain>,
    .dot_int8 = dot<int8_t>,
    .dot_exact = dot_exact_rows,
    .combine = combine,
    .exponentials = exponential_row,
};

}  // namespace emulator::EMULATOR_ISA
