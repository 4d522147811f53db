// Linear over packed weights. One row: memory-bound, one front-to-back read of the weight. Many
// rows: compute-bound.
#include "ops/cpu/kernels/linear.h"

#include "ops/cpu/kernels/pair_product.h"
#include "ops/cpu/kernels/panel_product.h"
#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

FASTCHAT_INLINE std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// Bytes of a panel: its inner dimension is padded to pairs.
FASTCHAT_INLINE std::int64_t panel_bytes(std::int64_t in_features, Element element) {
  return (in_features + in_features % 2) * kPanelColumns * size_of(element);
}

/// The largest number that quantized elements have.
constexpr float kMaxInt8 = 127.0f;

/// See Kernels::quantize_row.
template <typename T>
FASTCHAT_INLINE float scale_of(const T* x, std::int64_t count) {
  F32 largest{};
  F32 defect{};  // 0 times what is finite
  for_each_vector(
      count, FASTCHAT_BODY(i, lanes) {
        const F32 value = load_some(x + i, lanes);
        largest = maximum(from_bits(bits_of(value) & 0x7FFFFFFFu), largest);
        defect = fma(value, F32{}, defect);
      });
  const float scale = reduce_max(largest) / kMaxInt8 + reduce_add(defect);
  return scale == 0.0f ? 1.0f : scale;
}

/// Elements [first, first + count) of a row of x in f32; quantized where there is a scale.
FASTCHAT_INLINE void widen(
    const LinearArgs& args, std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
  dispatch(args.x.element, [&]<typename T>(T*) {
    const T* x = static_cast<const T*>(args.x.data) + row * args.x.stride + first;
    if (args.input_scales != nullptr) {
      const F32 scale = broadcast(args.input_scales[row]);
      for_each_vector(
          count, FASTCHAT_BODY(i, lanes) {
            store_some(out + i, round_to_whole(load_some(x + i, lanes) / scale), lanes);
          });
    } else {
      for_each_vector(
          count, FASTCHAT_BODY(i, lanes) { store_some(out + i, load_some(x + i, lanes), lanes); });
    }
  });
}

/// out = sums, scaled, + bias, rounded, for `count` columns from `column` on.
FASTCHAT_INLINE void finish(const LinearArgs& args,
                            std::int64_t row,
                            std::int64_t column,
                            std::int64_t count,
                            const float* sums) {
  const F32 input_scale = broadcast(args.input_scales != nullptr ? args.input_scales[row] : 1.0f);
  dispatch(args.out.element, [&]<typename T>(T*) {
    T* out = static_cast<T*>(args.out.data) + row * args.out.stride + column;
    for_each_vector(
        count, FASTCHAT_BODY(i, lanes) {
          F32 value = load(sums + i);
          if (args.weight_scales != nullptr)
            value = value * (load_some(args.weight_scales + column + i, lanes) * input_scale);
          if (args.bias != nullptr) value = value + load_some(args.bias + column + i, lanes);
          store_some(out + i, value, lanes);
        });
  });
}

/// Whether both sides stay bf16; otherwise they are widened to f32. Of dtypes only, so that a row's
/// result does not depend on the rows beside it.
FASTCHAT_INLINE bool multiplies_pairs(const LinearArgs& args) {
  return kPairProducts && args.x.element == Element::bf16 && args.weight_element == Element::bf16;
}

/// linear_stream's and linear_tile's sums in pairs of bf16: rows [row_begin, row_end) of panels
/// [begin, end), `max_depth` elements, an even number, at a time.
void sum_pairs(const LinearArgs& args,
               std::int64_t row_begin,
               std::int64_t row_end,
               std::int64_t begin,
               std::int64_t end,
               std::int64_t max_depth,
               float* sums,
               std::int64_t pitch) {
  if constexpr (kPairProducts) {
    const Bf16* x = static_cast<const Bf16*>(args.x.data) + row_begin * args.x.stride;
    const std::int64_t stride =
        panel_bytes(args.in_features, Element::bf16) / size_of(Element::bf16);
    const Bf16* w = static_cast<const Bf16*>(args.weight) + begin * stride;
    for (std::int64_t k = 0; k < args.in_features; k += max_depth)
      pair_product({.x = x + k,
                    .x_stride = args.x.stride,
                    .rows = row_end - row_begin,
                    .w = w + k * kPanelColumns,
                    .panel_stride = stride,
                    .panels = end - begin,
                    .depth = smaller(max_depth, args.in_features - k),
                    .c = sums,
                    .c_pitch = pitch,
                    .accumulate = k > 0});
  }
}

