// The plain reference of the catalogue: its contract and oracle. One obvious loop each, in f64,
// over any float dtype.
#pragma once

#include "device/cpu/cpu_device.h"
#include "ops/ops.h"

#include <vector>

namespace fastchat::ops {

namespace reference {

/// Element `column` of row `row`, of a floating-point dtype or i8.
double get(const TensorView& view, std::int64_t row, std::int64_t column);
/// Rounds to the view's dtype.
void set(const TensorView& view, std::int64_t row, std::int64_t column, double value);
std::int32_t get_index(const TensorView& view, std::int64_t row);

/// A packed weight here: rows as they were, or quantized, dense.
TensorView unpacked(const PackedLinear& weight);
/// Their scales, f32 [out]; empty where they are as they were.
TensorView row_scales(const PackedLinear& weight, const OpsTraits& traits);
/// Row of x as whole numbers; the scale is returned. See LinearFormat.
float quantize(TensorView x, std::int64_t row, std::vector<double>& out);
/// Keys ([block][position][head][element]) or values of a layer, as rows of one position.
TensorView keys(const KvLayer& kv);
TensorView values(const KvLayer& kv);

void embedding(TensorView table, TensorView ids, TensorView out);
void gather_rows(TensorView x, TensorView indices, TensorView out);
void resolve_tokens(TensorView ids, TensorView rows, TensorView sources, TensorView sampled);
void rms_norm(TensorView x, TensorView weight, float eps, TensorView out);
void layer_norm(TensorView x, TensorView weight, TensorView bias, float eps, TensorView out);
void add(TensorView out, TensorView x);
/// scales: see row_scales; quantizes: x is made whole numbers first.
void linear(TensorView x,
            TensorView weight,
            TensorView scales,
            bool quantizes,
            TensorView bias,
            TensorView out);
void rotary_table(TensorView positions,
                  TensorView inverse_frequencies,
                  float scale,
                  TensorView out);
void rotary(TensorView x, std::int64_t head_dim, TensorView table, TensorView out);
void kv_write(TensorView k, TensorView v, TensorView slots, KvLayer kv);
void paged_attention(const PagedAttentionArgs& args);
void gated_activation(TensorView gate_up, Activation activation, TensorView out);
void sample(TensorView logits, const SamplingBatch& batch, SampleOutput output);
void token_logprobs(TensorView logits, TensorView targets, SampleOutput output);

}  // namespace reference

class ReferenceOps final : public Ops {
 public:
  explicit ReferenceOps(Device& device);

  Device& device() override { return device_; }
  const OpsTraits& traits() const override { return traits_; }
  std::string_view name() const override { return "reference"; }

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
  Device& device_;
  OpsTraits traits_;
};

}  // namespace fastchat::ops
