// QuantMatmulV3, V4, V5: int8 by int8 with exact sums, then scales. WeightQuantBatchMatmulV2:
// 16-bit by int8.
#include <algorithm>
#include <cmath>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/kernels/kernels.h"
#include "emulator/ops/phase1.h"
#include "emulator/ops/quantize.h"

namespace emulator {
namespace {

constexpr int64_t kLongestRow = 65535;  // last dim of either matrix

struct QuantMatmul {
  Operand x1, x2, out;
  std::optional<Operand> scale, offset, token_scale, bias;
  bool transpose_x1 = false;
  bool transpose_x2 = false;

  int64_t m() const { return x1.dim(transpose_x1 ? 1 : 0); }
  int64_t k() const { return x1.dim(transpose_x1 ? 0 : 1); }
  int64_t n() const { return x2.dim(transpose_x2 ? 0 : 1); }

  void check(const Phase1& op) const {
    op.dtype_in(x1, {ACL_INT8});
    op.dtype_in(x2, {ACL_INT8});
    op.rank_in(x1, 2, 2);
    op.rank_in(x2, 2, 2);
    op.require(!x1.fractal(), "x1 must not be in FRACTAL_NZ");
    if (x2.fractal()) op.fractal_matrix(x2, false);
    op.require(x1.dim(1) <= kLongestRow && x2.dim(1) <= kLongestRow,
               "the last dims are {} and {}, at most {} go",
               x1.dim(1),
               x2.dim(1),
               kLongestRow);
    const int64_t other = x2.dim(transpose_x2 ? 1 : 0);
    op.require(k() == other, "x1 has k = {}, x2 k = {}", k(), other);
    op.dims_are(out, {m(), n()});
    op.contiguous(out);
    check_scales(op);
    check_bias(op);
  }

  void check_scales(const Phase1& op) const {
    op.dtype_in(out, {ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32});
    op.require(!offset || out.dtype() == ACL_INT8, "offset goes with an INT8 out only");
    op.require(!token_scale || out.dtype() == ACL_FLOAT16 || out.dtype() == ACL_BF16,
               "per-token scales go with FLOAT16 and BF16 out only");
    if (out.dtype() != ACL_INT32 && !scale) op.refuse_with(161001, "the scale of x2 is null");
    if (token_scale) {
      op.dtype_in(*token_scale, {ACL_FLOAT});
      op.dims_are(*token_scale, {m()});
    }
    if (offset) {
      op.dtype_in(*offset, {ACL_FLOAT});
      op.require(offset->rank() == 1 && (offset->count() == 1 || offset->count() == n()),
                 "offset has {} elements, expected 1 or {}",
                 offset->count(),
                 n());
    }
    if (!scale) return;
    op.require(scale->rank() == 1 && (scale->count() == 1 || scale->count() == n()),
               "the scale of x2 is [{}], expected [1] or [{}]",
               fmt::join(scale->dims(), ", "),
               n());
    switch (out.dtype()) {
      case ACL_BF16:
        return op.dtype_in(*scale, {ACL_FLOAT, ACL_BF16});
      case ACL_FLOAT16:
        if (token_scale) return op.dtype_in(*scale, {ACL_FLOAT});
        return op.dtype_in(*scale, {ACL_UINT64, ACL_INT64});  // TransQuantParam's words
      case ACL_INT8:
        return op.dtype_in(*scale, {ACL_UINT64, ACL_INT64});
      default:
        return op.dtype_in(*scale, {ACL_FLOAT, ACL_BF16});
    }
  }

  void check_bias(const Phase1& op) const {
    if (!bias) return;
    op.dims_are(*bias, {n()});
    if (out.dtype() == ACL_BF16) return op.dtype_in(*bias, {ACL_INT32, ACL_FLOAT, ACL_BF16});
    if (out.dtype() == ACL_FLOAT16 && token_scale) {
      return op.dtype_in(*bias, {ACL_INT32, ACL_FLOAT, ACL_FLOAT16});
    }
    op.dtype_in(*bias, {ACL_INT32});
  }

  std::vector<float> scales(const Run& run) const {
    const HostView view = run.view(*scale);
    if (view.dtype != ACL_UINT64 && view.dtype != ACL_INT64) return load_all<float>(view);
    std::vector<float> out_scales;
    for (const int64_t word : load_all<int64_t>(view)) {
      out_scales.push_back(unpack_scale(static_cast<uint64_t>(word)));
    }
    return out_scales;
  }

