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
void run_stream(const Kernels& kernels, const LinearArgs& args, CpuTeam& team) {
  const std::int64_t stretches = divide_up(args.in_features, kDepth);
  auto* x = static_cast<float*>(team.scratch(
      0, static_cast<std::size_t>(stretches * args.num_rows * kDepth) * sizeof(float)));
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
void run_tiles(const Kernels& kernels, const LinearArgs& args, CpuTeam& team) {
  constexpr std::int64_t kRowsPerPass = 12;
  constexpr std::int64_t kTilesPerThread = 4;
  const std::int64_t row_blocks = divide_up(args.num_rows, cpu::kTileRows);
  const std::int64_t rows_per_block =
      divide_up(divide_up(args.num_rows, row_blocks), kRowsPerPass) * kRowsPerPass;
  const std::int64_t panels = divide_up(args.out_features, kPanelColumns);
  const std::int64_t wanted_groups = divide_up(kTilesPerThread * team.num_threads(), row_blocks);
  const std::int64_t group = std::clamp<std::int64_t>(panels / wanted_groups, 1, cpu::kTilePanels);
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
  if (x.rows() == 0) return;
  const LinearArgs args{.x = cpu::const_rows(x),
                        .num_rows = x.rows(),
                        .weight = weight.storage.data(),
                        .weight_element = cpu::element_of(weight.dtype),
                        .in_features = weight.in_features,
                        .out_features = weight.out_features,
                        .bias = bias.as<const float>(),
                        .out = cpu::rows(out)};
  cpu::cpu_stream(stream, "linear").enqueue([kernels = &kernels_, args](CpuTeam& team) {
    if (args.num_rows <= cpu::kStreamRows) {
      run_stream(*kernels, args, team);
    } else {
      run_tiles(*kernels, args, team);
    }
  });
}

}  // namespace fastchat::ops
