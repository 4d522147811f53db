// The engine: takes requests from any thread, batches them step by step on one engine thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/request.h"
#include "engine/step.h"

namespace fastchat::engine {

/// Bounds and policies of the scheduler.
struct SchedulerConfig {
  std::int64_t num_blocks = 0;
  std::int64_t block_size = 16;
  std::int64_t max_model_len = 0;              // positions of one sequence, prompt and answer
  std::int64_t max_num_batched_tokens = 2048;  // token budget of a step
  std::int64_t max_num_seqs = 64;              // sequences running at once
  std::int64_t max_logits_rows = 64;
  /// Stages that compute at once (pipeline mode): the sequences that decode are dealt out to as
  /// many steps, so that one need not leave the last stage before the next enters the first. 1:
  /// every step takes them all.
  int num_micro_batches = 1;
  std::int64_t max_waiting = 1024;  // requests queued before submit() answers `overloaded`
  bool prefix_cache = true;
  std::uint64_t first_step_id = 1;  // what the executor wants the first step to have
  std::int64_t vocab_size = 0;
  std::vector<std::int32_t> eos_token_ids;
};

/// Numbers for status lines and metrics. Any thread.
struct EngineStats {
  std::int64_t num_running = 0;
  std::int64_t num_waiting = 0;
  std::int64_t num_free_blocks = 0;  // free or only held by the prefix cache
  std::int64_t num_blocks = 0;
  std::uint64_t num_steps = 0;
  std::uint64_t num_prompt_tokens = 0;
  std::uint64_t num_cached_prompt_tokens = 0;
  std::uint64_t num_generated_tokens = 0;
  std::uint64_t num_preemptions = 0;
};

/// Where requests go: one engine, or several behind one front. Any thread.
class RequestQueue {
 public:
  virtual ~RequestQueue() = default;
  /// Queues a request. Errors: invalid_request (empty prompt, token outside the vocabulary,
  /// parameter out of range: which, expected, found), context_too_long (the prompt, or prompt and
  /// max_tokens, exceed config().max_model_len), overloaded, shutting_down, device_failed.
  virtual Result<RequestId> submit(Request request) = 0;
  /// Ends a request; its blocks are free after the outstanding steps. Unknown or finished ids are
  /// ignored.
  virtual void cancel(RequestId id) = 0;
  virtual EngineStats stats() const = 0;
  /// Of an engine: as given, but for max_num_seqs, lowered to what a step can hold, and
  /// max_model_len, to what the blocks can.
  virtual const SchedulerConfig& config() const = 0;
};

class Engine final : public RequestQueue {
 public:
  /// Starts the engine thread. `executor` outlives the engine.
  Engine(const SchedulerConfig& config, StepExecutor& executor);
  /// Cancels what runs, waits for outstanding steps, joins the thread. Every listener gets its last
  /// call.
  ~Engine() override;

  Result<RequestId> submit(Request request) override;
  void cancel(RequestId id) override;
  EngineStats stats() const override;
  const SchedulerConfig& config() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastchat::engine
