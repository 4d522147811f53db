// Sampling: the distribution it draws from, and that nothing else in the batch, nor the instruction
// set, matters.
#include "tests/ops/cpu_fixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

/// Tokens of `count` draws from the same logits, by seed.
std::vector<int> draw(Ops& ops, const std::vector<float>& logits, SamplingRow row, int count) {
  Rig rig(ops);
  const auto vocab = static_cast<std::int64_t>(logits.size());
  std::vector<float> all;
  std::vector<SamplingRow> rows;
  for (int i = 0; i < count; ++i) {
    all.insert(all.end(), logits.begin(), logits.end());
    row.seed = 77;
    row.draw_index = static_cast<std::uint64_t>(i);
    rows.push_back(row);
  }
  const SampleOutput output{.tokens = rig.blank(DType::i32, {count})};
  ops.sample(rig.stream(), rig.upload(all, DType::f32, {count, vocab}), {.rows = rows}, output);
  std::vector<int> tokens;
  for (const float token : rig.download(output.tokens)) tokens.push_back(static_cast<int>(token));
  return tokens;
}

/// Σ (observed - expected)² / expected; tokens of no probability must not occur.
double chi_square(const std::vector<int>& tokens, const std::vector<double>& probabilities) {
  std::vector<int> counts(probabilities.size(), 0);
  for (const int token : tokens) ++counts[static_cast<std::size_t>(token)];
  double sum = 0.0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * static_cast<double>(tokens.size());
    if (expected == 0.0) {
      EXPECT_EQ(counts[i], 0) << "token " << i;
    } else {
      sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
  }
  return sum;
}

struct Filter {
  const char* name;
  SamplingRow row;
  std::vector<double> weights;  // of the 6 tokens below
};

TEST(Sampling, DrawsFromTheFilteredDistribution) {
  // Probabilities 0.1, 0.4, 0.05, 0.3, 0.1, 0.05.
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.3, 0.1, 0.05};
  std::vector<float> logits;
  for (const double value : p) logits.push_back(static_cast<float>(std::log(value)) + 3.0f);
  const std::vector<Filter> filters = {
      {"plain", {}, p},
      {"temperature 0.5", {.temperature = 0.5f}, {0.01, 0.16, 0.0025, 0.09, 0.01, 0.0025}},
      {"top_k 3: the lower of equals", {.top_k = 3}, {0.1, 0.4, 0, 0.3, 0, 0}},
      {"top_p 0.75", {.top_p = 0.75f}, {0.1, 0.4, 0, 0.3, 0, 0}},
      {"top_p 0.65", {.top_p = 0.65f}, {0, 0.4, 0, 0.3, 0, 0}},
      {"min_p 0.2", {.min_p = 0.2f}, {0.1, 0.4, 0, 0.3, 0.1, 0}},
      // Of the four kept by top_k, 0.8 of 0.9 of the mass is reached with three.
      {"top_k 4, top_p 0.8", {.top_p = 0.8f, .top_k = 4}, {0.1, 0.4, 0, 0.3, 0, 0}},
  };
  CpuFixture fixture;
  constexpr int kDraws = 6000;
  for (const Filter& filter : filters) {
    std::vector<double> expected = filter.weights;
    const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
    for (double& value : expected) value /= total;
    const double statistic = chi_square(draw(*fixture.ops, logits, filter.row, kDraws), expected);
    // 5 degrees of freedom or fewer: above 25 once in 7000 seeds; this seed is fixed.
    EXPECT_LT(statistic, 25.0) << filter.name;
  }
}

TEST(Sampling, LargeVocabularyIsDrawnFromInFull) {
  // Flat over 20000 tokens but for a slope: ten equal ranges of ids, known masses.
  constexpr int kVocab = 20000;
  std::vector<float> logits;
  std::vector<double> masses(10, 0.0);
  double total = 0.0;
  for (int i = 0; i < kVocab; ++i) {
    logits.push_back(1e-4f * static_cast<float>(i));
    masses[static_cast<std::size_t>(i / 2000)] += std::exp(logits.back());
    total += std::exp(static_cast<double>(logits.back()));
  }
  for (double& mass : masses) mass /= total;
  CpuFixture fixture;
  std::vector<int> ranges = draw(*fixture.ops, logits, {}, 500);
  for (int& token : ranges) token /= 2000;
  EXPECT_LT(chi_square(ranges, masses), 30.0);  // 9 degrees of freedom: once in 2000
}

TEST(Sampling, TokensAreTheSameOnEveryInstructionSetAndAsTheReferenceSays) {
  const SamplingRow rows[] = {{},
                              {.temperature = 2.0f},
                              {.top_p = 0.9f},
                              {.temperature = 1.3f, .top_p = 0.95f, .min_p = 0.02f, .top_k = 100}};
  const std::vector<float> logits = random_values(5, 3000, 9.0f);
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  for (const SamplingRow& row : rows) {
    const std::vector<int> expected = draw(*reference, logits, row, 100);
    for (const cpu::Kernels* kernels : every_kernels()) {
      CpuFixture other(*kernels);
      EXPECT_EQ(draw(*other.ops, logits, row, 100), expected) << kernels->name;
    }
  }
}

TEST(Sampling, LogprobsAreTheModelsOwn) {
  CpuFixture fixture;
  Rig rig(*fixture.ops);
  std::vector<float> logits = {1.0f, 2.0f, 3.0f, 0.0f};
  double mass = 0.0;
  for (const float logit : logits) mass += std::exp(static_cast<double>(logit));
  // The bias makes token 3 certain; its logprob and the likeliest tokens do not know of it.
  const std::vector<LogitBias> biases = {{3, 100.0f}};
  const std::vector<SamplingRow> rows = {{.temperature = 0.2f, .num_logprobs = 2, .bias_end = 1}};
  const SampleOutput output{.tokens = rig.blank(DType::i32, {1}),
                            .logprobs = rig.blank(DType::f32, {1}),
                            .top_tokens = rig.blank(DType::i32, {1, 3}),
                            .top_logprobs = rig.blank(DType::f32, {1, 3})};
  rig.ops().sample(rig.stream(),
                   rig.upload(logits, DType::f32, {1, 4}),
                   {.rows = rows, .biases = biases},
                   output);
  EXPECT_EQ(rig.download(output.tokens)[0], 3.0f);
  EXPECT_NEAR(rig.download(output.logprobs)[0], -std::log(mass), 1e-6);
  EXPECT_EQ(rig.download(output.top_tokens), (std::vector<float>{2, 1, -1}));
  EXPECT_NEAR(rig.download(output.top_logprobs)[0], 3.0 - std::log(mass), 1e-6);
  EXPECT_NEAR(rig.download(output.top_logprobs)[1], 2.0 - std::log(mass), 1e-6);
}

TEST(Sampling, GreedyTakesTheLowestIdAmongEqualLogits) {
  CpuFixture fixture;
  std::vector<float> logits(500, 1.0f);
  logits[70] = logits[71] = logits[499] = 2.0f;
  EXPECT_EQ(draw(*fixture.ops, logits, {.temperature = 0.0f}, 1), std::vector<int>{70});
}

}  // namespace
}  // namespace fastchat::ops
