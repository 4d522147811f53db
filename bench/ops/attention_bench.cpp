// The KV cache, attention and rotary embedding.
#include "bench/ops/bench.h"

#include <cmath>
#include <vector>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

constexpr std::int64_t kKvWidth = kKvHeads * kHeadDim;

/// 0, 1, 2, …: slots, block ids, positions or token ids in order.
std::vector<std::int32_t> ascending(std::int64_t count) {
  std::vector<std::int32_t> values;
  for (std::int32_t i = 0; i < count; ++i) values.push_back(i);
  return values;
}

/// KV for `context` positions of one layer.
KvLayer blank_kv(Rig& rig, std::int64_t context) {
  const std::int64_t block_size = rig.ops().traits().kv_block_size;
  return rig.blank_kv({.num_kv_heads = kKvHeads, .head_dim = kHeadDim, .dtype = DType::bf16},
                      (context + block_size - 1) / block_size);
}

/// One sequence: `query` new tokens of a context of `context`.
void paged_attention(benchmark::State& state) {
  const std::int64_t query = state.range(0);
  const std::int64_t context = state.range(1);
  Rig rig(bench_ops());
  const KvLayer kv = blank_kv(rig, context);
  const TensorView keys_values =
      rig.upload(random_values(1, context * kKvWidth), DType::bf16, {context, kKvWidth});
  rig.ops().kv_write(rig.stream(), keys_values, keys_values, rig.upload(ascending(context)), kv);
  const PagedAttentionArgs args{
      .q = rig.upload(
          random_values(2, query * kHeads * kHeadDim), DType::bf16, {query, kHeads * kHeadDim}),
      .out = rig.blank(DType::bf16, {query, kHeads * kHeadDim}),
      .kv = kv,
      .metadata = {.query_starts =
                       rig.upload(std::vector<std::int32_t>{0, static_cast<std::int32_t>(query)}),
                   .context_lens =
                       rig.upload(std::vector<std::int32_t>{static_cast<std::int32_t>(context)}),
                   .block_table = rig.upload(ascending(kv.num_blocks)).reshaped({1, kv.num_blocks}),
                   .num_seqs = 1,
                   .max_query_len = query,
                   .max_context_len = context},
      .num_heads = kHeads,
      .scale = 0.125f};
  // Causal: token i of the query sees context - query + i + 1 positions.
  const double pairs = static_cast<double>(query) * static_cast<double>(context - query) +
                       0.5 * static_cast<double>(query) * static_cast<double>(query + 1);
  measure(state,
          rig,
          {.bytes = static_cast<double>(2 * keys_values.size_bytes() + 2 * args.q.size_bytes()),
           .flops = 4.0 * pairs * kHeads * kHeadDim},
          [&] { rig.ops().paged_attention(rig.stream(), args); });
}
BENCHMARK(paged_attention)
    ->Args({1, 512})
    ->Args({1, 4096})
    ->Args({512, 512})
    ->Args({512, 4096})
    ->ArgNames({"query", "context"})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void kv_write(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const KvLayer kv = blank_kv(rig, rows);
  const TensorView k = rig.upload(random_values(1, rows * kKvWidth), DType::bf16, {rows, kKvWidth});
  const TensorView v = rig.upload(random_values(2, rows * kKvWidth), DType::bf16, {rows, kKvWidth});
  const TensorView slots = rig.upload(ascending(rows));
  measure(state, rig, {.bytes = static_cast<double>(4 * k.size_bytes())}, [&] {
    rig.ops().kv_write(rig.stream(), k, v, slots, kv);
  });
}
BENCHMARK(kv_write)->ArgName("rows")->Arg(1)->Arg(512)->UseRealTime()->Unit(
    benchmark::kMicrosecond);

/// Inverse frequencies of base 10^6.
TensorView upload_frequencies(Rig& rig) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < kHeadDim; i += 2)
    values.push_back(std::pow(1e6f, -static_cast<float>(i) / static_cast<float>(kHeadDim)));
  return rig.upload(values, DType::f32, {kHeadDim / 2});
}

void rotary_table(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView positions = rig.upload(ascending(rows));
  const TensorView frequencies = upload_frequencies(rig);
  const TensorView table = rig.blank(DType::f32, {rows, kHeadDim});
  measure(state, rig, {.bytes = static_cast<double>(table.size_bytes())}, [&] {
    rig.ops().rotary_table(rig.stream(), positions, frequencies, 1.0f, table);
  });
}
BENCHMARK(rotary_table)
    ->ArgName("rows")
    ->Arg(1)
    ->Arg(512)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void rotary(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  Rig rig(bench_ops());
  const TensorView table = rig.blank(DType::f32, {rows, kHeadDim});
  rig.ops().rotary_table(
      rig.stream(), rig.upload(ascending(rows)), upload_frequencies(rig), 1.0f, table);
  constexpr std::int64_t kWidth = kHeads * kHeadDim;
  const TensorView x = rig.upload(random_values(1, rows * kWidth), DType::bf16, {rows, kWidth});
  const TensorView out = rig.blank(DType::bf16, {rows, kWidth});
  measure(state,
          rig,
          {.bytes = static_cast<double>(2 * x.size_bytes() + table.size_bytes()),
           .flops = 3.0 * static_cast<double>(rows * kWidth)},
          [&] { rig.ops().rotary(rig.stream(), x, kHeadDim, table, out); });
}
BENCHMARK(rotary)->ArgName("rows")->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace fastchat::ops
