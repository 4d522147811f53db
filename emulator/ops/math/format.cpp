// Between row-major and FRACTAL_NZ: TransMatmulWeight, NpuFormatCast and the functions that tell
// sizes.
#include <algorithm>
#include <cstring>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/phase1.h"

namespace emulator {
namespace {

/// Row-major matrices to FRACTAL_NZ, one after the other; padding is zero.
void to_fractals(const std::vector<std::byte>& matrices,
                 aclDataType dtype,
                 int64_t batches,
                 int64_t rows,
                 int64_t columns,
                 std::byte* out) {
  const auto bytes = static_cast<size_t>(element_bytes(dtype));
  const int64_t size = fractal_count(dtype, rows, columns);
  std::memset(out, 0, static_cast<size_t>(batches * size) * bytes);
  const int64_t width = fractal_columns(dtype);
  for (int64_t batch = 0; batch < batches; ++batch) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; column += width) {
        const int64_t to = batch * size + fractal_offset(dtype, rows, row, column);
        const int64_t from = (batch * rows + row) * columns + column;
        std::memcpy(out + static_cast<size_t>(to) * bytes,
                    matrices.data() + static_cast<size_t>(from) * bytes,
                    static_cast<size_t>(std::min(width, columns - column)) * bytes);
      }
    }
  }
}

std::vector<std::byte> dense_bytes(const HostView& view) {
  std::vector<std::byte> out(static_cast<size_t>(view.count() * element_bytes(view.dtype)));
  copy_elements(view,
                {.dtype = view.dtype,
                 .dims = view.dims,
                 .strides = contiguous_strides(view.dims),
                 .data = out.data()});
  return out;
}

/// (…, rows, columns) stored as (…, ⌈columns / C0⌉, ⌈rows / 16⌉, 16, C0).
Dims fractal_dims(const Dims& dims, aclDataType dtype) {
  const int64_t width = fractal_columns(dtype);
  Dims out(dims.begin(), dims.end() - 2);
  const int64_t rows = dims[dims.size() - 2];
  out.insert(out.end(), {(dims.back() + width - 1) / width, (rows + 15) / 16, 16, width});
  return out;
}

int64_t leading(const Dims& dims) { return count_of(Dims(dims.begin(), dims.end() - 2)); }

/// What NpuFormatCast makes of `source`, which has `dims` and is in the other format.
Dims storage_dims_of(const Dims& dims, aclDataType dtype, int target_format) {
  return target_format == ACL_FORMAT_FRACTAL_NZ ? fractal_dims(dims, dtype) : dims;
}

bool castable(aclDataType dtype) {
  return dtype == ACL_INT8 || dtype == ACL_FLOAT16 || dtype == ACL_BF16;
}

aclnnStatus weight_size(const char* name,
                        const aclIntArray* shape,
                        aclDataType dtype,
                        uint64_t* elements) {
  const Dims* dims = ints(shape);
  if (dims == nullptr || elements == nullptr) {
    return refuse(161001, fmt::format("{}: null argument", name));
  }
  if (dims->size() < 2 || dims->size() > 6) {
    return refuse(161002,
                  fmt::format("{}: the shape has {} dims, expected 2 to 6", name, dims->size()));
  }
  if (dtype != ACL_FLOAT16 && dtype != ACL_BF16 && dtype != ACL_INT8) {
    return refuse(161002, fmt::format("{}: no FRACTAL_NZ of {}", name, dtype_name(dtype)));
  }
  // Whatever the matrix is stored as, d0 is padded to 16 and d1 to 32 bytes.
  *elements = static_cast<uint64_t>(leading(*dims) *
                                    fractal_count(dtype, (*dims)[dims->size() - 2], dims->back()));
  return 0;
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnTransMatmulWeight, aclTensor* weight) {
  return phase1("aclnnTransMatmulWeight", workspace_size, executor, [&](Phase1& op) {
    const Operand matrix = op.in_place("mmWeightRef", weight);
    op.dtype_in(matrix, {ACL_FLOAT16, ACL_BF16, ACL_INT8});
    op.rank_in(matrix, 2, 6);
    op.require(!matrix.fractal(), "mmWeightRef is in FRACTAL_NZ already");
    op.contiguous(matrix);
    const int64_t padded = count_of(fractal_dims(matrix.dims(), matrix.dtype()));
    op.workspace(padded * element_bytes(matrix.dtype()));
    op.run([=](const Run& run) {
      const std::vector<std::byte> dense = dense_bytes(run.view(matrix));
      to_fractals(dense,
                  matrix.dtype(),
                  leading(matrix.dims()),
                  matrix.dim(-2),
                  matrix.dim(-1),
                  run.storage(matrix, padded));
    });
  });
}

