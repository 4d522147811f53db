// Operations of a device with hooks, in front of each step's first one and behind linear layers:
// for failing, holding or misleading a rank at a known place.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "ops/ops.h"

namespace fastchat::engine::testing {

class HookedOps final : public ops::Ops {
 public:
  using Hook = std::function<void(device::Stream& stream)>;

  explicit HookedOps(std::unique_ptr<ops::Ops> ops) : ops_(std::move(ops)) {}
  /// `hook` runs on the rank's thread, which may throw there. Set it while no step is outstanding.
  void before_layers(Hook hook) { hook_ = std::move(hook); }
  /// `hook` may change what the layer gives.
  using LinearHook = std::function<void(
      device::Stream& stream, const ops::PackedLinear& weight, const ops::TensorView& out)>;
  void after_linear(LinearHook hook) { linear_hook_ = std::move(hook); }

  ops::Device& device() override { return ops_->device(); }
  const ops::OpsTraits& traits() const override { return ops_->traits(); }
  std::string_view name() const override { return ops_->name(); }
  ops::PackedLinear pack_linear(ops::Stream& stream,
                                std::span<const ops::WeightSlice> slices,
                                ops::LinearFormat format) override {
    return ops_->pack_linear(stream, slices, format);
  }
  ops::Buffer pack_plain(ops::Stream& stream,
                         std::span<const ops::WeightSlice> slices,
                         ops::DType dtype) override {
    return ops_->pack_plain(stream, slices, dtype);
  }
  void embedding(ops::Stream& stream,
                 ops::TensorView table,
                 ops::TensorView ids,
                 ops::TensorView out) override {
    ops_->embedding(stream, table, ids, out);
  }
  void gather_rows(ops::Stream& stream,
                   ops::TensorView x,
                   ops::TensorView indices,
                   ops::TensorView out) override {
    ops_->gather_rows(stream, x, indices, out);
  }
  void begin_step() override { ops_->begin_step(); }
  void resolve_tokens(ops::Stream& stream,
                      ops::TensorView ids,
                      ops::TensorView rows,
                      ops::TensorView sources,
                      ops::TensorView sampled) override {
    ops_->resolve_tokens(stream, ids, rows, sources, sampled);
  }
  void rms_norm(ops::Stream& stream,
                ops::TensorView x,
                ops::TensorView weight,
                float eps,
                ops::TensorView out) override {
    ops_->rms_norm(stream, x, weight, eps, out);
  }
  void add_rms_norm(ops::Stream& stream,
                    ops::TensorView residual,
                    ops::TensorView x,
                    ops::TensorView weight,
                    float eps,
                    ops::TensorView out) override {
    ops_->add_rms_norm(stream, residual, x, weight, eps, out);
  }
  void add(ops::Stream& stream, ops::TensorView out, ops::TensorView x) override {
    ops_->add(stream, out, x);
  }
  void linear(ops::Stream& stream,
              ops::TensorView x,
              const ops::PackedLinear& weight,
              ops::TensorView bias,
              ops::TensorView out) override {
    ops_->linear(stream, x, weight, bias, out);
    if (linear_hook_) linear_hook_(stream, weight, out);
  }
  void rotary_table(ops::Stream& stream,
                    ops::TensorView positions,
                    ops::TensorView inverse_frequencies,
                    float scale,
                    ops::TensorView out) override {
    if (hook_) hook_(stream);
    ops_->rotary_table(stream, positions, inverse_frequencies, scale, out);
  }
  void rotary(ops::Stream& stream,
              ops::TensorView x,
              std::int64_t head_dim,
              ops::TensorView table,
              ops::TensorView out) override {
    ops_->rotary(stream, x, head_dim, table, out);
  }
  void kv_write(ops::Stream& stream,
                ops::TensorView k,
                ops::TensorView v,
                ops::TensorView slots,
                ops::KvLayer kv) override {
    ops_->kv_write(stream, k, v, slots, kv);
  }
  void paged_attention(ops::Stream& stream, const ops::PagedAttentionArgs& args) override {
    ops_->paged_attention(stream, args);
  }
  void gated_activation(ops::Stream& stream,
                        ops::TensorView gate_up,
                        ops::Activation activation,
                        ops::TensorView out) override {
    ops_->gated_activation(stream, gate_up, activation, out);
  }
  void sample(ops::Stream& stream,
              ops::TensorView logits,
              const ops::SamplingBatch& batch,
              ops::SampleOutput output) override {
    ops_->sample(stream, logits, batch, output);
  }

 private:
  std::unique_ptr<ops::Ops> ops_;
  Hook hook_;
  LinearHook linear_hook_;
};

}  // namespace fastchat::engine::testing
