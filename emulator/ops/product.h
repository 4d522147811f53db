// Matrix products with f32 sums: the arithmetic under Mm, the quantised products and attention.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/ops/view.h"

namespace emulator {

/// One operand of a product, seen as rows that run along k: row r, column c. Plain matrices have
/// any strides; those in FRACTAL_NZ are decoded as the stored matrix is, whichever way round the
/// view looks at it.
struct Matrix {
  aclDataType dtype = ACL_DT_UNDEFINED;  // FLOAT, FLOAT16, BF16 or INT8
  const std::byte* data = nullptr;       // element (0, 0), or the first fractal
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;     // elements
  int64_t column_stride = 1;  // elements
  bool fractal = false;       // FRACTAL_NZ
  bool stored_by_rows =
      true;  // fractal only: the stored matrix is (rows, columns), else (columns, rows)

  /// Rows [row, row + num_rows) × columns [column, column + num_columns) as f32, rows `out_stride`
  /// apart.
  void read(int64_t row,
            int64_t num_rows,
            int64_t column,
            int64_t num_columns,
            float* out,
            int64_t out_stride) const;
};

/// Columns of one FRACTAL_NZ block: 32 bytes.
int64_t fractal_columns(aclDataType dtype);
/// Elements that an (rows, columns) matrix takes in FRACTAL_NZ, padding included.
int64_t fractal_count(aclDataType dtype, int64_t rows, int64_t columns);
/// Where element (row, column) of a stored (rows, ·) matrix lies, in elements.
int64_t fractal_offset(aclDataType dtype, int64_t rows, int64_t row, int64_t column);

/// out[i][j] += Σ_c x[i][c] · w[j][c]: x is (m, k) f32 with contiguous rows, w is (n, k). Uses the
/// helper threads.
void multiply_add(
    const float* x, int64_t x_stride, int64_t m, const Matrix& w, float* out, int64_t out_stride);

/// x · wᵀ: (m, k) times (n, k) gives m·n values, row-major.
std::vector<float> multiply(const Matrix& x, const Matrix& w);

/// The same with INT8 operands and exact int32 sums.
std::vector<int32_t> multiply_exact(const Matrix& x, const Matrix& w);

}  // namespace emulator
