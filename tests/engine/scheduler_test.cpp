#include "engine/scheduler.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/engine/allocation_counter.h"
#include "tests/engine/scripted_model.h"

namespace fastchat::engine {
namespace {

using testing::Answer;
using testing::answer_alone;
using testing::Collector;
using testing::ScriptedExecutor;
using testing::ScriptedModel;

SchedulerConfig small_config() {
  SchedulerConfig config;
  config.num_blocks = 64;
  config.block_size = 4;
  config.max_model_len = 200;
  config.max_num_batched_tokens = 16;
  config.max_num_seqs = 8;
  config.max_logits_rows = 8;
  config.vocab_size = 32;
  return config;
}

std::vector<std::int32_t> numbers(std::int32_t count, std::int32_t first = 0) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i)
    tokens[static_cast<std::size_t>(i)] = (first + i * 7) % 32;
  return tokens;
}

/// A scheduler with a scripted executor, moved by hand.
class SchedulerTest : public ::testing::Test {
 protected:
  void start(const SchedulerConfig& config, int depth = 1) {
    scheduler.emplace(config, depth);
    executor.emplace(model, scheduler->config(), depth);
    executor->on_submit = [this](const StepInput& input) { last = input; };
  }

  Request greedy(std::vector<std::int32_t> prompt, std::int32_t max_tokens) {
    Request request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.sampling.max_tokens = max_tokens;
    return request;
  }

  std::shared_ptr<Collector> add(Request request) {
    auto collector = std::make_shared<Collector>();
    request.listener = collector;
    const Result<void> accepted = scheduler->check(request);
    EXPECT_TRUE(accepted);
    scheduler->add(++last_id, std::move(request));
    return collector;
  }

  /// Adds the request and remembers what it must get.
  std::shared_ptr<Collector> add_checked(const Request& request) {
    expected.emplace_back(add(request), answer_alone(model, scheduler->config(), request));
    return expected.back().first;
  }

  bool schedule() {
    StepInput input;
    if (!scheduler->schedule(input)) return false;
    executor->submit(std::move(input));
    scheduler->check_invariants();
    return true;
  }
  void apply() {
    scheduler->apply(executor->wait());
    scheduler->check_invariants();
  }
  void run() {
    while (scheduler->has_work()) {
      while (scheduler->num_outstanding() < scheduler->max_outstanding() && schedule()) {
      }
      ASSERT_GT(scheduler->num_outstanding(), 0) << "stuck";
      apply();
    }
    EXPECT_EQ(scheduler->stats().num_free_blocks, scheduler->stats().num_blocks);
    for (const auto& [collector, answer] : expected) {
      EXPECT_EQ(collector->answer.tokens, answer.tokens);
      EXPECT_EQ(collector->answer.finish_reason, answer.finish_reason);
      EXPECT_EQ(collector->answer.stop_token_id, answer.stop_token_id);
      testing::expect_equal(collector->answer.logprobs, answer.logprobs);
      testing::expect_equal(collector->answer.prompt_logprobs, answer.prompt_logprobs);
    }
  }

  std::int64_t num_free() const { return scheduler->stats().num_free_blocks; }
  std::vector<std::int32_t> query_lens() const {
    std::vector<std::int32_t> lens(last.query_starts.size());
    std::adjacent_difference(last.query_starts.begin(), last.query_starts.end(), lens.begin());
    lens.erase(lens.begin());
    return lens;
  }

  ScriptedModel model;
  std::optional<Scheduler> scheduler;
  std::optional<ScriptedExecutor> executor;
  StepInput last;  // submitted last
  RequestId last_id = 0;
  std::vector<std::pair<std::shared_ptr<Collector>, Answer>> expected;
};

using Lens = std::vector<std::int32_t>;

// ---- batching ----

