// Silu, Gelu, GeluV2, SwiGlu.
#include <cmath>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

template <typename Body>
void activation(Phase1& op, const Operand& from, const Operand& to, Body body) {
  op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  op.same_dtype(from, to);
  op.dims_are(to, from.dims());
  op.run([=](const Run& run) { map_reals(run.view(from), run.view(to), body); });
}

template <typename T>
T gelu_erf(T x) {
  return static_cast<T>(0.5) * x * (T{1} + std::erf(x * static_cast<T>(M_SQRT1_2)));
}

template <typename T>
T gelu_tanh(T x) {
  const T inner =
      static_cast<T>(M_2_SQRTPI * M_SQRT1_2) * (x + static_cast<T>(0.044715) * x * x * x);
  return static_cast<T>(0.5) * x * (T{1} + std::tanh(inner));
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnSilu, const aclTensor* self, aclTensor* out) {
  return phase1("aclnnSilu", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    activation(op, from, op.output("out", out), [](auto x) { return x * sigmoid(x); });
  });
}

EMULATOR_OPERATOR(aclnnGelu, const aclTensor* self, aclTensor* out) {
  return phase1("aclnnGelu", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    activation(op, from, op.output("out", out), [](auto x) { return gelu_erf(x); });
  });
}

EMULATOR_OPERATOR(aclnnGeluV2, const aclTensor* x, int64_t approximate, aclTensor* y) {
  return phase1("aclnnGeluV2", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("x", x);
    const Operand to = op.output("y", y);
    op.require(approximate == 0 || approximate == 1, "approximate is {}, not 0 or 1", approximate);
    if (approximate == 0) {
      activation(op, from, to, [](auto v) { return gelu_erf(v); });
    } else {
      activation(op, from, to, [](auto v) { return gelu_tanh(v); });
    }
  });
}

EMULATOR_OPERATOR(aclnnSwiGlu, const aclTensor* x, int64_t dim, const aclTensor* out) {
  return phase1("aclnnSwiGlu", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("x", x);
    const Operand to = op.output("out", out);
    op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
    op.same_dtype(from, to);
    op.rank_in(from, 1, 8);
    op.contiguous(from);
    op.contiguous(to);
    const int64_t axis = op.axis("dim", dim, from.rank());
    const int64_t size = from.dim(axis);
    op.require(size % 2 == 0, "dim {} of x has {} elements, an odd number", axis, size);
    Dims expected = from.dims();
    expected[static_cast<size_t>(axis)] = size / 2;
    op.dims_are(to, expected);
    op.workspace(kVectorWorkspace);
    op.run([=](const Run& run) {
      const HostView whole = run.view(from);
      const HostView gate = sliced(whole, axis, 0, size / 2);
      const HostView up = sliced(whole, axis, size / 2, size / 2);
      elementwise<float, 2>(
          run.view(to), {gate, up}, [](const auto& rows, float* result, int64_t n) {
            for (int64_t i = 0; i < n; ++i)
              result[i] = rows[0][i] * sigmoid(rows[0][i]) * rows[1][i];
          });
    });
  });
}
