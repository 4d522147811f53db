// FusedInferAttentionScoreV2 to V4: what they compute.
#include <algorithm>
#include <cstring>
#include <limits>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/attention.h"
#include "emulator/ops/parallel_for.h"
#include "emulator/ops/transformer/attention_arguments.h"

namespace emulator {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();
constexpr int64_t kScoresPerTask = int64_t{1} << 18;  // 1 MiB of f32

/// Keys or values of one sequence: where position p of head h lies.
struct Positions {
  std::vector<const std::byte*> runs;  // first value of head 0 at positions 0, run, 2 · run …
  int64_t run = 1;
  int64_t position_stride = 0;
  int64_t head_stride = 0;
  int64_t value_stride = 1;
  aclDataType dtype = ACL_FLOAT16;

  void load(int64_t head, int64_t count, int64_t head_dim, float* out) const {
    const int64_t bytes = element_bytes(dtype);
    for (int64_t p = 0; p < count; ++p) {
      const std::byte* first = runs[static_cast<size_t>(p / run)] +
                               ((p % run) * position_stride + head * head_stride) * bytes;
      load_row(dtype, first, value_stride, head_dim, out + p * head_dim);
    }
  }
};

/// One piece of work: some query positions of one sequence for all heads that share a key head.
struct Piece {
  int64_t sequence, key_head, begin, end;
};

class Computation {
 public:
  Computation(const Attention& attention, const Run& run)
      : a_(attention),
        query_(run.view(a_.query)),
        out_(run.view(a_.out)),
        query_strides_(head_strides(a_.query, a_.layout, a_.head_dim)),
        out_strides_(head_strides(
            a_.out, a_.layout == Layout::bnsd_bsnd ? Layout::bsnd : a_.layout, a_.head_dim)) {
    if (a_.bias) bias_ = run.view(*a_.bias);
    if (a_.mask) mask_ = run.view(*a_.mask);
    if (a_.log_sum_exp) lse_ = run.view(*a_.log_sum_exp);
    if (a_.mask && a_.compressed_mask()) check_triangle(run);
    std::vector<int64_t> table;
    if (a_.paged()) table = load_all<int64_t>(run.view(*a_.block_table));
    for (int64_t b = 0; b < a_.num_sequences; ++b) {
      keys_.push_back(positions(run, a_.keys, b, table));
      values_.push_back(positions(run, a_.values, b, table));
    }
  }

