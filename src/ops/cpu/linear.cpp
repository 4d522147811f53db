// How linear's work is shared among the threads; the arithmetic is in kernels/linear.cpp.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"

#include <algorithm>

namespace fastchat::ops {
namespace {

using cpu::kDepth;
using cpu::Kernels;
using cpu::kPanelColumns;
using cpu::LinearArgs;
using device::CpuTeam;

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

/// Few rows: each thread reads its panels once, in the order they lie in memory.
void run_stream(const Kernels& kernels, LinearArgs args, bool quantizes_input, CpuTeam& team) {
  const std::int64_t stretches = divide_up(args.in_features, kDepth);
  const std::int64_t x_floats = stretches * args.num_rows * kDepth;
  auto* x = static_cast<float*>(
      team.scratch(0, static_cast<std::size_t>(x_floats + args.num_rows) * sizeof(float)));
  if (quantizes_input) {
    kernels.linear_input_scales(args, 0, args.num_rows, x + x_floats);
    args.input_scales = x + x_floats;
  }
  kernels.linear_prepare(args, x);
  constexpr std::int64_t kPieceBytes = 64 * 1024;
  const std::int64_t panel_bytes =
      args.in_features * kPanelColumns * cpu::size_of(args.weight_element);
  team.parallel_for(divide_up(args.out_features, kPanelColumns),
                    std::max<std::int64_t>(1, kPieceBytes / panel_bytes),
                    [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                      kernels.linear_stream(args, x, begin, end);
                    });
}

/// Many rows: tiles of rows × panels, the rows of a panel group one after another so that it stays
/// in the cache.
void run_tiles(const Kernels& kernels, LinearArgs args, bool quantizes_input, CpuTeam& team) {
  constexpr std::int64_t kRowsPerPass = 12;
  constexpr std::int64_t kTilesPerThread = 4;
  const std::int64_t row_blocks = divide_up(args.num_rows, cpu::kTileRows);
  const std::int64_t rows_per_block =
      divide_up(divide_up(args.num_rows, row_blocks), kRowsPerPass) * kRowsPerPass;
  const std::int64_t panels = divide_up(args.out_features, kPanelColumns);
  const std::int64_t wanted_groups = divide_up(kTilesPerThread * team.num_threads(), row_blocks);
  const std::int64_t group = std::clamp<std::int64_t>(panels / wanted_groups, 1, cpu::kTilePanels);
  if (quantizes_input) {
    // Behind the part of thread 0's scratch that its tiles use; asked for at once, so it stays.
    auto* scales =
        static_cast<float*>(team.scratch(
            0, static_cast<std::size_t>(cpu::kLinearTileFloats + args.num_rows) * sizeof(float))) +
        cpu::kLinearTileFloats;
    team.parallel_for(args.num_rows,
                      cpu::row_grain(args.in_features),
                      [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                        kernels.linear_input_scales(args, begin, end, scales);
                      });
    args.input_scales = scales;
  }
  team.parallel_for(divide_up(panels, group) * row_blocks,
                    1,
                    [&](std::int64_t begin, std::int64_t end, int thread) {
                      auto* scratch = static_cast<float*>(
                          team.scratch(thread, cpu::kLinearTileFloats * sizeof(float)));
                      for (std::int64_t tile = begin; tile < end; ++tile) {
                        const std::int64_t row = tile % row_blocks * rows_per_block;
                        const std::int64_t panel = tile / row_blocks * group;
                        if (row >= args.num_rows) continue;
                        kernels.linear_tile(args,
                                            row,
                                            std::min(row + rows_per_block, args.num_rows),
                                            panel,
                                            std::min(panel + group, panels),
                                            scratch);
                      }
                    });
}

}  // namespace

void CpuOps::linear(
    Stream& stream, TensorView x, const PackedLinear& weight, TensorView bias, TensorView out) {
  check_linear(x, weight, bias, out);
  check(bias.empty() || bias.dtype() == DType::f32,
        "linear: bias is {}, expected f32",
        bias.describe());
  if (x.rows() == 0) return;
  LinearArgs args{.x = cpu::const_rows(x),
                  .num_rows = x.rows(),
                  .weight = weight.storage.data(),
                  .weight_element = cpu::element_of(weight.format.weight),
                  .in_features = weight.in_features,
                  .out_features = weight.out_features,
                  .bias = bias.as<const float>(),
                  .out = cpu::rows(out)};
  if (weight.format.is_quantized())
    args.weight_scales = reinterpret_cast<const float*>(
        static_cast<const char*>(weight.storage.data()) +
        row_scales_offset(traits_, weight.out_features, weight.in_features));
  const bool quantizes_input = weight.format.input == DType::i8;
  cpu::cpu_stream(stream, "linear")
      .enqueue([kernels = &kernels_, args, quantizes_input](CpuTeam& team) {
        if (args.num_rows <= cpu::kStreamRows) {
          run_stream(*kernels, args, quantizes_input, team);
        } else {
          run_tiles(*kernels, args, quantizes_input, team);
        }
      });
}

}  // namespace fastchat::ops
