// Several engines behind one front: every request gets its answer, and goes where it belongs.
#include "engine/engine_group.h"

#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/engine/scripted_model.h"
#include "tests/engine/small_engine.h"

namespace fastchat::engine {
namespace {

using testing::answer_alone;
using testing::Collector;
using testing::collector_of;
using testing::greedy;
using testing::ScriptedExecutor;
using testing::ScriptedModel;
using testing::small_config;

class Groups : public ::testing::Test {
 protected:
  EngineGroup make(std::size_t count, const SchedulerConfig& config) {
    std::vector<std::unique_ptr<Engine>> engines;
    for (std::size_t i = 0; i < count; ++i) {
      executors_.push_back(std::make_unique<ScriptedExecutor>(model_, config, 2));
      engines.push_back(std::make_unique<Engine>(config, *executors_.back()));
    }
    return EngineGroup(std::move(engines));
  }
  static std::vector<std::uint64_t> prompt_tokens(const EngineGroup& group) {
    std::vector<std::uint64_t> tokens;
    for (const EngineStats& stats : group.engine_stats()) tokens.push_back(stats.num_prompt_tokens);
    return tokens;
  }

  ScriptedModel model_;
  std::vector<std::unique_ptr<ScriptedExecutor>> executors_;
};

TEST_F(Groups, EveryRequestGetsItsAnswer) {
  const SchedulerConfig config = small_config();
  EngineGroup group = make(3, config);
  std::vector<Request> requests;
  std::set<RequestId> ids;
  for (std::int32_t i = 0; i < 24; ++i) {
    requests.push_back(greedy({1 + i, 2, 3 + i % 5}));
    const Result<RequestId> id = group.submit(requests.back());
    ASSERT_TRUE(id) << id.error().message;
    EXPECT_TRUE(ids.insert(*id).second);
  }
  for (const Request& request : requests) {
    collector_of(request).wait();
    EXPECT_EQ(collector_of(request).answer.tokens, answer_alone(model_, config, request).tokens);
  }
  EXPECT_EQ(group.stats().num_generated_tokens, 24u * 6);
  for (const EngineStats& stats : group.engine_stats()) EXPECT_GT(stats.num_generated_tokens, 0u);
}

TEST_F(Groups, APromptGoesWhereItsBeginningIsCached) {
  EngineGroup group = make(3, small_config());
  // Each of three conversations on an engine of its own; then their next turns, in another order.
  const auto prompt = [](std::int32_t who, std::int32_t length) {
    std::vector<std::int32_t> tokens;
    for (std::int32_t i = 0; i < length; ++i) tokens.push_back(1 + (who * 7 + i * 3) % 31);
    return tokens;
  };
  const auto ask = [&](const std::vector<std::int32_t>& tokens) {
    const Request request = greedy(tokens, 1);
    EXPECT_TRUE(group.submit(request));
    collector_of(request).wait();
    // The last word of a request comes before its engine counts itself idle.
    while (group.stats().num_running > 0) std::this_thread::yield();
    return collector_of(request).num_cached_tokens;
  };
  for (const std::int32_t who : {0, 1, 2}) ask(prompt(who, 20));
  for (const std::int32_t who : {2, 0, 1}) EXPECT_GE(ask(prompt(who, 32)), 16);
}

TEST_F(Groups, AnEngineThatIsFullIsPassedOver) {
  SchedulerConfig config = small_config();
  config.max_waiting = 1;
  EngineGroup group = make(2, config);
  // Held, so that requests pile up.
  std::mutex hold;
  hold.lock();
  for (const auto& executor : executors_)
    executor->before_step = [&](const StepInput&) {
      const std::lock_guard wait(hold);
      return std::string();
    };
  std::vector<Request> taken;
  ErrorCode refusal = ErrorCode::internal;
  for (int i = 0; i < 64; ++i) {
    const Request request = greedy({1, 2, 3});
    const Result<RequestId> id = group.submit(request);
    if (!id) {
      refusal = id.error().code;
      break;
    }
    taken.push_back(request);
  }
  EXPECT_EQ(refusal, ErrorCode::overloaded);
  EXPECT_EQ(group.submit(greedy({})).error().code, ErrorCode::invalid_request);
  hold.unlock();
  for (const Request& request : taken) collector_of(request).wait();
  for (const std::uint64_t tokens : prompt_tokens(group)) EXPECT_GT(tokens, 0u);
}

TEST_F(Groups, CancelReachesTheRightEngine) {
  EngineGroup group = make(2, small_config());
  std::vector<Request> requests;
  std::vector<RequestId> ids;
  std::mutex hold;
  hold.lock();
  for (const auto& executor : executors_)
    executor->before_step = [&](const StepInput&) {
      const std::lock_guard wait(hold);
      return std::string();
    };
  for (int i = 0; i < 4; ++i) {
    requests.push_back(greedy({1 + i, 2}, 40));
    ids.push_back(group.submit(requests.back()).value());
  }
  group.cancel(ids[1]);
  group.cancel(ids[2]);
  hold.unlock();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    collector_of(requests[i]).wait();
    EXPECT_EQ(collector_of(requests[i]).answer.finish_reason,
              i == 1 || i == 2 ? FinishReason::cancelled : FinishReason::length);
  }
}

}  // namespace
}  // namespace fastchat::engine