TEST_F(SchedulerTest, LongPromptIsSpreadOverStepsWithinTheBudget) {
  start(small_config());
  const auto client = add_checked(greedy(numbers(40), 2));
  ASSERT_TRUE(schedule());
  EXPECT_EQ(query_lens(), Lens{16});
  EXPECT_TRUE(last.sampling.empty());
  apply();
  ASSERT_TRUE(schedule());
  EXPECT_EQ(query_lens(), Lens{16});
  EXPECT_EQ(last.context_lens, Lens{32});
  apply();
  ASSERT_TRUE(schedule());
  EXPECT_EQ(query_lens(), Lens{8});
  EXPECT_EQ(last.sampling.size(), 1u);
  EXPECT_TRUE(client->answer.tokens.empty());
  apply();
  EXPECT_EQ(client->answer.tokens.size(), 1u);
  run();
}

TEST_F(SchedulerTest, DecodesGoFirstThenPromptsByArrival) {
  start(small_config());
  add_checked(greedy(numbers(3), 5));
  ASSERT_TRUE(schedule());
  apply();
  add_checked(greedy(numbers(10, 1), 5));
  add_checked(greedy(numbers(20, 2), 5));
  ASSERT_TRUE(schedule());
  EXPECT_EQ(query_lens(), (Lens{1, 10, 5}));
  apply();
  ASSERT_TRUE(schedule());
  EXPECT_EQ(query_lens(), (Lens{1, 1, 14}));
  apply();
  run();
}

TEST_F(SchedulerTest, NoMoreSequencesRunThanAllowed) {
  SchedulerConfig config = small_config();
  config.max_num_seqs = 2;
  start(config);
  for (int i = 0; i < 3; ++i) add_checked(greedy(numbers(2, i), 2 + i));
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.num_seqs(), 2);
  EXPECT_EQ(scheduler->stats().num_running, 2);
  EXPECT_EQ(scheduler->stats().num_waiting, 1);
  apply();
  run();
}

TEST_F(SchedulerTest, AllRunningSequencesFitOneStep) {
  SchedulerConfig config = small_config();
  config.max_logits_rows = 3;
  config.max_num_batched_tokens = 5;
  start(config);
  EXPECT_EQ(scheduler->config().max_num_seqs, 3);
  config.max_num_batched_tokens = 2;
  EXPECT_EQ(Scheduler(config, 1).config().max_num_seqs, 2);
}

TEST_F(SchedulerTest, MicroBatchCountsTheStepsInFlight) {
  start(small_config(), 3);
  add_checked(greedy(numbers(3), 9));
  for (std::int32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(schedule());
    EXPECT_EQ(last.micro_batch, i);
  }
  apply();
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.micro_batch, 0);
  run();
}

// ---- outstanding steps ----

TEST_F(SchedulerTest, NextStepNamesTheTokenThatIsStillBeingSampled) {
  start(small_config(), 2);
  add_checked(greedy(numbers(3), 8));
  add_checked(greedy(numbers(4, 5), 8));
  ASSERT_TRUE(schedule());
  ASSERT_TRUE(schedule());
  ASSERT_EQ(last.token_sources.size(), 2u);
  EXPECT_EQ(last.token_sources[0].step_id, 1u);
  EXPECT_EQ(last.token_sources[0].sample_row, 0);
  EXPECT_EQ(last.token_sources[1].token_index, 1);
  EXPECT_EQ(last.token_sources[1].sample_row, 1);
  EXPECT_EQ(last.positions, (Lens{3, 4}));
  apply();
  run();
  EXPECT_GE(executor->num_chained_tokens, 12);
}

TEST_F(SchedulerTest, NothingIsScheduledPastAKnownLength) {
  start(small_config(), 4);
  add_checked(greedy(numbers(3), 3));
  EXPECT_TRUE(schedule());
  EXPECT_TRUE(schedule());
  EXPECT_TRUE(schedule());
  EXPECT_FALSE(schedule());
  run();
  EXPECT_EQ(executor->num_computed_tokens, 3 + 2);
}