  void compute(const Run& run) const {
    std::vector<int32_t> sums =
        multiply_exact(run.matrix(x1, transpose_x1), run.matrix(x2, !transpose_x2));
    const auto width = static_cast<size_t>(n());
    std::vector<float> addends;
    if (bias && bias->dtype() == ACL_INT32) {
      const std::vector<int64_t> whole = load_all<int64_t>(run.view(*bias));
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<int32_t>(whole[i % width]);
    } else if (bias) {
      addends = load_all<float>(run.view(*bias));
    }
    if (out.dtype() == ACL_INT32) {
      const std::vector<int64_t> whole(sums.begin(), sums.end());
      return store_all(run.view(out), whole.data());
    }
    const std::vector<float> column_scales = scales(run);
    std::vector<float> row_scales;
    std::vector<float> shifts;
    if (token_scale) row_scales = load_all<float>(run.view(*token_scale));
    if (offset) shifts = load_all<float>(run.view(*offset));
    std::vector<float> values(sums.size());
    for (size_t i = 0; i < sums.size(); ++i) {
      const size_t column = i % width;
      float value = static_cast<float>(sums[i]) * column_scales[column % column_scales.size()];
      if (token_scale) value *= row_scales[i / width];
      if (!addends.empty()) value += addends[column];
      if (!shifts.empty()) value += shifts[column % shifts.size()];
      if (out.dtype() == ACL_INT8) value = std::clamp(std::nearbyint(value), -128.0f, 127.0f);
      values[i] = value;
    }
    store_all(run.view(out), values.data());
  }
};

void finish(Phase1& op, const QuantMatmul& product) {
  product.check(op);
  op.workspace(kCubeWorkspace);
  op.int8_flops(2.0 * static_cast<double>(product.m()) *
                static_cast<double>(product.n() * product.k()));
  op.run([product](const Run& run) { product.compute(run); });
}

struct WeightQuant {
  Operand x, weight, scale, y;
  std::optional<Operand> offset, bias;
  int64_t group = 0;

  int64_t k() const { return weight.dim(0); }
  int64_t n() const { return weight.dim(1); }

  void check(const Phase1& op) const {
    op.dtype_in(x, {ACL_FLOAT16, ACL_BF16});
    op.require(weight.dtype() == ACL_INT8,
               "weight is {}, only INT8 is emulated",
               dtype_name(weight.dtype()));
    op.same_dtype(x, y);
    op.same_dtype(x, scale);
    for (const Operand* matrix : {&x, &weight, &y}) op.rank_in(*matrix, 2, 2);
    if (weight.fractal()) op.fractal_matrix(weight, false);
    op.require(k() >= 1 && k() <= kLongestRow && n() >= 1 && n() <= kLongestRow,
               "k is {} and n {}, each at most {}",
               k(),
               n(),
               kLongestRow);
    op.require(x.dim(1) == k(), "x has k = {}, weight k = {}", x.dim(1), k());
    op.dims_are(y, {x.dim(0), n()});
    op.require(group == 0 || (group % 32 == 0 && group >= 32 && group <= k() - 1),
               "antiquantGroupSize is {}, not 0 or a multiple of 32 in [32, {}]",
               group,
               k() - 1);
    check_parameter(op, scale);
    if (offset) {
      op.same_dtype(x, *offset);
      op.dims_are(*offset, scale.dims());
    }
    if (!bias) return;
    op.require(bias->dtype() == (x.dtype() == ACL_BF16 ? ACL_FLOAT : ACL_FLOAT16),
               "bias is {}, x {}: FLOAT16 goes with FLOAT16, FLOAT with BF16",
               dtype_name(bias->dtype()),
               dtype_name(x.dtype()));
    op.require(bias->dims() == Dims{n()} || bias->dims() == Dims{1, n()},
               "bias is [{}], expected [{}]",
               fmt::join(bias->dims(), ", "),
               n());
  }

  void check_parameter(const Phase1& op, const Operand& parameter) const {
    if (group > 0) return op.dims_are(parameter, {(k() + group - 1) / group, n()});
    const Dims& dims = parameter.dims();
    op.require(dims == Dims{1} || dims == Dims{1, 1} || dims == Dims{n()} || dims == Dims{1, n()},
               "{} is [{}], expected [1], [{}] or [1, {}]",
               parameter.argument,
               fmt::join(dims, ", "),
               n(),
               n());
  }

  void compute(const Run& run) const {
    const Matrix rows = run.matrix(weight, true);
    const std::vector<float> scales = load_all<float>(run.view(scale));
    std::vector<float> offsets;
    if (offset) offsets = load_all<float>(run.view(*offset));
    std::vector<float> result;
    if (group == 0 && !offset) {
      result = multiply(run.matrix(x, false), rows);
      for (size_t i = 0; i < result.size(); ++i) {
        result[i] *= scales[i % static_cast<size_t>(n()) % scales.size()];
      }
    } else {
      const std::vector<float> floats = dequantised(rows, scales, offsets);
      result = multiply(run.matrix(x, false),
                        {.dtype = ACL_FLOAT,
                         .data = reinterpret_cast<const std::byte*>(floats.data()),
                         .rows = n(),
                         .columns = k(),
                         .row_stride = k()});
    }
    if (bias) {
      const std::vector<float> addends = load_all<float>(run.view(*bias));
      for (size_t i = 0; i < result.size(); ++i) result[i] += addends[i % addends.size()];
    }
    store_all(run.view(y), result.data());
  }

