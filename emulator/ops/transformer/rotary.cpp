// Rotary position embedding: RotaryPositionEmbedding, ApplyRotaryPosEmb and V2,
// RopeWithSinCosCache.
#include <array>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

enum class Mode { half, interleave, quarter };

/// out = x · cos + rotated(x) · sin along one head of `dim` values.
void rotate(
    Mode mode, int64_t dim, const float* x, const float* cos, const float* sin, float* out) {
  const auto pair = [&](int64_t a, int64_t b) {
    const float first = x[a] * cos[a] - x[b] * sin[a];
    out[b] = x[b] * cos[b] + x[a] * sin[b];
    out[a] = first;
  };
  switch (mode) {
    case Mode::half:
      for (int64_t i = 0; i < dim / 2; ++i) pair(i, i + dim / 2);
      return;
    case Mode::interleave:
      for (int64_t i = 0; i < dim; i += 2) pair(i, i + 1);
      return;
    case Mode::quarter:
      for (int64_t i = 0; i < dim / 4; ++i) {
        pair(i, i + dim / 4);
        pair(i + dim / 2, i + dim / 4 * 3);
      }
  }
}

/// Every line along the last dim; `cos` and `sin` broadcast to x.
void rotate_all(
    Mode mode, const HostView& x, const HostView& cos, const HostView& sin, const HostView& out) {
  const int64_t last = x.rank() - 1;
  const auto at = static_cast<size_t>(last);
  const int64_t dim = x.dims[at];
  std::array<std::vector<float>, 4> rows;
  for (auto& row : rows) row.resize(static_cast<size_t>(dim));
  const std::array<HostView, 4> views = {x, broadcast(cos, x.dims), broadcast(sin, x.dims), out};
  for_each_line<4>(views, last, [&](const std::array<int64_t, 4>& offsets) {
    for (size_t i = 0; i < 3; ++i) {
      load_row(views[i].dtype,
               views[i].data + offsets[i] * element_bytes(views[i].dtype),
               views[i].strides[at],
               dim,
               rows[i].data());
    }
    rotate(mode, dim, rows[0].data(), rows[1].data(), rows[2].data(), rows[3].data());
    store_row(out.dtype,
              out.data + offsets[3] * element_bytes(out.dtype),
              out.strides[at],
              dim,
              rows[3].data());
  });
}

