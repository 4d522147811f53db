#include "ops/ascend/npu_ops.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "ops/ascend/launch.h"
#include "ops/checks.h"

namespace fastchat::ops {

namespace {

/// HCCL_BUFFSIZE in MiB, once for each direction; 200 where it is not set.
std::uint64_t collective_bytes() {
  std::uint64_t mebibytes = 0;
  if (const char* const value = std::getenv("HCCL_BUFFSIZE"); value != nullptr)
    std::from_chars(value, value + std::strlen(value), mebibytes);
  constexpr std::uint64_t kDefault = 200;
  return 2 * (mebibytes == 0 ? kDefault : mebibytes) << 20;
}

}  // namespace

OpsTraits npu_traits(bool has_bf16) {
  // Blocks of 128 are what every form of attention takes. The fused norm takes one dtype, and sums
  // of 16 bits are what the others round their results to anyway; but where f16 has no bf16 beside
  // it, what the layers add up to needs the room.
  return {.linear_row_multiple = 1,
          .linear_column_multiple = 1,
          .kv_block_size = 128,
          .scratch_bytes = std::uint64_t{256} << 20,
          .collective_bytes = collective_bytes(),
          .tolerates_bad_indices = false,
          .f32_residual = !has_bf16,
          .f32_bias = false,
          .keeps_rotary_table = true};
}

std::unique_ptr<Ops> create_npu_ops(Device& device) {
  auto* const npu = dynamic_cast<device::ascend::NpuDevice*>(&device);
  check(npu != nullptr, "npu operations on {}: not an npu", device.info().name);
  return std::make_unique<ascend::NpuOps>(*npu);
}

namespace ascend {

using device::ascend::npu_stream;
using device::ascend::NpuStream;

namespace {

constexpr std::int64_t kLastDim = -1;
/// Of either side of a product with 8-bit weights.
constexpr std::int64_t kMostInt8Features = 65535;

}  // namespace

NpuOps::NpuOps(device::ascend::NpuDevice& device)
    : device_(device), traits_(npu_traits(device.info().has_bf16)), card_sampler_(device) {}

void NpuOps::begin_step() {
  knows_steps_ = true;
  rotation_is_ready_ = false;
  padding_is_ready_ = false;
}

void NpuOps::convert(NpuStream& stream, const AclTensor& out, const AclTensor& x) {
  FASTCHAT_ACLNN(stream, aclnnInplaceCopy, out.get(), x.get());
}

void NpuOps::embedding(Stream& stream, TensorView table, TensorView ids, TensorView out) {
  check_embedding(table, ids, out);
  if (ids.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "embedding");
  const ScratchScope scope(npu);
  const bool direct = out.dtype() == table.dtype() && out.is_dense();
  const TensorView rows = direct ? out : temporary(npu, table.dtype(), {ids.rows(), table.dim(1)});
  const AclTensor table_tensor(table);
  const AclTensor id_tensor(ids);
  const AclTensor row_tensor(rows);
  FASTCHAT_ACLNN(npu, aclnnEmbedding, table_tensor.get(), id_tensor.get(), row_tensor.get());
  if (!direct) convert(npu, AclTensor(out), row_tensor);
}

void NpuOps::gather_rows(Stream& stream, TensorView x, TensorView indices, TensorView out) {
  check_gather_rows(x, indices, out);
  if (indices.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "gather_rows");
  const ScratchScope scope(npu);
  FASTCHAT_ACLNN(npu,
                 aclnnIndexSelect,
                 AclTensor(x).get(),
                 std::int64_t{0},
                 AclTensor(indices).get(),
                 AclTensor(out).get());
}

void NpuOps::resolve_tokens(
    Stream& stream, TensorView ids, TensorView rows, TensorView sources, TensorView sampled) {
  check_resolve_tokens(ids, rows, sources, sampled);
  if (sources.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "resolve_tokens");
  const ScratchScope scope(npu);
  const AclTensor taken(rows.empty() ? ids : temporary(npu, DType::i32, {sources.rows()}));
  FASTCHAT_ACLNN(npu,
                 aclnnIndexSelect,
                 AclTensor(sampled).get(),
                 std::int64_t{0},
                 AclTensor(sources).get(),
                 taken.get());
  if (rows.empty()) return;
  FASTCHAT_ACLNN(npu,
                 aclnnInplaceIndexCopy,
                 AclTensor(ids).get(),
                 std::int64_t{0},
                 AclTensor(rows).get(),
                 taken.get());
}

// The operator gives its input's dtype, dense.
void NpuOps::norm_into(NpuStream& stream,
                       TensorView x,
                       TensorView weight,
                       float eps,
                       TensorView residual_sum,
                       TensorView out) {
  const bool direct = out.dtype() == x.dtype() && out.is_dense() && out.data() != x.data();
  const bool grouped = x.rank() == 3;
  const std::int64_t groups = grouped ? x.dim(1) : 1;
  const std::int64_t width = x.dim(x.rank() - 1);
  TensorView normed = out;
  if (!direct)
    normed = grouped ? temporary(stream, x.dtype(), {x.rows(), groups, width})
                     : temporary(stream, x.dtype(), {x.rows(), width});
  // An f32 input wants an f32 weight; 16-bit ones take either.
  if (x.dtype() == DType::f32 && weight.dtype() != DType::f32) {
    const TensorView wide = temporary(stream, DType::f32, {width});
    convert(stream, AclTensor(wide), AclTensor(weight));
    weight = wide;
  }
  const TensorView rstd = grouped ? temporary(stream, DType::f32, {x.rows(), groups, 1})
                                  : temporary(stream, DType::f32, {x.rows(), 1});
  const AclTensor normed_tensor(normed);
  if (residual_sum.empty()) {
    FASTCHAT_ACLNN(stream,
                   aclnnRmsNorm,
                   AclTensor(x).get(),
                   AclTensor(weight).get(),
                   static_cast<double>(eps),
                   normed_tensor.get(),
                   AclTensor(rstd).get());
  } else {
    const AclTensor sum(residual_sum);
    FASTCHAT_ACLNN(stream,
                   aclnnAddRmsNorm,
                   sum.get(),
                   AclTensor(x).get(),
                   AclTensor(weight).get(),
                   static_cast<double>(eps),
                   normed_tensor.get(),
                   AclTensor(rstd).get(),
                   sum.get());
  }
  if (!direct) convert(stream, AclTensor(out), normed_tensor);
}

void NpuOps::rms_norm(Stream& stream, TensorView x, TensorView weight, float eps, TensorView out) {
  check_rms_norm(x, weight, out);
  if (x.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "rms_norm");
  const ScratchScope scope(npu);
  norm_into(npu, x, weight, eps, {}, out);
}

void NpuOps::add_rms_norm(Stream& stream,
                          TensorView residual,
                          TensorView x,
                          TensorView weight,
                          float eps,
                          TensorView out) {
  check_norm("add_rms_norm", residual, weight, {}, out);
  check_add("add_rms_norm", residual, x);
  if (x.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "add_rms_norm");
  const ScratchScope scope(npu);
  TensorView addend = x;
  if (x.dtype() != residual.dtype()) {
    addend = temporary(npu, residual.dtype(), {x.rows(), x.dim(1)});
    convert(npu, AclTensor(addend), AclTensor(x));
  }
  norm_into(npu, addend, weight, eps, residual, out);
}

void NpuOps::layer_norm(
    Stream& stream, TensorView x, TensorView weight, TensorView bias, float eps, TensorView out) {
  check_norm("layer_norm", x, weight, bias, out);
  if (x.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "layer_norm");
  const ScratchScope scope(npu);
  // In f32 throughout: weight and bias are.
  const TensorView wide = temporary(npu, DType::f32, {x.rows(), x.dim(1)});
  convert(npu, AclTensor(wide), AclTensor(x));
  const TensorView normed = temporary(npu, DType::f32, {x.rows(), x.dim(1)});
  const std::int64_t width[] = {x.dim(1)};
  const AclIntArray normalized(width);
  FASTCHAT_ACLNN(npu,
                 aclnnLayerNorm,
                 AclTensor(wide).get(),
                 normalized.get(),
                 AclTensor(weight).get(),
                 AclTensor(bias).get(),
                 static_cast<double>(eps),
                 AclTensor(normed).get(),
                 nullptr,
                 nullptr);
  convert(npu, AclTensor(out), AclTensor(normed));
}

void NpuOps::add(Stream& stream, TensorView out, TensorView x) {
  check_add("add", out, x);
  if (x.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "add");
  const ScratchScope scope(npu);
  const AclScalar one(1.0f);
  FASTCHAT_ACLNN(npu, aclnnInplaceAdd, AclTensor(out).get(), AclTensor(x).get(), one.get());
}

void NpuOps::multiply(NpuStream& stream, TensorView x, const PackedLinear& weight, TensorView out) {
  TensorView dense = x;  // what the operators of 8-bit weights ask for
  if (!x.is_dense()) {
    dense = temporary(stream, x.dtype(), {x.rows(), x.dim(1)});
    convert(stream, AclTensor(dense), AclTensor(x));
  }
  if (weight.format.input == DType::i8) return multiply_w8a8(stream, dense, weight, out);
  multiply_w8a16(stream, dense, weight, out);
}

// The operator takes up to 65535 output features: a head has more, and is multiplied in parts.
void NpuOps::multiply_w8a16(NpuStream& stream,
                            TensorView x,
                            const PackedLinear& weight,
                            TensorView out) {
  check(weight.in_features <= kMostInt8Features,
        "linear: 8-bit weights of {} input features, at most {} go on npu",
        weight.in_features,
        kMostInt8Features);
  check(weight.format.input == x.dtype(),
        "linear: 8-bit weights packed for {}, x is {}",
        device::to_string(weight.format.input),
        device::to_string(x.dtype()));
  char* const scales = static_cast<char*>(weight.storage.data()) +
                       row_scales_offset(traits_, weight.out_features, weight.in_features);
  const std::int64_t num_parts = (weight.out_features + kMostInt8Features - 1) / kMostInt8Features;
  const std::int64_t part_features = (weight.out_features + num_parts - 1) / num_parts;
  const AclTensor x_tensor(x);
  for (std::int64_t first = 0; first < weight.out_features; first += part_features) {
    const std::int64_t count = std::min(part_features, weight.out_features - first);
    const TensorView part = num_parts == 1 ? out : temporary(stream, x.dtype(), {x.rows(), count});
    const AclTensor transposed(
        static_cast<char*>(weight.storage.data()) + first * weight.in_features,
        DType::i8,
        {weight.in_features, count},
        {1, weight.in_features});
    const AclTensor scale(
        scales + static_cast<std::size_t>(first) * size_of(x.dtype()), x.dtype(), {count});
    const AclTensor part_tensor(part);
    FASTCHAT_ACLNN(stream,
                   aclnnWeightQuantBatchMatmulV2,
                   x_tensor.get(),
                   transposed.get(),
                   scale.get(),
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr,
                   0,
                   part_tensor.get());
    if (num_parts > 1) convert(stream, AclTensor(out.slice_columns(first, count)), part_tensor);
  }
}

void NpuOps::multiply_w8a8(NpuStream& stream,
                           TensorView x,
                           const PackedLinear& weight,
                           TensorView out) {
  check(weight.in_features <= kMostInt8Features,
        "linear: 8-bit weights of {} input features, at most {} go on npu",
        weight.in_features,
        kMostInt8Features);
  const AclTensor whole(temporary(stream, DType::i8, {x.rows(), x.dim(1)}));
  const AclTensor token_scale(temporary(stream, DType::f32, {x.rows()}));
  FASTCHAT_ACLNN(
      stream, aclnnDynamicQuant, AclTensor(x).get(), nullptr, whole.get(), token_scale.get());
  const AclTensor rows(weight.storage.data(), DType::i8, {weight.out_features, weight.in_features});
  const AclTensor scale(static_cast<char*>(weight.storage.data()) +
                            row_scales_offset(traits_, weight.out_features, weight.in_features),
                        DType::f32,
                        {weight.out_features});
  const AclTensor out_tensor(out);
  if (device::ascend::cann().has(device::ascend::Feature::quant_matmul_v5)) {
    FASTCHAT_ACLNN(stream,
                   aclnnQuantMatmulV5,
                   whole.get(),
                   rows.get(),
                   token_scale.get(),
                   scale.get(),
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr,
                   nullptr,
                   false,
                   true,
                   std::int64_t{0},
                   out_tensor.get());
  } else {
    FASTCHAT_ACLNN(stream,
                   aclnnQuantMatmulV4,
                   whole.get(),
                   rows.get(),
                   scale.get(),
                   nullptr,
                   token_scale.get(),
                   nullptr,
                   false,
                   true,
                   out_tensor.get());
  }
}

void NpuOps::linear(
    Stream& stream, TensorView x, const PackedLinear& weight, TensorView bias, TensorView out) {
  check_linear(x, weight, bias, out);
  if (x.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "linear");
  const ScratchScope scope(npu);
  const bool direct = out.dtype() == x.dtype() && out.is_dense();
  const TensorView product = direct ? out : temporary(npu, x.dtype(), {x.rows(), out.dim(1)});
  const AclTensor product_tensor(product);
  const AclTensor bias_tensor = bias.empty() ? AclTensor() : AclTensor(bias);
  const AclScalar one(1.0f);
  if (weight.format.is_quantized()) {
    multiply(npu, x, weight, product);
    if (!bias.empty())
      FASTCHAT_ACLNN(npu, aclnnInplaceAdd, product_tensor.get(), bias_tensor.get(), one.get());
  } else {
    const AclTensor transposed(weight.storage.data(),
                               weight.format.weight,
                               {weight.in_features, weight.out_features},
                               {1, weight.in_features});
    if (bias.empty())
      FASTCHAT_ACLNN(npu,
                     aclnnMm,
                     AclTensor(x).get(),
                     transposed.get(),
                     product_tensor.get(),
                     CANN_CUBE_KEEP_DTYPE);
    else
      FASTCHAT_ACLNN(npu,
                     aclnnAddmm,
                     bias_tensor.get(),
                     AclTensor(x).get(),
                     transposed.get(),
                     one.get(),
                     one.get(),
                     product_tensor.get(),
                     CANN_CUBE_KEEP_DTYPE);
  }
  if (!direct) convert(npu, AclTensor(out), product_tensor);
}

void NpuOps::rotary_table(Stream& stream,
                          TensorView positions,
                          TensorView inverse_frequencies,
                          float scale,
                          TensorView out) {
  check_rotary_table(positions, inverse_frequencies, out);
  const std::int64_t count = positions.rows();
  if (count == 0) return;
  const std::int64_t half = inverse_frequencies.rows();
  NpuStream& npu = npu_stream(stream, "rotary_table");
  const ScratchScope scope(npu);
  const TensorView wide = temporary(npu, DType::f32, {count, 1});
  FASTCHAT_ACLNN(npu,
                 aclnnCast,
                 AclTensor(positions.data(), DType::i32, {count, 1}).get(),
                 ACL_FLOAT,
                 AclTensor(wide).get());
  const AclTensor angles(temporary(npu, DType::f32, {count, half}));
  FASTCHAT_ACLNN(npu,
                 aclnnMul,
                 AclTensor(wide).get(),
                 AclTensor(inverse_frequencies.data(), DType::f32, {1, half}).get(),
                 angles.get());
  const AclTensor cosines(out.slice_columns(0, half));
  const AclTensor sines(out.slice_columns(half, half));
  FASTCHAT_ACLNN(npu, aclnnCos, angles.get(), cosines.get());
  FASTCHAT_ACLNN(npu, aclnnSin, angles.get(), sines.get());
  if (scale != 1.0f) {
    const AclScalar factor(scale);
    FASTCHAT_ACLNN(npu, aclnnInplaceMuls, AclTensor(out).get(), factor.get());
  }
}

void NpuOps::prepare_rotation(NpuStream& stream, TensorView table, DType dtype) {
  const std::int64_t rows = table.rows();
  const std::int64_t dim = table.dim(1);
  const bool is_ready = rotation_is_ready_ && rotation_table_ == table.data() &&
                        rotation_dtype_ == dtype && rotation_rows_ == rows && rotation_dim_ == dim;
  if (is_ready) return;
  reserve_rotation(stream, rows, dim, dtype);
  // [row, cosines or sines, first or second half, element]: one copy, which repeats the halves.
  const std::int64_t half = dim / 2;
  const std::int64_t stride = table.row_stride();
  const AclTensor twice(rotation_.data(), dtype, {rows, 2, 2, half}, {dim, rows * dim, half, 1});
  const AclTensor once(table.data(), DType::f32, {rows, 2, 1, half}, {stride, half, half, 1});
  convert(stream, twice, once);
  rotation_is_ready_ = knows_steps_;
  rotation_table_ = table.data();
  rotation_dim_ = dim;
  rotation_dtype_ = dtype;
  rotation_rows_ = rows;
}

void NpuOps::reserve_rotation(NpuStream& stream, std::int64_t rows, std::int64_t dim, DType dtype) {
  const std::size_t bytes = 2 * static_cast<std::size_t>(rows * dim) * size_of(dtype);
  if (rotation_.size_bytes() >= bytes) return;
  stream.synchronize();  // work of an earlier step may still read the old one
  rotation_ = device_.allocate(bytes, "rotary table");
}

void NpuOps::rotary(
    Stream& stream, TensorView x, std::int64_t head_dim, TensorView table, TensorView out) {
  check_rotary(x, head_dim, table, out);
  const std::int64_t rows = x.rows();
  if (rows == 0) return;
  NpuStream& npu = npu_stream(stream, "rotary");
  const ScratchScope scope(npu);
  prepare_rotation(npu, table, x.dtype());
  const std::int64_t heads = x.dim(1) / head_dim;
  const std::int64_t dim = table.dim(1);
  const auto columns_of = [&](const TensorView& view, std::int64_t first, std::int64_t count) {
    return AclTensor(
        static_cast<char*>(view.data()) + static_cast<std::size_t>(first) * size_of(view.dtype()),
        view.dtype(),
        {rows, heads, count},
        {view.row_stride(), head_dim, 1});
  };
  const AclTensor cosines(rotation_.data(), x.dtype(), {rows, 1, dim});
  const AclTensor sines(static_cast<char*>(rotation_.data()) +
                            static_cast<std::size_t>(rows * dim) * size_of(x.dtype()),
                        x.dtype(),
                        {rows, 1, dim});
  const bool direct = dim == head_dim && out.is_dense();
  const AclTensor rotated =
      direct ? columns_of(out, 0, dim) : AclTensor(temporary(npu, x.dtype(), {rows, heads, dim}));
  constexpr std::int64_t kHalves = 0;  // element i goes with i + dim / 2
  FASTCHAT_ACLNN(npu,
                 aclnnRotaryPositionEmbedding,
                 columns_of(x, 0, dim).get(),
                 cosines.get(),
                 sines.get(),
                 kHalves,
                 rotated.get());
  if (direct) return;
  convert(npu, columns_of(out, 0, dim), rotated);
  if (dim < head_dim)
    convert(npu, columns_of(out, dim, head_dim - dim), columns_of(x, dim, head_dim - dim));
}

void NpuOps::gated_activation(Stream& stream,
                              TensorView gate_up,
                              Activation activation,
                              TensorView out) {
  check_gated_activation(gate_up, out);
  if (out.rows() == 0) return;
  NpuStream& npu = npu_stream(stream, "gated_activation");
  const ScratchScope scope(npu);
  const std::int64_t width = out.dim(1);
  const AclTensor out_tensor(out);
  if (activation == Activation::silu && gate_up.is_dense()) {
    FASTCHAT_ACLNN(npu, aclnnSwiGlu, AclTensor(gate_up).get(), kLastDim, out_tensor.get());
    return;
  }
  const AclTensor gate(gate_up.slice_columns(0, width));
  switch (activation) {
    case Activation::silu:
      FASTCHAT_ACLNN(npu, aclnnSilu, gate.get(), out_tensor.get());
      break;
    case Activation::gelu:
      FASTCHAT_ACLNN(npu, aclnnGelu, gate.get(), out_tensor.get());
      break;
    case Activation::gelu_tanh:
      FASTCHAT_ACLNN(npu, aclnnGeluV2, gate.get(), std::int64_t{1}, out_tensor.get());
      break;
  }
  FASTCHAT_ACLNN(
      npu, aclnnInplaceMul, out_tensor.get(), AclTensor(gate_up.slice_columns(width, width)).get());
}

}  // namespace ascend
}  // namespace fastchat::ops
