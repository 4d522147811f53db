// c (+)= x · w over panels, in pairs of bf16. Compute-bound for many rows, memory-bound for few.
//
// Many rows: a tile of a few rows by four vectors of weights, so that the loads, 10 for 24
// products, stay clear of what the load ports give. On AVX-512 that is two panels, and a single one
// takes more rows instead; on NEON half a panel. Few rows on NEON take whole panels all the same,
// so that weights are read front to back. x needs no copy: the pair to broadcast lies in memory as
// it is.
#include "ops/cpu/kernels/pair_product.h"

#include "ops/cpu/kernels/panel_product.h"
#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

// Registers, of 32: rows * vectors accumulators, weights of every vector, and a broadcast.
constexpr int kPanelVectors = static_cast<int>(kPanelColumns) / kLanes;
constexpr bool fits_registers(int rows, int vectors) { return rows * vectors + vectors + 1 <= 32; }

/// Two elements in one, the earlier k in the lower half, as weights have it.
FASTCHAT_INLINE std::uint32_t load_two(const Bf16* x) {
  std::uint32_t two;
  __builtin_memcpy(&two, x, sizeof two);
  return two;
}

template <int kNumRows, int kNumVectors, bool kPrefetch>
void tile(const PairProduct& product, const Bf16* x, const Bf16* w, float* c) {
  const std::int64_t x_stride = product.x_stride;
  const std::int64_t panel_stride = product.panel_stride;
  F32 sums[kNumRows][kNumVectors];
  FASTCHAT_UNROLL
  for (int r = 0; r < kNumRows; ++r) {
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v)
      sums[r][v] = product.accumulate ? load(c + r * product.c_pitch + v * kLanes) : F32{};
  }
  // Adds one pair of k: weights from w, pair_of(r) from row r of x.
  const auto add_pair = [&](auto&& pair_of) __attribute__((always_inline)) {
    U32 weights[kNumVectors];
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v)
      weights[v] =
          load_raw<U32>(w + v / kPanelVectors * panel_stride + v % kPanelVectors * 2 * kLanes);
    FASTCHAT_UNROLL
    for (int r = 0; r < kNumRows; ++r) {
      const U32 pair = broadcast_u32(pair_of(r));
      FASTCHAT_UNROLL
      for (int v = 0; v < kNumVectors; ++v) sums[r][v] = dot_pairs(sums[r][v], weights[v], pair);
    }
  };
  std::int64_t k = 0;
  for (; k + 2 <= product.depth; k += 2, w += 2 * kPanelColumns) {
    if constexpr (kPrefetch) {
      // A panel's stretches follow one another, and the panels of a stream too.
      constexpr int kPairBytes = 2 * static_cast<int>(kPanelColumns * sizeof(Bf16));
      // Half a panel, on NEON, asks for all of it.
      FASTCHAT_UNROLL
      for (int v = 0; v < kNumVectors; v += kPanelVectors) {
        const char* ahead =
            reinterpret_cast<const char*>(w + v / kPanelVectors * panel_stride) + kPrefetchBytes;
        FASTCHAT_UNROLL
        for (int line = 0; line < kPairBytes; line += 64) __builtin_prefetch(ahead + line);
      }
    }
    add_pair([&](int r) __attribute__((always_inline)) { return load_two(x + r * x_stride + k); });
  }
  if (k < product.depth)  // what follows x is not ours to read
    add_pair([&](int r) __attribute__((always_inline)) {
      return std::uint32_t{x[r * x_stride + k].bits};
    });
  FASTCHAT_UNROLL
  for (int r = 0; r < kNumRows; ++r) {
    FASTCHAT_UNROLL
    for (int v = 0; v < kNumVectors; ++v) store(c + r * product.c_pitch + v * kLanes, sums[r][v]);
  }
}

/// tile() for a number of rows known at run time only.
template <int kNumRows, int kNumVectors>
void tile_rows(
    const PairProduct& product, std::int64_t first, std::int64_t rows, const Bf16* w, float* c) {
  if (rows == kNumRows) {
    const Bf16* x = static_cast<const Bf16*>(product.x) + first * product.x_stride;
    c += first * product.c_pitch;
    // The first rows bring the weights into the cache for the others.
    if (first == 0) {
      tile<kNumRows, kNumVectors, true>(product, x, w, c);
    } else {
      tile<kNumRows, kNumVectors, false>(product, x, w, c);
    }
  } else if constexpr (kNumRows > 1) {
    tile_rows<kNumRows - 1, kNumVectors>(product, first, rows, w, c);
  }
}

template <int kMaxRows, int kNumVectors>
void all_rows(const PairProduct& product, const Bf16* w, float* c) {
  // Passes of nearly equal size: 16 as 8 + 8, not 12 + 4.
  const std::int64_t passes = (product.rows + kMaxRows - 1) / kMaxRows;
  std::int64_t first = 0;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    const std::int64_t end = product.rows * (pass + 1) / passes;
    tile_rows<kMaxRows, kNumVectors>(product, first, end - first, w, c);
    first = end;
  }
}

/// A template, so that only the branch of this instruction set is compiled.
template <int kVectors>
void all_panels(const PairProduct& product) {
  static_assert(kVectors == 2 || kVectors == 8);
  const Bf16* w = static_cast<const Bf16*>(product.w);
  float* c = product.c;
  std::int64_t panel = 0;
  if constexpr (kVectors == 2) {
    static_assert(fits_registers(6, 4) && fits_registers(12, 2));
    for (; panel + 2 <= product.panels; panel += 2)
      all_rows<6, 4>(product, w + panel * product.panel_stride, c + panel * kPanelColumns);
    if (panel < product.panels)
      all_rows<12, 2>(product, w + panel * product.panel_stride, c + panel * kPanelColumns);
  } else {
    static_assert(fits_registers(2, 8) && fits_registers(6, 4));
    for (; panel < product.panels; ++panel) {
      const Bf16* panel_w = w + panel * product.panel_stride;
      float* panel_c = c + panel * kPanelColumns;
      if (product.rows <= 2) {
        all_rows<2, 8>(product, panel_w, panel_c);
      } else {
        all_rows<6, 4>(product, panel_w, panel_c);
        all_rows<6, 4>(product, panel_w + 4 * 2 * kLanes, panel_c + 4 * kLanes);
      }
    }
  }
}

}  // namespace

void pair_product(const PairProduct& product) { all_panels<kPanelVectors>(product); }

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
