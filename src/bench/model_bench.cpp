#include "bench/model_bench.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>

#include "base/check.h"

namespace fastchat::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// When each token of a sequence arrived.
class Timeline : public engine::OutputListener {
 public:
  explicit Timeline(std::int64_t gen_len) { times_.reserve(static_cast<std::size_t>(gen_len)); }

  engine::Verdict on_output(const engine::SequenceOutput& output) override {
    const Clock::time_point now = Clock::now();
    times_.insert(times_.end(), output.new_tokens.size(), now);
    if (output.finish_reason == engine::FinishReason::none) return engine::Verdict::go_on;
    const std::lock_guard lock(mutex_);
    error_ = output.error;
    finished_ = true;
    finished_condition_.notify_all();
    return engine::Verdict::go_on;
  }

  /// Blocks until the sequence has ended.
  const std::vector<Clock::time_point>& wait() {
    std::unique_lock lock(mutex_);
    finished_condition_.wait(lock, [&] { return finished_; });
    check(error_.empty(), "the engine ended a sequence: {}", error_);
    return times_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable finished_condition_;
  bool finished_ = false;
  std::string error_;
  std::vector<Clock::time_point> times_;  // engine thread, until finished_
};

std::vector<std::int32_t> random_prompt(std::int64_t vocab_size,
                                        std::int64_t length,
                                        std::mt19937_64& random) {
  std::uniform_int_distribution<std::int32_t> token(0, static_cast<std::int32_t>(vocab_size - 1));
  std::vector<std::int32_t> prompt(static_cast<std::size_t>(length));
  for (std::int32_t& id : prompt) id = token(random);
  return prompt;
}

std::shared_ptr<Timeline> submit(engine::RequestQueue& engine,
                                 const std::vector<std::int32_t>& prompt,
                                 std::int64_t gen_len) {
  auto timeline = std::make_shared<Timeline>(gen_len);
  engine::SamplingParams sampling;
  sampling.temperature = 0.0f;
  sampling.ignore_eos = true;
  sampling.max_tokens = static_cast<std::int32_t>(gen_len);
  const Result<engine::RequestId> id =
      engine.submit({.prompt = prompt, .sampling = sampling, .listener = timeline});
  if (!id) fail("{}", id.error().message);
  return timeline;
}

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

double measure_prefill(engine::RequestQueue& engine,
                       std::int64_t vocab_size,
                       std::int64_t batch,
                       std::int64_t prompt_len,
                       std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::int64_t i = 0; i < batch; ++i)
    prompts.push_back(random_prompt(vocab_size, prompt_len, random));
  const Clock::time_point start = Clock::now();
  std::vector<std::shared_ptr<Timeline>> timelines;
  for (const std::vector<std::int32_t>& prompt : prompts)
    timelines.push_back(submit(engine, prompt, 1));
  Clock::time_point end = start;
  for (const auto& timeline : timelines) end = std::max(end, timeline->wait().front());
  return static_cast<double>(batch * prompt_len) / seconds(end - start);
}

double measure_decode(engine::RequestQueue& engine,
                      std::int64_t vocab_size,
                      std::int64_t batch,
                      std::int64_t context,
                      std::int64_t gen_len,
                      std::uint64_t seed) {
  check(gen_len >= 2, "decode: at least 2 tokens are needed to measure, {} asked", gen_len);
  std::mt19937_64 random(seed);
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::int64_t i = 0; i < batch; ++i)
    prompts.push_back(random_prompt(vocab_size, std::max<std::int64_t>(context, 1), random));
  const auto run = [&](std::int64_t length) {
    std::vector<std::shared_ptr<Timeline>> timelines;
    timelines.reserve(prompts.size());
    for (const std::vector<std::int32_t>& prompt : prompts)
      timelines.push_back(submit(engine, prompt, length));
    for (const auto& timeline : timelines) timeline->wait();
    return timelines;
  };
  run(1);  // fills the prefix cache
  const auto timelines = run(gen_len);
  Clock::time_point all_started = Clock::time_point::min();
  Clock::time_point first_ended = Clock::time_point::max();
  for (const auto& timeline : timelines) {
    all_started = std::max(all_started, timeline->wait().front());
    first_ended = std::min(first_ended, timeline->wait().back());
  }
  check(all_started < first_ended,
        "decode: the {} sequences never ran together; raise the number of generated tokens",
        batch);
  std::int64_t tokens = 0;
  for (const auto& timeline : timelines)
    for (const Clock::time_point time : timeline->wait())
      tokens += time > all_started && time <= first_ended ? 1 : 0;
  return static_cast<double>(tokens) / seconds(first_ended - all_started);
}

double measure_load(engine::RequestQueue& engine,
                    std::int64_t vocab_size,
                    const std::vector<LoadPart>& parts,
                    std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::pair<std::vector<std::int32_t>, std::int64_t>> requests;
  for (const LoadPart& part : parts)
    for (std::int64_t i = 0; i < part.num_streams; ++i)
      requests.emplace_back(random_prompt(vocab_size, part.prompt_len, random), part.gen_len);
  const Clock::time_point start = Clock::now();
  std::vector<std::shared_ptr<Timeline>> timelines;
  timelines.reserve(requests.size());
  for (const auto& [prompt, gen_len] : requests)
    timelines.push_back(submit(engine, prompt, gen_len));
  Clock::time_point end = start;
  for (const auto& timeline : timelines) end = std::max(end, timeline->wait().back());
  return seconds(end - start);
}

}  // namespace fastchat::bench
