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

constexpr RequestId kNobody = std::numeric_limits<RequestId>::max();

// A sequence waits for another one to compute their common prefix when it is at least this long:
// below, waiting a step or two costs more than computing it again.
constexpr std::int64_t kSharedTokensWorthWaiting = 64;

std::int32_t to_i32(std::size_t value) { return static_cast<std::int32_t>(value); }
std::int32_t to_i32(std::int64_t value) { return static_cast<std::int32_t>(value); }

constexpr auto kEarlier = [](const Sequence* a, const Sequence* b) { return a->id < b->id; };

template <typename Queue>
void insert_by_arrival(Queue& queue, Sequence* sequence) {
  queue.insert(std::upper_bound(queue.begin(), queue.end(), sequence, kEarlier), sequence);
}

/// Removes it if it is there.
template <typename Queue>
void remove_by_arrival(Queue& queue, Sequence* sequence) {
  const auto place = std::lower_bound(queue.begin(), queue.end(), sequence, kEarlier);
  if (place != queue.end() && *place == sequence) queue.erase(place);
}

SchedulerConfig checked(SchedulerConfig config) {
  const auto at_least_one = [](std::string_view name, std::int64_t value) {
    check(value >= 1, "{}: expected at least 1, found {}", name, value);
  };
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
  context_ = std::min(config_.max_model_len, config_.num_blocks * config_.block_size + 1);
  std::random_device random;
  next_seed_ = (std::uint64_t{random()} << 32) | random();
  const auto num_seqs = static_cast<std::size_t>(config_.max_num_seqs);
  for (Step& step : steps_) step.entries.reserve(num_seqs);
  running_.reserve(num_seqs);
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
  if (num_prompt + num_answer <= context_) return {};
  const std::string_view bound = context_ < config_.max_model_len ? "the KV cache" : "this model";
  if (num_prompt + 1 > context_)
    return Error{ErrorCode::context_too_long,
                 fmt::format("prompt has {} tokens, {} accepts {} and at least one of answer",
                             num_prompt,
                             bound,
                             context_ - 1)};
  return Error{ErrorCode::context_too_long,
               fmt::format("prompt has {} tokens and {} of answer are asked for, together {}; {} "
                           "accepts {}, which leaves {}",
                           num_prompt,
                           num_answer,
                           num_prompt + num_answer,
                           bound,
                           context_,
                           context_ - num_prompt)};
}

std::int64_t Scheduler::max_length(const Request& request) const {
  const auto num_prompt = static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t max_tokens = request.sampling.max_tokens;
  return max_tokens > 0 ? num_prompt + max_tokens : context_;
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
  std::sort(all.begin(), all.end(), kEarlier);
  for (Sequence* sequence : all) {
    sequence->num_outstanding = 0;
    if (sequence->state != SequenceState::finished) end(*sequence, FinishReason::error, error);
    settle(*sequence);
  }
}

// ---- scheduling ----

bool Scheduler::schedule(StepInput& step) {
  FASTCHAT_ASSERT(
      num_outstanding_ < max_outstanding(), "{} steps are outstanding", num_outstanding_);
  begin_step(step);
  // Whoever decodes goes first, so that answers flow while prompts are read; then prompts by
  // arrival. Preemption takes sequences off the end of running_ only.
  for (std::size_t i = 0; i < running_.size(); ++i)
    if (running_[i]->num_to_schedule() == 1) advance(step, *running_[i]);
  for (std::size_t i = 0; i < running_.size(); ++i)
    if (running_[i]->num_to_schedule() > 1) advance(step, *running_[i]);
  admit_waiting(step);
  if (step.tokens.empty()) return false;
  finish_step(step);
  return true;
}

void Scheduler::begin_step(StepInput& step) {
  // Room for the largest step, so that one of a recycled input never allocates.
  const auto max_tokens = static_cast<std::size_t>(config_.max_num_batched_tokens);
  const auto max_seqs = static_cast<std::size_t>(config_.max_num_seqs);
  const auto max_rows = static_cast<std::size_t>(config_.max_logits_rows);
  step.tokens.reserve(max_tokens);
  step.token_sources.reserve(max_seqs);
  step.positions.reserve(max_tokens);
  step.slots.reserve(max_tokens);
  step.query_starts.reserve(max_seqs + 1);
  step.context_lens.reserve(max_seqs);
  step.block_table.reserve(max_seqs * static_cast<std::size_t>(num_blocks_for(context_)));
  step.logits_rows.reserve(max_rows);
  step.sampling.reserve(max_seqs);
  step.step_id = last_step_id_ + 1;
  step.micro_batch = to_i32(static_cast<std::size_t>(last_step_id_ % steps_.size()));
  step.tokens.clear();
  step.token_sources.clear();
  step.positions.clear();
  step.slots.clear();
  step.query_starts.assign(1, 0);
  step.context_lens.clear();
  step.block_table.clear();
  step.max_blocks = 0;
  step.logits_rows.clear();
  step.sampling.clear();
  step.biases.clear();
  step.counts.clear();
  step.targets.clear();
  step.max_logprobs = 0;
  step_ = &steps_[(first_step_ + static_cast<std::size_t>(num_outstanding_)) % steps_.size()];
  step_->entries.clear();
  target_rows_.clear();
  starved_ = kNobody;
}

