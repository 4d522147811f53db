// c (+)= x · w over a panel. Compute-bound for many rows, memory-bound for one.
//
// One accumulator per output, k in order: an output's sum does not depend on how many rows or
// columns go with it, nor on the instruction set's vector length. 16-bit weights are widened in
// registers: at kTileRowsPerPass rows this is a twelfth of the multiply-adds, and needs no second
// copy of the panel.
#include "ops/cpu/kernels/panel_product.h"

#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

// Registers: kRows * kVectors accumulators, 2 * kVectors weights and a broadcast.
#if defined(FASTCHAT_ISA_AVX512)
constexpr int kRows = 12, kVectors = 2, kSingleRowVectors = 2;
#elif defined(FASTCHAT_ISA_AVX2)
constexpr int kRows = 5, kVectors = 2, kSingleRowVectors = 4;
#elif defined(FASTCHAT_ISA_NEON)
constexpr int kRows = 5, kVectors = 4, kSingleRowVectors = 8;
#else
constexpr int kRows = 4, kVectors = 2, kSingleRowVectors = 4;
#endif

/// Rows of a pass over the columns that do not fill kVectors: a few values of an odd head_dim.
constexpr int kNarrowRows = 4;

/// Weights of rows k and k + 1, in kLanes columns, the first `lanes` of which exist.
FASTCHAT_INLINE void load_pair(const Bf16* w, std::int64_t, int lanes, F32& even, F32& odd) {
  U32 raw;
  if (lanes == kLanes) {
    raw = load_raw<U32>(w);
  } else {
    std::uint32_t buffer[kLanes] = {};
    __builtin_memcpy(buffer, w, static_cast<std::size_t>(lanes) * 4);
    raw = load_raw<U32>(buffer);
  }
  even = from_bits(raw << 16);
  odd = from_bits(raw & 0xFFFF0000u);
}
template <typename W>
FASTCHAT_INLINE void load_pair(const W* w, std::int64_t pitch, int lanes, F32& even, F32& odd) {
  even = load_some(w, lanes);
  odd = load_some(w + pitch, lanes);
}
/// Weights of a last, single row.
FASTCHAT_INLINE F32 load_last(const Bf16* w, int lanes) {
  F32 even, odd;
  load_pair(w, 0, lanes, even, odd);
  return even;
}
template <typename W>
FASTCHAT_INLINE F32 load_last(const W* w, int lanes) {
  return load_some(w, lanes);
}

template <typename W>
FASTCHAT_INLINE const W* column(const W* w, std::int64_t index) {
  return w + index;
}
FASTCHAT_INLINE const Bf16* column(const Bf16* w, std::int64_t index) { return w + 2 * index; }

template <typename W, int kNumRows, int kNumVectors, bool kPrefetch>
void tile(const PanelProduct& product, const float* x, const W* w, int lanes, float* c) {
  F32 sums[kNumRows][kNumVectors];
  FASTCHAT_UNROLL
  for (int r = 0; r < kNumRows; ++r) {
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v)
      sums[r][v] = product.accumulate ? load(c + r * product.c_pitch + v * kLanes) : F32{};
  }
  const std::int64_t pitch = product.pitch;
  std::int64_t k = 0;
  for (; k + 2 <= product.depth; k += 2, w += 2 * pitch) {
    if constexpr (kPrefetch) {
      // The tile spans the panel, or half of it, so the pair of rows is dense or nearly so: each of
      // its lines once.
      constexpr int kPairBytes = 2 * kNumVectors * kLanes * static_cast<int>(sizeof(W));
      FASTCHAT_UNROLL
      for (int line = 0; line < kPairBytes; line += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(w) + kPrefetchBytes + line);
    }
    F32 even[kNumVectors], odd[kNumVectors];
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v) {
      load_pair(column(w, v * kLanes), pitch, lanes, even[v], odd[v]);
    }
    FASTCHAT_UNROLL
    for (int r = 0; r < kNumRows; ++r) {
      const F32 a = broadcast(x[r * kDepth + k]);
      FASTCHAT_UNROLL
      for (int v = 0; v < kNumVectors; ++v) sums[r][v] = fma(a, even[v], sums[r][v]);
    }
    FASTCHAT_UNROLL
    for (int r = 0; r < kNumRows; ++r) {
      const F32 a = broadcast(x[r * kDepth + k + 1]);
      FASTCHAT_UNROLL
      for (int v = 0; v < kNumVectors; ++v) sums[r][v] = fma(a, odd[v], sums[r][v]);
    }
  }
  if (k < product.depth) {
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v) {
      const F32 last = load_last(column(w, v * kLanes), lanes);
      FASTCHAT_UNROLL
      for (int r = 0; r < kNumRows; ++r)
        sums[r][v] = fma(broadcast(x[r * kDepth + k]), last, sums[r][v]);
    }
  }
  FASTCHAT_UNROLL
  for (int r = 0; r < kNumRows; ++r) {
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v) store(c + r * product.c_pitch + v * kLanes, sums[r][v]);
  }
}

/// tile() for a number of rows known at run time only.
template <typename W, int kNumRows, int kNumVectors>
void tile_rows(const PanelProduct& product,
               std::int64_t rows,
               const float* x,
               const W* w,
               int lanes,
               float* c) {
  if (rows == kNumRows) {
    tile<W, kNumRows, kNumVectors, false>(product, x, w, lanes, c);
  } else if constexpr (kNumRows > 1) {
    tile_rows<W, kNumRows - 1, kNumVectors>(product, rows, x, w, lanes, c);
  }
}

template <typename W>
void multiply(const PanelProduct& product, const W* w) {
  std::int64_t first = 0;
  // Rows in passes of nearly equal size: 16 as 8 + 8, not 12 + 4.
  const std::int64_t passes = (product.rows + kRows - 1) / kRows;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    const std::int64_t end = product.rows * (pass + 1) / passes;
    const std::int64_t rows = end - first;
    const float* x = product.x + first * kDepth;
    float* c = product.c + first * product.c_pitch;
    std::int64_t j = 0;
    if (rows == 1) {
      for (; j + kSingleRowVectors * kLanes <= product.columns; j += kSingleRowVectors * kLanes) {
        if (product.prefetch) {
          tile<W, 1, kSingleRowVectors, true>(product, x, column(w, j), kLanes, c + j);
        } else {
          tile<W, 1, kSingleRowVectors, false>(product, x, column(w, j), kLanes, c + j);
        }
      }
    }
    for (; j + kVectors * kLanes <= product.columns; j += kVectors * kLanes)
      tile_rows<W, kRows, kVectors>(product, rows, x, column(w, j), kLanes, c + j);
    for (; j < product.columns; j += kLanes) {
      const int lanes = static_cast<int>(product.columns - j < kLanes ? product.columns - j
                                                                      : std::int64_t{kLanes});
      for (std::int64_t r = 0; r < rows; r += kNarrowRows)
        tile_rows<W, kNarrowRows, 1>(product,
                                     rows - r < kNarrowRows ? rows - r : std::int64_t{kNarrowRows},
                                     x + r * kDepth,
                                     column(w, j),
                                     lanes,
                                     c + r * product.c_pitch + j);
    }
    first = end;
  }
}

}  // namespace

void panel_product(const PanelProduct& product) {
  dispatch_weight(product.w_element,
                  [&]<typename W>(W*) { multiply(product, static_cast<const W*>(product.w)); });
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
