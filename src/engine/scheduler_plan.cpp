// The planning half of the Scheduler: which tokens of which sequences the next step computes.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "engine/sampling_params.h"
#include "engine/scheduler.h"

namespace fastchat::engine {
namespace {

constexpr RequestId kNobody = std::numeric_limits<RequestId>::max();

// A sequence waits for another one to compute their common prefix when it is at least this long:
// below, waiting a step or two costs more than computing it again.
constexpr std::int64_t kSharedTokensWorthWaiting = 64;

template <typename T>
std::int32_t to_i32(T value) {
  return static_cast<std::int32_t>(value);
}

}  // namespace

bool Scheduler::schedule(StepInput& step) {
  FASTCHAT_ASSERT(
      num_outstanding_ < max_outstanding(), "{} steps are outstanding", num_outstanding_);
  begin_step(step);
  // Whoever decodes goes first, so that answers flow while prompts are read; then prompts by
  // arrival. Preemption takes sequences off the end of running_ only.
  find_decoding(step.step_id);
  advance_decoding(step, 0, num_eligible_);
  for (std::size_t i = 0; i < running_.size(); ++i)
    if (running_[i]->num_to_schedule() > 1) advance(step, *running_[i]);
  admit_waiting(step);
  // Better late than idle: those whose token the pipeline still holds.
  if (step.tokens.empty()) advance_decoding(step, num_eligible_, decoding_.size());
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
  step.block_table.reserve(max_seqs *
                           static_cast<std::size_t>(num_blocks_for(config_.max_model_len)));
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
  step_->has_logprobs = false;
  target_rows_.clear();
  starved_ = kNobody;
}

/// Puts the sequences that decode into decoding_: first those that this step may take without
/// waiting for an earlier one to leave the pipeline, longest ago first; num_eligible_ of them.
void Scheduler::find_decoding(std::uint64_t step_id) {
  decoding_.clear();
  for (Sequence* sequence : running_)
    if (sequence->num_to_schedule() == 1) decoding_.push_back(sequence);
  num_eligible_ = decoding_.size();
  if (config_.num_micro_batches <= 1) return;
  // A token sampled by step s is there when step s + num_micro_batches enters the first stage.
  const auto distance = static_cast<std::uint64_t>(config_.num_micro_batches);
  std::sort(decoding_.begin(), decoding_.end(), [](const Sequence* a, const Sequence* b) {
    return std::pair(a->num_pending > 0 ? a->source_step : 0, a->id) <
           std::pair(b->num_pending > 0 ? b->source_step : 0, b->id);
  });
  const auto late = std::find_if(decoding_.begin(), decoding_.end(), [&](const Sequence* sequence) {
    return sequence->num_pending > 0 && sequence->source_step + distance > step_id;
  });
  num_eligible_ = static_cast<std::size_t>(late - decoding_.begin());
}

/// One micro-batch's part of all that decode, from decoding_[begin, end).
void Scheduler::advance_decoding(StepInput& step, std::size_t begin, std::size_t end) {
  const auto num_batches = static_cast<std::size_t>(config_.num_micro_batches);
  std::size_t wanted = (decoding_.size() + num_batches - 1) / num_batches;
  for (std::size_t i = begin; i < end && wanted > 0; ++i) {
    if (decoding_[i]->state != SequenceState::running) continue;  // preempted by one before it
    const std::int32_t before = step.num_tokens();
    advance(step, *decoding_[i]);
    if (step.num_tokens() > before) --wanted;
  }
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
  step_->num_samples = step.sampling.size();
  step_->num_targets = step.targets.size();
  step_->max_logprobs = step.max_logprobs;
  step_->has_logprobs |= !step.targets.empty();
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
  step_->has_logprobs |= wants_logprobs(sequence.sampling);

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

}  // namespace fastchat::engine