void same_floats(const Phase1& op, std::initializer_list<const Operand*> operands) {
  for (const Operand* operand : operands) {
    op.dtype_in(*operand, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
    op.same_dtype(**operands.begin(), *operand);
  }
}

/// The forms of cos and sin that the layouts allow, as which dims before the last are x's own (the
/// others are 1). No argument names the layout, so that any layout's form passes.
constexpr std::array<std::array<bool, 3>, 6> kForms = {{{false, true, false},    // BSND 1S1D
                                                        {true, true, false},     // BSND BS1D
                                                        {true, true, true},      // x's own dims
                                                        {false, false, true},    // BNSD 11SD
                                                        {true, false, true},     // BNSD B1SD
                                                        {true, false, false}}};  // SBND S11D

bool allowed_form(const Operand& x, const Operand& cos) {
  if (cos.rank() != x.rank() || cos.dim(-1) != x.dim(-1)) return false;
  if (x.rank() == 3) {  // TND: T1D or TND
    return cos.dim(0) == x.dim(0) && (cos.dim(1) == 1 || cos.dim(1) == x.dim(1));
  }
  for (const auto& form : kForms) {
    bool fits = true;
    for (int64_t axis = 0; axis < 3; ++axis) {
      const int64_t expected = form[static_cast<size_t>(axis)] ? x.dim(axis) : 1;
      fits = fits && cos.dim(axis) == expected;
    }
    if (fits) return true;
  }
  return false;
}

bool overlap(const Operand& a, const Operand& b) {
  if (a.meta.address == nullptr || b.meta.address == nullptr) return false;
  const auto begin = [](const Operand& o) {
    return reinterpret_cast<uintptr_t>(o.meta.address) +
           static_cast<uintptr_t>(o.meta.offset * element_bytes(o.dtype()));
  };
  const auto reach = [](const Operand& o) {
    int64_t elements = 1;
    for (int64_t axis = 0; axis < o.rank(); ++axis) {
      elements += (o.dim(axis) - 1) * o.meta.strides[static_cast<size_t>(axis)];
    }
    return static_cast<uintptr_t>(elements * element_bytes(o.dtype()));
  };
  return begin(a) < begin(b) + reach(b) && begin(b) < begin(a) + reach(a);
}

void apply_rotary(Phase1& op,
                  aclTensor* query,
                  aclTensor* key,
                  const aclTensor* cos,
                  const aclTensor* sin,
                  int64_t layout,
                  Mode mode) {
  constexpr int64_t kBsnd = 1;
  constexpr int64_t kTnd = 4;
  constexpr int64_t kUnifiedBuffer = 192 << 10;
  const Operand q = op.in_place("queryRef", query);
  const Operand k = op.in_place("keyRef", key);
  const Operand c = op.input("cos", cos);
  const Operand s = op.input("sin", sin);
  same_floats(op, {&q, &k, &c, &s});
  const bool only_dense_128 = cann_version() <= 810;
  op.require(layout == kBsnd || (layout == kTnd && !only_dense_128),
             "layout is {}, expected 1 (BSND){}",
             layout,
             only_dense_128 ? "" : " or 4 (TND)");
  const int64_t rank = layout == kBsnd ? 4 : 3;
  for (const Operand* operand : {&q, &k, &c, &s}) op.rank_in(*operand, rank, rank);
  const int64_t dim = q.dim(-1);
  op.require_tiling(dim == 128 || (dim == 64 && !only_dense_128),
                    "the head has {} values, expected 128{}",
                    dim,
                    only_dense_128 ? "" : " or 64");
  Dims same = q.dims();
  same[static_cast<size_t>(rank - 2)] = k.dim(-2);
  op.dims_are(k, same);
  op.dims_are(s, c.dims());
  Dims expected = q.dims();
  expected[static_cast<size_t>(rank - 2)] = 1;
  if (layout == kBsnd && c.dim(0) == 1) expected[0] = 1;
  op.dims_are(c, expected);
  // One token's heads and their rotation are held on the chip in f32.
  op.require_tiling((q.dim(-2) + k.dim(-2) + 2) * dim * 4 * 2 <= kUnifiedBuffer,
                    "{} query and {} key heads of {} do not fit the on-chip buffer",
                    q.dim(-2),
                    k.dim(-2),
                    dim);
  op.workspace(kVectorWorkspace);
  op.run([=](const Run& run) {
    const HostView cosines = run.view(c);
    const HostView sines = run.view(s);
    for (const Operand* operand : {&q, &k}) {
      const HostView heads = run.view(*operand);
      rotate_all(mode, heads, cosines, sines, heads);
    }
  });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnRotaryPositionEmbedding,
                  const aclTensor* x,
                  const aclTensor* cos,
                  const aclTensor* sin,
                  int64_t mode,
                  aclTensor* out) {
  return phase1("aclnnRotaryPositionEmbedding", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("x", x);
    const Operand c = op.input("cos", cos);
    const Operand s = op.input("sin", sin);
    const Operand to = op.output("out", out);
    same_floats(op, {&from, &c, &s, &to});
    op.rank_in(from, 3, 4);
    const int64_t dim = from.dim(-1);
    op.require(mode >= 0 && mode <= 2, "mode is {}, this chip has 0 to 2", mode);
    op.require(dim % 2 == 0 && dim < 896, "the head has {} values, expected even and < 896", dim);
    op.require(mode != 2 || dim % 4 == 0, "mode 2 (quarter) takes heads of 4n values, not {}", dim);
    op.require(allowed_form(from, c),
               "cos [{}] is no form that goes with x [{}]",
               fmt::join(c.dims(), ", "),
               fmt::join(from.dims(), ", "));
    op.dims_are(s, c.dims());
    op.dims_are(to, from.dims());
    op.contiguous(to);
    op.require(!overlap(from, to), "out must not overlap x");
    op.workspace(kVectorWorkspace);
    const Mode how = mode == 0 ? Mode::half : mode == 1 ? Mode::interleave : Mode::quarter;
    op.run([=](const Run& run) {
      rotate_all(how, run.view(from), run.view(c), run.view(s), run.view(to));
    });
  });
}

EMULATOR_OPERATOR(aclnnApplyRotaryPosEmb,
                  aclTensor* query,
                  aclTensor* key,
                  const aclTensor* cos,
                  const aclTensor* sin,
                  int64_t layout) {
  return phase1("aclnnApplyRotaryPosEmb", workspace_size, executor, [&](Phase1& op) {
    apply_rotary(op, query, key, cos, sin, layout, Mode::half);
  });
}

