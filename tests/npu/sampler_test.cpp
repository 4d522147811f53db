// Sampling on a card: the tokens that the reference draws, without the logits leaving the card.
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "device/ascend/npu_device.h"
#include "device/cpu/cpu_device.h"
#include "ops/ascend/card_sampler.h"
#include "ops/ascend/npu_ops.h"
#include "ops/cases/op_case.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {
namespace {

class NpuSampler : public testing::Test {
 protected:
  NpuSampler()
      : platform_(device::create_npu_platform({})),
        cpu_platform_(
            device::create_cpu_platform({.memory_limits_bytes = {std::uint64_t{1} << 30}})) {}
  void SetUp() override {
    ASSERT_GT(platform_->num_devices(), 0) << platform_->unavailable_reason();
    card_ = platform_->open(0);
    npu_ = create_npu_ops(*card_);
    cpu_device_ = cpu_platform_->open(0);
    reference_ = create_reference_ops(*cpu_device_);
  }

  struct Result {
    std::vector<float> tokens;
    std::vector<float> logprobs;
    std::vector<float> top_tokens;
    std::vector<float> top_logprobs;
  };

  /// width: 0 = no top logprobs.
  static Result sample(Ops& ops,
                       const std::vector<float>& logits,
                       std::int64_t vocab_size,
                       const std::vector<SamplingRow>& rows,
                       std::int64_t width) {
    cases::Rig rig(ops);
    const auto count = static_cast<std::int64_t>(rows.size());
    const TensorView view = rig.upload(logits, DType::f32, {count, vocab_size});
    SampleOutput output{.tokens = rig.blank(DType::i32, {count}),
                        .logprobs = rig.blank(DType::f32, {count}),
                        .top_tokens = {},
                        .top_logprobs = {}};
    if (width > 0) {
      output.top_tokens = rig.blank(DType::i32, {count, width});
      output.top_logprobs = rig.blank(DType::f32, {count, width});
    }
    const SamplingBatch batch{.rows = rows, .biases = {}, .counts = {}};
    EXPECT_TRUE(ascend::CardSampler::can_sample(view, batch, output));
    ops.sample(rig.stream(), view, batch, output);
    Result result{.tokens = rig.download(output.tokens),
                  .logprobs = rig.download(output.logprobs),
                  .top_tokens = {},
                  .top_logprobs = {}};
    if (width > 0) {
      result.top_tokens = rig.download(output.top_tokens);
      result.top_logprobs = rig.download(output.top_logprobs);
    }
    return result;
  }

  std::unique_ptr<device::Platform> platform_;
  std::unique_ptr<device::Platform> cpu_platform_;
  std::unique_ptr<Device> card_;
  std::unique_ptr<Device> cpu_device_;
  std::unique_ptr<Ops> npu_;
  std::unique_ptr<Ops> reference_;
};

TEST_F(NpuSampler, DrawsWhatTheReferenceDraws) {
  constexpr std::int64_t kVocab = 1000;
  std::vector<SamplingRow> rows;
  for (const float temperature : {0.0f, 0.3f, 1.0f, 3.0f}) {
    for (const float top_p : {1.0f, 0.9f, 0.2f}) {
      for (const std::int32_t top_k : {0, 1, 40}) {
        for (const float min_p : {0.0f, 0.05f}) {
          SamplingRow row;
          row.temperature = temperature;
          row.top_p = top_p;
          row.top_k = top_k;
          row.min_p = min_p;
          row.seed = rows.size();
          row.num_logprobs = 3;
          rows.push_back(row);
        }
      }
    }
  }
  // More rows than the sampler takes at once.
  ASSERT_GT(rows.size(), 64u);
  const std::vector<float> logits =
      cases::random_values(5, static_cast<std::int64_t>(rows.size()) * kVocab, 6.0f);
  const Result found = sample(*npu_, logits, kVocab, rows, 3);
  const Result expected = sample(*reference_, logits, kVocab, rows, 3);
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_EQ(found.top_tokens, expected.top_tokens);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(found.logprobs[i], expected.logprobs[i], 1e-4) << i;
    for (std::size_t k = 0; k < 3; ++k)
      EXPECT_NEAR(found.top_logprobs[3 * i + k], expected.top_logprobs[3 * i + k], 1e-4) << i;
  }
}

