// Whatever arrives, ends, is cancelled, preempted or fails around it: each sequence gets exactly
// what it gets alone, and in the end every block is free.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "engine/scheduler.h"
#include "tests/engine/scripted_model.h"

namespace fastchat::engine {
namespace {

using testing::Answer;
using testing::answer_alone;
using testing::Collector;
using testing::ScriptedExecutor;
using testing::ScriptedModel;

struct Client {
  Request request;
  std::shared_ptr<Collector> collector;
  Answer expected;
  bool was_cancelled = false;
};

class RandomSchedule {
 public:
  explicit RandomSchedule(std::uint64_t seed) : random_(seed) {
    model_.nan_period = chance(0.3) ? 150 : 0;
    config_.block_size = std::int64_t{1} << below(5);
    config_.max_model_len = 16 + below(80);
    const std::int64_t for_one =
        (config_.max_model_len + config_.block_size - 2) / config_.block_size;
    config_.num_blocks = for_one + below(chance(0.5) ? 2 + for_one : 6 * for_one);
    config_.max_num_batched_tokens = 2 + below(60);
    config_.max_num_seqs = 1 + below(10);
    config_.max_logits_rows = 1 + below(16);
    config_.prefix_cache = chance(0.8);
    config_.vocab_size = model_.vocab_size;
    config_.eos_token_ids = {0, 31};
    error_rate_ = chance(0.25) ? 0.03 : 0;
    depth_ = 1 + static_cast<int>(below(4));
    config_.num_micro_batches = chance(0.5) ? 1 : 2 + static_cast<int>(below(3));
  }

  void run(int num_requests) {
    Scheduler scheduler(config_, depth_);
    ScriptedExecutor executor(model_, scheduler.config(), depth_);
    executor.before_step = [&](const StepInput&) {
      return chance(error_rate_) ? std::string("injected") : std::string();
    };
    StepInput spare;
    std::vector<Client> clients;
    const double arrival_rate = 0.02 + 0.4 * std::uniform_real_distribution<>()(random_);
    while (static_cast<int>(clients.size()) < num_requests || scheduler.has_work()) {
      if (static_cast<int>(clients.size()) < num_requests &&
          (chance(arrival_rate) || !scheduler.has_work())) {
        clients.push_back(make_client(clients));
        const Result<void> accepted = scheduler.check(clients.back().request);
        ASSERT_TRUE(accepted) << accepted.error().message;
        scheduler.add(clients.size(), clients.back().request);
      }
      if (!clients.empty() && chance(0.02)) {
        const std::size_t i = below(static_cast<std::int64_t>(clients.size()));
        clients[i].was_cancelled = true;
        scheduler.cancel(i + 1);
      }
      // Mostly as the engine does it, sometimes with fewer steps in flight.
      while (scheduler.num_outstanding() < depth_ && chance(0.9)) {
        if (!scheduler.schedule(spare)) {
          ASSERT_TRUE(scheduler.num_outstanding() > 0 || !scheduler.has_work()) << "stuck";
          break;
        }
        executor.submit(std::move(spare));
        spare = {};
        if (::testing::Test::HasFatalFailure()) return;
      }
      scheduler.check_invariants();
      if (scheduler.num_outstanding() > 0) {
        StepOutput output = executor.wait();
        scheduler.apply(output);
        spare = executor.recycle(std::move(output));
        scheduler.check_invariants();
      }
    }
    const EngineStats stats = scheduler.stats();
    EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
    EXPECT_EQ(stats.num_running + stats.num_waiting, 0);
    for (std::size_t i = 0; i < clients.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << "request " << i + 1);
      check_answer(clients[i]);
    }
    num_preemptions += stats.num_preemptions;
    num_cached += stats.num_cached_prompt_tokens;
    num_chained += static_cast<std::uint64_t>(executor.num_chained_tokens);
  }

  static inline std::uint64_t num_preemptions = 0, num_cached = 0, num_chained = 0, num_nans = 0,
                              num_failed = 0, num_cancelled = 0, num_stopped = 0;

 private:
  std::int64_t below(std::int64_t bound) {
    return std::uniform_int_distribution<std::int64_t>(0, bound - 1)(random_);
  }
  bool chance(double probability) { return std::bernoulli_distribution(probability)(random_); }
  std::int32_t any_token() { return static_cast<std::int32_t>(below(model_.vocab_size)); }