  void run() {
    // Positions past a sequence's length: zeros.
    std::memset(out_.data, 0, static_cast<size_t>(a_.out.bytes()));
    if (a_.log_sum_exp) {
      const std::vector<float> none(static_cast<size_t>(lse_.count()),
                                    std::numeric_limits<float>::infinity());
      store_all(lse_, none.data());
    }
    const std::vector<Piece> pieces = split();
    parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) compute(pieces[static_cast<size_t>(i)]);
    });
  }

 private:
  int64_t group() const { return a_.num_heads / a_.num_key_heads; }

  Positions positions(const Run& run,
                      const std::vector<Operand>& tensors,
                      int64_t sequence,
                      const std::vector<int64_t>& table) const {
    const auto b = static_cast<size_t>(sequence);
    const Operand& tensor = tensors[tensors.size() > 1 ? b : 0];
    const Dims& s = tensor.meta.strides;
    const int64_t length = a_.key_lengths[b];
    Positions out;
    out.dtype = tensor.dtype();
    if (a_.paged()) {
      out.run = a_.block_size;
      out.position_stride = s[a_.heads_before_positions ? 2 : 1];
      out.value_stride = s.back();
      out.head_stride = a_.heads_before_positions ? s[1] : a_.head_dim * s[2];
      const Dims block_dims(tensor.dims().begin() + 1, tensor.dims().end());
      const Dims block_strides(s.begin() + 1, s.end());
      const int64_t width = a_.block_table->dim(1);
      for (int64_t i = 0; i * a_.block_size < length; ++i) {
        const int64_t block = table[static_cast<size_t>(sequence * width + i)];
        if (block < 0 || block >= tensor.dim(0)) {
          run.fault(fmt::format("blockTable holds {} for sequence {}, there are {} blocks",
                                block,
                                sequence,
                                tensor.dim(0)));
        }
        out.runs.push_back(run.part(tensor, block * s[0], block_dims, block_strides).data);
      }
      return out;
    }
    const Layout layout = a_.layout == Layout::bnsd_bsnd ? Layout::bnsd : a_.layout;
    const HeadStrides strides = head_strides(tensor, layout, a_.head_dim);
    out.position_stride = strides.position;
    out.head_stride = strides.head;
    out.value_stride = strides.value;
    out.run = std::max<int64_t>(1, length);
    const int64_t first = (tensors.size() > 1 ? 0 : sequence * strides.sequence) +
                          a_.key_starts[b] * strides.position;
    out.runs.push_back(run.part(tensor,
                                first,
                                {length, a_.num_key_heads, a_.head_dim},
                                {strides.position, strides.head, strides.value})
                           .data);
    return out;
  }

  /// The compressed mask must be the triangle that the vendor documents: a few rows are looked at.
  void check_triangle(const Run& run) const {
    const int64_t side = mask_.dims.back();
    for (const int64_t row : {int64_t{0}, int64_t{1}, side / 2, side - 1}) {
      const std::byte* line = mask_.data + row * side;
      for (int64_t column = 0; column < side; ++column) {
        if ((line[column] != std::byte{0}) != (column > row)) {
          run.fault(fmt::format("attenMask is not the upper triangle at ({}, {})", row, column));
        }
      }
    }
  }

  std::vector<Piece> split() const {
    std::vector<Piece> pieces;
    for (int64_t b = 0; b < a_.num_sequences; ++b) {
      const int64_t queries = a_.query_lengths[static_cast<size_t>(b)];
      const int64_t keys = std::max<int64_t>(1, a_.key_lengths[static_cast<size_t>(b)]);
      const int64_t step = std::clamp<int64_t>(kScoresPerTask / (keys * group()), 1, 64);
      for (int64_t head = 0; head < a_.num_key_heads; ++head) {
        for (int64_t begin = 0; begin < queries; begin += step) {
          pieces.push_back({b, head, begin, std::min(begin + step, queries)});
        }
      }
    }
    return pieces;
  }

  /// Keys [first, last) that query position i of a sequence may see.
  std::pair<int64_t, int64_t> window(int64_t sequence, int64_t i) const {
    const int64_t keys = a_.key_lengths[static_cast<size_t>(sequence)];
    const int64_t shift = keys - a_.query_lengths[static_cast<size_t>(sequence)];
    int64_t first = 0;
    int64_t last = keys;
    switch (a_.sparse_mode) {
      case 0:
        if (!a_.mask || a_.decode()) break;
        first = i - a_.pre_tokens;
        last = i + a_.next_tokens + 1;
        break;
      case 2:
        last = i + 1;
        break;
      case 3:
        last = i + shift + 1;
        break;
      case 4:
        first = i + shift - a_.pre_tokens;
        last = i + shift + a_.next_tokens + 1;
        break;
      default:
        break;
    }
    last = std::clamp<int64_t>(last, 0, keys);
    return {std::clamp<int64_t>(first, 0, last), last};
  }

  void compute(const Piece& piece) {
    const auto b = static_cast<size_t>(piece.sequence);
    const int64_t dim = a_.head_dim;
    const int64_t rows = (piece.end - piece.begin) * group();
    int64_t keys = 0;  // no row of the piece sees more
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      keys = std::max(keys, window(piece.sequence, i).second);
    }
    std::vector<float> queries(static_cast<size_t>(rows * dim));
    std::vector<float> key_rows(static_cast<size_t>(keys * dim));
    std::vector<float> value_rows(static_cast<size_t>(keys * dim));
    std::vector<float> results(static_cast<size_t>(rows * dim));
    std::vector<float> lse(static_cast<size_t>(rows));
    for (int64_t row = 0; row < rows; ++row) {
      load_row(query_.dtype,
               query_.data + offset(query_strides_, piece, row) * element_bytes(query_.dtype),
               query_strides_.value,
               dim,
               queries.data() + row * dim);
    }
    keys_[b].load(piece.key_head, keys, dim, key_rows.data());
    values_[b].load(piece.key_head, keys, dim, value_rows.data());
    attend({.num_rows = rows,
            .num_keys = keys,
            .key_dim = dim,
            .value_dim = dim,
            .queries = queries.data(),
            .keys = key_rows.data(),
            .values = value_rows.data(),
            .scale = static_cast<float>(a_.scale),
            .shape_scores = [&](int64_t row,
                                float* scores) { shape_scores(piece, row, keys, scores); },
            .repair_masked_rows = (a_.inner_precise & 2) != 0,
            .out = results.data(),
            .log_sum_exp = lse.data()});
    for (int64_t row = 0; row < rows; ++row) {
      store_row(out_.dtype,
                out_.data + offset(out_strides_, piece, row) * element_bytes(out_.dtype),
                out_strides_.value,
                dim,
                results.data() + row * dim);
      if (a_.log_sum_exp) store_lse(piece, row, lse[static_cast<size_t>(row)]);
    }
  }

  int64_t head_of(const Piece& piece, int64_t row) const {
    return piece.key_head * group() + row % group();
  }

  int64_t offset(const HeadStrides& strides, const Piece& piece, int64_t row) const {
    const int64_t position =
        a_.query_starts[static_cast<size_t>(piece.sequence)] + piece.begin + row / group();
    return piece.sequence * strides.sequence + position * strides.position +
           head_of(piece, row) * strides.head;
  }

  void store_lse(const Piece& piece, int64_t row, float value) {
    const int64_t position =
        a_.query_starts[static_cast<size_t>(piece.sequence)] + piece.begin + row / group();
    const int64_t head = head_of(piece, row);
    const int64_t at = a_.packed()
                           ? position * a_.num_heads + head
                           : (piece.sequence * a_.num_heads + head) * a_.query_capacity + position;
    store_row(ACL_FLOAT, lse_.data + at * 4, 1, 1, &value);
  }

  void shape_scores(const Piece& piece, int64_t row, int64_t keys, float* scores) const {
    const int64_t i = piece.begin + row / group();
    if (a_.bias) {
      std::vector<float> addends(static_cast<size_t>(keys));
      const int64_t at = (bias_.dims[0] == 1 ? 0 : piece.sequence * bias_.strides[0]) +
                         head_of(piece, row) * bias_.strides[1] + i * bias_.strides[2];
      load_row(bias_.dtype,
               bias_.data + at * element_bytes(bias_.dtype),
               bias_.strides[3],
               keys,
               addends.data());
      for (int64_t j = 0; j < keys; ++j) scores[j] += addends[static_cast<size_t>(j)];
    }
    const auto [first, last] = window(piece.sequence, i);
    std::fill(scores, scores + std::min(first, keys), kMasked);
    std::fill(scores + std::min(last, keys), scores + keys, kMasked);
    if (!a_.mask || a_.compressed_mask()) return;
    const size_t rank = mask_.dims.size();
    int64_t at = 0;
    if (a_.decode()) {
      at = piece.sequence * mask_.strides[0];
    } else {
      at = i * mask_.strides[rank - 2];
      if (rank > 2 && mask_.dims[0] > 1) at += piece.sequence * mask_.strides[0];
    }
    for (int64_t j = 0; j < keys; ++j) {
      if (mask_.data[at + j * mask_.strides[rank - 1]] != std::byte{0}) scores[j] = kMasked;
    }
  }

  const Attention& a_;
  HostView query_, out_, bias_, mask_, lse_;
  HeadStrides query_strides_, out_strides_;
  std::vector<Positions> keys_, values_;
};

