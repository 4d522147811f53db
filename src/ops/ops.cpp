#include "ops/ops.h"

#include "ops/ascend/npu_ops.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

OpsTraits traits(device::DeviceKind kind, bool has_bf16) {
  switch (kind) {
    case device::DeviceKind::cpu:
      return cpu_traits();
    case device::DeviceKind::npu:
      return npu_traits(has_bf16);
    case device::DeviceKind::cuda:
      return {.linear_row_multiple = 16,
              .linear_column_multiple = 16,
              .kv_block_size = 16,
              .scratch_bytes = 64u << 20};
    case device::DeviceKind::stub:
      return {};
  }
  return {};
}

std::uint64_t packed_linear_bytes(const OpsTraits& traits,
                                  std::int64_t out_features,
                                  std::int64_t in_features,
                                  LinearFormat format) {
  const std::int64_t rows = round_up(out_features, traits.linear_row_multiple);
  if (format.is_quantized())
    return row_scales_offset(traits, out_features, in_features) +
           static_cast<std::uint64_t>(rows) * sizeof(float);
  return static_cast<std::uint64_t>(rows * round_up(in_features, traits.linear_column_multiple)) *
         device::size_of(format.weight);
}

std::uint64_t row_scales_offset(const OpsTraits& traits,
                                std::int64_t out_features,
                                std::int64_t in_features) {
  constexpr std::int64_t kAlignment = 64;  // what vector loads and cards' operators ask for
  return static_cast<std::uint64_t>(
      round_up(round_up(out_features, traits.linear_row_multiple) *
                   round_up(in_features, traits.linear_column_multiple),
               kAlignment));
}

std::uint64_t kv_block_bytes(const OpsTraits& traits, const KvSpec& spec) {
  return static_cast<std::uint64_t>(2 * traits.kv_block_size * spec.num_kv_heads * spec.head_dim) *
         device::size_of(spec.dtype);
}

void Ops::unsupported(std::string_view op) {
  throw UnsupportedOp(fmt::format("{}: not available on {} ({} operations)",
                                  op,
                                  device::to_string(device().info().kind),
                                  name()));
}

std::uint64_t Ops::measure_scratch(const LargestStep&) { return traits().scratch_bytes; }
void Ops::reserve_scratch(Stream&, const LargestStep&) {}
PackedLinear Ops::pack_linear(Stream&, std::span<const WeightSlice>, LinearFormat) {
  unsupported("pack_linear");
}
Buffer Ops::pack_plain(Stream&, std::span<const WeightSlice>, DType) { unsupported("pack_plain"); }
void Ops::embedding(Stream&, TensorView, TensorView, TensorView) { unsupported("embedding"); }
void Ops::gather_rows(Stream&, TensorView, TensorView, TensorView) { unsupported("gather_rows"); }
void Ops::resolve_tokens(Stream&, TensorView, TensorView, TensorView, TensorView) {
  unsupported("resolve_tokens");
}
void Ops::rms_norm(Stream&, TensorView, TensorView, float, TensorView) { unsupported("rms_norm"); }
void Ops::layer_norm(Stream&, TensorView, TensorView, TensorView, float, TensorView) {
  unsupported("layer_norm");
}
void Ops::add_rms_norm(Stream& stream,
                       TensorView residual,
                       TensorView x,
                       TensorView weight,
                       float eps,
                       TensorView out) {
  add(stream, residual, x);
  rms_norm(stream, residual, weight, eps, out);
}
void Ops::add(Stream&, TensorView, TensorView) { unsupported("add"); }
void Ops::linear(Stream&, TensorView, const PackedLinear&, TensorView, TensorView) {
  unsupported("linear");
}
void Ops::rotary_table(Stream&, TensorView, TensorView, float, TensorView) {
  unsupported("rotary_table");
}
void Ops::rotary(Stream&, TensorView, std::int64_t, TensorView, TensorView) {
  unsupported("rotary");
}
void Ops::kv_write(Stream&, TensorView, TensorView, TensorView, KvLayer) {
  unsupported("kv_write");
}
void Ops::paged_attention(Stream&, const PagedAttentionArgs&) { unsupported("paged_attention"); }
void Ops::gated_activation(Stream&, TensorView, Activation, TensorView) {
  unsupported("gated_activation");
}
void Ops::sample(Stream&, TensorView, const SamplingBatch&, SampleOutput) { unsupported("sample"); }
void Ops::token_logprobs(Stream&, TensorView, TensorView, SampleOutput) {
  unsupported("token_logprobs");
}

std::unique_ptr<Ops> create_ops(Device& device) {
  if (device.info().kind == device::DeviceKind::cpu) return create_cpu_ops(device);
  if (device.info().kind == device::DeviceKind::npu) return create_npu_ops(device);
  fail("this build has no operations for {} devices", device::to_string(device.info().kind));
}

}  // namespace fastchat::ops
