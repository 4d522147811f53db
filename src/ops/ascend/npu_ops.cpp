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

OpsTraits npu_traits() {
  // Blocks of 128 are what every form of attention takes.
  return {.linear_row_multiple = 1,
          .linear_column_multiple = 1,
          .kv_block_size = 128,
          .scratch_bytes = std::uint64_t{256} << 20,
          .collective_bytes = collective_bytes(),
          .tolerates_bad_indices = false};
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
    : device_(device), traits_(npu_traits()), card_sampler_(device) {}

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

// ids += (sources >= 0) * (sampled[max(sources, 0)] - ids), of operators that every CANN has. Then
// -1, which sampling gives where the logits are no numbers, becomes 0: the embedding of an id that
// is none would end the card's work, and the sequence has failed anyway.
void NpuOps::resolve_tokens(Stream& stream,
                            TensorView ids,
                            TensorView sources,
                            TensorView sampled) {
  check_resolve_tokens(ids, sources, sampled);
  const std::int64_t count = ids.rows();
  if (count == 0) return;
  NpuStream& npu = npu_stream(stream, "resolve_tokens");
  const ScratchScope scope(npu);
  const AclScalar one(std::int64_t{1});
  const AclTensor id_tensor(ids);
  const AclTensor source_tensor(sources);
  const AclTensor next(temporary(npu, DType::i32, {count}));
  FASTCHAT_ACLNN(npu, aclnnAdds, source_tensor.get(), one.get(), one.get(), next.get());
  const AclTensor given = temporary_bool(npu, {count});
  FASTCHAT_ACLNN(npu, aclnnCast, next.get(), ACL_BOOL, given.get());
  const AclTensor factor(temporary(npu, DType::i32, {count}));
  FASTCHAT_ACLNN(npu, aclnnCast, given.get(), ACL_INT32, factor.get());
  const AclTensor rows(temporary(npu, DType::i32, {count}));
  FASTCHAT_ACLNN(npu, aclnnMul, source_tensor.get(), factor.get(), rows.get());
  const AclTensor change(temporary(npu, DType::i32, {count}));
  FASTCHAT_ACLNN(
      npu, aclnnIndexSelect, AclTensor(sampled).get(), std::int64_t{0}, rows.get(), change.get());
  FASTCHAT_ACLNN(npu, aclnnInplaceSub, change.get(), id_tensor.get(), one.get());
  FASTCHAT_ACLNN(npu, aclnnInplaceMul, change.get(), factor.get());
  FASTCHAT_ACLNN(npu, aclnnInplaceAdd, id_tensor.get(), change.get(), one.get());
  FASTCHAT_ACLNN(npu, aclnnAdds, id_tensor.get(), one.get(), one.get(), next.get());
  FASTCHAT_ACLNN(npu, aclnnCast, next.get(), ACL_BOOL, given.get());
  FASTCHAT_ACLNN(npu, aclnnCast, given.get(), ACL_INT32, factor.get());
  FASTCHAT_ACLNN(npu, aclnnInplaceMul, id_tensor.get(), factor.get());
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
  if (weight.format.is_quantized()) {
    TensorView dense = x;  // what the operators of 8-bit weights ask for
    if (!x.is_dense()) {
      dense = temporary(stream, x.dtype(), {x.rows(), x.dim(1)});
      convert(stream, AclTensor(dense), AclTensor(x));
    }
    if (weight.format.input == DType::i8) return multiply_w8a8(stream, dense, weight, out);
    return multiply_w8a16(stream, dense, weight, out);
  }
  const AclTensor transposed(weight.storage.data(),
                             weight.format.weight,
                             {weight.in_features, weight.out_features},
                             {1, weight.in_features});
  FASTCHAT_ACLNN(stream,
                 aclnnMm,
                 AclTensor(x).get(),
                 transposed.get(),
                 AclTensor(out).get(),
                 CANN_CUBE_KEEP_DTYPE);
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
  multiply(npu, x, weight, product);
  const AclTensor out_tensor(out);
  if (!direct) convert(npu, out_tensor, AclTensor(product));
  if (bias.empty()) return;
  const AclScalar one(1.0f);
  FASTCHAT_ACLNN(npu, aclnnInplaceAdd, out_tensor.get(), AclTensor(bias).get(), one.get());
}

void NpuOps::rotary_table(Stream& stream,
                          TensorView positions,
                          TensorView inverse_frequencies,
                          float scale,
                          TensorView out) {
  check_rotary_table(positions, inverse_frequencies, out);
  rotation_is_stale_ = true;
  padding_is_stale_ = true;
  written_table_ = out.data();
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
  const bool is_ready = !rotation_is_stale_ && rotation_table_ == table.data() &&
                        rotation_dtype_ == dtype && rotation_rows_ == rows && rotation_dim_ == dim;
  if (is_ready) return;
  reserve_rotation(stream, rows, dim, dtype);
  const std::size_t bytes = 2 * static_cast<std::size_t>(rows * dim) * size_of(dtype);
  const auto fill = [&](std::int64_t source_column, std::size_t offset) {
    const std::int64_t half = dim / 2;
    char* const base = static_cast<char*>(rotation_.data()) + offset;
    const AclTensor source(table.slice_columns(source_column, half));
    for (const std::int64_t column : {std::int64_t{0}, half})
      convert(stream,
              AclTensor(base + static_cast<std::size_t>(column) * size_of(dtype),
                        dtype,
                        {rows, half},
                        {dim, 1}),
              source);
  };
  fill(0, 0);
  fill(dim / 2, bytes / 2);
  // Only what rotary_table wrote is known to change with the next rotary_table alone.
  rotation_is_stale_ = written_table_ != table.data();
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

void NpuOps::rotary(Stream& stream, TensorView x, std::int64_t head_dim, TensorView table) {
  check_rotary(x, head_dim, table);
  const std::int64_t rows = x.rows();
  if (rows == 0) return;
  NpuStream& npu = npu_stream(stream, "rotary");
  const ScratchScope scope(npu);
  prepare_rotation(npu, table, x.dtype());
  const std::int64_t heads = x.dim(1) / head_dim;
  const std::int64_t dim = table.dim(1);
  const AclTensor in(x.data(), x.dtype(), {rows, heads, dim}, {x.row_stride(), head_dim, 1});
  const AclTensor cosines(rotation_.data(), x.dtype(), {rows, 1, dim});
  const AclTensor sines(static_cast<char*>(rotation_.data()) +
                            static_cast<std::size_t>(rows * dim) * size_of(x.dtype()),
                        x.dtype(),
                        {rows, 1, dim});
  const AclTensor rotated(temporary(npu, x.dtype(), {rows, heads, dim}));
  constexpr std::int64_t kHalves = 0;  // element i goes with i + dim / 2
  FASTCHAT_ACLNN(npu,
                 aclnnRotaryPositionEmbedding,
                 in.get(),
                 cosines.get(),
                 sines.get(),
                 kHalves,
                 rotated.get());
  convert(npu, in, rotated);
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
