// linear, and the packing of its weights.
#include "bench/ops/bench.h"

#include <vector>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

/// Weights of several layers in turn, so that none is still in the cache when it is read again.
void linear(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  const std::int64_t in = state.range(1);
  const std::int64_t out = state.range(2);
  Rig rig(bench_ops());
  const auto weight_bytes = packed_linear_bytes(bench_ops().traits(), out, in, dtype);
  constexpr std::uint64_t kColdBytes = 256u << 20;
  const std::vector<float> values = random_values(1, in * out, 0.05f);
  std::vector<const PackedLinear*> weights;
  for (std::uint64_t bytes = 0; weights.empty() || bytes < kColdBytes; bytes += weight_bytes)
    weights.push_back(&rig.pack(values, DType::f32, {out}, in, dtype));
  const TensorView x = rig.upload(random_values(2, rows * in), dtype, {rows, in});
  const TensorView y = rig.blank(dtype, {rows, out});
  std::size_t turn = 0;
  measure(state,
          rig,
          {.bytes = static_cast<double>(weight_bytes + x.size_bytes() + y.size_bytes()),
           .flops = 2.0 * static_cast<double>(rows * in * out),
           .arithmetic = dtype},
          [&] { rig.ops().linear(rig.stream(), x, *weights[turn++ % weights.size()], {}, y); });
}
void linear_shapes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t rows : {1, 16, 512}) {
    b->Args({rows, kHidden, kIntermediate});
    b->Args({rows, kIntermediate, kHidden});
  }
  b->Args({1, kHidden, kVocab});
  b->Args({16, kHidden, kVocab});
  b->ArgNames({"rows", "in", "out"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}
void few_linear_shapes(benchmark::internal::Benchmark* b) {
  b->Args({1, kHidden, kIntermediate})->Args({512, kHidden, kIntermediate});
  b->ArgNames({"rows", "in", "out"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(linear, bf16, DType::bf16)->Apply(linear_shapes);
BENCHMARK_CAPTURE(linear, f16, DType::f16)->Apply(few_linear_shapes);
BENCHMARK_CAPTURE(linear, f32, DType::f32)->Apply(few_linear_shapes);

/// A checkpoint's bf16 matrix; the memory it goes to is allocated and freed each time.
void pack_linear(benchmark::State& state) {
  Rig rig(bench_ops());
  const std::vector<std::uint16_t> source(static_cast<std::size_t>(kIntermediate * kHidden),
                                          0x3F80);
  const WeightSlice slice{.data = source.data(),
                          .dtype = DType::bf16,
                          .rows = kIntermediate,
                          .columns = kHidden,
                          .row_stride = kHidden};
  measure(state, rig, {.bytes = 2.0 * 2.0 * static_cast<double>(source.size())}, [&] {
    const PackedLinear packed = rig.ops().pack_linear(rig.stream(), {&slice, 1}, DType::bf16);
    rig.stream().synchronize();
  });
}
BENCHMARK(pack_linear)->UseRealTime()->Unit(benchmark::kMicrosecond);

void pack_plain(benchmark::State& state) {
  Rig rig(bench_ops());
  constexpr std::int64_t kRows = 8192;
  const std::vector<std::uint16_t> source(static_cast<std::size_t>(kRows * kHidden), 0x3F80);
  const WeightSlice slice{.data = source.data(),
                          .dtype = DType::bf16,
                          .rows = kRows,
                          .columns = kHidden,
                          .row_stride = kHidden};
  measure(state, rig, {.bytes = 2.0 * 2.0 * static_cast<double>(source.size())}, [&] {
    const Buffer plain = rig.ops().pack_plain(rig.stream(), {&slice, 1}, DType::bf16);
    rig.stream().synchronize();
  });
}
BENCHMARK(pack_plain)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace fastchat::ops
