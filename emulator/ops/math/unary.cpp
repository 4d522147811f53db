// Cast, Cos, Sin, PowScalarTensor, fills and Arange.
#include <cmath>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

void convertible(const Phase1& op, const Operand& operand) {
  op.require(element_bytes(operand.dtype()) > 0,
             "{} is {}, which is not a type to convert",
             operand.argument,
             dtype_name(operand.dtype()));
}

/// Functions of one real argument: whole numbers are taken as FLOAT.
template <typename Body>
void real_function(Phase1& op, const Operand& self, const Operand& out, Body body) {
  op.dtype_in(self,
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
  op.dtype_in(out, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE});
  op.dims_are(out, self.dims());
  op.run([=](const Run& run) { map_reals(run.view(self), run.view(out), body); });
}

void fill(const HostView& view, const Scalar& value) {
  const auto run = [&]<typename T>(T /*compute type*/) {
    elementwise<T, 0>(view, {}, [&](const auto& /*rows*/, T* out, int64_t n) {
      for (int64_t i = 0; i < n; ++i) out[i] = value.as<T>();
    });
  };
  if (is_floating(value.dtype)) {
    run(double{});
  } else {
    run(int64_t{});
  }
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnCast, const aclTensor* self, aclDataType dtype, aclTensor* out) {
  return phase1("aclnnCast", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    convertible(op, from);
    convertible(op, to);
    op.require(to.dtype() == dtype,
               "out is {}, the requested dtype {}",
               dtype_name(to.dtype()),
               dtype_name(dtype));
    op.dims_are(to, from.dims());
    op.run([=](const Run& run) { copy_elements(run.view(from), run.view(to)); });
  });
}

EMULATOR_OPERATOR(aclnnInplaceCopy, aclTensor* self, const aclTensor* src) {
  return phase1("aclnnInplaceCopy", workspace_size, executor, [&](Phase1& op) {
    const Operand to = op.in_place("selfRef", self);
    const Operand from = op.input("src", src);
    convertible(op, from);
    convertible(op, to);
    Dims dims;
    op.require(broadcast_dims(from.dims(), to.dims(), dims) && dims == to.dims(),
               "src {} does not broadcast to selfRef {}",
               fmt::join(from.dims(), "x"),
               fmt::join(to.dims(), "x"));
    op.touches(to, static_cast<double>(to.bytes()));
    op.run([=](const Run& run) {
      const HostView target = run.view(to);
      copy_elements(broadcast(run.view(from), target.dims), target);
    });
  });
}

EMULATOR_OPERATOR(aclnnAbs, const aclTensor* self, aclTensor* out) {
  return phase1("aclnnAbs", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
    op.same_dtype(from, to);
    op.dims_are(to, from.dims());
    op.run([=](const Run& run) {
      map_reals(run.view(from), run.view(to), [](auto x) { return std::fabs(x); });
    });
  });
}

EMULATOR_OPERATOR(aclnnCos, const aclTensor* self, aclTensor* out) {
  return phase1("aclnnCos", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    real_function(op, from, op.output("out", out), [](auto x) { return std::cos(x); });
  });
}

EMULATOR_OPERATOR(aclnnSin, const aclTensor* self, aclTensor* out) {
  return phase1("aclnnSin", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    real_function(op, from, op.output("out", out), [](auto x) { return std::sin(x); });
  });
}

EMULATOR_OPERATOR(aclnnPowScalarTensor,
                  const aclScalar* self,
                  const aclTensor* exponent,
                  const aclTensor* out) {
  return phase1("aclnnPowScalarTensor", workspace_size, executor, [&](Phase1& op) {
    const Scalar base = op.scalar("self", self);
    const Operand power = op.input("exponent", exponent);
    const Operand to = op.output("out", out);
    op.dtype_in(
        power,
        {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE, ACL_INT8, ACL_INT16, ACL_INT32, ACL_INT64});
    op.dims_are(to, power.dims());
    const bool whole = !is_floating(base.dtype) && !is_floating(power.dtype());
    op.require(whole || is_floating(to.dtype()),
               "the result is floating, which out of {} cannot hold",
               dtype_name(to.dtype()));
    op.run([=](const Run& run) {
      if (whole || power.dtype() == ACL_DOUBLE) {
        elementwise<double, 1>(
            run.view(to), {run.view(power)}, [&](const auto& rows, double* result, int64_t n) {
              for (int64_t i = 0; i < n; ++i) result[i] = std::pow(base.as<double>(), rows[0][i]);
            });
        return;
      }
      map_reals(run.view(power), run.view(to), [&](auto x) {
        return std::pow(base.as<decltype(x)>(), x);
      });
    });
  });
}

