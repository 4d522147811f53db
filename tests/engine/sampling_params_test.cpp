#include "engine/sampling_params.h"

#include <limits>

#include <gtest/gtest.h>

namespace fastchat::engine {
namespace {

constexpr std::int64_t kVocab = 100;

std::string refusal(const std::function<void(SamplingParams&)>& change) {
  SamplingParams params;
  change(params);
  const Result<void> result = validate(params, kVocab);
  if (result) return "";
  EXPECT_EQ(result.error().code, ErrorCode::invalid_request);
  return result.error().message;
}

TEST(SamplingParams, DefaultsAreValid) {
  EXPECT_EQ(refusal([](SamplingParams&) {}), "");
}

TEST(SamplingParams, BoundsThemselvesAreValid) {
  EXPECT_EQ(refusal([](SamplingParams& p) {
              p.temperature = 0;
              p.top_p = 1;
              p.top_k = -1;
              p.min_p = 1;
              p.presence_penalty = -2;
              p.frequency_penalty = 2;
              p.logit_bias = {{0, -100.0f}, {99, 100.0f}};
              p.stop_token_ids = {0, 99};
              p.max_tokens = 3;
              p.min_tokens = 3;
              p.num_logprobs = 20;
              p.num_prompt_logprobs = 0;
            }),
            "");
}

TEST(SamplingParams, RefusalsSayWhichExpectedAndFound) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refusal([](SamplingParams& p) { p.temperature = -0.5f; }),
            "temperature: expected a number of at least 0, found -0.5");
  EXPECT_EQ(refusal([&](SamplingParams& p) { p.temperature = nan; }),
            "temperature: expected a number of at least 0, found nan");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.top_p = 0; }),
            "top_p: expected a number in (0, 1], found 0");
  EXPECT_EQ(refusal([&](SamplingParams& p) { p.top_p = nan; }),
            "top_p: expected a number in (0, 1], found nan");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.top_k = -2; }),
            "top_k: expected a count, or 0 or -1 for all, found -2");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.min_p = 1.5f; }),
            "min_p: expected a number in [0, 1], found 1.5");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.repetition_penalty = 0; }),
            "repetition_penalty: expected a number above 0, found 0");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.presence_penalty = 2.5f; }),
            "presence_penalty: expected a number in [-2, 2], found 2.5");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.frequency_penalty = -3; }),
            "frequency_penalty: expected a number in [-2, 2], found -3");
  EXPECT_EQ(refusal([](SamplingParams& p) {
              p.logit_bias = {{100, 1.0f}};
            }),
            "logit_bias: expected token ids in [0, 100), found 100");
  EXPECT_EQ(refusal([](SamplingParams& p) {
              p.logit_bias = {{1, 101.0f}};
            }),
            "logit_bias: expected biases in [-100, 100], found 101");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.stop_token_ids = {-1}; }),
            "stop_token_ids: expected token ids in [0, 100), found -1");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.max_tokens = -1; }),
            "max_tokens: expected a count, or 0 for no limit, found -1");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.min_tokens = -1; }),
            "min_tokens: expected a count, found -1");
  EXPECT_EQ(refusal([](SamplingParams& p) {
              p.max_tokens = 3;
              p.min_tokens = 4;
            }),
            "min_tokens: expected at most max_tokens, which is 3, found 4");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.num_logprobs = 21; }),
            "num_logprobs: expected -1 for none, or a count up to 20, found 21");
  EXPECT_EQ(refusal([](SamplingParams& p) { p.num_prompt_logprobs = -2; }),
            "num_prompt_logprobs: expected -1 for none, or a count up to 20, found -2");
}

TEST(SamplingParams, RowTakesEveryParameter) {
  SamplingParams params;
  params.temperature = 0.5f;
  params.top_p = 0.9f;
  params.top_k = 7;
  params.min_p = 0.1f;
  params.repetition_penalty = 1.1f;
  params.presence_penalty = 0.2f;
  params.frequency_penalty = 0.3f;
  params.num_logprobs = 4;
  const ops::SamplingRow row = sampling_row(params, 42);
  EXPECT_EQ(row.temperature, 0.5f);
  EXPECT_EQ(row.top_p, 0.9f);
  EXPECT_EQ(row.top_k, 7);
  EXPECT_EQ(row.min_p, 0.1f);
  EXPECT_EQ(row.repetition_penalty, 1.1f);
  EXPECT_EQ(row.presence_penalty, 0.2f);
  EXPECT_EQ(row.frequency_penalty, 0.3f);
  EXPECT_EQ(row.num_logprobs, 4);
  EXPECT_EQ(row.seed, 42u);
}

}  // namespace
}  // namespace fastchat::engine
