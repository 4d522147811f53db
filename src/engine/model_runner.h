// Runs steps on the ranks of a placed model: a thread per rank enqueues its part of its stage's
// work; hidden states and sampled tokens pass between stages through the device seam, the devices
// of one stage meet in its communicator.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/step.h"
#include "model/decoder_stage.h"
#include "ops/ops.h"
#include "parallel/planner.h"

namespace fastchat::engine {

struct ModelRunnerOptions {
  int max_outstanding = 2;  // steps in flight; each has its own staging and output memory. A
                            // pipeline needs one more than it has stages
  /// Steps that only decode are recorded, where the devices can, and run again at the cost of one
  /// call.
  bool graphs = false;
  /// The devices leave waiting for one another to the host (npu): then tokens that another device
  /// samples are taken from there too, which is sooner than by operations of the card.
  bool host_passes_tokens = false;
  /// Recorded steps that would read more bytes of KV per layer in vain take the lengths of their
  /// sequences along: some 15 us of the host per layer, what a card reads 22 MB in.
  /// None: never.
  std::optional<std::int64_t> most_bytes_in_vain = 22'000'000;
};

/// KV blocks that a runner of recorded steps keeps for itself, behind those of the scheduler.
inline constexpr std::int64_t kSpareKvBlocks = 2;

/// Adds what the runner allocates beside the stages (staging, hand-over and output memory) to the
/// planner's view of a model, so that what is counted is what is allocated.
void add_step_buffers(parallel::ModelSizes& sizes, const ModelRunnerOptions& options);

class ModelRunner : public StepExecutor {
 public:
  /// Loads every stage of `plan` on its device, all stages at once, and allocates KV caches and
  /// step memory. `devices` and `device_ops` are indexed as the plan's devices are; they and
  /// `config` outlive the runner. Throws Failure or OutOfMemory, whichever rank met it first.
  ModelRunner(const model::ModelConfig& config,
              const parallel::Plan& plan,
              device::DType dtype,
              const std::vector<ops::Ops*>& device_ops,
              model::WeightSource& weights,
              const model::LoadProgress& progress,
              const ModelRunnerOptions& options);
  ~ModelRunner() override;

  void submit(StepInput input) override;
  StepOutput wait() override;
  StepInput recycle(StepOutput output) override;
  int max_outstanding() const override;

  /// One pass over `tokens`, at most max_num_batched_tokens of them, before anything else is
  /// submitted: empty, or where numbers overflow, naming the layer. It takes a step id: see
  /// next_step_id(). Throws Failure where the pass itself fails.
  std::string dry_run(const std::vector<std::int32_t>& tokens);
  /// Before anything else is submitted, where steps are recorded: runs one such step and its
  /// record, and compares the results. What differs, or empty; then nothing is recorded from here
  /// on. Throws Failure where the steps themselves fail.
  std::string check_graphs();
  /// What the next step to be submitted must have.
  std::uint64_t next_step_id() const;

  /// Recorded steps may take the lengths of their sequences along; settled by check_graphs().
  bool takes_lengths() const;
  /// Parts of steps that were run by their record, over all ranks.
  std::uint64_t num_replays() const;

  /// Device memory held per rank, in the order of stages and of devices in a stage: weights, KV,
  /// arena and step memory together.
  std::vector<std::uint64_t> allocated_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastchat::engine