/// Grows with the longest sequence, in steps as the split of a sequence over cores does.
int64_t workspace_of(const Attention& a, int64_t longest) {
  constexpr int64_t kKeysPerPart = 1024;
  const int64_t parts = (longest + kKeysPerPart - 1) / kKeysPerPart;
  const int64_t rows = a.num_sequences * a.num_heads * std::min<int64_t>(a.query_capacity, 128);
  return kCubeWorkspace + rows * (a.head_dim + 16) * 4 * std::max<int64_t>(1, parts);
}

/// Pairs of a query and a key that it sees, where new tokens end with the keys: all but the later
/// ones under a causal mask.
double pairs_of(const Attention& a, size_t sequence) {
  const auto queries = static_cast<double>(a.query_lengths[sequence]);
  const auto keys = static_cast<double>(a.key_lengths[sequence]);
  const bool causal = a.sparse_mode == 2 || a.sparse_mode == 3;
  return causal && queries <= keys ? queries * keys - queries * (queries - 1) / 2 : queries * keys;
}

/// Two products of each pair; keys and values as far as the lengths say, each once.
void count_work(Phase1& op, const Attention& a) {
  double pairs = 0;
  double keys = 0;
  for (size_t b = 0; b < a.key_lengths.size(); ++b) {
    pairs += pairs_of(a, b);
    keys += static_cast<double>(a.key_lengths[b]);
  }
  op.flops(4 * pairs * static_cast<double>(a.num_heads * a.head_dim));
  for (const auto* tensors : {&a.keys, &a.values}) {
    const double share = 1 / static_cast<double>(tensors->size());
    for (const Operand& tensor : *tensors) {
      const auto position =
          static_cast<double>(a.num_key_heads * a.head_dim * element_bytes(tensor.dtype()));
      op.touches(tensor, keys * position * share);
    }
  }
  if (a.mask && a.compressed_mask()) op.touches(*a.mask, 0);  // built from positions
}