  Client make_client(const std::vector<Client>& earlier) {
    Client client;
    const std::int64_t longest = config_.max_model_len - 1;
    std::vector<std::int32_t>& prompt = client.request.prompt;
    if (!earlier.empty() && chance(0.6)) {
      // A chat's next turn, or the same beginning.
      const Client& other =
          earlier[static_cast<std::size_t>(below(static_cast<std::int64_t>(earlier.size())))];
      prompt = other.request.prompt;
      if (chance(0.5))
        prompt.insert(prompt.end(), other.expected.tokens.begin(), other.expected.tokens.end());
      if (chance(0.3)) prompt.resize(prompt.size() / 2);
    }
    const std::int64_t num_new = 1 + below(chance(0.3) ? longest : 12);
    for (std::int64_t i = 0; i < num_new; ++i) prompt.push_back(any_token());
    if (static_cast<std::int64_t>(prompt.size()) > longest)
      prompt.resize(static_cast<std::size_t>(1 + below(longest)));

    SamplingParams& params = client.request.sampling;
    const std::int64_t room = config_.max_model_len - static_cast<std::int64_t>(prompt.size());
    params.temperature = chance(0.5) ? 0.0f : 1.0f;
    params.seed = random_();
    params.max_tokens = chance(0.2) ? 0 : static_cast<std::int32_t>(1 + below(room));
    if (params.max_tokens > 0 && chance(0.2))
      params.min_tokens = static_cast<std::int32_t>(below(params.max_tokens + 1));
    params.ignore_eos = chance(0.5);
    if (chance(0.3)) params.stop_token_ids = {any_token(), any_token()};
    if (chance(0.2)) params.repetition_penalty = 1.5f;
    if (chance(0.2)) params.presence_penalty = 1.0f;
    if (chance(0.2)) params.frequency_penalty = 0.5f;
    if (chance(0.2)) params.logit_bias = {{any_token(), 3.0f}, {any_token(), -3.0f}};
    if (chance(0.3)) params.num_logprobs = static_cast<std::int32_t>(below(4));
    if (chance(0.2)) params.num_prompt_logprobs = static_cast<std::int32_t>(below(4));

    client.expected = answer_alone(model_, config_, client.request);
    client.collector = std::make_shared<Collector>();
    if (chance(0.15)) client.collector->stop_after = static_cast<std::size_t>(1 + below(6));
    client.request.listener = client.collector;
    return client;
  }

  void check_answer(const Client& client) {
    const Answer& found = client.collector->answer;
    Answer expected = client.expected;
    ASSERT_TRUE(client.collector->is_done);
    if (const auto stop_after = client.collector->stop_after;
        stop_after && (expected.tokens.size() > *stop_after ||
                       (expected.tokens.size() == *stop_after &&
                        expected.finish_reason != FinishReason::length))) {
      expected.tokens.resize(*stop_after);
      if (!expected.logprobs.empty()) expected.logprobs.resize(*stop_after);
      expected.finish_reason = FinishReason::stop;
      expected.stop_token_id = -1;
    }
    const bool was_cut = (client.was_cancelled && found.finish_reason == FinishReason::cancelled) ||
                         (error_rate_ > 0 && client.collector->error == "injected");
    if (was_cut) {
      ++(found.finish_reason == FinishReason::cancelled ? num_cancelled : num_failed);
      ASSERT_LE(found.tokens.size(), expected.tokens.size());
      expected.tokens.resize(found.tokens.size());
      if (!expected.logprobs.empty()) expected.logprobs.resize(found.tokens.size());
      if (found.tokens.empty()) expected.prompt_logprobs.clear();
    } else {
      EXPECT_EQ(found.finish_reason, expected.finish_reason) << client.collector->error;
      EXPECT_EQ(found.stop_token_id, expected.stop_token_id);
      num_stopped += found.finish_reason == FinishReason::stop ? 1 : 0;
      if (found.finish_reason == FinishReason::error) {
        ++num_nans;
        EXPECT_NE(client.collector->error.find("NaN"), std::string::npos)
            << client.collector->error;
        if (found.tokens.empty()) expected.prompt_logprobs.clear();
      }
    }
    EXPECT_EQ(found.tokens, expected.tokens);
    testing::expect_equal(found.logprobs, expected.logprobs);
    testing::expect_equal(found.prompt_logprobs, expected.prompt_logprobs);
  }

  std::mt19937_64 random_;
  ScriptedModel model_;
  SchedulerConfig config_;
  double error_rate_ = 0;
  int depth_ = 1;
};

TEST(RandomSchedules, EachSequenceGetsWhatItGetsAlone) {
  const std::uint64_t first_seed = std::random_device{}();
  constexpr int kRuns = 60;  // --gtest_repeat for more
  for (int i = 0; i < kRuns; ++i) {
    const std::uint64_t seed = first_seed + static_cast<std::uint64_t>(i);
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    RandomSchedule(seed).run(40);
    ASSERT_FALSE(HasFailure());
  }
  std::cout << "seeds from " << first_seed << ": " << RandomSchedule::num_preemptions
            << " preemptions, " << RandomSchedule::num_cached << " cached prompt tokens, "
            << RandomSchedule::num_chained << " tokens from outstanding steps, "
            << RandomSchedule::num_stopped << " stopped, " << RandomSchedule::num_cancelled
            << " cancelled, " << RandomSchedule::num_failed << " failed with their step, "
            << RandomSchedule::num_nans << " NaNs\n";
  // The test would prove little if these had not happened.
  EXPECT_GT(RandomSchedule::num_preemptions, 20u);
  EXPECT_GT(RandomSchedule::num_cached, 1000u);
  EXPECT_GT(RandomSchedule::num_chained, 1000u);
  EXPECT_GT(RandomSchedule::num_stopped, 100u);
  EXPECT_GT(RandomSchedule::num_cancelled, 10u);
  EXPECT_GT(RandomSchedule::num_failed, 10u);
  EXPECT_GT(RandomSchedule::num_nans, 10u);
}

}  // namespace
}  // namespace fastchat::engine
