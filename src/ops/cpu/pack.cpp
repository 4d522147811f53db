// Weights into the layout of the kernels. Bound by the read of the checkpoint.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {

PackedLinear CpuOps::pack_linear(Stream& stream, std::span<const WeightSlice> slices, DType dtype) {
  const SliceShape shape = check_slices("pack_linear", slices, dtype);
  PackedLinear packed;
  packed.dtype = dtype;
  packed.out_features = shape.rows;
  packed.in_features = shape.columns;
  packed.storage =
      device_.allocate(packed_linear_bytes(traits_, shape.rows, shape.columns, dtype), "weights");
  device::CpuStream& queue = cpu::cpu_stream(stream, "pack_linear");
  std::int64_t first_row = 0;
  for (const WeightSlice& slice : slices) {
    const cpu::PackArgs args{.source = slice.data,
                             .source_element = cpu::element_of(slice.dtype),
                             .source_stride = slice.row_stride,
                             .columns = slice.columns,
                             .first_row = first_row,
                             .num_rows = slice.rows,
                             .last = &slice == &slices.back(),
                             .weight = packed.storage.data(),
                             .weight_element = cpu::element_of(dtype)};
    first_row += slice.rows;
    queue.enqueue([kernels = &kernels_, args](device::CpuTeam& team) {
      const std::int64_t first = args.first_row / cpu::kPanelColumns;
      const std::int64_t last = (args.first_row + args.num_rows - 1) / cpu::kPanelColumns;
      team.parallel_for(
          last + 1 - first, 1, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
            kernels->pack(args, first + begin, first + end);
          });
    });
  }
  return packed;
}

Buffer CpuOps::pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype) {
  const SliceShape shape = check_slices("pack_plain", slices, dtype);
  Buffer buffer = device_.allocate(
      static_cast<std::size_t>(shape.rows * shape.columns) * device::size_of(dtype), "weights");
  device::CpuStream& queue = cpu::cpu_stream(stream, "pack_plain");
  char* out = static_cast<char*>(buffer.data());
  const auto row_bytes = static_cast<std::int64_t>(device::size_of(dtype)) * shape.columns;
  for (const WeightSlice& slice : slices) {
    queue.enqueue([kernels = &kernels_, slice, out, dtype, row_bytes](device::CpuTeam& team) {
      team.parallel_for(slice.rows,
                        cpu::row_grain(slice.columns),
                        [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                          const auto stride =
                              static_cast<std::int64_t>(device::size_of(slice.dtype)) *
                              slice.row_stride;
                          for (std::int64_t row = begin; row < end; ++row)
                            kernels->convert(static_cast<const char*>(slice.data) + row * stride,
                                             cpu::element_of(slice.dtype),
                                             out + row * row_bytes,
                                             cpu::element_of(dtype),
                                             slice.columns);
                        });
    });
    out += slice.rows * row_bytes;
  }
  return buffer;
}

}  // namespace fastchat::ops
