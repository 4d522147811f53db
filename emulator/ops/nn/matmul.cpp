// Mm, Matmul, BatchMatMul, Addmm and their forms with weights in FRACTAL_NZ.
#include <algorithm>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

/// How the weight may come. Mm and BatchMatMul take FRACTAL_NZ too, as clients that convert with
/// TransMatmulWeight do, and find its geometry from the view; the …WeightNz operators want it in
/// storageDims.
enum class Weight { any, fractal };

void check_weight(const Phase1& op, const Operand& weight, Weight form) {
  if (weight.fractal()) return op.fractal_matrix(weight, form == Weight::any);
  op.require(form == Weight::any, "{} must be in FRACTAL_NZ", weight.argument);
}

void check_operands(const Phase1& op,
                    const Operand& a,
                    const Operand& b,
                    const Operand& out,
                    int8_t cube_math_type,
                    Weight form) {
  for (const Operand* operand : {&a, &b, &out}) {
    op.dtype_in(*operand, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  }
  const bool mixed = (a.dtype() == ACL_FLOAT16 && b.dtype() == ACL_BF16) ||
                     (a.dtype() == ACL_BF16 && b.dtype() == ACL_FLOAT16);
  op.require(!mixed, "FLOAT16 and BF16 operands do not mix");
  const aclDataType promoted = promote(a.dtype(), b.dtype());
  op.require(out.dtype() == promoted || out.dtype() == ACL_FLOAT,
             "out is {}, the operands promote to {}",
             dtype_name(out.dtype()),
             dtype_name(promoted));
  op.require(
      cube_math_type >= 0 && cube_math_type <= 4, "cubeMathType is {}, not 0 to 4", cube_math_type);
  op.require(cube_math_type != 2 || promoted != ACL_BF16,
             "cubeMathType 2 (use FLOAT16) does not go with BF16 operands");
  op.require(!a.fractal(), "{} must not be in FRACTAL_NZ", a.argument);
  op.require(!out.fractal(), "{} must not be in FRACTAL_NZ", out.argument);
  check_weight(op, b, form);
}

/// A transposed or plain view is read where it lies; anything else is first copied, which takes
/// workspace.
int64_t copy_bytes(const Operand& operand) {
  const auto rank = static_cast<size_t>(operand.rank());
  if (operand.contiguous() || rank < 2) return 0;
  Dims dims = operand.dims();
  Dims strides = operand.meta.strides;
  std::swap(dims[rank - 1], dims[rank - 2]);
  std::swap(strides[rank - 1], strides[rank - 2]);
  return strides == contiguous_strides(dims) ? 0 : operand.bytes();
}

void plan(Phase1& op, const Operand& a, const Operand& b, double num_products) {
  op.workspace(kCubeWorkspace + copy_bytes(a) + copy_bytes(b));
  op.flops(2 * num_products);
}

void product_2d(Phase1& op, const Operand& a, const Operand& b, const Operand& out) {
  for (const Operand* operand : {&a, &b, &out}) op.rank_in(*operand, 2, 2);
  op.require(
      a.dim(1) == b.dim(0), "{} has k = {}, {} k = {}", a.argument, a.dim(1), b.argument, b.dim(0));
  op.dims_are(out, {a.dim(0), b.dim(1)});
  plan(op, a, b, static_cast<double>(a.count()) * static_cast<double>(b.dim(1)));
}

void mm(Phase1& op,
        const Operand& a,
        const Operand& b,
        const Operand& out,
        int8_t cube_math_type,
        Weight form) {
  check_operands(op, a, b, out, cube_math_type, form);
  product_2d(op, a, b, out);
  op.run([=](const Run& run) {
    const std::vector<float> sums = multiply(run.matrix(a, false), run.matrix(b, true));
    store_all(run.view(out), sums.data());
  });
}

/// torch.matmul: vectors become matrices, leading dims broadcast.
void matmul(Phase1& op,
            const Operand& a,
            const Operand& b,
            const Operand& out,
            int8_t cube_math_type,
            Weight form) {
  op.rank_in(a, 1, 6);
  op.rank_in(b, 1, 6);
  check_operands(op, a, b, out, cube_math_type, form);
  Operand left = a;
  Operand right = b;
  if (a.rank() == 1) {
    left.meta.dims.insert(left.meta.dims.begin(), 1);
    left.meta.strides.insert(left.meta.strides.begin(), 0);
  }
  if (b.rank() == 1) {
    right.meta.dims.push_back(1);
    right.meta.strides.push_back(0);
  }
  const int64_t m = left.dim(-2);
  const int64_t k = left.dim(-1);
  const int64_t n = right.dim(-1);
  op.require(
      k == right.dim(-2), "{} has k = {}, {} k = {}", a.argument, k, b.argument, right.dim(-2));
  const Dims left_batches(left.dims().begin(), left.dims().end() - 2);
  const Dims right_batches(right.dims().begin(), right.dims().end() - 2);
  Dims batches;
  op.require(broadcast_dims(left_batches, right_batches, batches),
             "the leading dims [{}] and [{}] do not broadcast",
             fmt::join(left_batches, ", "),
             fmt::join(right_batches, ", "));
  Dims expected = batches;
  if (a.rank() > 1) expected.push_back(m);
  if (b.rank() > 1) expected.push_back(n);
  op.dims_are(out, expected);
  plan(op, a, b, static_cast<double>(count_of(batches) * m) * static_cast<double>(n * k));
  op.run([=](const Run& run) {
    // Which matrix of each operand a matrix of the result comes from.
    const auto number = [&](const Dims& own, int64_t batch) {
      int64_t index = 0;
      int64_t step = 1;
      const size_t lead = batches.size() - own.size();
      for (size_t axis = batches.size(); axis-- > 0;) {
        const int64_t at = batch % batches[axis];
        batch /= batches[axis];
        if (axis < lead) continue;
        if (own[axis - lead] != 1) index += at * step;
        step *= own[axis - lead];
      }
      return index;
    };
    std::vector<float> sums;
    for (int64_t batch = 0; batch < count_of(batches); ++batch) {
      const std::vector<float> one =
          multiply(run.matrix(left, false, number(left_batches, batch)),
                   run.matrix(right, true, number(right_batches, batch)));
      sums.insert(sums.end(), one.begin(), one.end());
    }
    store_all(run.view(out), sums.data());
  });
}

void batch_matmul(Phase1& op,
                  const Operand& a,
                  const Operand& b,
                  const Operand& out,
                  int8_t cube_math_type,
                  Weight form) {
  for (const Operand* operand : {&a, &b, &out}) op.rank_in(*operand, 3, 3);
  matmul(op, a, b, out, cube_math_type, form);
}

void addmm(Phase1& op,
           const Operand& bias,
           const Operand& a,
           const Operand& b,
           const Scalar& beta,
           const Scalar& alpha,
           const Operand& out,
           int8_t cube_math_type,
           Weight form) {
  check_operands(op, a, b, out, cube_math_type, form);
  op.dtype_in(bias, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  product_2d(op, a, b, out);
  Dims dims;
  op.require(broadcast_dims(bias.dims(), out.dims(), dims) && dims == out.dims(),
             "self [{}] does not broadcast to [{}]",
             fmt::join(bias.dims(), ", "),
             fmt::join(out.dims(), ", "));
  op.run([=](const Run& run) {
    std::vector<float> sums = multiply(run.matrix(a, false), run.matrix(b, true));
    const std::vector<float> addends = load_all<float>(broadcast(run.view(bias), out.dims()));
    const auto scale = alpha.as<float>();
    const auto share = beta.as<float>();
    for (size_t i = 0; i < sums.size(); ++i) {
      // beta 0 leaves self out, NaN and infinities included.
      sums[i] = scale * sums[i] + (share == 0 ? 0.0f : share * addends[i]);
    }
    store_all(run.view(out), sums.data());
  });
}

using Product = void (*)(Phase1&, const Operand&, const Operand&, const Operand&, int8_t, Weight);

aclnnStatus product(const char* name,
                    Product build,
                    const aclTensor* self,
                    const aclTensor* mat2,
                    const aclTensor* out,
                    int8_t cube_math_type,
                    Weight form,
                    uint64_t* workspace_size,
                    aclOpExecutor** executor) {
  return phase1(name, workspace_size, executor, [&](Phase1& op) {
    const Operand a = op.input("self", self);
    const Operand b = op.input("mat2", mat2);
    build(op, a, b, op.output("out", out), cube_math_type, form);
  });
}

aclnnStatus sum_and_product(const char* name,
                            const aclTensor* self,
                            const aclTensor* mat1,
                            const aclTensor* mat2,
                            const aclScalar* beta,
                            const aclScalar* alpha,
                            const aclTensor* out,
                            int8_t cube_math_type,
                            Weight form,
                            uint64_t* workspace_size,
                            aclOpExecutor** executor) {
  return phase1(name, workspace_size, executor, [&](Phase1& op) {
    const Operand bias = op.input("self", self);
    const Operand a = op.input("mat1", mat1);
    const Operand b = op.input("mat2", mat2);
    const Scalar share = op.scalar("beta", beta);
    const Scalar scale = op.scalar("alpha", alpha);
    addmm(op, bias, a, b, share, scale, op.output("out", out), cube_math_type, form);
  });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(
    aclnnMm, const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cube_math_type) {
  return product(
      "aclnnMm", mm, self, mat2, out, cube_math_type, Weight::any, workspace_size, executor);
}

EMULATOR_OPERATOR(aclnnMatmul,
                  const aclTensor* self,
                  const aclTensor* mat2,
                  aclTensor* out,
                  int8_t cube_math_type) {
  return product("aclnnMatmul",
                 matmul,
                 self,
                 mat2,
                 out,
                 cube_math_type,
                 Weight::any,
                 workspace_size,
                 executor);
}

EMULATOR_OPERATOR(aclnnBatchMatMul,
                  const aclTensor* self,
                  const aclTensor* mat2,
                  aclTensor* out,
                  int8_t cube_math_type) {
  return product("aclnnBatchMatMul",
                 batch_matmul,
                 self,
                 mat2,
                 out,
                 cube_math_type,
                 Weight::any,
                 workspace_size,
                 executor);
}

EMULATOR_OPERATOR(aclnnMatmulWeightNz,
                  const aclTensor* self,
                  const aclTensor* mat2,
                  aclTensor* out,
                  int8_t cube_math_type) {
  return product("aclnnMatmulWeightNz",
                 matmul,
                 self,
                 mat2,
                 out,
                 cube_math_type,
                 Weight::fractal,
                 workspace_size,
                 executor);
}

EMULATOR_OPERATOR(aclnnBatchMatMulWeightNz,
                  const aclTensor* self,
                  const aclTensor* mat2,
                  aclTensor* out,
                  int8_t cube_math_type) {
  return product("aclnnBatchMatMulWeightNz",
                 batch_matmul,
                 self,
                 mat2,
                 out,
                 cube_math_type,
                 Weight::fractal,
                 workspace_size,
                 executor);
}

EMULATOR_OPERATOR(aclnnAddmm,
                  const aclTensor* self,
                  const aclTensor* mat1,
                  const aclTensor* mat2,
                  const aclScalar* beta,
                  const aclScalar* alpha,
                  aclTensor* out,
                  int8_t cube_math_type) {
  return sum_and_product("aclnnAddmm",
                         self,
                         mat1,
                         mat2,
                         beta,
                         alpha,
                         out,
                         cube_math_type,
                         Weight::any,
                         workspace_size,
                         executor);
}

EMULATOR_OPERATOR(aclnnAddmmWeightNz,
                  const aclTensor* self,
                  const aclTensor* mat1,
                  const aclTensor* mat2,
                  const aclScalar* beta,
                  const aclScalar* alpha,
                  aclTensor* out,
                  int8_t cube_math_type) {
  return sum_and_product("aclnnAddmmWeightNz",
                         self,
                         mat1,
                         mat2,
                         beta,
                         alpha,
                         out,
                         cube_math_type,
                         Weight::fractal,
                         workspace_size,
                         executor);
}
