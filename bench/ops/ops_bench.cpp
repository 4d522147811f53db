// Micro-benchmarks of the operations, at shapes of Qwen2-0.5B. Bytes are what must be read and
// written, operations are multiply-adds times two; compare with `fastchat bench limits`.
#include "device/cpu/cpu_device.h"
#include "ops/cases/op_case.h"
#include "ops/ops.h"

#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

namespace fastchat::ops {
namespace {

using benchmark::Counter;
using cases::random_values;
using cases::Rig;

/// One device for all benchmarks, on all cores.
struct Bench {
  std::unique_ptr<device::Platform> platform = device::create_cpu_platform({});
  std::unique_ptr<Device> device = platform->open(0);
  std::unique_ptr<Ops> ops = create_ops(*device);
};
Bench& bench() {
  static Bench instance;
  return instance;
}

void report(benchmark::State& state, double bytes, double flops) {
  const auto iterations = static_cast<double>(state.iterations());
  if (bytes > 0) state.counters["bytes/s"] = Counter(bytes * iterations, Counter::kIsRate);
  if (flops > 0) state.counters["FLOP/s"] = Counter(flops * iterations, Counter::kIsRate);
}

/// Weights of several layers in turn, so that none is still in the cache when it is read again.
void linear(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  const std::int64_t in = state.range(1);
  const std::int64_t out = state.range(2);
  Rig rig(*bench().ops);
  const auto weight_bytes = packed_linear_bytes(bench().ops->traits(), out, in, dtype);
  constexpr std::uint64_t kColdBytes = 256u << 20;
  const std::vector<float> values = random_values(1, in * out, 0.05f);
  std::vector<const PackedLinear*> weights;
  for (std::uint64_t bytes = 0; weights.empty() || bytes < kColdBytes; bytes += weight_bytes)
    weights.push_back(&rig.pack(values, DType::f32, {out}, in, dtype));
  const TensorView x = rig.upload(random_values(2, rows * in), dtype, {rows, in});
  const TensorView y = rig.blank(dtype, {rows, out});
  rig.stream().synchronize();
  std::size_t turn = 0;
  for (auto _ : state) {
    rig.ops().linear(rig.stream(), x, *weights[turn++ % weights.size()], {}, y);
    rig.stream().synchronize();
  }
  report(state,
         static_cast<double>(weight_bytes),
         2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out));
}
void linear_shapes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t rows : {1, 16, 512}) {
    b->Args({rows, 896, 4864});
    b->Args({rows, 4864, 896});
  }
  b->Args({1, 896, 151936});
  b->Args({16, 896, 151936});
  b->ArgNames({"rows", "in", "out"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(linear, bf16, DType::bf16)->Apply(linear_shapes);
BENCHMARK_CAPTURE(linear, f16, DType::f16)
    ->Args({1, 896, 4864})
    ->Args({512, 896, 4864})
    ->UseRealTime();
BENCHMARK_CAPTURE(linear, f32, DType::f32)
    ->Args({1, 896, 4864})
    ->Args({512, 896, 4864})
    ->UseRealTime();

/// One sequence: `query` new tokens of a context of `context`.
void attention(benchmark::State& state) {
  constexpr std::int64_t kHeads = 14;
  constexpr std::int64_t kKvHeads = 2;
  constexpr std::int64_t kHeadDim = 64;
  const std::int64_t query = state.range(0);
  const std::int64_t context = state.range(1);
  Rig rig(*bench().ops);
  const std::int64_t block_size = bench().ops->traits().kv_block_size;
  const std::int64_t num_blocks = (context + block_size - 1) / block_size;
  const KvLayer kv = rig.blank_kv(
      {.num_kv_heads = kKvHeads, .head_dim = kHeadDim, .dtype = DType::bf16}, num_blocks);
  std::vector<std::int32_t> slots;
  std::vector<std::int32_t> blocks;
  for (std::int64_t i = 0; i < context; ++i) slots.push_back(static_cast<std::int32_t>(i));
  for (std::int64_t i = 0; i < num_blocks; ++i) blocks.push_back(static_cast<std::int32_t>(i));
  const TensorView keys_values = rig.upload(
      random_values(1, context * kKvHeads * kHeadDim), DType::bf16, {context, kKvHeads * kHeadDim});
  rig.ops().kv_write(rig.stream(), keys_values, keys_values, rig.upload(slots), kv);
  const PagedAttentionArgs args{
      .q = rig.upload(
          random_values(2, query * kHeads * kHeadDim), DType::bf16, {query, kHeads * kHeadDim}),
      .out = rig.blank(DType::bf16, {query, kHeads * kHeadDim}),
      .kv = kv,
      .metadata = {.query_starts =
                       rig.upload(std::vector<std::int32_t>{0, static_cast<std::int32_t>(query)}),
                   .context_lens =
                       rig.upload(std::vector<std::int32_t>{static_cast<std::int32_t>(context)}),
                   .block_table = rig.upload(blocks).reshaped({1, num_blocks}),
                   .num_seqs = 1,
                   .max_query_len = query,
                   .max_context_len = context},
      .num_heads = kHeads,
      .scale = 0.125f};
  for (auto _ : state) {
    rig.ops().paged_attention(rig.stream(), args);
    rig.stream().synchronize();
  }
  // Causal: token i of the query sees context - query + i + 1 positions.
  const double pairs = static_cast<double>(query) * static_cast<double>(context - query) +
                       0.5 * static_cast<double>(query) * static_cast<double>(query + 1);
  report(state,
         2.0 * static_cast<double>(context * kKvHeads * kHeadDim) * 2.0,
         4.0 * pairs * kHeads * kHeadDim);
}
BENCHMARK(attention)
    ->Args({1, 512})
    ->Args({1, 4096})
    ->Args({512, 512})
    ->Args({512, 4096})
    ->ArgNames({"query", "context"})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void rms_norm(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  constexpr std::int64_t kWidth = 896;
  Rig rig(*bench().ops);
  const TensorView x = rig.upload(random_values(1, rows * kWidth), DType::f32, {rows, kWidth});
  const TensorView weight = rig.upload(random_values(2, kWidth), DType::bf16, {kWidth});
  const TensorView out = rig.blank(DType::bf16, {rows, kWidth});
  for (auto _ : state) {
    rig.ops().rms_norm(rig.stream(), x, weight, 1e-6f, out);
    rig.stream().synchronize();
  }
  report(state, static_cast<double>(rows * kWidth * (4 + 2)), 0);
}
BENCHMARK(rms_norm)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

/// Query heads in place in a fused projection, at Qwen3-8B's sizes.
void rms_norm_heads(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  constexpr std::int64_t kHeads = 32;
  constexpr std::int64_t kHeadDim = 128;
  constexpr std::int64_t kRow = (kHeads + 2 * 8) * kHeadDim;
  Rig rig(*bench().ops);
  const TensorView qkv = rig.upload(random_values(1, rows * kRow), DType::bf16, {rows, kRow});
  const TensorView weight = rig.upload(random_values(2, kHeadDim), DType::f32, {kHeadDim});
  const TensorView q = qkv.slice_columns(0, kHeads * kHeadDim).reshaped({rows, kHeads, kHeadDim});
  for (auto _ : state) {
    rig.ops().rms_norm(rig.stream(), q, weight, 1e-6f, q);
    rig.stream().synchronize();
  }
  report(state, static_cast<double>(rows * kHeads * kHeadDim * (2 + 2)), 0);
}
BENCHMARK(rms_norm_heads)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

void gated_activation(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  constexpr std::int64_t kWidth = 4864;
  Rig rig(*bench().ops);
  const TensorView x =
      rig.upload(random_values(1, rows * 2 * kWidth, 4.0f), DType::bf16, {rows, 2 * kWidth});
  const TensorView out = rig.blank(DType::bf16, {rows, kWidth});
  for (auto _ : state) {
    rig.ops().gated_activation(rig.stream(), x, Activation::silu, out);
    rig.stream().synchronize();
  }
  report(state, static_cast<double>(rows * kWidth * 3 * 2), 0);
}
BENCHMARK(gated_activation)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

void sample(benchmark::State& state, SamplingRow row) {
  constexpr std::int64_t kVocab = 151936;
  Rig rig(*bench().ops);
  // The sum of three uniform values: a bell, as logits are.
  std::vector<float> values = random_values(1, kVocab, 5.0f);
  for (const std::uint64_t seed : {2, 3}) {
    const std::vector<float> more = random_values(seed, kVocab, 5.0f);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += more[i];
  }
  const TensorView logits = rig.upload(values, DType::f32, {1, kVocab});
  const SampleOutput output{.tokens = rig.blank(DType::i32, {1}),
                            .logprobs = rig.blank(DType::f32, {1})};
  std::vector<SamplingRow> rows = {row};
  for (auto _ : state) {
    ++rows[0].draw_index;
    rig.ops().sample(rig.stream(), logits, {.rows = rows}, output);
    rig.stream().synchronize();
  }
  report(state, static_cast<double>(kVocab * 4), 0);
}
BENCHMARK_CAPTURE(sample, greedy, {.temperature = 0.0f})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sample, plain, {})->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sample, nearly_flat, {.temperature = 20.0f})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sample, top_k_20_top_p_08, {.temperature = 0.7f, .top_p = 0.8f, .top_k = 20})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sample, top_p_09_logprobs, {.top_p = 0.9f, .num_logprobs = 0})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace fastchat::ops