/// linear_tile's sums in f32; x: room for the rows' stretch of kDepth.
void sum_widened(const LinearArgs& args,
                 std::int64_t row_begin,
                 std::int64_t row_end,
                 std::int64_t begin,
                 std::int64_t end,
                 float* x,
                 float* sums,
                 std::int64_t pitch) {
  // Rows that stay in the first-level cache while a stretch of all panels passes by.
  constexpr std::int64_t kRowsAtOnce = 12;
  const std::int64_t rows = row_end - row_begin;
  const std::int64_t bytes = panel_bytes(args.in_features, args.weight_element);
  for (std::int64_t k = 0; k < args.in_features; k += kDepth) {
    const std::int64_t depth = smaller(kDepth, args.in_features - k);
    for (std::int64_t row = 0; row < rows; ++row)
      widen(args, row_begin + row, k, depth, x + row * kDepth);
    for (std::int64_t row = 0; row < rows; row += kRowsAtOnce) {
      for (std::int64_t panel = begin; panel < end; ++panel) {
        panel_product({.x = x + row * kDepth,
                       .rows = smaller(kRowsAtOnce, rows - row),
                       .w = static_cast<const char*>(args.weight) + panel * bytes +
                            k * kPanelColumns * size_of(args.weight_element),
                       .w_element = args.weight_element,
                       .pitch = kPanelColumns,
                       .columns = kPanelColumns,
                       .depth = depth,
                       .c = sums + row * pitch + (panel - begin) * kPanelColumns,
                       .c_pitch = pitch,
                       .accumulate = k > 0});
      }
    }
  }
}

}  // namespace

float quantize_row(const float* x, std::int64_t count, std::int8_t* out) {
  const float scale = scale_of(x, count);
  for_each_vector(
      count, FASTCHAT_BODY(i, lanes) {
        const F32 whole = round_to_whole(load_some(x + i, lanes) / scale);
        for (int lane = 0; lane < lanes; ++lane)
          out[i + lane] =
              whole[lane] == whole[lane] ? static_cast<std::int8_t>(whole[lane]) : std::int8_t{0};
      });
  return scale;
}

void linear_input_scales(const LinearArgs& args,
                         std::int64_t begin,
                         std::int64_t end,
                         float* scales) {
  dispatch(args.x.element, [&]<typename T>(T*) {
    for (std::int64_t row = begin; row < end; ++row)
      scales[row] =
          scale_of(static_cast<const T*>(args.x.data) + row * args.x.stride, args.in_features);
  });
}

void linear_prepare(const LinearArgs& args, float* x) {
  if (multiplies_pairs(args)) return;
  for (std::int64_t k = 0; k < args.in_features; k += kDepth) {
    const std::int64_t depth = smaller(kDepth, args.in_features - k);
    for (std::int64_t row = 0; row < args.num_rows; ++row)
      widen(args, row, k, depth, x + (k / kDepth * args.num_rows + row) * kDepth);
  }
}

void linear_stream(const LinearArgs& args, const float* x, std::int64_t begin, std::int64_t end) {
  alignas(64) float sums[kStreamRows * kPanelColumns];
  const std::int64_t bytes = panel_bytes(args.in_features, args.weight_element);
  for (std::int64_t panel = begin; panel < end; ++panel) {
    const char* weight = static_cast<const char*>(args.weight) + panel * bytes;
    if (multiplies_pairs(args)) {
      sum_pairs(args, 0, args.num_rows, panel, panel + 1, kDepth, sums, kPanelColumns);
    } else {
      for (std::int64_t k = 0; k < args.in_features; k += kDepth) {
        panel_product({.x = x + k * args.num_rows,
                       .rows = args.num_rows,
                       .w = weight + k * kPanelColumns * size_of(args.weight_element),
                       .w_element = args.weight_element,
                       .pitch = kPanelColumns,
                       .columns = kPanelColumns,
                       .depth = smaller(kDepth, args.in_features - k),
                       .c = sums,
                       .c_pitch = kPanelColumns,
                       .accumulate = k > 0,
                       .prefetch = true});
      }
    }
    const std::int64_t column = panel * kPanelColumns;
    const std::int64_t columns = smaller(kPanelColumns, args.out_features - column);
    for (std::int64_t row = 0; row < args.num_rows; ++row)
      finish(args, row, column, columns, sums + row * kPanelColumns);
  }
}

