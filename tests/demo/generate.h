// Answers of an engine, for tests: alone or many at once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"

namespace fastchat::demo_test {

struct Answer {
  std::vector<std::int32_t> tokens;
  std::vector<float> logprobs;  // of the tokens, where asked
  engine::FinishReason finish_reason = engine::FinishReason::none;
  std::string error;
};

class Collector : public engine::OutputListener {
 public:
  engine::Verdict on_output(const engine::SequenceOutput& output) override {
    const std::lock_guard lock(mutex_);
    answer_.tokens.insert(answer_.tokens.end(), output.new_tokens.begin(), output.new_tokens.end());
    for (const auto& logprob : output.new_logprobs) answer_.logprobs.push_back(logprob.logprob);
    answer_.finish_reason = output.finish_reason;
    answer_.error = output.error;
    if (output.finish_reason != engine::FinishReason::none) finished_.notify_all();
    return engine::Verdict::go_on;
  }
  Answer wait() {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [&] { return answer_.finish_reason != engine::FinishReason::none; });
    return answer_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable finished_;
  Answer answer_;
};

/// Submits all prompts at once and waits for all; `sampling` applies to each.
inline std::vector<Answer> generate(engine::RequestQueue& engine,
                                    const std::vector<std::vector<std::int32_t>>& prompts,
                                    const engine::SamplingParams& sampling) {
  std::vector<std::shared_ptr<Collector>> collectors;
  for (const std::vector<std::int32_t>& prompt : prompts) {
    collectors.push_back(std::make_shared<Collector>());
    const Result<engine::RequestId> id =
        engine.submit({.prompt = prompt, .sampling = sampling, .listener = collectors.back()});
    EXPECT_TRUE(id) << id.error().message;
    if (!id) return {};
  }
  std::vector<Answer> answers;
  for (const auto& collector : collectors) answers.push_back(collector->wait());
  return answers;
}

inline engine::SamplingParams greedy() {
  engine::SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 96;
  return params;
}

}  // namespace fastchat::demo_test