EMULATOR_OPERATOR(aclnnInplaceZero, aclTensor* self) {
  return phase1("aclnnInplaceZero", workspace_size, executor, [&](Phase1& op) {
    const Operand to = op.in_place("selfRef", self);
    convertible(op, to);
    op.touches(to, static_cast<double>(to.bytes()));
    op.run([=](const Run& run) { fill(run.view(to), {.dtype = ACL_INT64}); });
  });
}

EMULATOR_OPERATOR(aclnnInplaceFillScalar, aclTensor* self, const aclScalar* value) {
  return phase1("aclnnInplaceFillScalar", workspace_size, executor, [&](Phase1& op) {
    const Operand to = op.in_place("selfRef", self);
    convertible(op, to);
    const Scalar filling = op.scalar("value", value);
    op.touches(to, static_cast<double>(to.bytes()));
    op.run([=](const Run& run) { fill(run.view(to), filling); });
  });
}

EMULATOR_OPERATOR(aclnnInplaceMaskedFillScalar,
                  aclTensor* self,
                  const aclTensor* mask,
                  const aclScalar* value) {
  return phase1("aclnnInplaceMaskedFillScalar", workspace_size, executor, [&](Phase1& op) {
    const Operand to = op.in_place("selfRef", self);
    const Operand where = op.input("mask", mask);
    const Scalar filling = op.scalar("value", value);
    op.dtype_in(
        to,
        {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE, ACL_INT8, ACL_INT32, ACL_INT64, ACL_BOOL});
    op.dtype_in(where, {ACL_BOOL});
    Dims dims;
    op.require(broadcast_dims(where.dims(), to.dims(), dims) && dims == to.dims(),
               "mask {} does not broadcast to selfRef {}",
               fmt::join(where.dims(), "x"),
               fmt::join(to.dims(), "x"));
    op.run([=](const Run& run) {
      const HostView target = run.view(to);
      const HostView chosen = broadcast(run.view(where), target.dims);
      in_compute_type(target.dtype, [&]<typename T>(T) {
        elementwise<T, 2>(target, {target, chosen}, [&](const auto& rows, T* out, int64_t n) {
          for (int64_t i = 0; i < n; ++i) {
            out[i] = rows[1][i] != T{} ? filling.as<T>() : rows[0][i];
          }
        });
      });
    });
  });
}

EMULATOR_OPERATOR(aclnnArange,
                  const aclScalar* start,
                  const aclScalar* end,
                  const aclScalar* step,
                  aclTensor* out) {
  return phase1("aclnnArange", workspace_size, executor, [&](Phase1& op) {
    const Scalar first = op.scalar("start", start);
    const Scalar last = op.scalar("end", end);
    const Scalar stride = op.scalar("step", step);
    const Operand to = op.output("out", out);
    op.dtype_in(to, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32, ACL_INT64});
    op.require(stride.as<double>() != 0.0, "step is 0");
    const double span = (last.as<double>() - first.as<double>()) / stride.as<double>();
    op.require(span >= 0, "start and end do not agree with the sign of step");
    op.dims_are(to, {static_cast<int64_t>(std::ceil(span))});
    op.run([=](const Run& run) {
      const HostView view = run.view(to);
      std::vector<double> values(static_cast<size_t>(view.count()));
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = first.as<double>() + static_cast<double>(i) * stride.as<double>();
      }
      store_all(view, values.data());
    });
  });
}