// top_p = 1 keeps the whole of a vocabulary of 152k, whose probabilities are each below what f32
// resolves near 1; and the draw finds the token at its share of it.
TEST_F(NpuSampler, TheWholeOfALargeVocabularyIsDrawnFrom) {
  constexpr std::int64_t kVocab = 151936;
  std::vector<SamplingRow> rows(12);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].seed = 1000 + i;
  const std::vector<float> logits(rows.size() * kVocab, 0.25f);
  const Result found = sample(*npu_, logits, kVocab, rows, 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double share = static_cast<double>(uniform_draw(rows[i].seed, 0));
    // 152k roundings of one running sum in f32 move it by a thousandth.
    EXPECT_NEAR(found.tokens[i], share * kVocab, 0.002 * kVocab) << i;
    EXPECT_NEAR(found.logprobs[i], -std::log(static_cast<double>(kVocab)), 1e-3);
  }
}

TEST_F(NpuSampler, RowsThatAreNoNumbersGiveNoToken) {
  constexpr std::int64_t kVocab = 300;
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float temperature : {0.0f, 1.0f}) {
    std::vector<SamplingRow> rows(5);
    for (SamplingRow& row : rows) row.temperature = temperature;
    std::vector<float> logits = cases::random_values(3, 5 * kVocab, 2.0f);
    logits[0 * kVocab + 299] = kNan;
    logits[1 * kVocab + 17] = kInfinity;
    for (std::size_t i = 0; i < kVocab; ++i) logits[2 * kVocab + i] = -kInfinity;
    logits[3 * kVocab + 5] = -kInfinity;  // one of these is a number among others
    const Result found = sample(*npu_, logits, kVocab, rows, 0);
    const Result expected = sample(*reference_, logits, kVocab, rows, 0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i < 3) {
        // The logprob says so; the token is one that the next step can embed all the same.
        EXPECT_FALSE(std::isfinite(found.logprobs[i])) << i;
        EXPECT_EQ(expected.tokens[i], -1.0f);
        EXPECT_GE(found.tokens[i], 0.0f);
        EXPECT_LT(found.tokens[i], static_cast<float>(kVocab));
      } else {
        EXPECT_EQ(found.tokens[i], expected.tokens[i]) << temperature;
      }
    }
  }
}

TEST_F(NpuSampler, EqualLogitsGiveTheLowestId) {
  std::vector<SamplingRow> rows(2);
  rows[0].temperature = 0.0f;
  rows[1].temperature = 0.0f;
  std::vector<float> logits(2 * 64, -1.0f);
  logits[7] = logits[40] = 3.0f;
  logits[64 + 63] = logits[64 + 62] = 3.0f;
  EXPECT_EQ(sample(*npu_, logits, 64, rows, 0).tokens, (std::vector<float>{7, 62}));
}

TEST_F(NpuSampler, ModifiedRowsAreTheHosts) {
  std::vector<SamplingRow> rows(1);
  rows[0].bias_end = 1;
  const LogitBias biases[] = {{.token = 3, .bias = 2.0f}};
  cases::Rig rig(*npu_);
  const TensorView logits = rig.upload(cases::random_values(1, 64), DType::f32, {1, 64});
  const SampleOutput output{.tokens = rig.blank(DType::i32, {1}),
                            .logprobs = rig.blank(DType::f32, {1}),
                            .top_tokens = {},
                            .top_logprobs = {}};
  EXPECT_FALSE(ascend::CardSampler::can_sample(
      logits, {.rows = rows, .biases = biases, .counts = {}}, output));
  rows[0].bias_end = 0;
  EXPECT_TRUE(ascend::CardSampler::can_sample(
      logits, {.rows = rows, .biases = biases, .counts = {}}, output));
}

}  // namespace
}  // namespace fastchat::ops