TEST_F(SchedulerTest, TokenSampledAfterTheStopIsDiscarded) {
  start(small_config(), 2);
  Request request = greedy(numbers(3), 8);
  const Answer unstopped = answer_alone(model, scheduler->config(), request);
  request.sampling.stop_token_ids = {unstopped.tokens[0]};
  const auto client = add_checked(request);
  ASSERT_TRUE(schedule());
  ASSERT_TRUE(schedule());
  apply();
  EXPECT_TRUE(client->is_done);
  EXPECT_LT(num_free(), 64) << "the second step still uses the blocks";
  EXPECT_EQ(scheduler->stats().num_running, 0);
  apply();
  EXPECT_EQ(num_free(), 64);
  EXPECT_FALSE(scheduler->has_work());
  run();
}

TEST_F(SchedulerTest, PenalisedSequenceWaitsForItsTokenWhileOthersGoOn) {
  start(small_config(), 2);
  Request penalised = greedy(numbers(3), 6);
  penalised.sampling.frequency_penalty = 1.5f;
  add_checked(penalised);
  add_checked(greedy(numbers(4, 5), 8));
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.num_seqs(), 2);
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.num_seqs(), 1);
  apply();
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.num_seqs(), 2);
  ASSERT_EQ(last.counts.size(), 1u);
  EXPECT_EQ(last.counts[0].in_output, 1);
  run();
}

TEST_F(SchedulerTest, RepetitionPenaltyCountsThePromptToo) {
  start(small_config());
  Request request = greedy({4, 9, 4}, 3);
  request.sampling.repetition_penalty = 1.3f;
  add_checked(request);
  ASSERT_TRUE(schedule());
  ASSERT_EQ(last.counts.size(), 2u);
  EXPECT_EQ(last.counts[0].token, 4);
  EXPECT_EQ(last.counts[0].in_output, 0);
  apply();
  run();
}

// ---- prefix cache ----

TEST_F(SchedulerTest, SecondTurnFindsPromptAndAnswerOfTheFirst) {
  start(small_config(), 2);
  const auto first = add_checked(greedy(numbers(10), 9));
  run();
  std::vector<std::int32_t> prompt = numbers(10);
  prompt.insert(prompt.end(), first->answer.tokens.begin(), first->answer.tokens.end());
  prompt.push_back(17);
  const std::int64_t before = executor->num_computed_tokens;
  const auto second = add_checked(greedy(prompt, 1));
  run();
  // 18 positions of the first turn are computed, as its last token never is: 4 full blocks.
  EXPECT_EQ(second->num_cached_tokens, 16);
  EXPECT_EQ(executor->num_computed_tokens - before, 20 - 16);
  EXPECT_EQ(scheduler->stats().num_cached_prompt_tokens, 16u);
}

TEST_F(SchedulerTest, LastPromptTokenIsComputedThoughEverythingIsCached) {
  start(small_config());
  add_checked(greedy(numbers(8), 3));
  run();
  const auto again = add_checked(greedy(numbers(8), 3));
  run();
  EXPECT_EQ(again->num_cached_tokens, 4);
}

TEST_F(SchedulerTest, EqualPromptsThatArriveTogetherAreComputedOnce) {
  SchedulerConfig config = small_config();
  config.num_blocks = 200;
  start(config, 2);
  for (int i = 0; i < 4; ++i) add_checked(greedy(numbers(121), 1));
  add_checked(greedy(numbers(3, 9), 1));
  run();
  // Each computes at least its last token, and at most what is not worth waiting for.
  EXPECT_GE(executor->num_computed_tokens, 121 + 3 * 1 + 3);
  EXPECT_LT(executor->num_computed_tokens, 121 + 3 * 64 + 3);
}

TEST_F(SchedulerTest, CacheCanBeSwitchedOff) {
  SchedulerConfig config = small_config();
  config.prefix_cache = false;
  start(config);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(add_checked(greedy(numbers(9), 2))->num_cached_tokens, 0);
    run();
  }
  EXPECT_EQ(executor->num_computed_tokens, 2 * 10);
}

