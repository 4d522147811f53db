// Add, Sub, Mul, Div with a tensor or a scalar, in place or not.
#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

enum class Sign { plus, minus };

void numeric(const Phase1& op, const Operand& operand) {
  op.dtype_in(operand,
              {ACL_FLOAT,
               ACL_FLOAT16,
               ACL_BF16,
               ACL_DOUBLE,
               ACL_INT8,
               ACL_INT16,
               ACL_INT32,
               ACL_INT64,
               ACL_UINT8,
               ACL_BOOL});
}

/// Dims that both broadcast to must be those of `out`.
void broadcast_to(const Phase1& op, const Operand& a, const Operand& b, const Operand& out) {
  Dims dims;
  op.require(broadcast_dims(a.dims(), b.dims(), dims) && dims == out.dims(),
             "{} {} and {} {} do not broadcast to {} {}",
             a.argument,
             fmt::join(a.dims(), "x"),
             b.argument,
             fmt::join(b.dims(), "x"),
             out.argument,
             fmt::join(out.dims(), "x"));
}

void storable(const Phase1& op, aclDataType computed, const Operand& out) {
  op.require(can_store(computed, out.dtype()),
             "the result is {}, which {} of {} cannot hold",
             dtype_name(computed),
             out.argument,
             dtype_name(out.dtype()));
}

/// The compute type of a tensor with a scalar: the tensor's, unless a whole-number tensor meets a
/// floating scalar.
aclDataType with_scalar(const Operand& tensor, const Scalar& scalar) {
  if (is_floating(tensor.dtype()) || !is_floating(scalar.dtype)) {
    return tensor.dtype() == ACL_BOOL ? scalar.dtype : tensor.dtype();
  }
  return ACL_FLOAT;
}

aclDataType quotient_type(aclDataType promoted) {
  return is_floating(promoted) ? promoted : ACL_FLOAT;
}

template <typename Body>
void binary(Phase1& op,
            const Operand& a,
            const Operand& b,
            const Operand& out,
            aclDataType compute,
            Body body) {
  op.run([=](const Run& run) {
    const HostView result = run.view(out);
    const HostView left = broadcast(run.view(a), result.dims);
    const HostView right = broadcast(run.view(b), result.dims);
    in_compute_type(compute, [&]<typename T>(T) {
      elementwise<T, 2>(result, {left, right}, [&](const auto& rows, T* to, int64_t n) {
        for (int64_t i = 0; i < n; ++i) to[i] = body(rows[0][i], rows[1][i]);
      });
    });
  });
}

template <typename Body>
void unary(Phase1& op, const Operand& in, const Operand& out, aclDataType compute, Body body) {
  op.run([=](const Run& run) {
    const HostView result = run.view(out);
    in_compute_type(compute, [&]<typename T>(T) {
      elementwise<T, 1>(result, {run.view(in)}, [&](const auto& rows, T* to, int64_t n) {
        for (int64_t i = 0; i < n; ++i) to[i] = body(rows[0][i]);
      });
    });
  });
}

void check_alpha(const Phase1& op, const Scalar& alpha, aclDataType compute) {
  op.require(is_floating(compute) || !is_floating(alpha.dtype),
             "alpha is {} where the operands compute in {}",
             dtype_name(alpha.dtype),
             dtype_name(compute));
}

void add(Phase1& op,
         const Operand& self,
         const Operand& other,
         const Scalar& alpha,
         const Operand& out,
         Sign sign) {
  for (const Operand* operand : {&self, &other, &out}) numeric(op, *operand);
  broadcast_to(op, self, other, out);
  const aclDataType compute = promote(self.dtype(), other.dtype());
  op.require(sign == Sign::plus || compute != ACL_BOOL, "BOOL tensors cannot be subtracted");
  check_alpha(op, alpha, compute);
  storable(op, compute, out);
  binary(op, self, other, out, compute, [=]<typename T>(T a, T b) {
    const T scaled = alpha.as<T>() * b;
    return static_cast<T>(sign == Sign::plus ? a + scaled : a - scaled);
  });
}

void adds(
    Phase1& op, const Operand& self, const Scalar& other, const Scalar& alpha, const Operand& out) {
  for (const Operand* operand : {&self, &out}) numeric(op, *operand);
  op.dims_are(out, self.dims());
  const aclDataType compute = with_scalar(self, other);
  check_alpha(op, alpha, compute);
  storable(op, compute, out);
  unary(op, self, out, compute, [=]<typename T>(T a) {
    return static_cast<T>(a + alpha.as<T>() * other.as<T>());
  });
}

void mul(Phase1& op, const Operand& self, const Operand& other, const Operand& out) {
  for (const Operand* operand : {&self, &other, &out}) numeric(op, *operand);
  broadcast_to(op, self, other, out);
  const aclDataType compute = promote(self.dtype(), other.dtype());
  storable(op, compute, out);
  binary(op, self, other, out, compute, []<typename T>(T a, T b) { return static_cast<T>(a * b); });
}

