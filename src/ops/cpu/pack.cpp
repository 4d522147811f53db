// Weights into the layout of the kernels. Bound by the read of the checkpoint.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/weight_rows.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace fastchat::ops {
namespace {

using cpu::kPanelColumns;

/// Where rows of a slice go in a quantized weight.
struct QuantizedPack {
  WeightSlice slice;
  std::int64_t first_row = 0;  // of the packed weight
  bool last = false;           // pad the last panel
  std::int8_t* weight = nullptr;
  float* scales = nullptr;
};

/// Panels [begin, end), as far as the slice reaches into them.
void pack_quantized(const cpu::Kernels& kernels,
                    const QuantizedPack& pack,
                    std::int64_t begin,
                    std::int64_t end) {
  const std::int64_t depth = pack.slice.columns + pack.slice.columns % 2;
  RowReader reader(kernels, pack.slice);
  std::vector<std::int8_t> rows(static_cast<std::size_t>(kPanelColumns * depth));
  for (std::int64_t panel = begin; panel < end; ++panel) {
    std::int64_t low = kPanelColumns, high = 0;  // rows of the panel that are written here
    for (std::int64_t row = 0; row < kPanelColumns; ++row) {
      const std::int64_t source_row = panel * kPanelColumns + row - pack.first_row;
      const bool padding = source_row >= pack.slice.rows && pack.last;
      if (source_row < 0 || (source_row >= pack.slice.rows && !padding)) continue;
      low = std::min(low, row);
      high = row + 1;
      std::int8_t* out = rows.data() + row * depth;
      if (padding) std::memset(out, 0, static_cast<std::size_t>(depth));
      pack.scales[panel * kPanelColumns + row] = padding ? 0.0f : reader.quantize(source_row, out);
    }
    std::int8_t* weight = pack.weight + panel * depth * kPanelColumns;
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t row = low; row < high; ++row)
        weight[k * kPanelColumns + row] = rows[static_cast<std::size_t>(row * depth + k)];
  }
}

/// The same of an i8 slice, for formats that hold floats.
void pack_as_floats(const cpu::Kernels& kernels,
                    const WeightSlice& slice,
                    const cpu::PackArgs& args,
                    std::int64_t begin,
                    std::int64_t end) {
  const RowReader reader(kernels, slice);
  std::vector<float> rows(static_cast<std::size_t>(kPanelColumns * slice.columns));
  for (std::int64_t panel = begin; panel < end; ++panel) {
    const std::int64_t first = std::max<std::int64_t>(0, panel * kPanelColumns - args.first_row);
    const std::int64_t last = std::min(slice.rows, (panel + 1) * kPanelColumns - args.first_row);
    for (std::int64_t row = first; row < last; ++row)
      reader.read(row, rows.data() + (row - first) * slice.columns);
    cpu::PackArgs part = args;
    part.source = rows.data();
    part.source_element = cpu::Element::f32;
    part.source_stride = slice.columns;
    part.first_row = args.first_row + first;
    part.num_rows = last - first;
    part.last = args.last && last == slice.rows;
    kernels.pack(part, panel, panel + 1);
  }
}

}  // namespace

PackedLinear CpuOps::pack_linear(Stream& stream,
                                 std::span<const WeightSlice> slices,
                                 LinearFormat format) {
  const SliceShape shape = check_slices("pack_linear", slices, format);
  PackedLinear packed;
  packed.format = format;
  packed.out_features = shape.rows;
  packed.in_features = shape.columns;
  packed.storage =
      device_.allocate(packed_linear_bytes(traits_, shape.rows, shape.columns, format), "weights");
  device::CpuStream& queue = cpu::cpu_stream(stream, "pack_linear");
  std::int64_t first_row = 0;
  const auto enqueue_panels = [&](std::int64_t num_rows, auto pack_panels) {
    queue.enqueue([pack_panels,
                   first = first_row / kPanelColumns,
                   last = (first_row + num_rows - 1) / kPanelColumns](device::CpuTeam& team) {
      team.parallel_for(
          last + 1 - first, 1, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
            pack_panels(first + begin, first + end);
          });
    });
  };
  for (const WeightSlice& slice : slices) {
    const bool is_last = &slice == &slices.back();
    if (format.is_quantized()) {
      auto* storage = static_cast<char*>(packed.storage.data());
      const QuantizedPack pack{
          .slice = slice,
          .first_row = first_row,
          .last = is_last,
          .weight = reinterpret_cast<std::int8_t*>(storage),
          .scales = reinterpret_cast<float*>(
              storage + row_scales_offset(traits_, shape.rows, shape.columns))};
      enqueue_panels(slice.rows, [kernels = &kernels_, pack](std::int64_t begin, std::int64_t end) {
        pack_quantized(*kernels, pack, begin, end);
      });
      first_row += slice.rows;
      continue;
    }
    cpu::PackArgs args{.source_stride = slice.row_stride,
                       .columns = slice.columns,
                       .first_row = first_row,
                       .num_rows = slice.rows,
                       .last = is_last,
                       .weight = packed.storage.data(),
                       .weight_element = cpu::element_of(format.weight)};
    if (slice.dtype == DType::i8) {
      enqueue_panels(slice.rows,
                     [kernels = &kernels_, slice, args](std::int64_t begin, std::int64_t end) {
                       pack_as_floats(*kernels, slice, args, begin, end);
                     });
    } else {
      args.source = slice.data;
      args.source_element = cpu::element_of(slice.dtype);
      enqueue_panels(slice.rows, [kernels = &kernels_, args](std::int64_t begin, std::int64_t end) {
        kernels->pack(args, begin, end);
      });
    }
    first_row += slice.rows;
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