TEST_F(SchedulerTest, RunningSequencesKeepTheirCachedBlocks) {
  SchedulerConfig config = small_config();
  config.num_blocks = 6;
  config.max_model_len = 24;
  start(config, 2);
  add_checked(greedy(numbers(8), 1));
  run();
  // The first takes the cached block and runs while the second needs all others.
  add_checked(greedy(numbers(8), 12));
  add_checked(greedy(numbers(16, 3), 7));
  run();
}

// ---- preemption ----

TEST_F(SchedulerTest, LatestArrivalGivesItsBlocksAndGoesOnWhereItWas) {
  SchedulerConfig config = small_config();
  config.num_blocks = 8;
  config.max_model_len = 32;
  for (int depth = 1; depth <= 3; ++depth) {
    SCOPED_TRACE(::testing::Message() << "depth " << depth);
    start(config, depth);
    expected.clear();
    const auto first = add_checked(greedy(numbers(6), 24));
    const auto second = add_checked(greedy(numbers(6, 3), 24));
    const auto third = add_checked(greedy(numbers(6, 5), 3));
    bool second_came_first = false;
    second->on_call = [&](const SequenceOutput& output) {
      second_came_first |= output.finish_reason != FinishReason::none && !first->is_done;
    };
    run();
    EXPECT_FALSE(second_came_first);
    EXPECT_GE(scheduler->stats().num_preemptions, 1u);
  }
}

TEST_F(SchedulerTest, RequestThatCanNeverFitIsRefusedInNumbers) {
  SchedulerConfig config = small_config();
  config.num_blocks = 5;  // 20 positions, and the last token needs none
  start(config);
  const auto refusal = [&](std::int32_t prompt, std::int32_t max_tokens) {
    Request request = greedy(numbers(prompt), max_tokens);
    request.listener = std::make_shared<Collector>();
    const Result<void> result = scheduler->check(request);
    if (result) return std::string();
    EXPECT_EQ(result.error().code, ErrorCode::context_too_long);
    return result.error().message;
  };
  EXPECT_EQ(refusal(20, 1), "");
  EXPECT_EQ(refusal(20, 0), "");
  EXPECT_EQ(refusal(21, 1),
            "prompt has 21 tokens, the KV cache accepts 20 and at least one of answer");
  EXPECT_EQ(refusal(11, 11),
            "prompt has 11 tokens and 11 of answer are asked for, together 22; the KV cache "
            "accepts 21, which leaves 10");
  config.max_model_len = 12;
  start(config);
  EXPECT_EQ(refusal(11, 1), "");
  EXPECT_EQ(refusal(12, 1),
            "prompt has 12 tokens, this model accepts 11 and at least one of answer");
}

TEST_F(SchedulerTest, RequestThatJustFitsCompletes) {
  SchedulerConfig config = small_config();
  config.num_blocks = 5;
  start(config, 2);
  const auto client = add_checked(greedy(numbers(11), 0));
  run();
  EXPECT_EQ(client->answer.tokens.size(), 10u);
  EXPECT_EQ(client->answer.finish_reason, FinishReason::length);
}

TEST_F(SchedulerTest, RefusesPromptsThatAreNone) {
  start(small_config());
  Request request = greedy({}, 1);
  request.listener = std::make_shared<Collector>();
  EXPECT_EQ(scheduler->check(request).error().message,
            "prompt: expected at least one token, found none");
  request.prompt = {1, 32};
  EXPECT_EQ(scheduler->check(request).error().message,
            "prompt: expected token ids in [0, 32), found 32 at index 1");
  request.prompt = {1};
  request.listener = nullptr;
  EXPECT_EQ(scheduler->check(request).error().code, ErrorCode::invalid_request);
}

// ---- endings ----

