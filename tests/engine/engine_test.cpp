#include "engine/engine.h"

#include <atomic>
#include <future>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "tests/engine/allocation_counter.h"
#include "tests/engine/scripted_model.h"
#include "tests/engine/small_engine.h"

namespace fastchat::engine {
namespace {

using testing::Answer;
using testing::answer_alone;
using testing::Collector;
using testing::collector_of;
using testing::greedy;
using testing::ScriptedExecutor;
using testing::ScriptedModel;
using testing::small_config;

/// Holds the engine in front of a step until it is opened.
class Gate {
 public:
  void wait() { opened_.get_future().wait(); }
  void open() { opened_.set_value(); }

 private:
  std::promise<void> opened_;
};

TEST(Engine, AnswersARequest) {
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  ScriptedExecutor executor(model, config, 2);
  Engine engine(config, executor);
  const Request request = greedy({1, 2, 3}, 10);
  ASSERT_TRUE(engine.submit(request));
  collector_of(request).wait();
  EXPECT_EQ(collector_of(request).answer.tokens, answer_alone(model, config, request).tokens);
  EXPECT_EQ(collector_of(request).answer.finish_reason, FinishReason::length);
  EXPECT_EQ(engine.config().max_model_len, 64);
}

TEST(Engine, RefusesAtSubmitWhatCanNeverRun) {
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  ScriptedExecutor executor(model, config, 2);
  Engine engine(config, executor);
  EXPECT_EQ(engine.submit(greedy({}, 1)).error().code, ErrorCode::invalid_request);
  EXPECT_EQ(engine.submit(greedy({1, 99}, 1)).error().code, ErrorCode::invalid_request);
  Request request = greedy({1}, 1);
  request.sampling.top_p = 3;
  EXPECT_EQ(engine.submit(request).error().message, "top_p: expected a number in (0, 1], found 3");
  EXPECT_EQ(engine.submit(greedy(std::vector<std::int32_t>(64, 1), 1)).error().code,
            ErrorCode::context_too_long);
}

TEST(Engine, FullQueueAnswersOverloaded) {
  const ScriptedModel model;
  SchedulerConfig config = small_config();
  config.max_num_seqs = 1;
  config.max_waiting = 2;
  ScriptedExecutor executor(model, config, 1);
  Gate gate;
  std::promise<void> at_gate;
  executor.before_step = [&](const StepInput& input) {
    if (input.step_id == 1) {
      at_gate.set_value();
      gate.wait();
    }
    return std::string();
  };
  Engine engine(config, executor);
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(greedy({1, 2, i}, 3));
  ASSERT_TRUE(engine.submit(requests[0]));
  at_gate.get_future().wait();  // it runs, nobody waits
  EXPECT_TRUE(engine.submit(requests[1]));
  EXPECT_TRUE(engine.submit(requests[2]));
  EXPECT_EQ(engine.stats().num_waiting, 2);
  const Result<RequestId> refused = engine.submit(requests[3]);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  gate.open();
  for (int i = 0; i < 3; ++i) collector_of(requests[static_cast<std::size_t>(i)]).wait();
}

TEST(Engine, CancelledRequestHearsSo) {
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  ScriptedExecutor executor(model, config, 2);
  Gate gate;
  executor.before_step = [&](const StepInput& input) {
    if (input.step_id == 3) gate.wait();
    return std::string();
  };
  Engine engine(config, executor);
  const Request request = greedy({1, 2, 3}, 50);
  const Result<RequestId> id = engine.submit(request);
  ASSERT_TRUE(id);
  engine.cancel(*id);
  engine.cancel(12345);
  gate.open();
  collector_of(request).wait();
  EXPECT_EQ(collector_of(request).answer.finish_reason, FinishReason::cancelled);
  EXPECT_LT(collector_of(request).answer.tokens.size(), 50u);
}

TEST(Engine, DestructorGivesEveryListenerItsLastCall) {
  const ScriptedModel model;
  SchedulerConfig config = small_config();
  config.max_num_seqs = 2;
  ScriptedExecutor executor(model, config, 2);
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(greedy({1, 2, i}, 60));
  {
    std::promise<void> has_begun;
    collector_of(requests[0]).on_call = [&, once = true](const SequenceOutput&) mutable {
      if (std::exchange(once, false)) has_begun.set_value();
    };
    Gate gate;
    executor.before_step = [&](const StepInput& input) {
      if (input.step_id == 4) gate.wait();
      return std::string();
    };
    Engine engine(config, executor);
    for (const Request& request : requests) ASSERT_TRUE(engine.submit(request));
    has_begun.get_future().wait();
    gate.open();
  }
  for (const Request& request : requests) {
    EXPECT_TRUE(collector_of(request).is_done);
    EXPECT_EQ(collector_of(request).answer.finish_reason,
              collector_of(request).answer.tokens.size() < 60 ? FinishReason::cancelled
                                                              : FinishReason::length);
    EXPECT_EQ(request.listener.use_count(), 1) << "the engine keeps no listener";
  }
}

TEST(Engine, ListenerMaySubmitAndCancel) {
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  ScriptedExecutor executor(model, config, 2);
  Engine engine(config, executor);
  const Request next = greedy({4, 5}, 2);
  const Request first = greedy({1, 2, 3}, 4);
  bool has_submitted = false;
  collector_of(first).on_call = [&](const SequenceOutput& output) {
    if (output.finish_reason != FinishReason::none) has_submitted = engine.submit(next).has_value();
    engine.cancel(999);
  };
  ASSERT_TRUE(engine.submit(first));
  collector_of(first).wait();
  ASSERT_TRUE(has_submitted);
  collector_of(next).wait();
  EXPECT_EQ(collector_of(next).answer.tokens.size(), 2u);
}

TEST(Engine, ServesOnAfterAFailedStepOnceAllStepsAreTaken) {
  const testing::QuietLog quiet;
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  ScriptedExecutor executor(model, config, 3);
  // As a device does: once a step failed, all fail until none is in flight.
  std::uint64_t last_submitted = 0;
  bool is_broken = false;
  executor.on_submit = [&](const StepInput& input) { last_submitted = input.step_id; };
  executor.before_step = [&](const StepInput& input) {
    is_broken |= input.step_id == 4;
    std::string error = is_broken ? "card on fire" : "";
    if (input.step_id == last_submitted) is_broken = false;
    return error;
  };
  Engine engine(config, executor);
  const Request first = greedy({1, 2, 3}, 40);
  ASSERT_TRUE(engine.submit(first));
  collector_of(first).wait();
  EXPECT_EQ(collector_of(first).error, "card on fire");
  const Request second = greedy({1, 2, 3}, 20);
  ASSERT_TRUE(engine.submit(second));
  collector_of(second).wait();
  EXPECT_EQ(collector_of(second).answer.tokens, answer_alone(model, config, second).tokens);
}

TEST(Engine, BrokenExecutorEndsAllRequestsAndTakesNoMore) {
  const testing::QuietLog quiet;
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  ScriptedExecutor executor(model, config, 2);
  executor.before_step = [&](const StepInput& input) -> std::string {
    if (input.step_id == 3) throw std::runtime_error("rank 1 is gone");
    return {};
  };
  Engine engine(config, executor);
  const Request request = greedy({1, 2, 3}, 40);
  ASSERT_TRUE(engine.submit(request));
  collector_of(request).wait();
  EXPECT_EQ(collector_of(request).answer.finish_reason, FinishReason::error);
  EXPECT_EQ(collector_of(request).error, "rank 1 is gone");
  const Result<RequestId> refused = engine.submit(greedy({1}, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::device_failed);
}

TEST(Engine, KeepsThePipelineFull) {
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  for (int depth = 1; depth <= 4; ++depth) {
    ScriptedExecutor executor(model, config, depth);
    Engine engine(config, executor);
    const Request request = greedy({1, 2, 3}, 30);
    ASSERT_TRUE(engine.submit(request));
    collector_of(request).wait();
    EXPECT_EQ(executor.max_seen_outstanding, depth);
  }
}

TEST(Engine, SteadyDecodeAllocatesNothing) {
  const ScriptedModel model;
  SchedulerConfig config = small_config();
  config.num_blocks = 200;
  config.max_model_len = 600;
  ScriptedExecutor executor(model, config, 2);
  class Counting : public OutputListener {
   public:
    Verdict on_output(const SequenceOutput& output) override {
      if (output.num_output_tokens == 50) at_50 = testing::num_allocations();
      if (output.num_output_tokens == 450) at_450 = testing::num_allocations();
      if (output.finish_reason != FinishReason::none) done.set_value();
      return Verdict::go_on;
    }
    std::uint64_t at_50 = 0, at_450 = 1;
    std::promise<void> done;
  };
  const auto listener = std::make_shared<Counting>();
  Engine engine(config, executor);
  Request request = greedy({1, 2, 3}, 500);
  request.listener = listener;
  ASSERT_TRUE(engine.submit(request));
  listener->done.get_future().wait();
  EXPECT_EQ(listener->at_450 - listener->at_50, 0u);
}

TEST(Engine, ManyThreadsSubmitAndCancel) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  const ScriptedModel model;
  const SchedulerConfig config = small_config();
  for (int depth = 1; depth <= 3; ++depth) {
    ScriptedExecutor executor(model, config, depth);
    Engine engine(config, executor);
    std::atomic<int> num_wrong = 0;
    const auto client = [&](std::uint32_t thread_seed) {
      std::mt19937 random(thread_seed);
      std::vector<std::pair<Request, RequestId>> sent;
      for (int i = 0; i < 60; ++i) {
        std::vector<std::int32_t> prompt(1 + random() % 30);
        for (std::size_t j = 0; j < prompt.size(); ++j)
          prompt[j] = static_cast<std::int32_t>(j < 12 ? j : random() % 32);
        Request request = greedy(std::move(prompt), static_cast<std::int32_t>(1 + random() % 30));
        request.sampling.ignore_eos = random() % 2 == 0;
        if (random() % 4 == 0) request.sampling.presence_penalty = 1;
        const Result<RequestId> id = engine.submit(request);
        if (!id) {
          ++num_wrong;
          continue;
        }
        sent.emplace_back(std::move(request), *id);
        if (random() % 4 == 0) engine.cancel(sent[random() % sent.size()].second);
        if (engine.stats().num_blocks != config.num_blocks) ++num_wrong;
        if (random() % 8 == 0) collector_of(sent[random() % sent.size()].first).wait();
      }
      for (const auto& [request, id] : sent) {
        collector_of(request).wait();
        const Answer& found = collector_of(request).answer;
        Answer alone = answer_alone(model, config, request);
        if (found.finish_reason == FinishReason::cancelled)
          alone.tokens.resize(std::min(alone.tokens.size(), found.tokens.size()));
        else if (found.finish_reason != alone.finish_reason)
          ++num_wrong;
        if (found.tokens != alone.tokens) ++num_wrong;
      }
    };
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 4; ++i) threads.emplace_back(client, seed + i);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(num_wrong, 0);
  }
}

TEST(Engine, FinishReasonsHaveOpenAisNames) {
  EXPECT_EQ(to_string(FinishReason::none), "");
  EXPECT_EQ(to_string(FinishReason::stop), "stop");
  EXPECT_EQ(to_string(FinishReason::length), "length");
  EXPECT_EQ(to_string(FinishReason::cancelled), "cancelled");
  EXPECT_EQ(to_string(FinishReason::error), "error");
}

}  // namespace
}  // namespace fastchat::engine
