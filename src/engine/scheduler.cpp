#include "engine/scheduler.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <random>

#include "base/check.h"
#include "base/log.h"
#include "engine/sampling_params.h"

namespace fastchat::engine {
namespace {

std::int32_t to_i32(std::int64_t value) { return static_cast<std::int32_t>(value); }

SchedulerConfig checked(SchedulerConfig config) {
  const auto at_least_one = [](std::string_view name, std::int64_t value) {
    check(value >= 1, "{}: expected at least 1, found {}", name, value);
  };
  at_least_one("num_micro_batches", config.num_micro_batches);
  at_least_one("num_blocks", config.num_blocks);
  at_least_one("block_size", config.block_size);
  at_least_one("max_model_len", config.max_model_len);
  at_least_one("max_num_batched_tokens", config.max_num_batched_tokens);
  at_least_one("max_num_seqs", config.max_num_seqs);
  at_least_one("max_logits_rows", config.max_logits_rows);
  at_least_one("max_waiting", config.max_waiting);
  at_least_one("vocab_size", config.vocab_size);
  check(config.num_blocks <= std::numeric_limits<std::int32_t>::max() / config.block_size,
        "num_blocks: {} blocks of {} positions are more than slots can count",
        config.num_blocks,
        config.block_size);
  config.max_num_seqs =
      std::min({config.max_num_seqs, config.max_logits_rows, config.max_num_batched_tokens});
  // Tokenizers may name ids that the head has no row for; those are never chosen.
  std::erase_if(config.eos_token_ids,
                [&](std::int32_t id) { return id < 0 || id >= config.vocab_size; });
  return config;
}

void copy_logprob(TokenLogprob& to,
                  std::int32_t token,
                  std::size_t row,
                  std::int32_t num_top,
                  std::int32_t width,
                  const StepOutput& output) {
  to.token = token;
  to.logprob = output.logprobs[row];
  to.top.clear();
  for (std::int32_t i = 0; i < num_top; ++i) {
    const std::size_t at = row * static_cast<std::size_t>(width) + static_cast<std::size_t>(i);
    if (output.top_tokens[at] < 0) break;
    to.top.emplace_back(output.top_tokens[at], output.top_logprobs[at]);
  }
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, int max_outstanding)
    : config_(checked(config)),
      blocks_({.num_blocks = config.num_blocks, .block_size = config.block_size}),
      cache_(blocks_),
      steps_(static_cast<std::size_t>(std::max(1, max_outstanding))) {
  fastchat::check(
      max_outstanding >= 1, "max_outstanding: expected at least 1, found {}", max_outstanding);
  // The last token of a sequence is never computed, so it needs no position.
  const std::int64_t held = config_.num_blocks * config_.block_size + 1;
  is_bound_by_blocks_ = held < config_.max_model_len;
  config_.max_model_len = std::min(held, config_.max_model_len);
  last_step_id_ = config_.first_step_id - 1;
  std::random_device random;
  next_seed_ = (std::uint64_t{random()} << 32) | random();
  const auto num_seqs = static_cast<std::size_t>(config_.max_num_seqs);
  for (Step& step : steps_) step.entries.reserve(num_seqs);
  running_.reserve(num_seqs);
  decoding_.reserve(num_seqs);
  target_rows_.reserve(static_cast<std::size_t>(config_.max_logits_rows));
}

Scheduler::~Scheduler() = default;

// ---- requests ----

Result<void> Scheduler::check(const Request& request) const {
  if (request.prompt.empty())
    return Error{ErrorCode::invalid_request, "prompt: expected at least one token, found none"};
  for (std::size_t i = 0; i < request.prompt.size(); ++i)
    if (request.prompt[i] < 0 || request.prompt[i] >= config_.vocab_size)
      return Error{ErrorCode::invalid_request,
                   fmt::format("prompt: expected token ids in [0, {}), found {} at index {}",
                               config_.vocab_size,
                               request.prompt[i],
                               i)};
  if (request.listener == nullptr)
    return Error{ErrorCode::invalid_request, "listener: expected one, found none"};
  if (Result<void> valid = validate(request.sampling, config_.vocab_size); !valid) return valid;

  const auto num_prompt = static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t num_answer =
      std::max<std::int64_t>({1, request.sampling.max_tokens, request.sampling.min_tokens});
  if (num_prompt + num_answer <= config_.max_model_len) return {};
  const std::string_view bound = is_bound_by_blocks_ ? "the KV cache" : "this model";
  if (num_prompt + 1 > config_.max_model_len)
    return Error{ErrorCode::context_too_long,
                 fmt::format("prompt has {} tokens, {} accepts {} and at least one of answer",
                             num_prompt,
                             bound,
                             config_.max_model_len - 1)};
  return Error{ErrorCode::context_too_long,
               fmt::format("prompt has {} tokens and {} of answer are asked for, together {}; {} "
                           "accepts {}, which leaves {}",
                           num_prompt,
                           num_answer,
                           num_prompt + num_answer,
                           bound,
                           config_.max_model_len,
                           config_.max_model_len - num_prompt)};
}

std::int64_t Scheduler::max_length(const Request& request) const {
  const auto num_prompt = static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t max_tokens = request.sampling.max_tokens;
  return max_tokens > 0 ? num_prompt + max_tokens : config_.max_model_len;
}

void Scheduler::add(RequestId id, Request request) {
  const std::uint64_t seed = request.sampling.seed ? *request.sampling.seed : next_seed_++;
  const std::int64_t length = max_length(request);
  auto sequence =
      std::make_unique<Sequence>(id, std::move(request), config_.eos_token_ids, seed, length);
  insert_by_arrival(waiting_, sequence.get());
  const bool is_new = sequences_.emplace(id, std::move(sequence)).second;
  FASTCHAT_ASSERT(is_new, "request {} is there already", id);
}

void Scheduler::cancel(RequestId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->state == SequenceState::finished) return;
  Sequence& sequence = *found->second;
  end(sequence, FinishReason::cancelled, {});
  settle(sequence);
}

void Scheduler::cancel_all() {
  std::vector<RequestId> ids;
  for (const auto& [id, sequence] : sequences_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (const RequestId id : ids) cancel(id);
}

void Scheduler::abandon(const std::string& error) {
  num_outstanding_ = 0;
  std::vector<Sequence*> all;
  for (const auto& [id, sequence] : sequences_) all.push_back(sequence.get());
  std::sort(all.begin(), all.end(), is_earlier);
  for (Sequence* sequence : all) {
    sequence->num_outstanding = 0;
    if (sequence->state != SequenceState::finished) end(*sequence, FinishReason::error, error);
    settle(*sequence);
  }
}

// ---- results ----

void Scheduler::apply(const StepOutput& output) {
  FASTCHAT_ASSERT(num_outstanding_ > 0, "no step is outstanding");
  const Step& step = steps_[first_step_];
  first_step_ = (first_step_ + 1) % steps_.size();
  --num_outstanding_;
  const std::string defect = find_defect(step, output);
  for (const StepEntry& entry : step.entries) {
    Sequence& sequence = *entry.sequence;
    --sequence.num_outstanding;
    // What ended in an earlier step has nothing to say in this one.
    if (sequence.state != SequenceState::finished) {
      if (defect.empty())
        take_results(sequence, entry, step, output);
      else
        end(sequence, FinishReason::error, defect);
    }
    settle(sequence);
  }
}

/// Why the output cannot be used; empty if it can.
std::string Scheduler::find_defect(const Step& step, const StepOutput& output) const {
  if (!output.error.empty()) return output.error;
  const std::size_t num_rows = step.num_samples + step.num_targets;
  const std::size_t num_top = num_rows * static_cast<std::size_t>(step.max_logprobs);
  if (output.step_id == step.step_id && output.tokens.size() >= step.num_samples &&
      (output.logprobs.size() >= num_rows || !step.has_logprobs) &&
      output.top_tokens.size() >= num_top && output.top_logprobs.size() >= num_top)
    return {};
  return fmt::format(
      "expected the output of step {} with {} tokens and {} rows, found step {} with {} tokens and "
      "{} rows",
      step.step_id,
      step.num_samples,
      num_rows,
      output.step_id,
      output.tokens.size(),
      output.logprobs.size());
}

void Scheduler::take_results(Sequence& sequence,
                             const StepEntry& entry,
                             const Step& step,
                             const StepOutput& output) {
  sequence.num_computed = entry.start + entry.num_tokens;
  for (std::int32_t i = 0; i < entry.num_targets; ++i) {
    const std::size_t row = step.num_samples + static_cast<std::size_t>(entry.first_target) +
                            static_cast<std::size_t>(i);
    const std::size_t predicted = sequence.prompt_logprobs.size() + 1;
    copy_logprob(sequence.prompt_logprobs.emplace_back(),
                 sequence.tokens[predicted],
                 row,
                 sequence.sampling.num_prompt_logprobs,
                 step.max_logprobs,
                 output);
  }
  if (entry.sample_row >= 0)
    take_token(sequence, entry.sample_row, step, output);
  else
    cache_blocks(sequence);
}

void Scheduler::take_token(Sequence& sequence,
                           std::int32_t row,
                           const Step& step,
                           const StepOutput& output) {
  --sequence.num_pending;
  const std::int32_t token = output.tokens[static_cast<std::size_t>(row)];
  if (token < 0 || token >= config_.vocab_size) {
    // Nobody shall be served KV that may hold the NaN as well.
    for (const BlockRef& block : sequence.blocks) cache_.forget(block.id());
    end(sequence,
        FinishReason::error,
        token < 0
            ? fmt::format("the model's logits for position {} are not numbers (NaN): {}",
                          sequence.num_known(),
                          output.overflow.empty() ? "its activations may overflow the dtype"
                                                  : output.overflow)
            : fmt::format(
                  "the sampler chose token {}, the vocabulary has {}", token, config_.vocab_size));
    return;
  }
  cache_blocks(sequence);

  SequenceOutput news;
  if (sequence.num_known() == sequence.num_prompt) news.prompt_logprobs = sequence.prompt_logprobs;
  const std::int64_t num_output = sequence.num_known() - sequence.num_prompt;
  if (num_output >= sequence.sampling.min_tokens && sequence.is_stop(token)) {
    news.finish_reason = FinishReason::stop;
    news.stop_token_id = token;
  } else {
    sequence.append(token);
    ++totals_.num_generated_tokens;
    news.new_tokens = std::span(sequence.tokens).last(1);
    if (wants_logprobs(sequence.sampling)) {
      copy_logprob(logprob_,
                   token,
                   static_cast<std::size_t>(row),
                   sequence.sampling.num_logprobs,
                   step.max_logprobs,
                   output);
      news.new_logprobs = std::span(&logprob_, 1);
    }
    if (sequence.num_known() == sequence.max_len) news.finish_reason = FinishReason::length;
  }
  if (!deliver(sequence, news)) retire(sequence);
}

/// Makes full blocks known whose KV is computed and whose tokens are known.
void Scheduler::cache_blocks(Sequence& sequence) {
  if (!config_.prefix_cache) return;
  const std::int64_t num_full = sequence.num_computed / config_.block_size;
  extend_hashes(sequence, static_cast<std::size_t>(num_full));
  for (; sequence.num_cached_blocks < num_full; ++sequence.num_cached_blocks) {
    const auto i = static_cast<std::size_t>(sequence.num_cached_blocks);
    cache_.insert(sequence.hashes[i], sequence.blocks[i]);
  }
}

void Scheduler::extend_hashes(Sequence& sequence, std::size_t count) {
  const auto size = static_cast<std::size_t>(config_.block_size);
  while (sequence.hashes.size() < count) {
    const std::size_t i = sequence.hashes.size();
    const BlockHash parent = i == 0 ? BlockHash{} : sequence.hashes.back();
    sequence.hashes.push_back(
        cache_.hash(parent, std::span(sequence.tokens).subspan(i * size, size)));
  }
}

/// Calls the listener; whether the sequence goes on. A listener that throws ends its sequence only,
/// and hears of it if it can.
bool Scheduler::deliver(Sequence& sequence, SequenceOutput& output) {
  output.num_prompt_tokens = to_i32(sequence.num_prompt);
  output.num_cached_tokens = to_i32(sequence.num_cached_tokens);
  output.num_output_tokens = to_i32(sequence.num_known() - sequence.num_prompt);
  const bool is_last = output.finish_reason != FinishReason::none;
  std::string failure;
  try {
    return sequence.listener->on_output(output) == Verdict::go_on && !is_last;
  } catch (const std::exception& exception) {
    failure = exception.what();
  } catch (...) {
    failure = "unknown exception";
  }
  log::warn("the listener of request {} threw: {}", sequence.id, failure);
  if (is_last) return false;
  SequenceOutput last;
  last.finish_reason = FinishReason::error;
  last.error = "the listener failed: " + failure;
  deliver(sequence, last);
  return false;
}

void Scheduler::end(Sequence& sequence, FinishReason reason, std::string error) {
  SequenceOutput news;
  news.finish_reason = reason;
  news.error = std::move(error);
  deliver(sequence, news);
  retire(sequence);
}

// ---- leaving ----

/// The sequence had its last call; settle() follows.
void Scheduler::retire(Sequence& sequence) {
  if (sequence.state == SequenceState::waiting) remove_by_arrival(waiting_, &sequence);
  if (sequence.state == SequenceState::running) remove_by_arrival(running_, &sequence);
  if (sequence.state == SequenceState::preempting) --num_preempting_;
  sequence.state = SequenceState::finished;
  sequence.listener.reset();
  mark_releasing(sequence);
}

void Scheduler::mark_releasing(Sequence& sequence) {
  if (sequence.is_releasing || sequence.num_outstanding == 0) return;
  sequence.is_releasing = true;
  ++num_releasing_;
}

/// Lets go of the blocks of a sequence that runs no more, unless outstanding steps use them.
void Scheduler::settle(Sequence& sequence) {
  if (sequence.num_outstanding > 0) return;
  if (sequence.state == SequenceState::finished) {
    release_blocks(sequence);
    sequences_.erase(sequence.id);
  } else if (sequence.state == SequenceState::preempting) {
    release_blocks(sequence);
    sequence.num_scheduled = sequence.num_computed = 0;
    sequence.num_cached_blocks = 0;
    sequence.state = SequenceState::waiting;
    --num_preempting_;
    insert_by_arrival(waiting_, &sequence);
  }
}

void Scheduler::release_blocks(Sequence& sequence) {
  // The last first: evicting the end of a prefix leaves the rest of use.
  while (!sequence.blocks.empty()) sequence.blocks.pop_back();
  if (sequence.is_releasing) --num_releasing_;
  sequence.is_releasing = false;
}

// ---- numbers ----

EngineStats Scheduler::stats() const {
  EngineStats stats = totals_;
  stats.num_running = static_cast<std::int64_t>(running_.size());
  stats.num_waiting = static_cast<std::int64_t>(waiting_.size()) + num_preempting_;
  stats.num_free_blocks = blocks_.num_free();
  stats.num_blocks = blocks_.num_blocks();
  return stats;
}

void Scheduler::check_invariants() const {
  FASTCHAT_ASSERT(std::is_sorted(running_.begin(), running_.end(), is_earlier),
                  "running_ by arrival");
  FASTCHAT_ASSERT(std::is_sorted(waiting_.begin(), waiting_.end(), is_earlier),
                  "waiting_ by arrival");
  std::vector<std::int32_t> num_refs(static_cast<std::size_t>(blocks_.num_blocks()));
  std::size_t num_in_state[4] = {};
  std::int64_t num_releasing = 0;
  for (const auto& [id, sequence] : sequences_) {
    ++num_in_state[static_cast<std::size_t>(sequence->state)];
    num_releasing += sequence->is_releasing ? 1 : 0;
    for (const BlockRef& block : sequence->blocks) ++num_refs[static_cast<std::size_t>(block.id())];
    int num_steps = 0;
    for (int i = 0; i < num_outstanding_; ++i)
      for (const StepEntry& entry :
           steps_[(first_step_ + static_cast<std::size_t>(i)) % steps_.size()].entries)
        num_steps += entry.sequence == sequence.get() ? 1 : 0;
    FASTCHAT_ASSERT(num_steps == sequence->num_outstanding, "outstanding steps of {}", id);
    FASTCHAT_ASSERT(sequence->num_computed <= sequence->num_scheduled &&
                        sequence->num_scheduled <= sequence->length() &&
                        sequence->length() <= sequence->max_len,
                    "progress of {}",
                    id);
    FASTCHAT_ASSERT(static_cast<std::int64_t>(sequence->blocks.size()) >=
                        num_blocks_for(sequence->num_scheduled),
                    "blocks of {}",
                    id);
  }
  const auto in_state = [&](SequenceState state) {
    return num_in_state[static_cast<std::size_t>(state)];
  };
  FASTCHAT_ASSERT(in_state(SequenceState::running) == running_.size(), "running");
  FASTCHAT_ASSERT(in_state(SequenceState::waiting) == waiting_.size(), "waiting");
  FASTCHAT_ASSERT(static_cast<std::int64_t>(in_state(SequenceState::preempting)) == num_preempting_,
                  "preempting");
  FASTCHAT_ASSERT(num_releasing == num_releasing_, "releasing");
  std::int64_t num_free = 0;
  for (BlockId id = 0; id < static_cast<BlockId>(blocks_.num_blocks()); ++id) {
    FASTCHAT_ASSERT(num_refs[static_cast<std::size_t>(id)] == blocks_.num_refs(id), "block {}", id);
    num_free += blocks_.num_refs(id) == 0 ? 1 : 0;
  }
  FASTCHAT_ASSERT(num_free == blocks_.num_free(), "free blocks");
}

}  // namespace fastchat::engine
