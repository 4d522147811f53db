// The kernels of the cpu: what each instruction set offers, as a table of functions over plain
// pointers.
//
// kernels/*.cpp are compiled once per instruction set, each time into a namespace of its own. This
// header and those files include nothing that defines inline functions outside that namespace: such
// a function, compiled with AVX-512 and merged by the linker, would reach callers on machines
// without it.
#pragma once

#include <cstdint>

namespace fastchat::ops::cpu {

enum class Element : std::uint8_t { f32, f16, bf16, i8 };  // i8: of weights only

constexpr std::int64_t size_of(Element element) {
  return element == Element::f32 ? 4 : element == Element::i8 ? 1 : 2;
}

/// Output rows per panel of a packed weight, and KV positions per block: a cache line of 16-bit
/// elements.
inline constexpr std::int64_t kPanelColumns = 32;
inline constexpr std::int64_t kKvBlockSize = 32;
/// Elements of the inner dimension worked on at a time. Sums carry over from one stretch to the
/// next, so this does not change any result; 12 rows of it fill 12 KiB of the first-level cache.
inline constexpr std::int64_t kDepth = 256;
/// Rows up to which `linear` reads a weight panel once, front to back, for all of them.
inline constexpr std::int64_t kStreamRows = 32;
/// Extent of a tile of `linear` beyond kStreamRows: its sums are 96 KiB, its stretch of weights 128
/// KiB.
inline constexpr std::int64_t kTileRows = 96;
inline constexpr std::int64_t kTilePanels = 8;
/// Query rows (token × head of a group) of a tile of attention.
inline constexpr std::int64_t kQueryRows = 48;
/// KV positions whose softmax is taken at once. Partitions start at multiples of this and are
/// merged in order, so the order of summation depends on positions only.
inline constexpr std::int64_t kPartition = 256;
/// Logits per entry of RowScan::chunk_max.
inline constexpr std::int64_t kChunk = 64;

struct ConstRows {
  const void* data = nullptr;
  Element element = Element::f32;
  std::int64_t stride = 0;  // elements from row to row
};

struct Rows {
  void* data = nullptr;
  Element element = Element::f32;
  std::int64_t stride = 0;
};

/// c[r][j] (+)= Σ_k x[r][k] w[k][j], k in order, one fused multiply-add (or multiply, then add) per
/// term. A weight pair (k, k + 1) of column j lies at w[k * pitch + 2 j] and the next element for
/// bf16, which makes both halves one shift or mask away from f32; f16, f32 and i8 lie at w[k *
/// pitch
/// + j].
struct PanelProduct {
  const float* x = nullptr;  // rows kDepth apart
  std::int64_t rows = 0;
  const void* w = nullptr;
  Element w_element = Element::f32;
  std::int64_t pitch = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;  // <= kDepth
  float* c = nullptr;      // rows c_pitch apart, room for columns rounded up to kPanelColumns
  std::int64_t c_pitch = 0;
  bool accumulate = false;
  bool prefetch = false;  // w is the front of a long stream
};

struct LinearArgs {
  ConstRows x;
  std::int64_t num_rows = 0;
  const void* weight =
      nullptr;  // panels of kPanelColumns rows; see PanelProduct, pitch kPanelColumns
  Element weight_element = Element::f32;
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  const float* bias = nullptr;  // or none
  Rows out;
  const float* weight_scales = nullptr;  // [out_features], with weights of i8
  const float* input_scales = nullptr;   // [num_rows], where x is quantized; see quantize_row
};

struct PackArgs {
  const void* source = nullptr;
  Element source_element = Element::f32;
  std::int64_t source_stride = 0;
  std::int64_t columns = 0;
  std::int64_t first_row = 0;  // of the packed weight
  std::int64_t num_rows = 0;
  bool last = false;  // pad the last panel
  void* weight = nullptr;
  Element weight_element = Element::f32;
};

struct NormArgs {
  Rows residual;  // add_rms_norm only: residual += x, then the norm of it
  ConstRows x;
  ConstRows weight;
  ConstRows bias;  // layer_norm only; data may be null
  std::int64_t width = 0;
  std::int64_t num_groups = 1;  // rms_norm only: a row is so many times `width`, each normed alone
  float eps = 0.0f;
  Rows out;
};

struct RotaryArgs {
  ConstRows x;
  Rows out;
  const float* table = nullptr;  // rows of rotary_dim: cosines, then sines
  std::int64_t table_stride = 0;
  std::int64_t num_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t rotary_dim = 0;
};

enum class GateKind : std::uint8_t { silu, gelu, gelu_tanh };

struct GateArgs {
  ConstRows gate_up;
  GateKind kind = GateKind::silu;
  std::int64_t width = 0;
  Rows out;
};

/// A layer's KV. One block holds, for each KV head, its keys as a panel product's weight
/// [head_dim][kKvBlockSize], and after the keys of all heads, for each head, its values as a weight
/// [kKvBlockSize][head_dim].
struct KvPointers {
  void* data = nullptr;
  Element element = Element::f32;
  std::int64_t num_blocks = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;  // even
};

struct KvWriteArgs {
  ConstRows k;
  ConstRows v;
  const std::int32_t* slots = nullptr;
  KvPointers kv;
};

struct AttentionArgs {
  ConstRows q;
  Rows out;
  KvPointers kv;
  std::int64_t group = 1;  // query heads per KV head
  float scale = 1.0f;
  float softcap = 0.0f;
  std::int64_t window = 0;
};

/// Rows [row_begin, row_end) of one sequence and one KV head; row = token of the step's part of the
/// sequence * group + head in the group. At most kQueryRows.
struct AttentionTile {
  const std::int32_t* blocks = nullptr;  // the sequence's row of the block table
  std::int64_t max_blocks = 0;
  std::int64_t context_len = 0;
  std::int64_t first_token = 0;     // row of q that the sequence starts at
  std::int64_t first_position = 0;  // of that token
  std::int64_t kv_head = 0;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
};

/// Softmax over some of the positions: out = sum / mass, weights relative to exp(max). Arrays over
/// the tile's rows; rows of `sum` are `pitch` apart.
struct AttentionState {
  float* max = nullptr;
  float* mass = nullptr;
  float* sum = nullptr;
  std::int64_t pitch = 0;
};

struct RowScan {
  float max = 0.0f;  // NaN when the row holds one
};

/// One instruction set's kernels. Ranges are of rows unless said otherwise; no result depends on
/// how they are cut.
struct Kernels {
  const char* name;

