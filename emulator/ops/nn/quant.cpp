// DynamicQuant, AscendQuantV3, TransQuantParamV2: from floating point to int8 and to packed scales.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"
#include "emulator/ops/quantize.h"

namespace emulator {
namespace {

constexpr int64_t kInt8 = 2;  // dstType

void dynamic_quant(Phase1& op,
                   const Operand& x,
                   const std::optional<Operand>& smooth,
                   const Operand& y,
                   const Operand& scale) {
  op.dtype_in(x, {ACL_FLOAT16, ACL_BF16});
  op.rank_in(x, 2, 8);
  op.dtype_in(y, {ACL_INT8});
  op.dims_are(y, x.dims());
  op.dtype_in(scale, {ACL_FLOAT});
  op.dims_are(scale, Dims(x.dims().begin(), x.dims().end() - 1));
  op.contiguous(y);
  op.contiguous(scale);
  if (smooth) {
    op.same_dtype(x, *smooth);
    op.dims_are(*smooth, {x.dim(-1)});
  }
  op.workspace(kVectorWorkspace);
  op.run([=](const Run& run) {
    std::vector<float> values = load_all<float>(run.view(x));
    if (smooth) scale_columns(values, load_all<float>(run.view(*smooth)));
    store_quantised_rows(values, static_cast<size_t>(x.dim(-1)), run.view(y), run.view(scale));
  });
}

using Rounding = float (*)(float);

Rounding rounding(const Phase1& op, const std::string& mode) {
  if (mode == "round") return [](float x) { return std::nearbyint(x); };
  if (mode == "floor") return [](float x) { return std::floor(x); };
  if (mode == "ceil") return [](float x) { return std::ceil(x); };
  if (mode == "trunc") return [](float x) { return std::trunc(x); };
  op.refuse_with(161002, fmt::format("roundMode is \"{}\", not round, floor, ceil or trunc", mode));
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnDynamicQuant,
                  const aclTensor* x,
                  const aclTensor* smooth_scales,
                  const aclTensor* y,
                  const aclTensor* scale) {
  return phase1("aclnnDynamicQuant", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("x", x);
    const auto smooth = op.optional("smoothScalesOptional", smooth_scales);
    const Operand to = op.output("yOut", y);
    dynamic_quant(op, from, smooth, to, op.output("scaleOut", scale));
  });
}

EMULATOR_OPERATOR(aclnnDynamicQuantV2,
                  const aclTensor* x,
                  const aclTensor* smooth_scales,
                  const aclTensor* group_index,
                  int64_t dst_type,
                  const aclTensor* y,
                  const aclTensor* scale,
                  const aclTensor* offset) {
  return phase1("aclnnDynamicQuantV2", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("x", x);
    const auto smooth = op.optional("smoothScalesOptional", smooth_scales);
    op.require(dst_type == kInt8, "dstType is {}, only 2 (INT8) is emulated", dst_type);
    op.require(group_index == nullptr && offset == nullptr,
               "groupIndexOptional and offsetOut are not emulated, pass null");
    const Operand to = op.output("yOut", y);
    dynamic_quant(op, from, smooth, to, op.output("scaleOut", scale));
  });
}

EMULATOR_OPERATOR(aclnnAscendQuantV3,
                  const aclTensor* x,
                  const aclTensor* scale,
                  const aclTensor* offset,
                  bool sqrt_mode,
                  const char* round_mode,
                  int32_t dst_type,
                  int32_t axis,
                  const aclTensor* y) {
  return phase1("aclnnAscendQuantV3", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("x", x);
    const Operand factors = op.input("scale", scale);
    const auto shifts = op.optional("offset", offset);
    const Operand to = op.output("y", y);
    op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
    op.rank_in(from, 1, 8);
    op.same_dtype(from, factors);
    op.dtype_in(to, {ACL_INT8});
    op.dims_are(to, from.dims());
    op.require(dst_type == kInt8, "dstType is {}, only 2 (INT8) is emulated", dst_type);
    op.require(axis == -1 || axis == from.rank() - 1 || axis == -2 || axis == from.rank() - 2,
               "axis is {}, not one of the last two of {} dims",
               axis,
               from.rank());
    const int64_t dim = op.axis("axis", axis, from.rank());
    const Rounding round = rounding(op, op.text("roundMode", round_mode));
    Dims spread(from.dims().size(), 1);  // dims in which the scales broadcast
    if (factors.count() != 1) {
      op.require(factors.count() == from.dim(dim),
                 "scale has {} elements, dim {} of x {}",
                 factors.count(),
                 dim,
                 from.dim(dim));
      spread[static_cast<size_t>(dim)] = factors.count();
    }
    if (shifts) {
      op.same_dtype(factors, *shifts);
      op.dims_are(*shifts, factors.dims());
    }
    op.run([=](const Run& run) {
      std::vector<float> scales = load_all<float>(run.view(factors));
      std::vector<float> offsets(scales.size(), 0.0f);
      if (shifts) offsets = load_all<float>(run.view(*shifts));
      if (sqrt_mode) {
        for (float& s : scales) s *= s;
      }
      const auto spread_view = [&](std::vector<float>& values) {
        const HostView view = {.dtype = ACL_FLOAT,
                               .dims = spread,
                               .strides = contiguous_strides(spread),
                               .data = reinterpret_cast<std::byte*>(values.data())};
        return broadcast(view, from.dims());
      };
      elementwise<float, 3>(run.view(to),
                            {run.view(from), spread_view(scales), spread_view(offsets)},
                            [&](const auto& rows, float* out, int64_t n) {
                              for (int64_t i = 0; i < n; ++i) {
                                out[i] = std::clamp(
                                    round(rows[0][i] * rows[1][i] + rows[2][i]), -128.0f, 127.0f);
                              }
                            });
    });
  });
}

EMULATOR_OPERATOR(aclnnTransQuantParamV2,
                  const aclTensor* scale,
                  const aclTensor* offset,
                  const aclTensor* out) {
  return phase1("aclnnTransQuantParamV2", workspace_size, executor, [&](Phase1& op) {
    const Operand factors = op.input("scale", scale);
    const auto shifts = op.optional("offset", offset);
    const Operand to = op.output("out", out);
    op.dtype_in(factors, {ACL_FLOAT});
    op.dtype_in(to, {ACL_UINT64});
    op.rank_in(factors, 1, 2);
    op.require(factors.rank() == 1 || factors.dim(0) == 1,
               "scale is [{}], not (n) or (1, n)",
               fmt::join(factors.dims(), ", "));
    int64_t count = factors.count();
    if (shifts) {
      op.dtype_in(*shifts, {ACL_FLOAT});
      op.require(shifts->count() == count || shifts->count() == 1 || count == 1,
                 "offset has {} elements, scale {}",
                 shifts->count(),
                 count);
      count = std::max(count, shifts->count());
    }
    op.require(to.count() == count, "out has {} elements, expected {}", to.count(), count);
    op.run([=](const Run& run) {
      const std::vector<float> scales = load_all<float>(run.view(factors));
      std::vector<float> offsets;
      if (shifts) offsets = load_all<float>(run.view(*shifts));
      std::vector<int64_t> packed(static_cast<size_t>(count));
      for (size_t i = 0; i < packed.size(); ++i) {
        packed[i] = static_cast<int64_t>(pack_scale(
            scales[i % scales.size()],
            offsets.empty() ? std::nullopt : std::optional<float>(offsets[i % offsets.size()])));
      }
      store_all(run.view(to), packed.data());
    });
  });
}
