#include "emulator/ops/product.h"

#include <algorithm>

#include "emulator/ops/kernels/kernels.h"
#include "emulator/ops/parallel_for.h"

namespace emulator {
namespace {

constexpr int64_t kFractalRows = 16;
constexpr int64_t kRowBlock = 24;       // rows of w per piece of work: 8 tiles of 3
constexpr int64_t kColumnBlock = 1024;  // 24 · 1024 floats stay in the second-level cache
// Up to here it is cheaper to convert w while multiplying than to convert it once and read it
// again.
constexpr int64_t kDirectRows = 2;

bool has_direct_kernel(const Matrix& w) {
  return !w.fractal && w.column_stride == 1 &&
         reinterpret_cast<uintptr_t>(w.data) % static_cast<uintptr_t>(element_bytes(w.dtype)) == 0;
}

void dot_direct(const float* x,
                int64_t x_stride,
                int64_t m,
                const Matrix& w,
                int64_t row,
                int64_t num_rows,
                float* out,
                int64_t out_stride) {
  const std::byte* first = w.data + row * w.row_stride * element_bytes(w.dtype);
  const auto run = [&](auto kernel, auto* rows) {
    kernel(x, x_stride, m, rows, w.row_stride, num_rows, w.columns, out, out_stride);
  };
  switch (w.dtype) {
    case ACL_FLOAT:
      return run(kernels().dot_float, reinterpret_cast<const float*>(first));
    case ACL_FLOAT16:
      return run(kernels().dot_half, reinterpret_cast<const Half*>(first));
    case ACL_BF16:
      return run(kernels().dot_brain, reinterpret_cast<const Brain*>(first));
    default:
      return run(kernels().dot_int8, reinterpret_cast<const int8_t*>(first));
  }
}

/// INT8 rows as they are, `matrix.columns` apart.
void read_bytes(const Matrix& matrix, int64_t row, int64_t num_rows, int8_t* out) {
  const auto* data = reinterpret_cast<const int8_t*>(matrix.data);
  const int64_t columns = matrix.columns;
  if (!matrix.fractal) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const int8_t* from = data + (row + r) * matrix.row_stride;
      for (int64_t c = 0; c < columns; ++c) out[r * columns + c] = from[c * matrix.column_stride];
    }
    return;
  }
  const int64_t width = fractal_columns(matrix.dtype);
  if (matrix.stored_by_rows) {
    for (int64_t r = 0; r < num_rows; ++r) {
      for (int64_t c = 0; c < columns; c += width) {
        std::copy_n(data + fractal_offset(matrix.dtype, matrix.rows, row + r, c),
                    std::min(width, columns - c),
                    out + r * columns + c);
      }
    }
    return;
  }
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < num_rows;) {
      const int64_t n = std::min(width - (row + r) % width, num_rows - r);
      const int8_t* from = data + fractal_offset(matrix.dtype, columns, c, row + r);
      for (int64_t i = 0; i < n; ++i) out[(r + i) * columns + c] = from[i];
      r += n;
    }
  }
}

}  // namespace

int64_t fractal_columns(aclDataType dtype) {
  return dtype == ACL_INT4 ? 64 : 32 / element_bytes(dtype);
}

int64_t fractal_count(aclDataType dtype, int64_t rows, int64_t columns) {
  const int64_t width = fractal_columns(dtype);
  return (rows + kFractalRows - 1) / kFractalRows * kFractalRows * ((columns + width - 1) / width) *
         width;
}

int64_t fractal_offset(aclDataType dtype, int64_t rows, int64_t row, int64_t column) {
  const int64_t width = fractal_columns(dtype);
  const int64_t row_blocks = (rows + kFractalRows - 1) / kFractalRows;
  return ((column / width) * row_blocks + row / kFractalRows) * kFractalRows * width +
         (row % kFractalRows) * width + column % width;
}