void linear_tile(const LinearArgs& args,
                 std::int64_t row_begin,
                 std::int64_t row_end,
                 std::int64_t begin,
                 std::int64_t end,
                 float* scratch) {
  constexpr std::int64_t kPitch = kTilePanels * kPanelColumns;
  float* sums = scratch + kTileRows * kDepth;
  if (multiplies_pairs(args)) {
    // Of two panels 16 KiB, which stay in the first-level cache while all rows pass by.
    constexpr std::int64_t kPairDepth = 128;
    sum_pairs(args, row_begin, row_end, begin, end, kPairDepth, sums, kPitch);
  } else {
    sum_widened(args, row_begin, row_end, begin, end, scratch, sums, kPitch);
  }
  const std::int64_t column = begin * kPanelColumns;
  const std::int64_t columns = smaller(end * kPanelColumns, args.out_features) - column;
  for (std::int64_t row = row_begin; row < row_end; ++row)
    finish(args, row, column, columns, sums + (row - row_begin) * kPitch);
}

void pack(const PackArgs& args, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kStretch = 64;  // columns converted at a time
  const std::int64_t columns = args.columns;
  const std::int64_t bytes = panel_bytes(columns, args.weight_element);
  dispatch(args.weight_element, [&]<typename W>(W*) {
    dispatch(args.source_element, [&]<typename S>(S*) {
      for (std::int64_t panel = begin; panel < end; ++panel) {
        W* weight = reinterpret_cast<W*>(static_cast<char*>(args.weight) + panel * bytes);
        for (std::int64_t k = 0; k < columns; k += kStretch) {
          alignas(64) W part[kPanelColumns][kStretch];
          const std::int64_t depth = smaller(kStretch, columns - k);
          std::int64_t low = kPanelColumns, high = 0;  // rows of the panel that are written here
          for (std::int64_t row = 0; row < kPanelColumns; ++row) {
            const std::int64_t source_row = panel * kPanelColumns + row - args.first_row;
            const bool padding = source_row >= args.num_rows && args.last;
            if (source_row < 0 || (source_row >= args.num_rows && !padding)) continue;
            low = smaller(low, row);
            high = row + 1;
            if (padding || depth < kStretch)
              __builtin_memset(static_cast<void*>(part[row]), 0, sizeof part[row]);
            if (padding) continue;
            const S* source =
                static_cast<const S*>(args.source) + source_row * args.source_stride + k;
            if constexpr (__is_same(S, W)) {
              __builtin_memcpy(part[row], source, static_cast<std::size_t>(depth) * sizeof(W));
            } else {
              for_each_vector(
                  depth, FASTCHAT_BODY(i, lanes) {
                    store_some(part[row] + i, load_some(source + i, lanes), lanes);
                  });
            }
          }
          const std::int64_t padded = depth + depth % 2;
          if constexpr (__is_same(W, Bf16)) {  // columns interleaved in pairs of k
            for (std::int64_t i = 0; i < padded; i += 2) {
              W* out = weight + (k + i) * kPanelColumns;
              for (std::int64_t row = low; row < high; ++row)
                __builtin_memcpy(out + 2 * row, &part[row][i], 4);
            }
          } else {
            for (std::int64_t i = 0; i < padded; ++i) {
              W* out = weight + (k + i) * kPanelColumns;
              for (std::int64_t row = low; row < high; ++row) out[row] = part[row][i];
            }
          }
        }
      }
    });
  });
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
