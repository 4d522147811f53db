// A planner's promise, held to: for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/demo/answers.h"

namespace fastchat::demo_test {

/// `model`, placed as `tight` has it with no room to spare, completes a context of so many tokens;
/// one more is refused by the engine, and as a promise by the planner. Its vocabulary has at least
/// 4096 tokens.
inline void expect_context_and_no_more(serve::ModelInstance& model,
                                       const serve::ModelOptions& tight,
                                       std::int64_t context) {
  std::vector<std::int32_t> prompt(static_cast<std::size_t>(context) - 16);
  for (std::size_t i = 0; i < prompt.size(); ++i)
    prompt[i] = static_cast<std::int32_t>(1 + i * 7919 % 4095);
  engine::SamplingParams sampling;
  sampling.temperature = 0;
  sampling.ignore_eos = true;
  const Answer answer = generate(model, {prompt}, sampling).front();
  EXPECT_EQ(answer.finish_reason, engine::FinishReason::length) << answer.error;
  EXPECT_EQ(prompt.size() + answer.tokens.size(), static_cast<std::size_t>(context));

  // One token more: the engine refuses the request, the planner the promise.
  sampling.max_tokens = 1;
  prompt.resize(static_cast<std::size_t>(context), 1);
  const auto refused = model.engine().submit(
      {.prompt = prompt, .sampling = sampling, .listener = std::make_shared<Collector>()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::context_too_long);
  EXPECT_NE(refused.error().message.find(std::to_string(context)), std::string::npos)
      << refused.error().message;

  serve::ModelOptions beyond = tight;
  beyond.max_model_len = context + 1;
  try {
    serve::ModelInstance impossible(beyond, {});
    FAIL() << "a context of " << beyond.max_model_len << " was promised";
  } catch (const OutOfMemory& failure) {
    FAIL() << "refused by an allocation: " << failure.what();
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("--max-model-len"), std::string::npos)
        << failure.what();
  }
}

}  // namespace fastchat::demo_test
