#include "engine/engine_group.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace fastchat::engine {
namespace {

/// Which prompts went to which engine, remembered by hashes of their beginnings: a guess at what
/// its prefix cache holds. A wrong guess costs time, never an answer.
class PrefixHistory {
 public:
  explicit PrefixHistory(std::int64_t block_size) : block_size_(block_size) {}

  /// Hashes of the prompt's whole blocks, each with all before it.
  std::vector<std::uint64_t> hashes(const std::vector<std::int32_t>& prompt) const {
    std::vector<std::uint64_t> found;
    std::uint64_t hash = 0x9E3779B97F4A7C15ull;
    const auto block = static_cast<std::size_t>(block_size_);
    for (std::size_t i = 0; i < prompt.size(); ++i) {
      hash = (hash ^ static_cast<std::uint32_t>(prompt[i])) * 0xBF58476D1CE4E5B9ull;
      hash ^= hash >> 31;
      if ((i + 1) % block == 0) found.push_back(hash);
    }
    return found;
  }

  /// Tokens of the longest known beginning.
  std::int64_t known_tokens(const std::vector<std::uint64_t>& hashes) const {
    std::int64_t blocks = 0;
    while (blocks < static_cast<std::int64_t>(hashes.size()) &&
           times_.contains(hashes[static_cast<std::size_t>(blocks)]))
      ++blocks;
    return blocks * block_size_;
  }

  void remember(const std::vector<std::uint64_t>& hashes) {
    ++now_;
    for (const std::uint64_t hash : hashes) times_[hash] = now_;
    if (times_.size() <= kMostHashes) return;
    // Half of them, the older ones, go at once: rare, and cheaper than an order of all.
    std::vector<std::uint64_t> ages;
    ages.reserve(times_.size());
    for (const auto& [hash, time] : times_) ages.push_back(time);
    const auto middle = ages.begin() + static_cast<std::ptrdiff_t>(ages.size() / 2);
    std::nth_element(ages.begin(), middle, ages.end());
    const std::uint64_t oldest = *middle;
    std::erase_if(times_, [&](const auto& entry) { return entry.second < oldest; });
  }

 private:
  static constexpr std::size_t kMostHashes = std::size_t{1} << 18;
  std::int64_t block_size_;
  std::uint64_t now_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> times_;
};

}  // namespace

struct EngineGroup::Impl {
  std::vector<std::unique_ptr<Engine>> engines;
  SchedulerConfig config;

  std::mutex mutex;
  std::vector<PrefixHistory> histories;  // guarded by `mutex`

  /// Engines, the best for a prompt first.
  std::vector<std::size_t> order_for(const std::vector<std::uint64_t>& hashes,
                                     std::int64_t prompt_tokens) {
    // A prompt's tokens that are not cached weigh as much as they compute; a sequence that runs or
    // waits weighs as much as a prompt of ordinary length.
    constexpr std::int64_t kTokensOfASequence = 512;
    std::vector<std::int64_t> work(engines.size());
    for (std::size_t i = 0; i < engines.size(); ++i) {
      const EngineStats stats = engines[i]->stats();
      work[i] = prompt_tokens - histories[i].known_tokens(hashes) +
                kTokensOfASequence * (stats.num_running + stats.num_waiting);
    }
    std::vector<std::size_t> order(engines.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return work[a] < work[b];
    });
    return order;
  }
};

EngineGroup::EngineGroup(std::vector<std::unique_ptr<Engine>> engines)
    : impl_(std::make_unique<Impl>()) {
  check(!engines.empty(), "{}", "a group of no engines");
  impl_->engines = std::move(engines);
  impl_->config = impl_->engines.front()->config();
  for (const auto& engine : impl_->engines) {
    impl_->config.max_model_len =
        std::min(impl_->config.max_model_len, engine->config().max_model_len);
    impl_->histories.emplace_back(engine->config().block_size);
  }
}

EngineGroup::~EngineGroup() = default;

Result<RequestId> EngineGroup::submit(Request request) {
  const std::vector<std::uint64_t> hashes = impl_->histories.front().hashes(request.prompt);
  const auto num_engines = static_cast<RequestId>(impl_->engines.size());
  const std::lock_guard lock(impl_->mutex);
  const std::vector<std::size_t> order =
      impl_->order_for(hashes, static_cast<std::int64_t>(request.prompt.size()));
  Error refusal;
  for (const std::size_t i : order) {
    const bool is_last = i == order.back();
    Result<RequestId> id = impl_->engines[i]->submit(is_last ? std::move(request) : request);
    if (id) {
      impl_->histories[i].remember(hashes);
      return id.value() * num_engines + i;
    }
    refusal = id.error();
    const bool another_may_take_it =
        refusal.code == ErrorCode::overloaded || refusal.code == ErrorCode::device_failed;
    if (!another_may_take_it) break;
  }
  return refusal;
}

void EngineGroup::cancel(RequestId id) {
  const auto num_engines = static_cast<RequestId>(impl_->engines.size());
  impl_->engines[id % num_engines]->cancel(id / num_engines);
}

EngineStats EngineGroup::stats() const {
  EngineStats sum;
  for (const EngineStats& one : engine_stats()) {
    sum.num_running += one.num_running;
    sum.num_waiting += one.num_waiting;
    sum.num_free_blocks += one.num_free_blocks;
    sum.num_blocks += one.num_blocks;
    sum.num_steps += one.num_steps;
    sum.num_prompt_tokens += one.num_prompt_tokens;
    sum.num_cached_prompt_tokens += one.num_cached_prompt_tokens;
    sum.num_generated_tokens += one.num_generated_tokens;
    sum.num_preemptions += one.num_preemptions;
  }
  return sum;
}

const SchedulerConfig& EngineGroup::config() const { return impl_->config; }

std::vector<EngineStats> EngineGroup::engine_stats() const {
  std::vector<EngineStats> all;
  for (const auto& engine : impl_->engines) all.push_back(engine->stats());
  return all;
}

}  // namespace fastchat::engine