EMULATOR_OPERATOR(aclnnApplyRotaryPosEmbV2,
                  aclTensor* query,
                  aclTensor* key,
                  const aclTensor* cos,
                  const aclTensor* sin,
                  int64_t layout,
                  char* rotary_mode) {
  return phase1("aclnnApplyRotaryPosEmbV2", workspace_size, executor, [&](Phase1& op) {
    const std::string mode = op.text("rotaryMode", rotary_mode);
    op.require(mode == "half" || mode == "interleave" || mode == "quarter",
               "rotaryMode is \"{}\", not half, interleave or quarter",
               mode);
    apply_rotary(op,
                 query,
                 key,
                 cos,
                 sin,
                 layout,
                 mode == "half"         ? Mode::half
                 : mode == "interleave" ? Mode::interleave
                                        : Mode::quarter);
  });
}

EMULATOR_OPERATOR(aclnnRopeWithSinCosCache,
                  const aclTensor* positions,
                  const aclTensor* query,
                  const aclTensor* key,
                  const aclTensor* cos_sin_cache,
                  const aclIntArray* mrope_section,
                  int64_t head_size,
                  bool is_neox_style,
                  aclTensor* query_out,
                  aclTensor* key_out) {
  return phase1("aclnnRopeWithSinCosCache", workspace_size, executor, [&](Phase1& op) {
    const Operand at = op.input("positions", positions);
    const Operand q = op.input("queryIn", query);
    const Operand k = op.input("keyIn", key);
    const Operand table = op.input("cosSinCache", cos_sin_cache);
    const auto sections = op.optional_integers(mrope_section);
    const Operand q_out = op.output("queryOut", query_out);
    const Operand k_out = op.output("keyOut", key_out);
    op.dtype_in(at, {ACL_INT32, ACL_INT64});
    same_floats(op, {&q, &k, &table, &q_out, &k_out});
    op.rank_in(at, 1, 1);
    for (const Operand* operand : {&q, &k, &table}) op.rank_in(*operand, 2, 2);
    op.require(!sections || *sections == Dims({0, 0, 0}),
               "mropeSection [{}] is not emulated, pass null or three zeros",
               fmt::join(sections.value_or(Dims{}), ", "));
    op.require(head_size > 0 && head_size % 32 == 0, "headSize is {}, not 32 n", head_size);
    const int64_t rotary = table.dim(1);
    op.require(rotary % 2 == 0 && rotary <= head_size,
               "cosSinCache has rows of {}, expected even and at most headSize {}",
               rotary,
               head_size);
    for (const auto& [in, out] : {std::pair{&q, &q_out}, std::pair{&k, &k_out}}) {
      op.require(in->dim(0) == at.dim(0) && in->dim(1) % head_size == 0,
                 "{} is [{}] for {} positions and heads of {}",
                 in->argument,
                 fmt::join(in->dims(), ", "),
                 at.dim(0),
                 head_size);
      op.dims_are(*out, in->dims());
      op.contiguous(*out);
    }
    op.touches(table, static_cast<double>(at.count() * rotary * element_bytes(table.dtype())));
    op.workspace(kVectorWorkspace);
    op.run([=](const Run& run) {
      const std::vector<int64_t> rows = load_all<int64_t>(run.view(at));
      const HostView cache = run.view(table);
      const auto half = static_cast<size_t>(rotary / 2);
      for (const auto& [in, out] : {std::pair{&q, &q_out}, std::pair{&k, &k_out}}) {
        std::vector<float> values = load_all<float>(run.view(*in));
        for (size_t token = 0; token < rows.size(); ++token) {
          if (rows[token] < 0 || rows[token] >= table.dim(0)) {
            run.fault(fmt::format(
                "positions holds {}, the cache has {} rows", rows[token], table.dim(0)));
          }
          const std::vector<float> line = load_all<float>(sliced(cache, 0, rows[token], 1));
          std::vector<float> cosines(2 * half);
          std::vector<float> sines(2 * half);
          for (size_t i = 0; i < 2 * half; ++i) {
            const size_t angle = is_neox_style ? i % half : i / 2;
            cosines[i] = line[angle];
            sines[i] = line[half + angle];
          }
          float* heads = values.data() + token * static_cast<size_t>(in->dim(1));
          for (int64_t head = 0; head < in->dim(1); head += head_size) {
            rotate(is_neox_style ? Mode::half : Mode::interleave,
                   rotary,
                   heads + head,
                   cosines.data(),
                   sines.data(),
                   heads + head);
          }
        }
        store_all(run.view(*out), values.data());
      }
    });
  });
}
