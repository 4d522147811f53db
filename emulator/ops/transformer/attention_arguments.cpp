#include "emulator/ops/transformer/attention_arguments.h"

#include <algorithm>
#include <numeric>

namespace emulator {
namespace {

constexpr int64_t kMaxSequences = 65536;
constexpr int64_t kMaxListed = 256;  // tensors in key and value
constexpr int64_t kMaxHeads = 256;
constexpr int64_t kMaxHeadDim = 512;
constexpr int64_t kMaxPackedHeadDim = 256;
constexpr int64_t kMaxLengths = 4096;  // entries of a length array
constexpr int64_t kMaxPositions = int64_t{20} << 20;
constexpr int64_t kMaxBlockSize = 512;
constexpr int64_t kMaxRow = 65535;  // N · D of a cache (blocks, block size, N · D)
constexpr int64_t kMaxDecodeGroup = 64;
constexpr int64_t kMaskSide = 2048;  // of the compressed mask

Layout layout_of(const Phase1& op, const std::string& name) {
  if (name == "BSH") return Layout::bsh;
  if (name == "BSND") return Layout::bsnd;
  if (name == "BNSD") return Layout::bnsd;
  if (name == "BNSD_BSND") return Layout::bnsd_bsnd;
  if (name == "TND") return Layout::tnd;
  op.refuse_with(561002, fmt::format("inputLayout is \"{}\"", name));
}

/// Layout of keys and values, and of the result.
Layout key_layout(Layout layout) { return layout == Layout::bnsd_bsnd ? Layout::bnsd : layout; }

int64_t rank_of(Layout layout) { return layout == Layout::bsh || layout == Layout::tnd ? 3 : 4; }

struct Shape {
  int64_t sequences = 1;  // 1 in TND
  int64_t positions = 0;  // all tokens in TND
  int64_t head_dim = 0;
};

/// Reads the dims of a dense query, key or value with `heads` heads.
Shape shape_of(const Phase1& op, const Operand& operand, Layout layout, int64_t heads) {
  op.require_tiling(operand.rank() == rank_of(layout),
                    "{} has {} dims, inputLayout wants {}",
                    operand.argument,
                    operand.rank(),
                    rank_of(layout));
  if (layout == Layout::bsh) {
    op.require_tiling(operand.dim(2) % heads == 0,
                      "{} has rows of {} for {} heads",
                      operand.argument,
                      operand.dim(2),
                      heads);
    return {operand.dim(0), operand.dim(1), operand.dim(2) / heads};
  }
  const int64_t head_axis = layout == Layout::bsnd ? 2 : 1;
  op.require_tiling(operand.dim(head_axis) == heads,
                    "{} has {} heads, expected {}",
                    operand.argument,
                    operand.dim(head_axis),
                    heads);
  if (layout == Layout::tnd) return {1, operand.dim(0), operand.dim(2)};
  return {operand.dim(0), operand.dim(layout == Layout::bsnd ? 1 : 2), operand.dim(3)};
}

void check_heads(const Phase1& op, const Attention& a) {
  op.require_tiling(a.num_heads > 0 && a.num_heads <= kMaxHeads,
                    "numHeads is {}, expected 1 to {}",
                    a.num_heads,
                    kMaxHeads);
  op.require_tiling(a.num_key_heads > 0 && a.num_heads % a.num_key_heads == 0,
                    "numHeads {} is no multiple of numKeyValueHeads {}",
                    a.num_heads,
                    a.num_key_heads);
}

void check_query(const Phase1& op, const Attention& a) {
  op.require_tiling(a.num_sequences > 0 && a.num_sequences <= kMaxSequences,
                    "{} sequences, expected 1 to {}",
                    a.num_sequences,
                    kMaxSequences);
  op.require_tiling(a.head_dim > 0 && a.head_dim % 16 == 0 && a.head_dim <= kMaxHeadDim,
                    "heads of {} values, expected a multiple of 16 up to {}",
                    a.head_dim,
                    kMaxHeadDim);
  op.require_tiling(!a.packed() || a.head_dim <= kMaxPackedHeadDim,
                    "TND takes heads of at most {} values, not {}",
                    kMaxPackedHeadDim,
                    a.head_dim);
  op.require_tiling(a.layout != Layout::bnsd_bsnd || a.query_capacity > 1,
                    "BNSD_BSND takes more than one query position");
  op.require_tiling(!a.decode() || a.num_heads / a.num_key_heads <= kMaxDecodeGroup,
                    "{} query heads share a key head, at most {} may",
                    a.num_heads / a.num_key_heads,
                    kMaxDecodeGroup);
  if (a.decode()) {
    op.require_tiling(a.inner_precise == 0 || a.inner_precise == 1,
                      "innerPrecise is {}, one query position takes 0 or 1",
                      a.inner_precise);
  } else {
    op.require_tiling(a.inner_precise >= 0 && a.inner_precise <= 3,
                      "innerPrecise is {}, expected 0 to 3",
                      a.inner_precise);
  }
}

/// Lengths of dense layouts: one for all, or one per sequence.
Dims spread_lengths(const Phase1& op,
                    const char* argument,
                    const std::optional<Dims>& lengths,
                    int64_t sequences,
                    const Dims& capacities) {
  if (!lengths || lengths->empty()) return capacities;
  const auto given = static_cast<int64_t>(lengths->size());
  op.require_tiling(given == 1 || given >= sequences,
                    "{} has {} entries for {} sequences",
                    argument,
                    given,
                    sequences);
  Dims out(static_cast<size_t>(sequences));
  for (size_t b = 0; b < out.size(); ++b) {
    out[b] = (*lengths)[given == 1 ? 0 : b];
    op.require_tiling(out[b] >= 0 && out[b] <= capacities[b],
                      "{} holds {} where there are {} positions",
                      argument,
                      out[b],
                      capacities[b]);
  }
  return out;
}

/// Cumulative lengths (last = all tokens) as starts and lengths.
void split_cumulative(const Phase1& op,
                      const char* argument,
                      const Dims& ends,
                      int64_t tokens,
                      Dims& starts,
                      Dims& lengths) {
  int64_t begin = 0;
  for (const int64_t end : ends) {
    op.require_tiling(end >= begin, "{} is cumulative in TND, {} follows {}", argument, end, begin);
    starts.push_back(begin);
    lengths.push_back(end - begin);
    begin = end;
  }
  op.require_tiling(
      begin == tokens, "{} ends with {}, there are {} tokens", argument, begin, tokens);
}

void check_length_count(const Phase1& op, const char* argument, const std::optional<Dims>& array) {
  op.require_tiling(!array || static_cast<int64_t>(array->size()) <= kMaxLengths,
                    "{} has {} entries, at most {} go",
                    argument,
                    array ? array->size() : 0,
                    kMaxLengths);
}

void take_dense_keys(const Phase1& op, Attention& a, const std::optional<Dims>& key_lengths) {
  const bool listed = a.keys.size() > 1;
  op.require_tiling(
      !listed || (!a.packed() && static_cast<int64_t>(a.keys.size()) == a.num_sequences &&
                  a.num_sequences <= kMaxListed),
      "key lists {} tensors: expected one, or, in dense layouts, one for each of at "
      "most {} sequences, here {}",
      a.keys.size(),
      kMaxListed,
      a.num_sequences);
  Dims capacities;
  const Layout layout = key_layout(a.layout);
  for (size_t i = 0; i < a.keys.size(); ++i) {
    const Shape key = shape_of(op, a.keys[i], layout, a.num_key_heads);
    const Shape value = shape_of(op, a.values[i], layout, a.num_key_heads);
    op.require_tiling(key.head_dim == a.head_dim && value.head_dim == a.head_dim,
                      "heads of query, key and value have {}, {} and {} values",
                      a.head_dim,
                      key.head_dim,
                      value.head_dim);
    op.require_tiling(key.positions == value.positions && key.sequences == value.sequences,
                      "key and value differ in sequences or positions");
    op.require_tiling(key.sequences == (listed || a.packed() ? 1 : a.num_sequences),
                      "key has {} sequences, query {}",
                      key.sequences,
                      a.num_sequences);
    op.require_tiling(key.positions <= kMaxPositions, "key has {} positions", key.positions);
    capacities.push_back(key.positions);
  }
  a.key_capacity = *std::max_element(capacities.begin(), capacities.end());
  a.key_starts.assign(static_cast<size_t>(a.num_sequences), 0);
  if (a.packed()) {
    op.require_tiling(key_lengths && static_cast<int64_t>(key_lengths->size()) == a.num_sequences,
                      "TND takes one entry per sequence in actualSeqLengthsKv");
    a.key_starts.clear();
    split_cumulative(
        op, "actualSeqLengthsKv", *key_lengths, a.key_capacity, a.key_starts, a.key_lengths);
    return;
  }
  if (!listed) capacities.assign(static_cast<size_t>(a.num_sequences), a.key_capacity);
  a.key_lengths =
      spread_lengths(op, "actualSeqLengthsKv", key_lengths, a.num_sequences, capacities);
}

void check_block_size(const Phase1& op, const Attention& a) {
  if (a.packed()) return;  // check_packed has its own rule
  const bool decode = a.decode();
  const int64_t step = decode ? 16 : 128;
  op.require_tiling(
      a.block_size >= step && a.block_size % step == 0 && a.block_size <= kMaxBlockSize,
      "blockSize is {}, {} query position takes multiples of {} up to {}",
      a.block_size,
      decode ? "one" : "more than one",
      step,
      kMaxBlockSize);
}

void take_paged_keys(const Phase1& op,
                     Attention& a,
                     int64_t block_size,
                     const std::optional<Dims>& key_lengths) {
  op.require_tiling(a.keys.size() == 1, "key lists {} tensors, paging takes one", a.keys.size());
  const Operand& table = *a.block_table;
  op.dtype_in(table, {ACL_INT32});
  op.require_tiling(table.rank() == 2 && table.dim(0) == a.num_sequences,
                    "blockTable is [{}], expected one row for each of {} sequences",
                    fmt::join(table.dims(), ", "),
                    a.num_sequences);
  a.block_size = block_size;
  check_block_size(op, a);
  const bool by_heads = a.keys[0].rank() == 4;
  a.heads_before_positions = by_heads;
  op.require_tiling(!by_heads || a.layout == Layout::bnsd || a.layout == Layout::bnsd_bsnd ||
                        a.layout == Layout::tnd,
                    "a cache (blocks, N, block size, D) goes with BNSD and TND only");
  for (const Operand* cache : {&a.keys[0], &a.values[0]}) {
    const int64_t blocks = cache->rank() == 0 ? 0 : cache->dim(0);
    const Dims expected = by_heads ? Dims{blocks, a.num_key_heads, block_size, a.head_dim}
                                   : Dims{blocks, block_size, a.num_key_heads * a.head_dim};
    op.require_tiling(cache->dims() == expected,
                      "{} is [{}], a paged cache of this blockSize and these heads is [{}]",
                      cache->argument,
                      fmt::join(cache->dims(), ", "),
                      fmt::join(expected, ", "));
  }
  op.require_tiling(a.keys[0].dim(0) == a.values[0].dim(0), "key and value differ in blocks");
  op.require_tiling(by_heads || a.num_key_heads * a.head_dim <= kMaxRow,
                    "rows of {} values, at most {} go",
                    a.num_key_heads * a.head_dim,
                    kMaxRow);
  op.require_tiling(key_lengths && !key_lengths->empty(), "paging needs actualSeqLengthsKv");
  a.key_capacity = table.dim(1) * block_size;
  a.key_starts.assign(static_cast<size_t>(a.num_sequences), 0);
  op.require_tiling(!a.packed() || static_cast<int64_t>(key_lengths->size()) == a.num_sequences,
                    "TND takes one entry per sequence in actualSeqLengthsKv");
  a.key_lengths = spread_lengths(op,
                                 "actualSeqLengthsKv",
                                 key_lengths,
                                 a.num_sequences,
                                 Dims(static_cast<size_t>(a.num_sequences), a.key_capacity));
}

/// TND on this chip, by CANN version.
void check_packed(const Phase1& op, const Attention& a) {
  const int version = cann_version();
  op.require_tiling(version >= 830, "TND is not there before CANN 8.3, this is {}", version);
  const bool grouped = a.num_heads != a.num_key_heads;
  const bool half = a.query.dtype() == ACL_FLOAT16;
  if (!grouped && half) {
    op.require_tiling(!a.mask && a.inner_precise == 1 && !a.paged(),
                      "TND with equal heads in FLOAT16 takes no mask, innerPrecise 1, no paging");
    return;
  }
  op.require_tiling(!a.bias, "pseShift does not go with TND");
  op.require_tiling(a.inner_precise == 0, "innerPrecise is {}, TND takes 0", a.inner_precise);
  const bool banded = version >= 900 && a.sparse_mode == 4 && !half;
  op.require_tiling(
      (a.sparse_mode == 0 && !a.mask) || (a.sparse_mode == 3 && a.mask) || (banded && a.mask),
      "TND takes sparseMode 0 without or 3 with a mask, not {}",
      a.sparse_mode);
  if (!a.paged()) return;
  op.require_tiling(!a.heads_before_positions,
                    "paging in TND takes a cache (blocks, block size, N · D)");
  const bool fits = version >= 900
                        ? a.block_size > 0 && a.block_size <= 128 && a.block_size % 16 == 0
                        : a.block_size == 128;
  op.require_tiling(fits,
                    "blockSize is {}, TND takes {}",
                    a.block_size,
                    version >= 900 ? "multiples of 16 up to 128" : "128");
}

bool leading_ones(const Dims& dims, size_t tail) {
  return std::all_of(
      dims.begin(), dims.end() - static_cast<int64_t>(tail), [](int64_t d) { return d == 1; });
}

/// sparseMode 2 to 4: (2048, 2048), perhaps behind one or two 1s. Else one mask for all or one per
/// sequence.
void check_mask(const Phase1& op, const Attention& a, int64_t sparse_mode) {
  op.require_tiling(sparse_mode >= 0 && sparse_mode <= 4, "sparseMode is {}", sparse_mode);
  op.require_tiling(a.mask || a.sparse_mode == 0, "sparseMode {} needs a mask", sparse_mode);
  if (!a.mask) return;
  const Operand& mask = *a.mask;
  op.dtype_in(mask, {ACL_BOOL, ACL_INT8, ACL_UINT8});
  const Dims& dims = mask.dims();
  const size_t rank = dims.size();
  const std::string shape = fmt::format("attenMask is [{}]", fmt::join(dims, ", "));
  if (a.compressed_mask()) {
    op.require_tiling(rank >= 2 && rank <= 4 && leading_ones(dims, 2) &&
                          dims[rank - 2] == kMaskSide && dims[rank - 1] == kMaskSide,
                      "{}, sparseMode {} takes [{}, {}]",
                      shape,
                      a.sparse_mode,
                      kMaskSide,
                      kMaskSide);
    op.contiguous(mask);
    return;
  }
  op.require_tiling(rank >= 2 && rank <= 4, "{}", shape);
  // A paged cache may hold more positions than the mask shows, not more than are used.
  const int64_t used = *std::max_element(a.key_lengths.begin(), a.key_lengths.end());
  op.require_tiling(dims.back() == a.key_capacity || (a.paged() && dims.back() >= used),
                    "{}, there are {} key positions",
                    shape,
                    a.key_capacity);
  if (a.decode()) {
    op.require_tiling(
        dims[0] == a.num_sequences &&
            std::all_of(dims.begin() + 1, dims.end() - 1, [](int64_t d) { return d == 1; }),
        "{}, one query position takes ({}, KV_S), ({}, 1, KV_S) or ({}, 1, 1, KV_S)",
        shape,
        a.num_sequences,
        a.num_sequences,
        a.num_sequences);
    return;
  }
  op.require_tiling(dims[rank - 2] == a.query_capacity,
                    "{}, there are {} query positions",
                    shape,
                    a.query_capacity);
  if (rank > 2) {
    op.require_tiling(dims[0] == 1 || dims[0] == a.num_sequences,
                      "{}, there are {} sequences",
                      shape,
                      a.num_sequences);
  }
  op.require_tiling(rank < 4 || dims[1] == 1, "{}, its second dim must be 1", shape);
}

void check_bias(const Phase1& op, const Attention& a) {
  if (!a.bias) return;
  const Operand& bias = *a.bias;
  op.same_dtype(a.query, bias);
  const std::string shape = fmt::format("pseShift is [{}]", fmt::join(bias.dims(), ", "));
  op.require_tiling(bias.rank() == 4 && (bias.dim(0) == 1 || bias.dim(0) == a.num_sequences) &&
                        bias.dim(1) == a.num_heads,
                    "{}, expected (1 or {}, {}, Q_S, KV_S)",
                    shape,
                    a.num_sequences,
                    a.num_heads);
  op.require_tiling(bias.dim(2) >= a.query_capacity && bias.dim(3) >= a.key_capacity,
                    "{}, there are {} query and {} key positions",
                    shape,
                    a.query_capacity,
                    a.key_capacity);
  op.require_tiling(a.decode() || bias.dim(3) % 16 == 0,
                    "{}, its last dim must be padded to a multiple of 16",
                    shape);
}

void check_outputs(const Phase1& op, const Attention& a, const RawAttention& raw) {
  op.same_dtype(a.query, a.out);
  Dims expected = a.query.dims();
  if (a.layout == Layout::bnsd_bsnd) std::swap(expected[1], expected[2]);
  op.require_tiling(a.out.dims() == expected,
                    "attentionOut is [{}], expected [{}]",
                    fmt::join(a.out.dims(), ", "),
                    fmt::join(expected, ", "));
  op.contiguous(a.out);
  if (!raw.softmax_lse_flag) return;
  if (!a.log_sum_exp) op.refuse_with(161001, "softmaxLse is null with softmaxLseFlag");
  op.dtype_in(*a.log_sum_exp, {ACL_FLOAT});
  const Dims lse = a.packed() ? Dims{a.query.dim(0), a.num_heads, 1}
                              : Dims{a.num_sequences, a.num_heads, a.query_capacity, 1};
  op.require_tiling(a.log_sum_exp->dims() == lse,
                    "softmaxLse is [{}], expected [{}]",
                    fmt::join(a.log_sum_exp->dims(), ", "),
                    fmt::join(lse, ", "));
  op.contiguous(*a.log_sum_exp);
}

}  // namespace

HeadStrides head_strides(const Operand& operand, Layout layout, int64_t head_dim) {
  const Dims& s = operand.meta.strides;
  switch (layout) {
    case Layout::bsh:
      return {s[0], s[1], head_dim * s[2], s[2]};
    case Layout::bsnd:
      return {s[0], s[1], s[2], s[3]};
    case Layout::tnd:
      return {0, s[0], s[1], s[2]};
    default:
      return {s[0], s[2], s[1], s[3]};
  }
}

Attention take_attention(Phase1& op, const RawAttention& raw) {
  Attention a;
  a.query = op.input("query", raw.query);
  a.keys = op.list("key", raw.key);
  a.values = op.list("value", raw.value);
  a.bias = op.optional("pseShift", raw.pse_shift);
  a.mask = op.optional("attenMask", raw.atten_mask);
  a.block_table = op.optional("blockTable", raw.block_table);
  a.out = op.output("attentionOut", raw.out);
  const std::string layout_name = op.text("inputLayout", raw.layout);
  if (raw.softmax_lse_flag) a.log_sum_exp = op.optional_output("softmaxLse", raw.softmax_lse);
  if (raw.not_emulated != nullptr) {
    op.refuse_with(561003, fmt::format("{} is not emulated", raw.not_emulated));
  }
  const std::optional<Dims> query_lengths = op.optional_integers(raw.query_lengths);
  const std::optional<Dims> key_lengths = op.optional_integers(raw.key_lengths);
  check_length_count(op, "actualSeqLengths", query_lengths);
  check_length_count(op, "actualSeqLengthsKv", key_lengths);

  op.dtype_in(a.query, {ACL_FLOAT16, ACL_BF16});
  op.require_tiling(!a.keys.empty() && a.keys.size() == a.values.size(),
                    "key lists {} tensors, value {}",
                    a.keys.size(),
                    a.values.size());
  for (const auto* list : {&a.keys, &a.values}) {
    for (const Operand& tensor : *list) op.same_dtype(a.query, tensor);
  }
  a.layout = layout_of(op, layout_name);
  a.num_heads = raw.num_heads;
  a.num_key_heads = raw.num_key_value_heads == 0 ? raw.num_heads : raw.num_key_value_heads;
  a.scale = raw.scale;
  a.pre_tokens = raw.pre_tokens;
  a.next_tokens = raw.next_tokens;
  a.inner_precise = raw.inner_precise;
  check_heads(op, a);
  const Shape query = shape_of(op, a.query, key_layout(a.layout), a.num_heads);
  a.head_dim = query.head_dim;
  a.num_sequences = query.sequences;
  a.query_capacity = query.positions;
  if (a.packed()) {
    op.require_tiling(query_lengths && !query_lengths->empty(), "TND needs actualSeqLengths");
    a.num_sequences = static_cast<int64_t>(query_lengths->size());
    split_cumulative(
        op, "actualSeqLengths", *query_lengths, query.positions, a.query_starts, a.query_lengths);
    a.query_capacity = *std::max_element(a.query_lengths.begin(), a.query_lengths.end());
  } else {
    const auto count = static_cast<size_t>(a.num_sequences);
    a.query_starts.assign(count, 0);
    a.query_lengths = a.query_capacity == 1 ? Dims(count, 1)
                                            : spread_lengths(op,
                                                             "actualSeqLengths",
                                                             query_lengths,
                                                             a.num_sequences,
                                                             Dims(count, a.query_capacity));
  }
  a.sparse_mode = a.decode() ? 0 : raw.sparse_mode;
  check_query(op, a);
  if (a.paged()) {
    take_paged_keys(op, a, raw.block_size, key_lengths);
  } else {
    take_dense_keys(op, a, key_lengths);
  }
  check_mask(op, a, raw.sparse_mode);
  check_bias(op, a);
  if (a.packed()) check_packed(op, a);
  check_outputs(op, a, raw);
  return a;
}

}  // namespace emulator
