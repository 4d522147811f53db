// RmsNorm and its fusions with the residual sum, LayerNorm.
#include <cmath>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"
#include "emulator/ops/quantize.h"

namespace emulator {
namespace {

/// Views of norm operands as (rows, columns) with rows of any strides, columns contiguous or
/// strided alike.
struct Rows {
  std::vector<int64_t> offsets;  // of each row's first element
  HostView view;
  Dims inner_dims;
  Dims inner_strides;

  Rows(const HostView& whole, int64_t num_inner) : view(whole) {
    const int64_t outer = whole.rank() - num_inner;
    inner_dims.assign(whole.dims.begin() + outer, whole.dims.end());
    inner_strides.assign(whole.strides.begin() + outer, whole.strides.end());
    const Dims dims(whole.dims.begin(), whole.dims.begin() + outer);
    const Dims strides(whole.strides.begin(), whole.strides.begin() + outer);
    const LoopNest<1> nest(dims, {&strides});
    nest.for_each_row([&](const std::array<int64_t, 1>& at) {
      for (int64_t i = 0; i < nest.dims[0]; ++i) {
        offsets.push_back(at[0] + i * nest.strides[0][0]);
      }
    });
  }

  HostView row(size_t index) const {
    HostView out = view;
    out.data += offsets[index] * element_bytes(view.dtype);
    out.dims = inner_dims;
    out.strides = inner_strides;
    return out;
  }
};

float reciprocal_rms(const std::vector<float>& row, double epsilon) {
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * x;
  const double mean = sum / static_cast<double>(row.size());
  return static_cast<float>(1.0 / std::sqrt(mean + epsilon));
}

void floats(const Phase1& op, const Operand& operand) {
  op.dtype_in(operand, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
}

/// gamma holds the trailing dims of x; returns how many.
int64_t normalised_dims(const Phase1& op, const Operand& x, const Operand& gamma) {
  op.rank_in(x, 1, 8);
  op.require(gamma.rank() >= 1 && gamma.rank() <= x.rank() &&
                 std::equal(gamma.dims().rbegin(), gamma.dims().rend(), x.dims().rbegin()),
             "{} is {}, not the trailing dims of {} {}",
             gamma.argument,
             fmt::join(gamma.dims(), "x"),
             x.argument,
             fmt::join(x.dims(), "x"));
  return gamma.rank();
}

/// rstd: f32, one element per row, whatever its dims.
void check_rstd(const Phase1& op, const Operand& rstd, const Operand& x, const Operand& gamma) {
  op.dtype_in(rstd, {ACL_FLOAT});
  const int64_t rows = gamma.count() == 0 ? 0 : x.count() / gamma.count();
  op.require(rstd.count() == rows, "rstd has {} elements, x has {} rows", rstd.count(), rows);
}

struct RmsNorm {
  Operand x, gamma, y;
  std::optional<Operand> other, sum, rstd;
  double epsilon = 0;

  void check(const Phase1& op) const {
    floats(op, x);
    op.require(gamma.dtype() == x.dtype() || (!other && gamma.dtype() == ACL_FLOAT),
               "gamma is {}, x {}",
               dtype_name(gamma.dtype()),
               dtype_name(x.dtype()));
    normalised_dims(op, x, gamma);
    if (rstd) check_rstd(op, *rstd, x, gamma);
    if (other) {
      op.same_dtype(x, *other);
      op.dims_are(*other, x.dims());
    }
    for (const Operand* out : {&y, sum ? &*sum : nullptr}) {
      if (out == nullptr) continue;
      op.same_dtype(x, *out);
      op.dims_are(*out, x.dims());
      op.contiguous(*out);
    }
  }

  void compute(const Run& run) const {
    const std::vector<float> weights = load_all<float>(run.view(gamma));
    const int64_t inner = gamma.rank();
    const Rows inputs(run.view(x), inner);
    const Rows results(run.view(y), inner);
    std::optional<Rows> others;
    std::optional<Rows> sums;
    if (other) others.emplace(run.view(*other), inner);
    if (sum) sums.emplace(run.view(*sum), inner);
    std::vector<float> factors(inputs.offsets.size());
    for (size_t i = 0; i < inputs.offsets.size(); ++i) {
      std::vector<float> row = load_all<float>(inputs.row(i));
      if (others) {
        const std::vector<float> addend = load_all<float>(others->row(i));
        for (size_t c = 0; c < row.size(); ++c) row[c] += addend[c];
        // The norm is taken of the sum as it is stored.
        store_all(sums->row(i), row.data());
        row = load_all<float>(sums->row(i));
      }
      factors[i] = reciprocal_rms(row, epsilon);
      for (size_t c = 0; c < row.size(); ++c) row[c] = row[c] * factors[i] * weights[c];
      store_all(results.row(i), row.data());
    }
    if (rstd) store_all(run.view(*rstd), factors.data());
  }
};

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnRmsNorm,
                  const aclTensor* x,
                  const aclTensor* gamma,
                  double epsilon,
                  const aclTensor* y,
                  const aclTensor* rstd) {
  return phase1("aclnnRmsNorm", workspace_size, executor, [&](Phase1& op) {
    RmsNorm norm;
    norm.x = op.input("x", x);
    norm.gamma = op.input("gamma", gamma);
    norm.y = op.output("yOut", y);
    norm.rstd = op.output("rstdOut", rstd);
    norm.epsilon = epsilon;
    norm.check(op);
    op.workspace(norm.rstd->bytes() + 32);
    op.run([norm](const Run& run) { norm.compute(run); });
  });
}

EMULATOR_OPERATOR(aclnnAddRmsNorm,
                  const aclTensor* x1,
                  const aclTensor* x2,
                  const aclTensor* gamma,
                  double epsilon,
                  const aclTensor* y,
                  const aclTensor* rstd,
                  const aclTensor* sum) {
  return phase1("aclnnAddRmsNorm", workspace_size, executor, [&](Phase1& op) {
    RmsNorm norm;
    norm.x = op.input("x1", x1);
    norm.other = op.input("x2", x2);
    norm.gamma = op.input("gamma", gamma);
    norm.y = op.output("yOut", y);
    norm.rstd = op.output("rstdOut", rstd);
    norm.sum = op.output("xOut", sum);
    norm.epsilon = epsilon;
    norm.check(op);
    op.workspace(norm.rstd->bytes() + 32);
    op.run([norm](const Run& run) { norm.compute(run); });
  });
}

EMULATOR_OPERATOR(aclnnInplaceAddRmsNorm,
                  aclTensor* x1,
                  aclTensor* x2,
                  const aclTensor* gamma,
                  double epsilon,
                  const aclTensor* rstd) {
  return phase1("aclnnInplaceAddRmsNorm", workspace_size, executor, [&](Phase1& op) {
    RmsNorm norm;
    norm.x = op.in_place("x1Ref", x1);
    norm.other = op.in_place("x2Ref", x2);
    norm.gamma = op.input("gamma", gamma);
    norm.y = norm.x;
    norm.sum = norm.other;
    norm.rstd = op.output("rstdOut", rstd);
    norm.epsilon = epsilon;
    norm.check(op);
    op.workspace(norm.rstd->bytes() + 32);
    op.run([norm](const Run& run) { norm.compute(run); });
  });
}

EMULATOR_OPERATOR(aclnnAddRmsNormDynamicQuant,
                  const aclTensor* x1,
                  const aclTensor* x2,
                  const aclTensor* gamma,
                  const aclTensor* smooth_scale1,
                  const aclTensor* smooth_scale2,
                  double epsilon,
                  const aclTensor* y1,
                  const aclTensor* y2,
                  const aclTensor* sum,
                  const aclTensor* scale1,
                  const aclTensor* scale2) {
  return phase1("aclnnAddRmsNormDynamicQuant", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("x1", x1);
    const Operand b = op.input("x2", x2);
    const Operand weight = op.input("gamma", gamma);
    const auto smooth1 = op.optional("smoothScale1Optional", smooth_scale1);
    const auto smooth2 = op.optional("smoothScale2Optional", smooth_scale2);
    const Operand quantised1 = op.output("y1Out", y1);
    const Operand quantised2 = op.output("y2Out", y2);
    const Operand total = op.output("xOut", sum);
    const Operand factors1 = op.output("scale1Out", scale1);
    const Operand factors2 = op.output("scale2Out", scale2);
    op.dtype_in(a, {ACL_FLOAT16, ACL_BF16});
    op.same_dtype(a, b);
    op.same_dtype(a, weight);
    op.same_dtype(a, total);
    op.dims_are(b, a.dims());
    op.dims_are(total, a.dims());
    op.rank_in(a, 2, 8);
    op.dims_are(weight, {a.dim(-1)});
    op.require(smooth1 || !smooth2, "smoothScale2Optional is given without smoothScale1Optional");
    const auto check =
        [&](const std::optional<Operand>& smooth, const Operand& y, const Operand& scale) {
          op.dtype_in(y, {ACL_INT8});
          op.dims_are(y, a.dims());
          op.dtype_in(scale, {ACL_FLOAT});
          op.dims_are(scale, Dims(a.dims().begin(), a.dims().end() - 1));
          if (!smooth) return;
          op.same_dtype(a, *smooth);
          op.dims_are(*smooth, {a.dim(-1)});
        };
    check(smooth1, quantised1, factors1);
    if (smooth2) check(smooth2, quantised2, factors2);
    op.workspace(a.bytes() + kVectorWorkspace);
    op.run([=](const Run& run) {
      const std::vector<float> weights = load_all<float>(run.view(weight));
      const Rows left(run.view(a), 1);
      const Rows right(run.view(b), 1);
      const Rows sums(run.view(total), 1);
      const auto width = static_cast<size_t>(a.dim(-1));
      std::vector<float> normed(left.offsets.size() * width);
      for (size_t i = 0; i < left.offsets.size(); ++i) {
        std::vector<float> row = load_all<float>(left.row(i));
        const std::vector<float> addend = load_all<float>(right.row(i));
        for (size_t c = 0; c < width; ++c) row[c] += addend[c];
        store_all(sums.row(i), row.data());
        row = load_all<float>(sums.row(i));
        const float factor = reciprocal_rms(row, epsilon);
        for (size_t c = 0; c < width; ++c) normed[i * width + c] = row[c] * factor * weights[c];
      }
      const auto quantise =
          [&](const std::optional<Operand>& smooth, const Operand& y, const Operand& scale) {
            std::vector<float> values = normed;
            if (smooth) scale_columns(values, load_all<float>(run.view(*smooth)));
            store_quantised_rows(values, width, run.view(y), run.view(scale));
          };
      quantise(smooth1, quantised1, factors1);
      if (smooth2) quantise(smooth2, quantised2, factors2);
    });
  });
}

EMULATOR_OPERATOR(aclnnLayerNorm,
                  const aclTensor* input,
                  const aclIntArray* normalized_shape,
                  const aclTensor* weight,
                  const aclTensor* bias,
                  double epsilon,
                  aclTensor* out,
                  aclTensor* mean,
                  aclTensor* rstd) {
  return phase1("aclnnLayerNorm", workspace_size, executor, [&](Phase1& op) {
    const Operand x = op.input("input", input);
    const Dims shape = op.integers("normalizedShape", normalized_shape);
    const auto gamma = op.optional("weightOptional", weight);
    const auto beta = op.optional("biasOptional", bias);
    const Operand y = op.output("out", out);
    const auto means = op.optional_output("meanOutOptional", mean);
    const auto factors = op.optional_output("rstdOutOptional", rstd);
    floats(op, x);
    op.same_dtype(x, y);
    op.dims_are(y, x.dims());
    op.require(!shape.empty() && static_cast<int64_t>(shape.size()) <= x.rank() &&
                   std::equal(shape.rbegin(), shape.rend(), x.dims().rbegin()),
               "normalizedShape is {}, not the trailing dims of input {}",
               fmt::join(shape, "x"),
               fmt::join(x.dims(), "x"));
    for (const auto* parameter : {&gamma, &beta}) {
      if (!*parameter) continue;
      floats(op, **parameter);
      op.dims_are(**parameter, shape);
    }
    const int64_t rows = count_of(shape) == 0 ? 0 : x.count() / count_of(shape);
    for (const auto* statistic : {&means, &factors}) {
      if (!*statistic) continue;
      floats(op, **statistic);
      op.require((*statistic)->count() == rows,
                 "{} has {} elements, input {} rows",
                 (*statistic)->argument,
                 (*statistic)->count(),
                 rows);
    }
    op.workspace(rows * 8 + 32);
    op.run([=](const Run& run) {
      const auto inner = static_cast<int64_t>(shape.size());
      const Rows inputs(run.view(x), inner);
      const Rows results(run.view(y), inner);
      std::vector<float> scales;
      std::vector<float> shifts;
      if (gamma) scales = load_all<float>(run.view(*gamma));
      if (beta) shifts = load_all<float>(run.view(*beta));
      std::vector<float> row_means(inputs.offsets.size());
      std::vector<float> row_factors(inputs.offsets.size());
      for (size_t i = 0; i < inputs.offsets.size(); ++i) {
        std::vector<float> row = load_all<float>(inputs.row(i));
        double sum = 0;
        for (const float v : row) sum += v;
        const double centre = sum / static_cast<double>(row.size());
        double squares = 0;
        for (const float v : row) squares += (v - centre) * (v - centre);
        const double factor = 1.0 / std::sqrt(squares / static_cast<double>(row.size()) + epsilon);
        row_means[i] = static_cast<float>(centre);
        row_factors[i] = static_cast<float>(factor);
        for (size_t c = 0; c < row.size(); ++c) {
          row[c] = (row[c] - row_means[i]) * row_factors[i];
          if (gamma) row[c] *= scales[c];
          if (beta) row[c] += shifts[c];
        }
        store_all(results.row(i), row.data());
      }
      if (means) store_all(run.view(*means), row_means.data());
      if (factors) store_all(run.view(*factors), row_factors.data());
    });
  });
}