enum class Lengths { actual, longest };

void attention(Phase1& op, const RawAttention& raw, Lengths lengths) {
  const Attention a = take_attention(op, raw);
  const int64_t actual = *std::max_element(a.key_lengths.begin(), a.key_lengths.end());
  op.workspace(workspace_of(a, lengths == Lengths::longest ? a.key_capacity : actual));
  count_work(op, a);
  op.run([a](const Run& run) { Computation(a, run).run(); });
}

/// The first of the named arguments that is given.
struct Given {
  const char* argument;
  const void* value;
};
const char* first_given(std::initializer_list<Given> arguments) {
  for (const Given& given : arguments) {
    if (given.value != nullptr) return given.argument;
  }
  return nullptr;
}

}  // namespace
}  // namespace emulator

using namespace emulator;

// The argument lists of the versions, in the order of the vendor's table, and what they share.
#define EMULATOR_FIA_TENSORS                                                                   \
  const aclTensor *query, const aclTensorList *key, const aclTensorList *value,                \
      const aclTensor *pse_shift, const aclTensor *atten_mask,                                 \
      const aclIntArray *actual_seq_lengths, const aclIntArray *actual_seq_lengths_kv,         \
      const aclTensor *deq_scale1, const aclTensor *quant_scale1, const aclTensor *deq_scale2, \
      const aclTensor *quant_scale2, const aclTensor *quant_offset2,                           \
      const aclTensor *antiquant_scale, const aclTensor *antiquant_offset,                     \
      const aclTensor *block_table, const aclTensor *query_padding_size,                       \
      const aclTensor *kv_padding_size, const aclTensor *key_antiquant_scale,                  \
      const aclTensor *key_antiquant_offset, const aclTensor *value_antiquant_scale,           \
      const aclTensor *value_antiquant_offset, const aclTensor *key_shared_prefix,             \
      const aclTensor *value_shared_prefix, const aclIntArray *actual_shared_prefix_len
#define EMULATOR_FIA_ROPE \
  const aclTensor *query_rope, const aclTensor *key_rope, const aclTensor *key_rope_antiquant_scale
#define EMULATOR_FIA_ATTRIBUTES                                                                    \
  int64_t num_heads, double scale, int64_t pre_tokens, int64_t next_tokens, char *input_layout,    \
      int64_t num_key_value_heads, int64_t sparse_mode, int64_t inner_precise, int64_t block_size, \
      int64_t /*antiquant_mode*/, bool softmax_lse_flag, int64_t /*key_antiquant_mode*/,           \
      int64_t /*value_antiquant_mode*/
