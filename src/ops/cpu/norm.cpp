// Norms: rows over threads; the arithmetic is in kernels/norm.cpp.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {
namespace {

using NormKernel = void (*)(const cpu::NormArgs&, std::int64_t, std::int64_t);

void enqueue_norm(device::CpuStream& stream,
                  NormKernel kernel,
                  std::int64_t num_rows,
                  const cpu::NormArgs& args) {
  if (num_rows == 0) return;
  stream.enqueue([kernel, num_rows, args](device::CpuTeam& team) {
    team.parallel_for(
        num_rows,
        cpu::row_grain(args.num_groups * args.width),
        [&](std::int64_t begin, std::int64_t end, int /*thread*/) { kernel(args, begin, end); });
  });
}

}  // namespace

void CpuOps::rms_norm(Stream& stream, TensorView x, TensorView weight, float eps, TensorView out) {
  check_rms_norm(x, weight, out);
  enqueue_norm(cpu::cpu_stream(stream, "rms_norm"),
               kernels_.rms_norm,
               x.rows(),
               {.x = cpu::const_rows(x),
                .weight = cpu::const_rows(weight),
                .width = x.dim(x.rank() - 1),
                .num_groups = x.rank() == 3 ? x.dim(1) : 1,
                .eps = eps,
                .out = cpu::rows(out)});
}

void CpuOps::add_rms_norm(Stream& stream,
                          TensorView residual,
                          TensorView x,
                          TensorView weight,
                          float eps,
                          TensorView out) {
  check_add("add_rms_norm", residual, x);
  check_norm("add_rms_norm", residual, weight, {}, out);
  enqueue_norm(cpu::cpu_stream(stream, "add_rms_norm"),
               kernels_.add_rms_norm,
               x.rows(),
               {.residual = cpu::rows(residual),
                .x = cpu::const_rows(x),
                .weight = cpu::const_rows(weight),
                .width = x.dim(1),
                .eps = eps,
                .out = cpu::rows(out)});
}

void CpuOps::layer_norm(
    Stream& stream, TensorView x, TensorView weight, TensorView bias, float eps, TensorView out) {
  check_norm("layer_norm", x, weight, bias, out);
  enqueue_norm(cpu::cpu_stream(stream, "layer_norm"),
               kernels_.layer_norm,
               x.rows(),
               {.x = cpu::const_rows(x),
                .weight = cpu::const_rows(weight),
                .bias = bias.empty() ? cpu::ConstRows{} : cpu::const_rows(bias),
                .width = x.dim(1),
                .eps = eps,
                .out = cpu::rows(out)});
}

}  // namespace fastchat::ops