TEST_F(SchedulerTest, CancellationFreesAtOnceWhenNoStepIsOutstanding) {
  start(small_config(), 2);
  const auto client = add(greedy(numbers(9), 9));
  ASSERT_TRUE(schedule());
  apply();
  EXPECT_LT(num_free(), 64);
  scheduler->cancel(1);
  EXPECT_EQ(client->answer.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(num_free(), 64);
  EXPECT_FALSE(scheduler->has_work());
  scheduler->cancel(1);
  scheduler->cancel(77);
}

TEST_F(SchedulerTest, CancellationFreesWhenTheOutstandingStepsReturn) {
  start(small_config(), 3);
  const auto client = add(greedy(numbers(9), 9));
  ASSERT_TRUE(schedule());
  ASSERT_TRUE(schedule());
  scheduler->cancel(1);
  EXPECT_TRUE(client->is_done) << "its listener hears at once";
  EXPECT_LT(num_free(), 64);
  EXPECT_FALSE(schedule());
  apply();
  EXPECT_LT(num_free(), 64);
  apply();
  EXPECT_EQ(num_free(), 64);
  EXPECT_TRUE(client->answer.tokens.empty());
}

TEST_F(SchedulerTest, WaitingRequestCanBeCancelled) {
  SchedulerConfig config = small_config();
  config.max_num_seqs = 1;
  start(config);
  add_checked(greedy(numbers(3), 2));
  const auto waiting = add(greedy(numbers(3), 2));
  ASSERT_TRUE(schedule());
  scheduler->cancel(2);
  EXPECT_EQ(waiting->answer.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(scheduler->stats().num_waiting, 0);
  run();
}

TEST_F(SchedulerTest, ListenerThatStopsIsNotCalledAgain) {
  start(small_config(), 2);
  const auto client = add(greedy(numbers(3), 20));
  client->stop_after = 3;
  run();
  EXPECT_EQ(client->answer.tokens.size(), 3u);
}

TEST_F(SchedulerTest, ListenerThatThrowsEndsOnlyItsSequence) {
  const testing::QuietLog quiet;
  start(small_config(), 2);
  const auto client = add(greedy(numbers(3), 20));
  client->throw_after = 2;
  add_checked(greedy(numbers(5, 3), 20));
  run();
  EXPECT_EQ(client->answer.finish_reason, FinishReason::error);
  EXPECT_EQ(client->error, "the listener failed: listener's own fault");
}

TEST_F(SchedulerTest, StopIdsDoNotEndItBeforeMinTokens) {
  start(small_config(), 2);
  Request request = greedy(numbers(3), 12);
  const Answer unstopped = answer_alone(model, scheduler->config(), request);
  request.sampling.stop_token_ids = {unstopped.tokens[0], unstopped.tokens[1], 11, 12, 13};
  request.sampling.min_tokens = 4;
  const auto client = add_checked(request);
  ASSERT_TRUE(schedule());
  ASSERT_EQ(last.biases.size(), 5u);
  EXPECT_EQ(last.biases[0].bias, -std::numeric_limits<float>::infinity());
  run();
  EXPECT_GE(client->answer.tokens.size(), 4u);
}

TEST_F(SchedulerTest, ModelsOwnStopIdsCountUnlessIgnored) {
  SchedulerConfig config = small_config();
  start(config);
  const Request request = greedy(numbers(3), 12);
  const Answer unstopped = answer_alone(model, config, request);
  config.eos_token_ids = {unstopped.tokens[2], 1000};
  start(config, 2);
  const auto stopped = add_checked(request);
  Request ignoring = request;
  ignoring.sampling.ignore_eos = true;
  const auto full = add_checked(ignoring);
  run();
  EXPECT_EQ(stopped->answer.finish_reason, FinishReason::stop);
  EXPECT_EQ(stopped->answer.stop_token_id, unstopped.tokens[2]);
  EXPECT_EQ(full->answer.tokens, unstopped.tokens);
}

// ---- failures ----

TEST_F(SchedulerTest, FailedStepEndsItsSequencesAndNoOthers) {
  start(small_config(), 2);
  const auto first = add(greedy(numbers(9), 9));
  ASSERT_TRUE(schedule());
  apply();
  ASSERT_TRUE(schedule());
  const auto second = add_checked(greedy(numbers(9, 4), 5));
  ASSERT_TRUE(schedule());  // both are in it
  executor->before_step = [](const StepInput& input) {
    return std::string(input.step_id == 2 ? "card on fire" : "");
  };
  apply();
  EXPECT_EQ(first->answer.finish_reason, FinishReason::error);
  EXPECT_EQ(first->error, "card on fire");
  EXPECT_LT(num_free(), 64) << "an outstanding step uses its blocks";
  EXPECT_FALSE(second->is_done);
  run();
}

TEST_F(SchedulerTest, BlocksOfAFailedStepAreNotTrusted) {
  start(small_config());
  executor->before_step = [](const StepInput& input) {
    return std::string(input.step_id == 1 ? "card on fire" : "");
  };
  const auto first = add(greedy(numbers(9), 9));
  ASSERT_TRUE(schedule());
  apply();
  EXPECT_TRUE(first->is_done);
  EXPECT_EQ(num_free(), 64);
  const auto second = add_checked(greedy(numbers(9), 9));
  run();
  EXPECT_EQ(second->num_cached_tokens, 0);
}

TEST_F(SchedulerTest, NanEndsOneSequenceAndItsBlocksAreForgotten) {
  start(small_config(), 2);
  const auto others = add_checked(greedy(numbers(5, 4), 9));
  const Request poisoned = greedy(numbers(9), 9);
  std::uint64_t context = 0;
  for (const std::int32_t token : poisoned.prompt) context = ScriptedModel::extend(context, token);
  model.nan_period = context;
  const auto client = add(poisoned);
  run();
  EXPECT_EQ(client->answer.finish_reason, FinishReason::error);
  EXPECT_NE(client->error.find("position 9 are not numbers (NaN)"), std::string::npos)
      << client->error;
  const auto again = add(poisoned);
  run();
  EXPECT_EQ(again->num_cached_tokens, 0);
}

TEST_F(SchedulerTest, OutputThatDoesNotMatchItsStepIsAnError) {
  start(small_config());
  const auto client = add(greedy(numbers(3), 2));
  StepInput input;
  ASSERT_TRUE(scheduler->schedule(input));
  StepOutput output;
  output.step_id = 1;
  scheduler->apply(output);
  EXPECT_EQ(client->answer.finish_reason, FinishReason::error);
  EXPECT_EQ(client->error,
            "expected the output of step 1 with 1 tokens and 1 rows, found step 1 with 0 tokens "
            "and 0 rows");

  // Asked for logprobs, it must have them, though no column of top ones.
  Request request = greedy(numbers(3, 5), 2);
  request.sampling.num_logprobs = 0;
  const auto scored = add(request);
  ASSERT_TRUE(scheduler->schedule(input));
  output.step_id = 2;
  output.tokens = {1};
  scheduler->apply(output);
  EXPECT_EQ(scored->answer.finish_reason, FinishReason::error);
}

TEST_F(SchedulerTest, AbandoningEndsEverythingAtOnce) {
  start(small_config(), 2);
  const auto first = add(greedy(numbers(9), 9));
  ASSERT_TRUE(schedule());
  ASSERT_TRUE(schedule());
  const auto second = add(greedy(numbers(9), 9));
  scheduler->abandon("gone");
  EXPECT_EQ(first->error, "gone");
  EXPECT_EQ(second->error, "gone");
  EXPECT_FALSE(scheduler->has_work());
  EXPECT_EQ(num_free(), 64);
}

// ---- sampling ----

TEST_F(SchedulerTest, DrawIndexIsThePositionOfTheToken) {
  start(small_config(), 2);
  add_checked(greedy(numbers(5), 4));
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.sampling[0].draw_index, 5u);
  ASSERT_TRUE(schedule());
  EXPECT_EQ(last.sampling[0].draw_index, 6u);
  run();
}

TEST_F(SchedulerTest, RequestsWithoutASeedGetDifferentOnes) {
  start(small_config());
  for (int i = 0; i < 3; ++i) add(greedy(numbers(2), 1));
  Request seeded = greedy(numbers(2), 1);
  seeded.sampling.seed = 99;
  add(seeded);
  ASSERT_TRUE(schedule());
  std::set<std::uint64_t> seeds;
  for (const ops::SamplingRow& row : last.sampling) seeds.insert(row.seed);
  EXPECT_EQ(seeds.size(), 4u);
  EXPECT_EQ(last.sampling[3].seed, 99u);
  apply();
}

TEST_F(SchedulerTest, LogprobsComeWithTheirTokens) {
  start(small_config(), 2);
  Request request = greedy(numbers(3), 4);
  request.sampling.num_logprobs = 2;
  add_checked(request);
  request.sampling.num_logprobs = 0;
  add_checked(request);
  request.sampling.num_logprobs = 5;
  add_checked(request);
  add_checked(greedy(numbers(4, 2), 4));
  run();
}

TEST_F(SchedulerTest, PromptLogprobsAreGatheredOverChunksWithinTheRows) {
  SchedulerConfig config = small_config();
  config.max_logits_rows = 4;
  start(config, 2);
  add_checked(greedy(numbers(4, 3), 12));
  Request request = greedy(numbers(18), 3);
  request.sampling.num_prompt_logprobs = 2;
  add_checked(request);
  run();
  EXPECT_EQ(expected[1].first->answer.prompt_logprobs.size(), 17u);
  // Cached blocks do not shorten them.
  add_checked(request);
  run();
}

TEST_F(SchedulerTest, SteadyDecodeAllocatesNothing) {
  SchedulerConfig config = small_config();
  config.num_blocks = 512;
  config.max_model_len = 400;
  start(config, 2);
  executor->on_submit = nullptr;
  class Silent : public OutputListener {
    Verdict on_output(const SequenceOutput&) override { return Verdict::go_on; }
  };
  for (int i = 0; i < 5; ++i) {
    Request request = greedy(numbers(5, i), 0);
    request.listener = std::make_shared<Silent>();
    if (i == 1) request.sampling.num_logprobs = 0;
    if (i == 2) request.sampling.min_tokens = 300;
    if (i == 3) request.sampling.presence_penalty = 0.5f;
    scheduler->add(static_cast<RequestId>(i) + 1, std::move(request));
  }
  std::vector<StepInput> spare(3);
  const auto step = [&] {
    while (scheduler->num_outstanding() < 2) {
      StepInput input = std::move(spare.back());
      spare.pop_back();
      const bool has_step = scheduler->schedule(input);
      if (!has_step) {
        spare.push_back(std::move(input));
        break;
      }
      executor->submit(std::move(input));
    }
    StepOutput output = executor->wait();
    scheduler->apply(output);
    spare.push_back(executor->recycle(std::move(output)));
  };
  for (int i = 0; i < 60; ++i) step();  // until the penalised one has used most of the vocabulary
  const std::uint64_t before = testing::num_allocations();
  for (int i = 0; i < 250; ++i) step();
  EXPECT_EQ(testing::num_allocations() - before, 0u);
  EXPECT_EQ(scheduler->stats().num_running, 5);
  scheduler->cancel_all();
  while (scheduler->num_outstanding() > 0) apply();
}

TEST(SchedulerConfigTest, BoundsThatMakeNoSenseAreNamed) {
  const auto refusal = [](const std::function<void(SchedulerConfig&)>& change) {
    SchedulerConfig config = small_config();
    change(config);
    try {
      const Scheduler scheduler(config, 1);
    } catch (const Failure& failure) {
      return std::string(failure.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal([](SchedulerConfig& c) { c.num_blocks = 0; }),
            "num_blocks: expected at least 1, found 0");
  EXPECT_EQ(refusal([](SchedulerConfig& c) { c.vocab_size = 0; }),
            "vocab_size: expected at least 1, found 0");
  EXPECT_EQ(refusal([](SchedulerConfig& c) { c.num_blocks = std::int64_t{1} << 31; }),
            "num_blocks: 2147483648 blocks of 4 positions are more than slots can count");
  EXPECT_THROW(Scheduler(small_config(), 0), Failure);
}

}  // namespace
}  // namespace fastchat::engine
