// Copies of rows, sums, rotary embedding, activations: rows over threads; the arithmetic is in
// kernels/elementwise.cpp.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"

#include <cmath>
#include <cstring>

namespace fastchat::ops {
namespace {

using device::CpuTeam;

/// The address of a row.
template <typename T>
T* row_at(const TensorView& view, std::int64_t row) {
  return reinterpret_cast<T*>(static_cast<char*>(view.data()) +
                              row * view.row_stride() *
                                  static_cast<std::int64_t>(device::size_of(view.dtype())));
}

}  // namespace

void CpuOps::embedding(Stream& stream, TensorView table, TensorView ids, TensorView out) {
  check_embedding(table, ids, out);
  if (ids.rows() == 0) return;
  cpu::cpu_stream(stream, "embedding")
      .enqueue([kernels = &kernels_, table, ids, out](CpuTeam& team) {
        const std::int64_t width = table.dim(1);
        team.parallel_for(ids.rows(),
                          cpu::row_grain(width),
                          [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                            for (std::int64_t i = begin; i < end; ++i) {
                              const std::int32_t id = *row_at<const std::int32_t>(ids, i);
                              if (id >= 0 && id < table.rows()) {
                                kernels->convert(row_at<const void>(table, id),
                                                 cpu::element_of(table.dtype()),
                                                 row_at<void>(out, i),
                                                 cpu::element_of(out.dtype()),
                                                 width);
                              } else {
                                // All ones is a NaN in every dtype.
                                std::memset(
                                    row_at<void>(out, i),
                                    0xFF,
                                    static_cast<std::size_t>(width) * device::size_of(out.dtype()));
                              }
                            }
                          });
      });
}

void CpuOps::gather_rows(Stream& stream, TensorView x, TensorView indices, TensorView out) {
  check_gather_rows(x, indices, out);
  if (indices.rows() == 0) return;
  cpu::cpu_stream(stream, "gather_rows").enqueue([x, indices, out](CpuTeam& team) {
    const std::size_t bytes = static_cast<std::size_t>(x.dim(1)) * device::size_of(x.dtype());
    team.parallel_for(indices.rows(),
                      cpu::row_grain(x.dim(1)),
                      [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                        for (std::int64_t i = begin; i < end; ++i) {
                          const std::int32_t index = *row_at<const std::int32_t>(indices, i);
                          if (index >= 0 && index < x.rows()) {
                            std::memcpy(row_at<void>(out, i), row_at<const void>(x, index), bytes);
                          } else {
                            std::memset(row_at<void>(out, i), 0xFF, bytes);
                          }
                        }
                      });
  });
}

void CpuOps::resolve_tokens(
    Stream& stream, TensorView ids, TensorView rows, TensorView sources, TensorView sampled) {
  check_resolve_tokens(ids, rows, sources, sampled);
  cpu::cpu_stream(stream, "resolve_tokens").enqueue([ids, rows, sources, sampled](CpuTeam&) {
    for (std::int64_t i = 0; i < sources.rows(); ++i) {
      const std::int32_t source = *row_at<const std::int32_t>(sources, i);
      const std::int64_t row = rows.empty() ? i : *row_at<const std::int32_t>(rows, i);
      if (row < 0 || row >= ids.rows()) continue;
      // A source that is not there becomes an id that embedding turns to NaN.
      const bool is_there = source >= 0 && source < sampled.rows();
      *row_at<std::int32_t>(ids, row) =
          is_there ? *row_at<const std::int32_t>(sampled, source) : -1;
    }
  });
}

void CpuOps::add(Stream& stream, TensorView out, TensorView x) {
  check_add("add", out, x);
  if (x.rows() == 0) return;
  cpu::cpu_stream(stream, "add").enqueue([kernels = &kernels_, out, x](CpuTeam& team) {
    team.parallel_for(x.rows(),
                      cpu::row_grain(x.dim(1)),
                      [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                        for (std::int64_t row = begin; row < end; ++row)
                          kernels->add(row_at<const void>(x, row),
                                       cpu::element_of(x.dtype()),
                                       row_at<void>(out, row),
                                       cpu::element_of(out.dtype()),
                                       x.dim(1));
                      });
  });
}

void CpuOps::rotary_table(Stream& stream,
                          TensorView positions,
                          TensorView inverse_frequencies,
                          float scale,
                          TensorView out) {
  check_rotary_table(positions, inverse_frequencies, out);
  if (positions.rows() == 0) return;
  cpu::cpu_stream(stream, "rotary_table")
      .enqueue([positions, inverse_frequencies, scale, out](CpuTeam& team) {
        const std::int64_t half = inverse_frequencies.rows();
        constexpr std::int64_t kCostOfSincos = 32;  // in elements of other kernels
        team.parallel_for(positions.rows(),
                          cpu::row_grain(half * kCostOfSincos),
                          [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                            const auto* frequencies = inverse_frequencies.as<const float>();
                            for (std::int64_t row = begin; row < end; ++row) {
                              const auto position =
                                  static_cast<float>(*row_at<const std::int32_t>(positions, row));
                              float* cosines = row_at<float>(out, row);
                              for (std::int64_t i = 0; i < half; ++i) {
                                // The angle is rounded to f32 first, as the models' own code does.
                                const float angle = position * frequencies[i];
                                cosines[i] = std::cos(angle) * scale;
                                cosines[half + i] = std::sin(angle) * scale;
                              }
                            }
                          });
      });
}

void CpuOps::rotary(
    Stream& stream, TensorView x, std::int64_t head_dim, TensorView table, TensorView out) {
  check_rotary(x, head_dim, table, out);
  if (x.rows() == 0) return;
  const cpu::RotaryArgs args{.x = cpu::const_rows(x),
                             .out = cpu::rows(out),
                             .table = table.as<const float>(),
                             .table_stride = table.row_stride(),
                             .num_heads = x.dim(1) / head_dim,
                             .head_dim = head_dim,
                             .rotary_dim = table.dim(1)};
  cpu::cpu_stream(stream, "rotary")
      .enqueue([kernels = &kernels_, args, num_rows = x.rows()](CpuTeam& team) {
        team.parallel_for(num_rows,
                          cpu::row_grain(args.num_heads * args.head_dim),
                          [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                            kernels->rotary(args, begin, end);
                          });
      });
}

void CpuOps::gated_activation(Stream& stream,
                              TensorView gate_up,
                              Activation activation,
                              TensorView out) {
  check_gated_activation(gate_up, out);
  if (out.rows() == 0) return;
  const auto kind = activation == Activation::silu   ? cpu::GateKind::silu
                    : activation == Activation::gelu ? cpu::GateKind::gelu
                                                     : cpu::GateKind::gelu_tanh;
  const cpu::GateArgs args{.gate_up = cpu::const_rows(gate_up),
                           .kind = kind,
                           .width = out.dim(1),
                           .out = cpu::rows(out)};
  cpu::cpu_stream(stream, "gated_activation")
      .enqueue([kernels = &kernels_, args, num_rows = out.rows()](CpuTeam& team) {
        team.parallel_for(num_rows,
                          cpu::row_grain(2 * args.width),
                          [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                            kernels->gated_activation(args, begin, end);
                          });
      });
}

}  // namespace fastchat::ops