#define EMULATOR_FIA_OUTPUTS const aclTensor *attention_out, const aclTensor *softmax_lse
#define EMULATOR_FIA_RAW(NAME, ...)                                                     \
  RawAttention NAME;                                                                    \
  NAME.query = query;                                                                   \
  NAME.key = key;                                                                       \
  NAME.value = value;                                                                   \
  NAME.pse_shift = pse_shift;                                                           \
  NAME.atten_mask = atten_mask;                                                         \
  NAME.query_lengths = actual_seq_lengths;                                              \
  NAME.key_lengths = actual_seq_lengths_kv;                                             \
  NAME.block_table = block_table;                                                       \
  NAME.num_heads = num_heads;                                                           \
  NAME.scale = scale;                                                                   \
  NAME.pre_tokens = pre_tokens;                                                         \
  NAME.next_tokens = next_tokens;                                                       \
  NAME.layout = input_layout;                                                           \
  NAME.num_key_value_heads = num_key_value_heads;                                       \
  NAME.sparse_mode = sparse_mode;                                                       \
  NAME.inner_precise = inner_precise;                                                   \
  NAME.block_size = block_size;                                                         \
  NAME.softmax_lse_flag = softmax_lse_flag;                                             \
  NAME.out = attention_out;                                                             \
  NAME.softmax_lse = softmax_lse;                                                       \
  NAME.not_emulated = first_given({{"deqScale1", deq_scale1},                           \
                                   {"quantScale1", quant_scale1},                       \
                                   {"deqScale2", deq_scale2},                           \
                                   {"quantScale2", quant_scale2},                       \
                                   {"quantOffset2", quant_offset2},                     \
                                   {"antiquantScale", antiquant_scale},                 \
                                   {"antiquantOffset", antiquant_offset},               \
                                   {"queryPaddingSize", query_padding_size},            \
                                   {"kvPaddingSize", kv_padding_size},                  \
                                   {"keyAntiquantScale", key_antiquant_scale},          \
                                   {"keyAntiquantOffset", key_antiquant_offset},        \
                                   {"valueAntiquantScale", value_antiquant_scale},      \
                                   {"valueAntiquantOffset", value_antiquant_offset},    \
                                   {"keySharedPrefix", key_shared_prefix},              \
                                   {"valueSharedPrefix", value_shared_prefix},          \
                                   {"actualSharedPrefixLen", actual_shared_prefix_len}, \
                                   ##__VA_ARGS__})
#define EMULATOR_FIA_ROPE_GIVEN                       \
  {"queryRope", query_rope}, {"keyRope", key_rope}, { \
    "keyRopeAntiquantScale", key_rope_antiquant_scale \
  }

EMULATOR_OPERATOR(aclnnFusedInferAttentionScoreV2,
                  EMULATOR_FIA_TENSORS,
                  EMULATOR_FIA_ATTRIBUTES,
                  EMULATOR_FIA_OUTPUTS) {
  return phase1("aclnnFusedInferAttentionScoreV2", workspace_size, executor, [&](Phase1& op) {
    EMULATOR_FIA_RAW(raw);
    attention(op, raw, Lengths::actual);
  });
}

extern "C" aclnnStatus aclnnFusedInferAttentionScoreV2GetMaxWorkspaceSize(
    EMULATOR_FIA_TENSORS,
    EMULATOR_FIA_ATTRIBUTES,
    EMULATOR_FIA_OUTPUTS,
    uint64_t* workspace_size,
    aclOpExecutor** executor) {
  return phase1("aclnnFusedInferAttentionScoreV2", workspace_size, executor, [&](Phase1& op) {
    EMULATOR_FIA_RAW(raw);
    attention(op, raw, Lengths::longest);
  });
}

EMULATOR_OPERATOR(aclnnFusedInferAttentionScoreV3,
                  EMULATOR_FIA_TENSORS,
                  EMULATOR_FIA_ROPE,
                  EMULATOR_FIA_ATTRIBUTES,
                  EMULATOR_FIA_OUTPUTS) {
  return phase1("aclnnFusedInferAttentionScoreV3", workspace_size, executor, [&](Phase1& op) {
    EMULATOR_FIA_RAW(raw, EMULATOR_FIA_ROPE_GIVEN);
    attention(op, raw, Lengths::actual);
  });
}

extern "C" aclnnStatus aclnnFusedInferAttentionScoreV3GetMaxWorkspaceSize(
    EMULATOR_FIA_TENSORS,
    EMULATOR_FIA_ROPE,
    EMULATOR_FIA_ATTRIBUTES,
    EMULATOR_FIA_OUTPUTS,
    uint64_t* workspace_size,
    aclOpExecutor** executor) {
  return phase1("aclnnFusedInferAttentionScoreV3", workspace_size, executor, [&](Phase1& op) {
    EMULATOR_FIA_RAW(raw, EMULATOR_FIA_ROPE_GIVEN);
    attention(op, raw, Lengths::longest);
  });
}

EMULATOR_OPERATOR(aclnnFusedInferAttentionScoreV4,
                  EMULATOR_FIA_TENSORS,
                  EMULATOR_FIA_ROPE,
                  const aclTensor* dequant_scale_query,
                  const aclTensor* learnable_sink,
                  EMULATOR_FIA_ATTRIBUTES,
                  int64_t /*query_quant_mode*/,
                  EMULATOR_FIA_OUTPUTS) {
  return phase1("aclnnFusedInferAttentionScoreV4", workspace_size, executor, [&](Phase1& op) {
    EMULATOR_FIA_RAW(raw,
                     EMULATOR_FIA_ROPE_GIVEN,
                     {"dequantScaleQuery", dequant_scale_query},
                     {"learnableSink", learnable_sink});
    attention(op, raw, Lengths::actual);
  });
}