void Matrix::read(int64_t row,
                  int64_t num_rows,
                  int64_t column,
                  int64_t num_columns,
                  float* out,
                  int64_t out_stride) const {
  const int64_t bytes = element_bytes(dtype);
  if (!fractal) {
    if (column_stride == 1 || num_rows == 1) {
      for (int64_t r = 0; r < num_rows; ++r) {
        load_row(dtype,
                 data + ((row + r) * row_stride + column * column_stride) * bytes,
                 column_stride,
                 num_columns,
                 out + r * out_stride);
      }
      return;
    }
    std::vector<float> line(static_cast<size_t>(num_rows));
    for (int64_t c = 0; c < num_columns; ++c) {
      load_row(dtype,
               data + (row * row_stride + (column + c) * column_stride) * bytes,
               row_stride,
               num_rows,
               line.data());
      for (int64_t r = 0; r < num_rows; ++r) out[r * out_stride + c] = line[static_cast<size_t>(r)];
    }
    return;
  }
  const int64_t width = fractal_columns(dtype);
  std::vector<float> run(static_cast<size_t>(width));
  if (stored_by_rows) {
    for (int64_t r = 0; r < num_rows; ++r) {
      for (int64_t c = 0; c < num_columns;) {
        const int64_t n = std::min(width - (column + c) % width, num_columns - c);
        load_row(dtype,
                 data + fractal_offset(dtype, rows, row + r, column + c) * bytes,
                 1,
                 n,
                 out + r * out_stride + c);
        c += n;
      }
    }
    return;
  }
  for (int64_t c = 0; c < num_columns; ++c) {
    for (int64_t r = 0; r < num_rows;) {
      const int64_t n = std::min(width - (row + r) % width, num_rows - r);
      load_row(dtype,
               data + fractal_offset(dtype, columns, column + c, row + r) * bytes,
               1,
               n,
               run.data());
      for (int64_t i = 0; i < n; ++i) {
        out[(r + i) * out_stride + c] = run[static_cast<size_t>(i)];
      }
      r += n;
    }
  }
}

void multiply_add(
    const float* x, int64_t x_stride, int64_t m, const Matrix& w, float* out, int64_t out_stride) {
  if (m == 0 || w.rows == 0 || w.columns == 0) return;
  const bool plain_floats = w.dtype == ACL_FLOAT && has_direct_kernel(w);
  if (m <= kDirectRows && has_direct_kernel(w)) {
    parallel_for(w.rows, std::max<int64_t>(4, 65536 / w.columns), [&](int64_t begin, int64_t end) {
      dot_direct(x, x_stride, m, w, begin, end - begin, out + begin, out_stride);
    });
    return;
  }
  parallel_for(w.rows, kRowBlock, [&](int64_t begin, int64_t end) {
    std::vector<float> piece;
    if (!plain_floats) piece.resize(static_cast<size_t>(kRowBlock * kColumnBlock));
    for (int64_t row = begin; row < end; row += kRowBlock) {
      const int64_t num_rows = std::min(kRowBlock, end - row);
      for (int64_t column = 0; column < w.columns; column += kColumnBlock) {
        const int64_t num_columns = std::min(kColumnBlock, w.columns - column);
        const float* rows = piece.data();
        int64_t stride = kColumnBlock;
        if (plain_floats) {
          rows = reinterpret_cast<const float*>(w.data) + row * w.row_stride + column;
          stride = w.row_stride;
        } else {
          w.read(row, num_rows, column, num_columns, piece.data(), kColumnBlock);
        }
        kernels().dot_float(
            x + column, x_stride, m, rows, stride, num_rows, num_columns, out + row, out_stride);
      }
    }
  });
}

std::vector<float> multiply(const Matrix& x, const Matrix& w) {
  std::vector<float> out(static_cast<size_t>(x.rows * w.rows), 0.0f);
  if (x.dtype == ACL_FLOAT && has_direct_kernel(x)) {
    multiply_add(
        reinterpret_cast<const float*>(x.data), x.row_stride, x.rows, w, out.data(), w.rows);
    return out;
  }
  std::vector<float> values(static_cast<size_t>(x.rows * x.columns));
  x.read(0, x.rows, 0, x.columns, values.data(), x.columns);
  multiply_add(values.data(), x.columns, x.rows, w, out.data(), w.rows);
  return out;
}

std::vector<int32_t> multiply_exact(const Matrix& x, const Matrix& w) {
  std::vector<int32_t> out(static_cast<size_t>(x.rows * w.rows), 0);
  std::vector<int8_t> values(static_cast<size_t>(x.rows * x.columns));
  read_bytes(x, 0, x.rows, values.data());
  parallel_for(w.rows, kRowBlock, [&](int64_t begin, int64_t end) {
    const bool direct = !w.fractal && w.column_stride == 1;
    std::vector<int8_t> piece;
    for (int64_t row = begin; row < end; row += kRowBlock) {
      const int64_t num_rows = std::min(kRowBlock, end - row);
      const int8_t* rows = reinterpret_cast<const int8_t*>(w.data) + row * w.row_stride;
      int64_t stride = w.row_stride;
      if (!direct) {
        piece.resize(static_cast<size_t>(num_rows * w.columns));
        read_bytes(w, row, num_rows, piece.data());
        rows = piece.data();
        stride = w.columns;
      }
      kernels().dot_exact(values.data(),
                          x.columns,
                          x.rows,
                          rows,
                          stride,
                          num_rows,
                          w.columns,
                          out.data() + row,
                          w.rows);
    }
  });
  return out;
}

}  // namespace emulator