  void (*convert)(
      const void* x, Element x_element, void* out, Element out_element, std::int64_t count);
  /// out += x
  void (*add)(const void* x, Element x_element, void* out, Element out_element, std::int64_t count);
  void (*rms_norm)(const NormArgs& args, std::int64_t begin, std::int64_t end);
  void (*add_rms_norm)(const NormArgs& args, std::int64_t begin, std::int64_t end);
  void (*layer_norm)(const NormArgs& args, std::int64_t begin, std::int64_t end);
  void (*rotary)(const RotaryArgs& args, std::int64_t begin, std::int64_t end);
  void (*gated_activation)(const GateArgs& args, std::int64_t begin, std::int64_t end);
  void (*kv_write)(const KvWriteArgs& args, std::int64_t begin, std::int64_t end);

  /// Panels [begin, end) of the packed weight, as far as the slice reaches into them.
  void (*pack)(const PackArgs& args, std::int64_t begin, std::int64_t end);
  /// Whole numbers of -127 to 127 that times the scale, which is returned, are nearest to x:
  /// max|x| / 127; 1 for zeros, NaN where x has what is no finite number.
  float (*quantize_row)(const float* x, std::int64_t count, std::int8_t* out);
  /// The scales that quantize_row would give rows [begin, end) of args.x.
  void (*linear_input_scales)(const LinearArgs& args,
                              std::int64_t begin,
                              std::int64_t end,
                              float* scales);
  /// x in f32, whole numbers where args.input_scales has them quantized, in stretches of kDepth:
  /// stretch s of row r at (s * num_rows + r) * kDepth. Writes
  /// nothing where linear_stream reads args.x itself.
  void (*linear_prepare)(const LinearArgs& args, float* x);
  /// All rows, panels [begin, end). For at most kStreamRows rows.
  void (*linear_stream)(const LinearArgs& args,
                        const float* x,
                        std::int64_t begin,
                        std::int64_t end);
  /// One tile: rows [row_begin, row_end), at most kTileRows; panels [begin, end), at most
  /// kTilePanels. scratch: kLinearTileFloats.
  void (*linear_tile)(const LinearArgs& args,
                      std::int64_t row_begin,
                      std::int64_t row_end,
                      std::int64_t begin,
                      std::int64_t end,
                      float* scratch);

  /// The tile's queries in f32, scaled: stretch s (of kDepth elements) of row r at (s * num_rows +
  /// r) * kDepth.
  void (*attention_queries)(const AttentionArgs& args, const AttentionTile& tile, float* q);
  /// Softmax over positions [partition * kPartition, + kPartition). scores: kQueryRows * kPartition
  /// floats.
  void (*attention_partition)(const AttentionArgs& args,
                              const AttentionTile& tile,
                              const float* q,
                              std::int64_t partition,
                              float* scores,
                              const AttentionState& out);
  /// Folds a later partition into the state of those before it.
  void (*attention_merge)(const AttentionState& state,
                          const AttentionState& later,
                          std::int64_t num_rows);
  void (*attention_finish)(const AttentionArgs& args,
                           const AttentionTile& tile,
                           const AttentionState& state);

  /// Maximum of each kChunk of the row, and of the row.
  RowScan (*scan)(const float* x, std::int64_t count, float* chunk_max);
  /// out[i] = exp((x[i] - max) * inverse_temperature), rounded to a multiple of `quantum` (a power
  /// of two below 1/4096): sums of them in f64 are exact while below quantum * 2^53, so no order of
  /// summation changes them.
  void (*sample_weights)(const float* x,
                         std::int64_t count,
                         float max,
                         float inverse_temperature,
                         float quantum,
                         float* out);
  /// Sum of the same weights.
  double (*sample_mass)(
      const float* x, std::int64_t count, float max, float inverse_temperature, float quantum);

  /// Multiply-adds on registers, for measuring what the cores can do at best; all return how many
  /// one call did. The one of bf16 is null where bf16 is computed in f32.
  std::int64_t (*multiply_adds_f32)(std::int64_t rounds);
  std::int64_t (*multiply_adds_bf16)(std::int64_t rounds);
  std::int64_t (*multiply_adds_int8)(std::int64_t rounds);
};

inline constexpr std::int64_t kLinearTileFloats =
    kTileRows * kDepth + kTileRows * kTilePanels * kPanelColumns;

namespace generic {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
namespace avx512_bf16 {
extern const Kernels kKernels;
}
namespace neon {
extern const Kernels kKernels;
}
namespace neon_bf16 {
extern const Kernels kKernels;
}

}  // namespace fastchat::ops::cpu