extern "C" aclnnStatus aclnnCalculateMatmulWeightSize(const aclIntArray* shape,
                                                      uint64_t* elements) {
  return weight_size("aclnnCalculateMatmulWeightSize", shape, ACL_FLOAT16, elements);
}

extern "C" aclnnStatus aclnnCalculateMatmulWeightSizeV2(const aclIntArray* shape,
                                                        aclDataType dtype,
                                                        uint64_t* elements) {
  return weight_size("aclnnCalculateMatmulWeightSizeV2", shape, dtype, elements);
}

extern "C" aclnnStatus aclnnNpuFormatCastCalculateSizeAndFormat(const aclTensor* source,
                                                                int target_format,
                                                                int /*additional_dtype*/,
                                                                int64_t** target_dims,
                                                                uint64_t* num_target_dims,
                                                                int* actual_format) {
  const std::string name = "aclnnNpuFormatCastCalculateSizeAndFormat";
  const TensorMeta* found = meta(source);
  if (found == nullptr || target_dims == nullptr || num_target_dims == nullptr ||
      actual_format == nullptr) {
    return refuse(161001, name + ": null argument");
  }
  if (!castable(found->dtype) || found->dims.size() < 2 || found->dims.size() > 6) {
    return refuse(161002,
                  fmt::format("{}: {} of {} dims has no FRACTAL_NZ",
                              name,
                              dtype_name(found->dtype),
                              found->dims.size()));
  }
  if (target_format != ACL_FORMAT_FRACTAL_NZ && target_format != ACL_FORMAT_ND) {
    return refuse(161002, fmt::format("{}: target format {}", name, target_format));
  }
  const Dims dims = storage_dims_of(found->dims, found->dtype, target_format);
  *target_dims = new int64_t[dims.size()];  // the caller's to delete []
  std::copy(dims.begin(), dims.end(), *target_dims);
  *num_target_dims = dims.size();
  *actual_format = target_format;
  return 0;
}

EMULATOR_OPERATOR(aclnnNpuFormatCast, const aclTensor* source, aclTensor* target) {
  return phase1("aclnnNpuFormatCast", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("srcTensor", source);
    const Operand to = op.output("dstTensor", target);
    op.require(castable(from.dtype()), "no FRACTAL_NZ of {}", dtype_name(from.dtype()));
    op.same_dtype(from, to);
    op.rank_in(from, 2, 6);
    op.require(from.fractal() != to.fractal(), "srcTensor and dstTensor are in the same format");
    op.contiguous(from);
    op.contiguous(to);
    const Dims fractal = fractal_dims(from.dims(), from.dtype());
    const Operand& blocked = from.fractal() ? from : to;
    op.require(blocked.meta.storage_dims == fractal,
               "{} has storageDims [{}], FRACTAL_NZ of this matrix is [{}]",
               blocked.argument,
               fmt::join(blocked.meta.storage_dims, ", "),
               fmt::join(fractal, ", "));
    op.require(to.dims() == from.dims() || (to.fractal() && to.dims() == fractal),
               "dstTensor is [{}], srcTensor [{}]",
               fmt::join(to.dims(), ", "),
               fmt::join(from.dims(), ", "));
    op.workspace(kVectorWorkspace);
    op.run([=](const Run& run) {
      const int64_t rows = from.dim(-2);
      const int64_t columns = from.dim(-1);
      if (to.fractal()) {
        to_fractals(dense_bytes(run.view(from)),
                    from.dtype(),
                    leading(from.dims()),
                    rows,
                    columns,
                    run.storage(to, count_of(fractal)));
        return;
      }
      std::vector<float> values(static_cast<size_t>(from.count()));
      for (int64_t batch = 0; batch < leading(from.dims()); ++batch) {
        run.matrix(from, false, batch)
            .read(0, rows, 0, columns, values.data() + batch * rows * columns, columns);
      }
      store_all(run.view(to), values.data());
    });
  });
}
