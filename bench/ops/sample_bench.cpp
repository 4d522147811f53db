// Sampling and log-probabilities of one row of logits.
#include "bench/ops/bench.h"

#include <vector>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

/// The sum of three uniform values: a bell, as logits are.
TensorView upload_logits(Rig& rig) {
  std::vector<float> values = random_values(1, kVocab, 5.0f);
  for (const std::uint64_t seed : {2, 3}) {
    const std::vector<float> more = random_values(seed, kVocab, 5.0f);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += more[i];
  }
  return rig.upload(values, DType::f32, {1, kVocab});
}

void sample(benchmark::State& state, SamplingRow row) {
  Rig rig(bench_ops());
  const TensorView logits = upload_logits(rig);
  const SampleOutput output{.tokens = rig.blank(DType::i32, {1}),
                            .logprobs = rig.blank(DType::f32, {1})};
  std::vector<SamplingRow> rows = {row};
  measure(state, rig, {.bytes = static_cast<double>(logits.size_bytes())}, [&] {
    ++rows[0].draw_index;
    rig.ops().sample(rig.stream(), logits, {.rows = rows}, output);
  });
}
void in_microseconds(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(sample, greedy, {.temperature = 0.0f})->Apply(in_microseconds);
BENCHMARK_CAPTURE(sample, plain, {})->Apply(in_microseconds);
BENCHMARK_CAPTURE(sample, nearly_flat, {.temperature = 20.0f})->Apply(in_microseconds);
BENCHMARK_CAPTURE(sample, top_k_20_top_p_08, {.temperature = 0.7f, .top_p = 0.8f, .top_k = 20})
    ->Apply(in_microseconds);
BENCHMARK_CAPTURE(sample, top_p_09_logprobs, {.top_p = 0.9f, .num_logprobs = 0})
    ->Apply(in_microseconds);

void token_logprobs(benchmark::State& state) {
  constexpr std::int64_t kTop = 5;
  Rig rig(bench_ops());
  const TensorView logits = upload_logits(rig);
  const TensorView targets = rig.upload(std::vector<std::int32_t>{17});
  const SampleOutput output{.logprobs = rig.blank(DType::f32, {1}),
                            .top_tokens = rig.blank(DType::i32, {1, kTop}),
                            .top_logprobs = rig.blank(DType::f32, {1, kTop})};
  measure(state, rig, {.bytes = static_cast<double>(logits.size_bytes())}, [&] {
    rig.ops().token_logprobs(rig.stream(), logits, targets, output);
  });
}
BENCHMARK(token_logprobs)->Apply(in_microseconds);

}  // namespace
}  // namespace fastchat::ops
