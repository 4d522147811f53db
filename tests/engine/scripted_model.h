// A model that is a function of the tokens it sees, an executor that shows it what the steps' block
// tables and slots hold, and the answer each request must get, whatever else is going on.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/step.h"

namespace fastchat::engine::testing {

struct ScriptedModel {
  std::int32_t vocab_size = 32;
  std::uint64_t nan_period = 0;  // one context in so many gives a NaN; 0: none

  /// Identifies a context: the tokens up to here.
  static std::uint64_t extend(std::uint64_t context, std::int32_t token);
  float logit(std::uint64_t context, std::int32_t token) const;
  bool is_nan(std::uint64_t context) const;
  std::int32_t choose(std::uint64_t context,
                      const ops::SamplingRow& row,
                      std::span<const ops::LogitBias> biases,
                      std::span<const ops::TokenCount> counts) const;
  /// The k most likely tokens; the model's logits pass for logprobs.
  std::vector<std::pair<std::int32_t, float>> top(std::uint64_t context, std::int32_t k) const;
};

struct Answer {
  std::vector<std::int32_t> tokens;
  FinishReason finish_reason = FinishReason::none;
  std::int32_t stop_token_id = -1;
  std::vector<TokenLogprob> logprobs;
  std::vector<TokenLogprob> prompt_logprobs;
};

/// What the request gets alone. The request has a seed unless it is greedy.
Answer answer_alone(const ScriptedModel& model,
                    const SchedulerConfig& config,
                    const Request& request);

/// Runs steps on the scripted model, when their output is asked for. Its KV memory holds tokens and
/// positions, so a wrong slot, table or stale block gives a wrong context, hence a wrong token.
/// Breaches of the step contract are test failures.
class ScriptedExecutor : public StepExecutor {
 public:
  ScriptedExecutor(const ScriptedModel& model, const SchedulerConfig& config, int depth);

  void submit(StepInput input) override;
  StepOutput wait() override;
  int max_outstanding() const override { return static_cast<int>(ring_.size()); }
  StepInput recycle(StepOutput output) override;

  /// Called before a step runs; a text it returns fails the step, which leaves garbage behind.
  /// It may block, to hold a step.
  std::function<std::string(const StepInput&)> before_step;
  /// Called with each step submitted.
  std::function<void(const StepInput&)> on_submit;

  std::int64_t num_computed_tokens = 0;
  std::int64_t num_chained_tokens = 0;  // inputs that came from an outstanding step
  std::int64_t max_seen_outstanding = 0;

 private:
  struct Slot {
    std::int32_t token = -1;
    std::int32_t position = -1;
  };
  struct RingStep {
    StepInput input;
    std::vector<std::int32_t> sampled;
  };

  RingStep& step(std::uint64_t step_id) { return ring_[step_id % ring_.size()]; }
  void check_input(const StepInput& input);
  void check_blocks(const StepInput& input);
  std::span<const std::int32_t> table(const StepInput& input, std::size_t sequence) const;
  std::optional<std::uint64_t> context(const StepInput& input, std::int32_t token_index) const;

  const ScriptedModel& model_;
  SchedulerConfig config_;
  std::vector<RingStep> ring_;
  std::uint64_t last_submitted_ = 0;
  std::uint64_t last_taken_ = 0;
  std::vector<Slot> kv_;
  std::vector<std::int32_t> writers_;  // per block: which sequence of the step writes it
  StepOutput spare_output_;
};

/// Keeps what a listener is told. Engine thread, except wait().
class Collector : public OutputListener {
 public:
  Verdict on_output(const SequenceOutput& output) override;
  /// Blocks until the last call.
  void wait();

  std::optional<std::size_t> stop_after;   // tokens after which the verdict is stop
  std::optional<std::size_t> throw_after;  // tokens after which it throws
  std::function<void(const SequenceOutput&)> on_call;

  Answer answer;
  std::string error;
  std::int32_t num_cached_tokens = 0;
  bool is_done = false;

 private:
  std::mutex mutex_;
  std::condition_variable done_;
};

/// While it lives, expected warnings are not printed. Outlives the threads that log.
class QuietLog {
 public:
  QuietLog();
  ~QuietLog();
};

void expect_equal(const std::vector<TokenLogprob>& found,
                  const std::vector<TokenLogprob>& expected);

}  // namespace fastchat::engine::testing
