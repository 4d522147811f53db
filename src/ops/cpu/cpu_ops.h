// Operations of cpu devices: vectorised kernels chosen by the device's instruction set, and the
// plain reference.
#pragma once

#include "device/cpu/cpu_device.h"
#include "ops/cpu/kernels.h"
#include "ops/ops.h"

#include <memory>

namespace fastchat::ops {

OpsTraits cpu_traits();

/// The vectorised operations, or the reference where FASTCHAT_CPU_OPS=reference is set. Throws
/// Failure unless `device` is a device::CpuDevice, or for other values of the variable.
std::unique_ptr<Ops> create_cpu_ops(Device& device);

/// The contract of the catalogue: simple loops in f64, one thread, for any dtype. Its packed
/// weights and KV blocks have a layout of their own.
std::unique_ptr<Ops> create_reference_ops(Device& device);

namespace cpu {

/// The kernels that were compiled for `isa`. Throws Failure where this build has none.
const Kernels& kernels_of(device::CpuIsa isa);

/// Of a floating-point dtype, or of i8 for weights.
Element element_of(DType dtype);
ConstRows const_rows(const TensorView& view);
Rows rows(const TensorView& view);
KvPointers kv_pointers(const KvLayer& kv);
/// Throws Failure naming `op` unless `stream` belongs to a cpu device.
device::CpuStream& cpu_stream(Stream& stream, std::string_view op);

/// Rows or elements per piece that keep a piece worth its hand-out.
inline std::int64_t row_grain(std::int64_t row_elements) {
  constexpr std::int64_t kElements = 8192;  // some 2 µs of an elementwise kernel
  return row_elements >= kElements ? 1 : kElements / (row_elements > 0 ? row_elements : 1);
}

}  // namespace cpu

class CpuOps final : public Ops {
 public:
  /// With the kernels of the device's instruction set.
  explicit CpuOps(device::CpuDevice& device);
  /// With kernels of the caller's choice, which this machine can run.
  CpuOps(device::CpuDevice& device, const cpu::Kernels& kernels);

  Device& device() override { return device_; }
  const OpsTraits& traits() const override { return traits_; }
  std::string_view name() const override { return kernels_.name; }

  PackedLinear pack_linear(Stream& stream,
                           std::span<const WeightSlice> slices,
                           LinearFormat format) override;
  Buffer pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype) override;
  void embedding(Stream& stream, TensorView table, TensorView ids, TensorView out) override;
  void gather_rows(Stream& stream, TensorView x, TensorView indices, TensorView out) override;
  void resolve_tokens(Stream& stream,
                      TensorView ids,
                      TensorView rows,
                      TensorView sources,
                      TensorView sampled) override;
  void rms_norm(
      Stream& stream, TensorView x, TensorView weight, float eps, TensorView out) override;
  void layer_norm(Stream& stream,
                  TensorView x,
                  TensorView weight,
                  TensorView bias,
                  float eps,
                  TensorView out) override;
  void add_rms_norm(Stream& stream,
                    TensorView residual,
                    TensorView x,
                    TensorView weight,
                    float eps,
                    TensorView out) override;
  void add(Stream& stream, TensorView out, TensorView x) override;
  void linear(Stream& stream,
              TensorView x,
              const PackedLinear& weight,
              TensorView bias,
              TensorView out) override;
  void rotary_table(Stream& stream,
                    TensorView positions,
                    TensorView inverse_frequencies,
                    float scale,
                    TensorView out) override;
  void rotary(Stream& stream,
              TensorView x,
              std::int64_t head_dim,
              TensorView table,
              TensorView out) override;
  void kv_write(Stream& stream, TensorView k, TensorView v, TensorView slots, KvLayer kv) override;
  void paged_attention(Stream& stream, const PagedAttentionArgs& args) override;
  void gated_activation(Stream& stream,
                        TensorView gate_up,
                        Activation activation,
                        TensorView out) override;
  void sample(Stream& stream,
              TensorView logits,
              const SamplingBatch& batch,
              SampleOutput output) override;
  void token_logprobs(Stream& stream,
                      TensorView logits,
                      TensorView targets,
                      SampleOutput output) override;

 private:
  device::CpuDevice& device_;
  const cpu::Kernels& kernels_;
  OpsTraits traits_;
};

}  // namespace fastchat::ops