void Scheduler::finish_step(StepInput& step) {
  // [num_seqs, max_blocks], now that the widest is known.
  const auto width = static_cast<std::size_t>(step.max_blocks);
  step.block_table.assign(step_->entries.size() * width, -1);
  for (std::size_t i = 0; i < step_->entries.size(); ++i) {
    const std::vector<BlockRef>& blocks = step_->entries[i].sequence->blocks;
    for (std::size_t j = 0; j < blocks.size(); ++j)
      step.block_table[i * width + j] = blocks[j].id();
  }
  // Sampled rows stand already; the targets' come after them.
  step.logits_rows.insert(step.logits_rows.end(), target_rows_.begin(), target_rows_.end());
  step_->step_id = step.step_id;
  step_->num_samples = to_i32(step.sampling.size());
  step_->num_targets = to_i32(step.targets.size());
  step_->max_logprobs = step.max_logprobs;
  last_step_id_ = step.step_id;
  ++num_outstanding_;
  ++totals_.num_steps;
}

void Scheduler::admit_waiting(StepInput& step) {
  // Blocks that are coming back are for those that run already.
  if (num_preempting_ > 0) return;
  // Looking further than this past sequences that wait for a prefix finds no more work for a step.
  const auto end = static_cast<std::size_t>(config_.max_num_seqs);
  for (std::size_t i = 0; i < std::min(waiting_.size(), end);) {
    if (starved_ != kNobody || step.num_tokens() >= config_.max_num_batched_tokens ||
        static_cast<std::int64_t>(running_.size()) >= config_.max_num_seqs)
      return;
    Sequence& sequence = *waiting_[i];
    const std::size_t num_hits = find_hits(sequence);
    if (shares_prefix_in_progress(sequence, num_hits)) {
      ++i;
      continue;
    }
    if (!admit(sequence, num_hits)) return;
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    insert_by_arrival(running_, &sequence);
    advance(step, sequence);
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

/// Puts the cached blocks that the sequence may start with into hits_; returns how many.
std::size_t Scheduler::find_hits(Sequence& sequence) {
  hits_.clear();
  if (!config_.prefix_cache) return 0;
  // The last token is computed whatever is cached, as its logits are needed; so are prompt tokens
  // whose logprobs are asked for.
  std::int64_t usable = sequence.num_known() - 1;
  if (wants_prompt_logprobs(sequence.sampling) &&
      sequence.num_prompt_rows < sequence.num_prompt - 1)
    usable = std::min(usable, sequence.num_prompt_rows);
  const auto max_hits = static_cast<std::size_t>(usable / config_.block_size);
  extend_hashes(sequence,
                static_cast<std::size_t>((sequence.num_known() - 1) / config_.block_size));
  while (hits_.size() < max_hits) {
    const std::optional<BlockId> id = cache_.find(sequence.hashes[hits_.size()]);
    if (!id) break;
    hits_.push_back(*id);
  }
  return hits_.size();
}

/// Whether a running sequence is about to compute blocks that this one could then share: many
/// requests with one long system prompt arrive at once.
bool Scheduler::shares_prefix_in_progress(Sequence& sequence, std::size_t num_hits) {
  if (!config_.prefix_cache || wants_prompt_logprobs(sequence.sampling)) return false;
  for (const Sequence* other : running_) {
    const auto known = static_cast<std::size_t>(other->num_cached_blocks);
    if (known > num_hits) continue;  // has computed it, and it was evicted since
    std::size_t end = num_hits;
    while (end < sequence.hashes.size() && end < other->hashes.size() &&
           sequence.hashes[end] == other->hashes[end])
      ++end;
    if (static_cast<std::int64_t>(end - num_hits) * config_.block_size >= kSharedTokensWorthWaiting)
      return true;
  }
  return false;
}

/// Takes the hits, if all the known tokens will fit beside what the running sequences still need.
bool Scheduler::admit(Sequence& sequence, std::size_t num_hits) {
  std::int64_t needed = num_blocks_for(sequence.num_known()) - static_cast<std::int64_t>(num_hits);
  for (const BlockId id : hits_) needed += blocks_.num_refs(id) == 0 ? 1 : 0;
  // One block more for each that runs, lest it be preempted in the next steps.
  std::int64_t promised = 0;
  for (const Sequence* other : running_)
    promised +=
        num_blocks_for(other->length()) + 1 - static_cast<std::int64_t>(other->blocks.size());
  const bool is_alone = running_.empty() && num_releasing_ == 0;
  if (!is_alone && needed + promised > blocks_.num_free()) return false;

  sequence.reserve(config_.block_size);
  for (const BlockId id : hits_) sequence.blocks.push_back(blocks_.share(id));
  sequence.num_cached_blocks = static_cast<std::int64_t>(num_hits);
  sequence.num_scheduled = sequence.num_computed = sequence.num_cached_blocks * config_.block_size;
  sequence.state = SequenceState::running;
  if (!sequence.was_admitted) {
    sequence.was_admitted = true;
    sequence.num_cached_tokens = sequence.num_computed;
    totals_.num_prompt_tokens += static_cast<std::uint64_t>(sequence.num_prompt);
    totals_.num_cached_prompt_tokens += static_cast<std::uint64_t>(sequence.num_computed);
  }
  return true;
}

/// Gives the sequence as many tokens of the step as budget, rows and blocks allow.
void Scheduler::advance(StepInput& step, Sequence& sequence) {
  if (!sequence.is_ready()) return;
  std::int64_t count =
      std::min(sequence.num_to_schedule(), config_.max_num_batched_tokens - step.num_tokens());
  count = fit_rows(step, sequence, count);
  if (count <= 0) return;
  count = grow(sequence, sequence.num_scheduled + count) - sequence.num_scheduled;
  if (count > 0) append_tokens(step, sequence, count);
}

/// At most `count`, such that the rows of logits these tokens need are left in the step.
std::int64_t Scheduler::fit_rows(const StepInput& step,
                                 const Sequence& sequence,
                                 std::int64_t count) const {
  const std::int64_t rows_left = config_.max_logits_rows -
                                 static_cast<std::int64_t>(step.sampling.size()) -
                                 static_cast<std::int64_t>(step.targets.size());
  const std::int64_t start = sequence.num_scheduled;
  // Positions whose successor in the prompt is scored: [first, last).
  const std::int64_t last = wants_prompt_logprobs(sequence.sampling) ? sequence.num_prompt - 1 : 0;
  const std::int64_t first = std::max(start, sequence.num_prompt_rows);
  const auto num_targets = [&](std::int64_t tokens) {
    return std::max<std::int64_t>(0, std::min(start + tokens, last) - first);
  };
  if (count == sequence.num_to_schedule() && num_targets(count) + 1 > rows_left) --count;
  if (num_targets(count) > rows_left) count = first - start + rows_left;
  return count;
}

/// Blocks for the first `wanted` positions, or as many as can be had; returns that number. Takes
/// blocks from later arrivals if the sequence could not go on at all without.
std::int64_t Scheduler::grow(Sequence& sequence, std::int64_t wanted) {
  const auto capacity = [&] {
    return static_cast<std::int64_t>(sequence.blocks.size()) * config_.block_size;
  };
  while (capacity() < wanted && sequence.id < starved_) {
    if (std::optional<BlockRef> block = blocks_.allocate()) {
      sequence.blocks.push_back(*std::move(block));
      continue;
    }
    if (capacity() > sequence.num_scheduled) break;
    if (num_releasing_ > 0 || !preempt_later_than(sequence)) starved_ = sequence.id;
  }
  return std::min(capacity(), wanted);
}

/// Takes the blocks of the latest arrival, if that is later than `sequence`: now, or when the steps
/// that use them have returned.
bool Scheduler::preempt_later_than(const Sequence& sequence) {
  Sequence& victim = *running_.back();
  if (victim.id <= sequence.id) return false;
  running_.pop_back();
  victim.state = SequenceState::preempting;
  ++num_preempting_;
  ++totals_.num_preemptions;
  mark_releasing(victim);
  settle(victim);
  return true;
}

void Scheduler::append_tokens(StepInput& step, Sequence& sequence, std::int64_t count) {
  const std::int64_t start = sequence.num_scheduled;
  const std::int64_t end = start + count;
  const std::size_t first_index = step.tokens.size();
  StepEntry entry{.sequence = &sequence, .start = start, .num_tokens = count};
  for (std::int64_t position = start; position < end; ++position) {
    if (position < sequence.num_known()) {
      step.tokens.push_back(sequence.tokens[static_cast<std::size_t>(position)]);
    } else {
      // Only the last token can be pending here: those before it were scheduled with their steps.
      step.token_sources.push_back({.token_index = to_i32(step.tokens.size()),
                                    .step_id = sequence.source_step,
                                    .sample_row = sequence.source_row});
      step.tokens.push_back(0);
    }
    const BlockId block =
        sequence.blocks[static_cast<std::size_t>(position / config_.block_size)].id();
    step.positions.push_back(to_i32(position));
    step.slots.push_back(to_i32(block * config_.block_size + position % config_.block_size));
  }
  step.query_starts.push_back(step.num_tokens());
  step.context_lens.push_back(to_i32(end));
  step.max_blocks = std::max(step.max_blocks, to_i32(sequence.blocks.size()));

  if (wants_prompt_logprobs(sequence.sampling)) {
    entry.first_target = to_i32(step.targets.size());
    const std::int64_t last = std::min(end, sequence.num_prompt - 1);
    for (; sequence.num_prompt_rows < last; ++sequence.num_prompt_rows) {
      const std::int64_t position = sequence.num_prompt_rows;
      target_rows_.push_back(to_i32(first_index) + to_i32(position - start));
      step.targets.push_back(sequence.tokens[static_cast<std::size_t>(position) + 1]);
    }
    entry.num_targets = to_i32(step.targets.size()) - entry.first_target;
    if (entry.num_targets > 0)
      step.max_logprobs = std::max(step.max_logprobs, sequence.sampling.num_prompt_logprobs);
  }
  if (end == sequence.length()) append_sample(step, sequence, entry);

  sequence.num_scheduled = end;
  ++sequence.num_outstanding;
  step_->entries.push_back(entry);
}

void Scheduler::append_sample(StepInput& step, Sequence& sequence, StepEntry& entry) {
  ops::SamplingRow row = sequence.row;
  row.draw_index = static_cast<std::uint64_t>(sequence.length());
  row.bias_begin = to_i32(step.biases.size());
  for (const auto& [token, bias] : sequence.sampling.logit_bias)
    step.biases.push_back({.token = token, .bias = bias});
  if (sequence.num_output() < sequence.sampling.min_tokens)
    for (const std::int32_t token : sequence.stop_ids)
      step.biases.push_back({.token = token, .bias = -std::numeric_limits<float>::infinity()});
  row.bias_end = to_i32(step.biases.size());
  row.count_begin = to_i32(step.counts.size());
  // One at a time: insert() would grow to just what is needed, anew for every token.
  for (const ops::TokenCount& count : sequence.counts) step.counts.push_back(count);
  row.count_end = to_i32(step.counts.size());
  step.max_logprobs = std::max(step.max_logprobs, row.num_logprobs);

  entry.sample_row = to_i32(step.sampling.size());
  step.sampling.push_back(row);
  step.logits_rows.push_back(step.num_tokens() - 1);
  ++sequence.num_pending;
  sequence.source_step = step.step_id;
  sequence.source_row = entry.sample_row;
}

std::int64_t Scheduler::num_blocks_for(std::int64_t num_positions) const {
  return (num_positions + config_.block_size - 1) / config_.block_size;
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
  const auto num_rows = static_cast<std::size_t>(step.num_samples + step.num_targets);
  const std::size_t num_top = num_rows * static_cast<std::size_t>(step.max_logprobs);
  if (output.step_id == step.step_id &&
      output.tokens.size() >= static_cast<std::size_t>(step.num_samples) &&
      (output.logprobs.size() >= num_rows || (step.num_targets == 0 && step.max_logprobs <= 0)) &&
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
    const auto row = static_cast<std::size_t>(step.num_samples + entry.first_target + i);
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
            ? fmt::format("the model's logits for position {} are not numbers (NaN); its "
                          "activations may overflow the dtype",
                          sequence.num_known())
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
  FASTCHAT_ASSERT(std::is_sorted(running_.begin(), running_.end(), kEarlier),
                  "running_ by arrival");
  FASTCHAT_ASSERT(std::is_sorted(waiting_.begin(), waiting_.end(), kEarlier),
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
