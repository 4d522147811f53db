// Answers held against those of one cpu device.
#pragma once

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "tests/demo/generate.h"
#include "tests/demo/held_out.h"

namespace fastchat::demo_test {

/// How far logprobs may be from those of one device: half a unit in the last place of the dtype per
/// partial sum is rounded elsewhere, through a few layers of a normalised network.
inline double tolerance(const std::string& dtype) {
  if (dtype == "float32") return 1e-4;
  return dtype == "float16" ? 0.02 : 0.15;
}

/// Equal tokens; logprobs equal too, or within `difference`. Where the best two tokens are closer
/// than that, either is right, and what follows is another text: the comparison ends there.
inline void expect_same(const Answer& found, const Answer& expected, double difference) {
  ASSERT_EQ(found.error, "");
  const std::size_t common = std::min(found.tokens.size(), expected.tokens.size());
  ASSERT_EQ(found.logprobs.size(), found.tokens.size());
  for (std::size_t i = 0; i < common; ++i) {
    ASSERT_NEAR(found.logprobs[i], expected.logprobs[i], difference) << "token " << i;
    if (found.tokens[i] == expected.tokens[i]) continue;
    ASSERT_GT(difference, 0) << "token " << i;
    return;
  }
  EXPECT_EQ(found.tokens.size(), expected.tokens.size());
}

inline engine::SamplingParams greedy_with_logprobs(std::int32_t max_tokens) {
  engine::SamplingParams params = greedy();
  params.max_tokens = max_tokens;
  params.num_logprobs = 0;
  return params;
}

}  // namespace fastchat::demo_test