void muls(Phase1& op, const Operand& self, const Scalar& other, const Operand& out) {
  for (const Operand* operand : {&self, &out}) numeric(op, *operand);
  op.dims_are(out, self.dims());
  const aclDataType compute = with_scalar(self, other);
  storable(op, compute, out);
  unary(op, self, out, compute, [=]<typename T>(T a) { return static_cast<T>(a * other.as<T>()); });
}

template <typename T>
T quotient(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return b == 0 ? 0 : a / b;  // not reached: quotients compute in floating point
  } else {
    return a / b;
  }
}

void divide(Phase1& op, const Operand& self, const Operand& other, const Operand& out) {
  for (const Operand* operand : {&self, &other, &out}) numeric(op, *operand);
  broadcast_to(op, self, other, out);
  const aclDataType compute = quotient_type(promote(self.dtype(), other.dtype()));
  storable(op, compute, out);
  binary(op, self, other, out, compute, []<typename T>(T a, T b) { return quotient(a, b); });
}

void divide_by(Phase1& op, const Operand& self, const Scalar& other, const Operand& out) {
  for (const Operand* operand : {&self, &out}) numeric(op, *operand);
  op.dims_are(out, self.dims());
  const aclDataType compute = quotient_type(with_scalar(self, other));
  storable(op, compute, out);
  unary(
      op, self, out, compute, [=]<typename T>(T a) { return quotient(a, other.template as<T>()); });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnAdd,
                  const aclTensor* self,
                  const aclTensor* other,
                  const aclScalar* alpha,
                  aclTensor* out) {
  return phase1("aclnnAdd", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    const Operand b = op.input("other", other);
    add(op, a, b, op.scalar("alpha", alpha), op.output("out", out), Sign::plus);
  });
}

EMULATOR_OPERATOR(aclnnSub,
                  const aclTensor* self,
                  const aclTensor* other,
                  const aclScalar* alpha,
                  aclTensor* out) {
  return phase1("aclnnSub", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    const Operand b = op.input("other", other);
    add(op, a, b, op.scalar("alpha", alpha), op.output("out", out), Sign::minus);
  });
}

EMULATOR_OPERATOR(aclnnInplaceAdd,
                  const aclTensor* self,
                  const aclTensor* other,
                  const aclScalar* alpha) {
  return phase1("aclnnInplaceAdd", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    add(op, a, op.input("other", other), op.scalar("alpha", alpha), a, Sign::plus);
  });
}

EMULATOR_OPERATOR(aclnnInplaceSub,
                  aclTensor* self,
                  const aclTensor* other,
                  const aclScalar* alpha) {
  return phase1("aclnnInplaceSub", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    add(op, a, op.input("other", other), op.scalar("alpha", alpha), a, Sign::minus);
  });
}

EMULATOR_OPERATOR(aclnnAdds,
                  const aclTensor* self,
                  const aclScalar* other,
                  const aclScalar* alpha,
                  aclTensor* out) {
  return phase1("aclnnAdds", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    adds(op, a, op.scalar("other", other), op.scalar("alpha", alpha), op.output("out", out));
  });
}

EMULATOR_OPERATOR(aclnnInplaceAdds,
                  const aclTensor* self,
                  const aclScalar* other,
                  const aclScalar* alpha) {
  return phase1("aclnnInplaceAdds", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    adds(op, a, op.scalar("other", other), op.scalar("alpha", alpha), a);
  });
}

EMULATOR_OPERATOR(aclnnMul, const aclTensor* self, const aclTensor* other, aclTensor* out) {
  return phase1("aclnnMul", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    const Operand b = op.input("other", other);
    mul(op, a, b, op.output("out", out));
  });
}

EMULATOR_OPERATOR(aclnnInplaceMul, aclTensor* self, const aclTensor* other) {
  return phase1("aclnnInplaceMul", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    mul(op, a, op.input("other", other), a);
  });
}

EMULATOR_OPERATOR(aclnnMuls, const aclTensor* self, const aclScalar* other, aclTensor* out) {
  return phase1("aclnnMuls", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    muls(op, a, op.scalar("other", other), op.output("out", out));
  });
}

EMULATOR_OPERATOR(aclnnInplaceMuls, aclTensor* self, const aclScalar* other) {
  return phase1("aclnnInplaceMuls", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    muls(op, a, op.scalar("other", other), a);
  });
}

EMULATOR_OPERATOR(aclnnDiv, const aclTensor* self, const aclTensor* other, aclTensor* out) {
  return phase1("aclnnDiv", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    const Operand b = op.input("other", other);
    divide(op, a, b, op.output("out", out));
  });
}

EMULATOR_OPERATOR(aclnnInplaceDiv, aclTensor* self, const aclTensor* other) {
  return phase1("aclnnInplaceDiv", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    divide(op, a, op.input("other", other), a);
  });
}

EMULATOR_OPERATOR(aclnnDivs, const aclTensor* self, const aclScalar* other, aclTensor* out) {
  return phase1("aclnnDivs", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    divide_by(op, a, op.scalar("other", other), op.output("out", out));
  });
}

EMULATOR_OPERATOR(aclnnInplaceDivs, aclTensor* self, const aclScalar* other) {
  return phase1("aclnnInplaceDivs", workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.in_place("selfRef", self);
    divide_by(op, a, op.scalar("other", other), a);
  });
}