 private:
  std::vector<float> dequantised(const Matrix& rows,
                                 const std::vector<float>& scales,
                                 const std::vector<float>& offsets) const {
    std::vector<float> values(static_cast<size_t>(n() * k()));
    rows.read(0, n(), 0, k(), values.data(), k());
    const int64_t step = group == 0 ? k() : group;
    for (int64_t row = 0; row < n(); ++row) {
      for (int64_t column = 0; column < k(); ++column) {
        const size_t at = static_cast<size_t>(column / step * n() + row) % scales.size();
        float& value = values[static_cast<size_t>(row * k() + column)];
        value = (value + (offsets.empty() ? 0.0f : offsets[at])) * scales[at];
      }
    }
    return values;
  }
};

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnQuantMatmulV3,
                  const aclTensor* x1,
                  const aclTensor* x2,
                  const aclTensor* scale,
                  const aclTensor* offset,
                  const aclTensor* bias,
                  bool transpose_x1,
                  bool transpose_x2,
                  const aclTensor* out) {
  return phase1("aclnnQuantMatmulV3", workspace_size, executor, [&](Phase1& op) {
    QuantMatmul product;
    product.x1 = op.input("x1", x1);
    product.x2 = op.input("x2", x2);
    product.scale = op.input("scale", scale);
    product.offset = op.optional("offset", offset);
    product.bias = op.optional("bias", bias);
    product.transpose_x1 = transpose_x1;
    product.transpose_x2 = transpose_x2;
    product.out = op.output("out", out);
    finish(op, product);
  });
}

EMULATOR_OPERATOR(aclnnQuantMatmulV4,
                  const aclTensor* x1,
                  const aclTensor* x2,
                  const aclTensor* scale,
                  const aclTensor* offset,
                  const aclTensor* per_token_scale,
                  const aclTensor* bias,
                  bool transpose_x1,
                  bool transpose_x2,
                  const aclTensor* out) {
  return phase1("aclnnQuantMatmulV4", workspace_size, executor, [&](Phase1& op) {
    QuantMatmul product;
    product.x1 = op.input("x1", x1);
    product.x2 = op.input("x2", x2);
    product.scale = op.input("scale", scale);
    product.offset = op.optional("offset", offset);
    product.token_scale = op.optional("pertokenScaleOptional", per_token_scale);
    product.bias = op.optional("bias", bias);
    product.transpose_x1 = transpose_x1;
    product.transpose_x2 = transpose_x2;
    product.out = op.output("out", out);
    finish(op, product);
  });
}

EMULATOR_OPERATOR(aclnnQuantMatmulV5,
                  const aclTensor* x1,
                  const aclTensor* x2,
                  const aclTensor* x1_scale,
                  const aclTensor* x2_scale,
                  const aclTensor* y_scale,
                  const aclTensor* x1_offset,
                  const aclTensor* x2_offset,
                  const aclTensor* y_offset,
                  const aclTensor* bias,
                  bool transpose_x1,
                  bool transpose_x2,
                  int64_t group_size,
                  aclTensor* out) {
  return phase1("aclnnQuantMatmulV5", workspace_size, executor, [&](Phase1& op) {
    QuantMatmul product;
    product.x1 = op.input("x1", x1);
    product.x2 = op.input("x2", x2);
    op.require(cann_version() >= 830 || product.x2.dtype() == ACL_INT32,
               "before CANN 8.3 x2 is int4 packed in INT32 on this chip, not {}",
               dtype_name(product.x2.dtype()));
    product.token_scale = op.optional("x1Scale", x1_scale);
    product.scale = op.input("x2Scale", x2_scale);
    product.offset = op.optional("x2Offset", x2_offset);
    product.bias = op.optional("bias", bias);
    product.transpose_x1 = transpose_x1;
    product.transpose_x2 = transpose_x2;
    product.out = op.output("out", out);
    op.require(y_scale == nullptr && x1_offset == nullptr && y_offset == nullptr,
               "yScale, x1Offset and yOffset must be null for INT8 by INT8");
    op.require(group_size == 0, "groupSize is {}, INT8 by INT8 takes 0", group_size);
    finish(op, product);
  });
}

EMULATOR_OPERATOR(aclnnWeightQuantBatchMatmulV2,
                  const aclTensor* x,
                  const aclTensor* weight,
                  const aclTensor* antiquant_scale,
                  const aclTensor* antiquant_offset,
                  const aclTensor* quant_scale,
                  const aclTensor* quant_offset,
                  const aclTensor* bias,
                  int antiquant_group_size,
                  const aclTensor* y) {
  return phase1("aclnnWeightQuantBatchMatmulV2", workspace_size, executor, [&](Phase1& op) {
    WeightQuant product;
    product.x = op.input("x", x);
    product.weight = op.input("weight", weight);
    product.scale = op.input("antiquantScale", antiquant_scale);
    product.offset = op.optional("antiquantOffsetOptional", antiquant_offset);
    product.bias = op.optional("biasOptional", bias);
    product.group = antiquant_group_size;
    product.y = op.output("y", y);
    op.require(quant_scale == nullptr && quant_offset == nullptr,
               "quantScaleOptional and quantOffsetOptional must be null");
    product.check(op);
    op.workspace(kCubeWorkspace);
    op.flops(2.0 * static_cast<double>(product.x.count()) * static_cast<double>(product.n()));
    op.run([product](const Run& run) { product.compute(run); });
  });
}
