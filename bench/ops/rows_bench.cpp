// Operations on rows or elements by themselves: bound by what they read and write.
#include "bench/ops/bench.h"

#include <vector>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

/// One token of a decode, and a prefill.
void row_counts(benchmark::internal::Benchmark* b) {
  b->ArgName("rows")->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);
}

/// Bytes of views, each passed over once.
template <typename... Views>
double bytes_of(const Views&... views) {
  return (static_cast<double>(views.size_bytes()) + ...);
}

/// Ids that lie far apart.
TensorView upload_scattered(Rig& rig, std::int64_t count, std::int64_t bound) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<std::int32_t>(i * 7919 % bound));
  return rig.upload(ids);
}

void embedding(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView table = rig.blank(DType::bf16, {kVocab, kHidden});
  const TensorView ids = upload_scattered(rig, rows, kVocab);
  const TensorView out = rig.blank(DType::f32, {rows, kHidden});
  measure(state, rig, {.bytes = bytes_of(out) * 1.5}, [&] {  // rows of half as many bytes are read
    rig.ops().embedding(rig.stream(), table, ids, out);
  });
}
BENCHMARK(embedding)->Apply(row_counts);

void gather_rows(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  constexpr std::int64_t kTokens = 2048;
  Rig rig(bench_ops());
  const TensorView x = rig.blank(DType::f32, {kTokens, kHidden});
  const TensorView indices = upload_scattered(rig, rows, kTokens);
  const TensorView out = rig.blank(DType::f32, {rows, kHidden});
  measure(state, rig, {.bytes = 2.0 * bytes_of(out)}, [&] {
    rig.ops().gather_rows(rig.stream(), x, indices, out);
  });
}
BENCHMARK(gather_rows)->Apply(row_counts);

void resolve_tokens(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView ids = upload_scattered(rig, rows, kVocab);
  const TensorView sampled = upload_scattered(rig, rows, kVocab);
  const TensorView sources = upload_scattered(rig, rows, rows);
  measure(state, rig, {.bytes = bytes_of(ids, sampled, sources)}, [&] {
    rig.ops().resolve_tokens(rig.stream(), ids, {}, sources, sampled);
  });
}
BENCHMARK(resolve_tokens)->Apply(row_counts);

void rms_norm(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView x = rig.upload(random_values(1, rows * kHidden), DType::f32, {rows, kHidden});
  const TensorView weight = rig.upload(random_values(2, kHidden), DType::bf16, {kHidden});
  const TensorView out = rig.blank(DType::bf16, {rows, kHidden});
  measure(state, rig, {.bytes = bytes_of(x, weight, out)}, [&] {
    rig.ops().rms_norm(rig.stream(), x, weight, 1e-6f, out);
  });
}
BENCHMARK(rms_norm)->Apply(row_counts);

/// Query heads in place in a fused projection, at Qwen3-8B's sizes.
void rms_norm_heads(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  constexpr std::int64_t kQueryHeads = 32;
  constexpr std::int64_t kDim = 128;
  constexpr std::int64_t kRow = (kQueryHeads + 2 * 8) * kDim;
  Rig rig(bench_ops());
  const TensorView qkv = rig.upload(random_values(1, rows * kRow), DType::bf16, {rows, kRow});
  const TensorView weight = rig.upload(random_values(2, kDim), DType::f32, {kDim});
  const TensorView q = qkv.slice_columns(0, kQueryHeads * kDim).reshaped({rows, kQueryHeads, kDim});
  measure(state, rig, {.bytes = static_cast<double>(rows * kQueryHeads * kDim * (2 + 2))}, [&] {
    rig.ops().rms_norm(rig.stream(), q, weight, 1e-6f, q);
  });
}
BENCHMARK(rms_norm_heads)->Apply(row_counts);

void layer_norm(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView x = rig.upload(random_values(1, rows * kHidden), DType::f32, {rows, kHidden});
  const TensorView weight = rig.upload(random_values(2, kHidden), DType::bf16, {kHidden});
  const TensorView bias = rig.upload(random_values(3, kHidden), DType::bf16, {kHidden});
  const TensorView out = rig.blank(DType::bf16, {rows, kHidden});
  measure(state, rig, {.bytes = bytes_of(x, weight, bias, out)}, [&] {
    rig.ops().layer_norm(rig.stream(), x, weight, bias, 1e-6f, out);
  });
}
BENCHMARK(layer_norm)->Apply(row_counts);

void add_rms_norm(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView residual = rig.upload(
      std::vector<float>(static_cast<std::size_t>(rows * kHidden)), DType::f32, {rows, kHidden});
  const TensorView x = rig.upload(random_values(1, rows * kHidden), DType::bf16, {rows, kHidden});
  const TensorView weight = rig.upload(random_values(2, kHidden), DType::bf16, {kHidden});
  const TensorView out = rig.blank(DType::bf16, {rows, kHidden});
  measure(state, rig, {.bytes = bytes_of(residual, residual, x, weight, out)}, [&] {
    rig.ops().add_rms_norm(rig.stream(), residual, x, weight, 1e-6f, out);
  });
}
BENCHMARK(add_rms_norm)->Apply(row_counts);

void add(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView out = rig.upload(
      std::vector<float>(static_cast<std::size_t>(rows * kHidden)), DType::f32, {rows, kHidden});
  const TensorView x = rig.upload(random_values(1, rows * kHidden), DType::bf16, {rows, kHidden});
  measure(
      state, rig, {.bytes = bytes_of(out, out, x)}, [&] { rig.ops().add(rig.stream(), out, x); });
}
BENCHMARK(add)->Apply(row_counts);

void gated_activation(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView x = rig.upload(
      random_values(1, rows * 2 * kIntermediate, 4.0f), DType::bf16, {rows, 2 * kIntermediate});
  const TensorView out = rig.blank(DType::bf16, {rows, kIntermediate});
  measure(state, rig, {.bytes = bytes_of(x, out)}, [&] {
    rig.ops().gated_activation(rig.stream(), x, Activation::silu, out);
  });
}
BENCHMARK(gated_activation)->Apply(row_counts);

}  // namespace
}  // namespace fastchat::ops
