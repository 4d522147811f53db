// Decides what each step computes, and what its results mean. Pure: no threads, no clock, no
// device.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/block_allocator.h"
#include "engine/engine.h"
#include "engine/prefix_cache.h"
#include "engine/sequence.h"
#include "engine/step.h"

namespace fastchat::engine {

/// Plan → commit: schedule() assumes that every sequence goes on, so several steps can be in
/// flight; apply() brings a step's results, in the order of steps, and discards what a sequence
/// that ended meanwhile had in later ones. docs/engine.md is the contract. Engine thread only,
/// except check().
class Scheduler {
 public:
  /// Throws Failure naming the bound that makes no sense. In config(), max_num_seqs is lowered to
  /// what one step can hold, so that every running sequence can decode in every step, and
  /// max_model_len to what the blocks hold.
  Scheduler(const SchedulerConfig& config, int max_outstanding);
  ~Scheduler();

  /// What Engine::submit answers. Any thread.
  Result<void> check(const Request& request) const;
  /// Queues a request that passed check(). Ids rise.
  void add(RequestId id, Request request);
  /// Its listener gets its last call here. Unknown ids are ignored.
  void cancel(RequestId id);
  void cancel_all();
  /// Every sequence ends with this error, and outstanding steps are forgotten: they will not
  /// return.
  void abandon(const std::string& error);

  /// Fills `step`, whatever it held, with the next step; false if there is nothing to run now.
  /// Fewer than max_outstanding steps are outstanding.
  bool schedule(StepInput& step);
  /// The oldest outstanding step has returned. Calls listeners.
  void apply(const StepOutput& output);

  int num_outstanding() const { return num_outstanding_; }
  int max_outstanding() const { return static_cast<int>(steps_.size()); }
  /// Whether any sequence waits, runs, or has steps outstanding.
  bool has_work() const { return !sequences_.empty() || num_outstanding_ > 0; }
  EngineStats stats() const;
  const SchedulerConfig& config() const { return config_; }

  /// Asserts what must hold between calls: counts agree, references add up. Slow; for tests.
  void check_invariants() const;

 private:
  /// What a sequence has in a step.
  struct StepEntry {
    Sequence* sequence = nullptr;
    std::int64_t start = 0;  // first position
    std::int64_t num_tokens = 0;
    std::int32_t sample_row = -1;  // row of the output; -1: samples nothing
    std::int32_t first_target = 0;
    std::int32_t num_targets = 0;
  };
  struct Step {
    std::uint64_t step_id = 0;
    std::size_t num_samples = 0;
    std::size_t num_targets = 0;
    std::int32_t max_logprobs = 0;
    bool has_logprobs = false;  // any row's logprob is asked for
    std::vector<StepEntry> entries;
  };

  std::int64_t max_length(const Request& request) const;
  std::int64_t num_blocks_for(std::int64_t num_positions) const;

  // Scheduling.
  void begin_step(StepInput& step);
  void find_decoding(std::uint64_t step_id);
  void advance_decoding(StepInput& step, std::size_t begin, std::size_t end);
  void admit_waiting(StepInput& step);
  bool shares_prefix_in_progress(Sequence& sequence, std::size_t num_hits);
  bool admit(Sequence& sequence, std::size_t num_hits);
  void advance(StepInput& step, Sequence& sequence);
  std::int64_t fit_rows(const StepInput& step, const Sequence& sequence, std::int64_t count) const;
  std::int64_t grow(Sequence& sequence, std::int64_t wanted);
  bool preempt_later_than(const Sequence& sequence);
  void append_tokens(StepInput& step, Sequence& sequence, std::int64_t count);
  void append_sample(StepInput& step, Sequence& sequence, StepEntry& entry);
  void finish_step(StepInput& step);

  // Results.
  std::string find_defect(const Step& step, const StepOutput& output) const;
  void take_results(Sequence& sequence,
                    const StepEntry& entry,
                    const Step& step,
                    const StepOutput& output);
  void take_token(Sequence& sequence, std::int32_t row, const Step& step, const StepOutput& output);
  void cache_blocks(Sequence& sequence);
  bool deliver(Sequence& sequence, SequenceOutput& output);
  void end(Sequence& sequence, FinishReason reason, std::string error);

  // Leaving.
  void retire(Sequence& sequence);
  void settle(Sequence& sequence);
  void release_blocks(Sequence& sequence);
  void mark_releasing(Sequence& sequence);

  void extend_hashes(Sequence& sequence, std::size_t count);
  std::size_t find_hits(Sequence& sequence);

  SchedulerConfig config_;
  bool is_bound_by_blocks_ = false;  // max_model_len is what the blocks hold
  BlockAllocator blocks_;
  PrefixCache cache_;
  std::uint64_t next_seed_ = 0;

  std::unordered_map<RequestId, std::unique_ptr<Sequence>> sequences_;
  std::deque<Sequence*> waiting_;   // by arrival, so preempted ones first
  std::vector<Sequence*> running_;  // by arrival
  std::int64_t num_releasing_ = 0;  // sequences whose blocks come back when their steps return
  std::int64_t num_preempting_ = 0;

  std::vector<Step> steps_;  // ring of the outstanding ones
  std::size_t first_step_ = 0;
  int num_outstanding_ = 0;
  std::uint64_t last_step_id_ = 0;

  // Of the step being scheduled.
  Step* step_ = nullptr;
  RequestId starved_ = 0;                  // this arrival lacks a block: later ones take none
  std::vector<std::int32_t> target_rows_;  // token indices of the targets
  std::vector<Sequence*> decoding_;        // see find_decoding
  std::size_t num_eligible_ = 0;

  std::vector<BlockId> hits_;
  TokenLogprob logprob_;  // of the token being delivered
  EngineStats totals_;
};

}  // namespace fastchat::engine
