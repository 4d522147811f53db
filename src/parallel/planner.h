// The planner: decides a Placement by counting bytes, and says in numbers what fits and what does
// not.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/choose_text.h"
#include "base/result.h"
#include "parallel/placement.h"
#include "parallel/speed.h"

namespace fastchat::parallel {

/// What a model weighs, in bytes as packed on the devices. Made by model::model_sizes().
struct ModelSizes {
  std::vector<std::uint64_t> layer_weight_bytes;        // per layer
  std::vector<std::uint64_t> layer_kv_bytes_per_block;  // per layer: one block of keys and values
  std::int64_t kv_block_size = 16;                      // positions per block
  std::int64_t spare_kv_blocks = 0;   // beside those of sequences: what padded steps read and write
  std::uint64_t embedding_bytes = 0;  // on the first stage
  std::uint64_t head_bytes = 0;       // on the last stage: output projection and final norm
  bool tied_embedding = false;  // head and embedding are one tensor in the checkpoint; both are
                                // counted where they are
  std::int64_t vocab_size = 0;
  /// Activations of one stage: bytes per token of the step budget, per row of logits, and per
  /// sequence, plus a fixed part.
  std::uint64_t activation_bytes_per_token = 0;
  std::uint64_t logits_bytes_per_row = 0;     // last stage only
  std::uint64_t step_bytes_per_sequence = 0;  // block table and metadata, without the table's width
  std::uint64_t fixed_bytes = 0;              // scratch of operations, staging
  /// Hidden states: what goes from stage to stage, and is summed over a group twice a layer.
  std::uint64_t hidden_bytes_per_token = 0;
  /// Work, for estimates of speed. A multiply-add is two.
  double layer_flops_per_token = 0.0;  // of one layer's linears
  double layer_flops_per_position =
      0.0;  // of one layer's attention, per token and position it sees
  double head_flops_per_row = 0.0;
};

struct DeviceBudget {
  std::string name;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;  // now, before loading
  std::optional<std::uint64_t>
      limit_bytes;         // --max-gpu-memory of this device: most that this process may hold there
  bool described = false;  // the memory above is a description, not what this machine has
  DeviceSpeed speed;
};

/// How devices work together. With one device they are all the same, called layer.
enum class ParallelMode : std::uint8_t {
  automatic,  // the planner picks by its estimate of the workload's time
  layer,      // contiguous layers per device, one batch walks the devices
  pipeline,   // the same with as many batches in flight as stages; a stage may be a tensor group
  tensor,     // one stage: every layer's tensors split over all devices
};

/// "auto", "layer", "pipeline", "tensor": the words of --parallel.
std::string_view to_string(ParallelMode mode);

/// --parallel, --pipeline-parallel-size, --tensor-parallel-size.
struct ParallelRequest {
  ParallelMode mode = ParallelMode::layer;
  int pipeline_size = 0;  // stages; 0 = whatever the mode and the other size leave
  int tensor_size = 0;    // devices of a stage
};

/// The sizes of a rank that has `share` of every tensor, with the buffers of `steps_in_flight`
/// steps.
using SizesOfShare = std::function<ModelSizes(const TensorShare& share, int steps_in_flight)>;

struct PlanRequest {
  ModelSizes sizes;             // of a device that has its layers' whole tensors
  TensorAxes axes;              // for tensor groups; with sizes_of_share
  SizesOfShare sizes_of_share;  // empty: `sizes` for every mode, and no tensor groups
  bool has_collectives = true;  // else no tensor groups: the devices cannot meet
  ParallelRequest parallel;
  Workload workload;
  std::vector<DeviceBudget> devices;  // in rank order
  int num_copies = 1;                 // whole copies of the model, of which this request is for one
  int first_device = 0;               // position of `devices` among the devices of all copies
  std::int64_t max_model_len = 0;     // positions that one sequence must be able to reach
  std::optional<std::uint64_t>
      kv_cache_bytes;  // --kv-cache-bytes: over all devices together; nullopt = what is left
  std::int64_t max_num_batched_tokens = 2048;
  std::int64_t max_num_seqs = 64;
  std::int64_t max_logits_rows = 64;
  int steps_in_flight =
      1;  // each has a block table of its own; pipelines have one more than stages
  double memory_utilization =
      0.9;  // share of a device's free memory that may be used where no limit is given
  bool shared_memory =
      false;  // the devices divide one memory (cpu): more of them bring no more of it
};

/// One device's share of a plan, in bytes.
struct DevicePlan {
  int device = 0;
  int stage = 0;       // with num_layers > 0
  int group_rank = 0;  // among the devices of the stage
  int first_layer = 0;
  int num_layers = 0;
  bool has_embedding = false;
  bool has_head = false;
  std::uint64_t budget_bytes = 0;
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_bytes = 0;  // of num_kv_blocks
  std::uint64_t workspace_bytes = 0;
  std::uint64_t kv_bytes_per_token = 0;
  std::int64_t max_kv_tokens = 0;  // what this device alone could hold
  std::uint64_t unused_bytes = 0;
};

/// A way to use the devices that was considered.
struct ModeEstimate {
  ParallelMode mode = ParallelMode::layer;
  int pipeline_size = 1;
  int tensor_size = 1;
  bool fits = false;
  double estimated_s = 0.0;  // see SpeedBound; where it fits
};

struct Plan {
  ParallelMode mode = ParallelMode::layer;
  int tensor_size = 1;        // devices of every stage
  int num_micro_batches = 1;  // steps that decoding sequences are dealt out to
  int steps_in_flight = 1;
  SpeedBound speed;
  std::vector<ModeEstimate> considered;  // by --parallel auto, the chosen one among them
  Placement placement;
  std::vector<DevicePlan>
      devices;  // one per device of the request; a device left out has num_layers 0
  std::int64_t num_kv_blocks = 0;  // the same on every device: the least over devices
  std::int64_t kv_block_size = 0;
  std::int64_t num_kv_tokens = 0;  // num_kv_blocks * kv_block_size
  /// What keeps it from more: "memory", "kv_cache_bytes", "max_num_seqs" (more could not be used by
  /// that many full-length sequences) or "slot_range" (slots are 32-bit).
  std::string_view kv_bound;
  std::int64_t max_model_len = 0;
  std::int64_t max_num_batched_tokens = 0;
  std::int64_t max_num_seqs = 0;
  std::int64_t max_logits_rows = 0;
};

/// What some split would give, fitting or not. Layer mode.
struct SplitCheck {
  std::vector<DevicePlan>
      devices;  // one per device; max_kv_tokens -1 where weights and workspace alone overflow it
  std::int64_t num_kv_tokens = 0;  // -1: the weights do not fit
  int first_full_device = -1;  // the device that holds the fewest KV tokens, or that overflows most
  bool holds_promise = false;  // one sequence of max_model_len fits
};

enum class RefusalReason {
  bad_request,     // sizes or bounds make no sense
  weights,         // weights and workspace alone do not fit
  context,         // they do, but not with one sequence of max_model_len
  kv_cache_bytes,  // --kv-cache-bytes is less than that sequence needs
};

/// Why a request has no plan, and the smallest changes that would give it one. Bytes are budgets:
/// what a limit must allow. Of a copy of the model, the changes are such as give every copy one.
struct Refusal {
  RefusalReason reason = RefusalReason::bad_request;
  TwoTexts bad_request;             // with RefusalReason::bad_request
  std::vector<DevicePlan> nearest;  // the split least short of memory; with the KV of the promised
                                    // context, but for RefusalReason::weights
  std::int64_t largest_model_len = 0;  // what would fit as things are; 0 = nothing would
  int raise_device =
      -1;  // raising only this device takes the fewest bytes; -1 = no single one is enough
  std::uint64_t raise_to_bytes = 0;      // the budget it would need
  std::uint64_t every_device_bytes = 0;  // the budget that would do if every device had it
  std::int64_t num_devices_needed =
      0;  // as many devices like the largest would do, for each copy; 0 = no number would
  std::uint64_t largest_budget_bytes = 0;  // the size of those
  std::uint64_t kv_bytes_needed = 0;       // KV of one sequence of max_model_len, over all devices
  int fewer_copies = 0;  // the most copies, fewer than asked for, that would fit; 0 = none would
};

/// --parallel auto: a way that is estimated faster by less than this factor is no reason to leave a
/// simpler one.
inline constexpr double kNearTie = 1.02;

/// Most bytes that this process may hold on a device: the limit where one is given, but never more
/// than is free, else free_bytes * memory_utilization.
std::uint64_t budget_bytes(const PlanRequest& request, const DeviceBudget& device);

/// Bytes of activations, logits and step metadata that a stage's arena takes; what the planner
/// counts is what the engine allocates.
std::uint64_t workspace_bytes(const ModelSizes& sizes, const PlanRequest& request, bool has_head);

/// Layer mode: the split of contiguous layers that maximises the KV tokens of the device that runs
/// out first; among equals the one whose fullest device is emptiest. Uses at most as many devices
/// as layers. Pipeline mode: among the splits that hold the promised context the one whose slowest
/// stage is fastest for the workload. Tensor groups are consecutive devices; their tensors are
/// split in proportion to memory, to speed, or between, whichever is fastest of those that hold the
/// promise. Automatic: the way that is estimated fastest for the workload. Errors
/// (invalid_request): weights or the promised context do not fit; the message says per device what
/// is needed, what is there, and the smallest change that would do (a shorter --max-model-len, a
/// larger limit, more devices).
Result<Plan> make_plan(const PlanRequest& request);

/// The largest max_model_len, up to the request's own (0 = any), that make_plan would accept; 0 if
/// none.
std::int64_t largest_model_len(const PlanRequest& request);
/// Layers dealt out evenly, the first devices one more: what counting layers instead of bytes would
/// give.
SplitCheck even_split(const PlanRequest& request);
/// The split that the accelerate library's balanced device map (FastChat's way to several devices)
/// gives: weights only, each device filled up to the average plus 1.25 of its largest part, the
/// first one short of room for the largest layer, the last one taking the rest; a tied head lies
/// with the embedding. Source: accelerate 1.x, get_balanced_memory and infer_auto_device_map.
SplitCheck balanced_device_map(const PlanRequest& request);
/// Why make_plan refuses `request`; call only when it does.
Refusal explain_refusal(const PlanRequest& request);

/// The plan as a table for people.
std::string to_text(const Plan& plan, const PlanRequest& request, ChooseText choose = in_english);
/// The plan as JSON; schema in docs/plan-json.md.
nlohmann::json to_json(const Plan& plan, const PlanRequest& request);

/// The refusal for people: a first line that stands alone, then a line per device, then what would
/// make it fit.
std::string to_text(const Refusal& refusal,
                    const PlanRequest& request,
                    ChooseText choose = in_english);
/// The refusal as JSON ("fits": false); schema in docs/plan-json.md.
nlohmann::json to_json(const Refusal& refusal, const PlanRequest& request);

}  // namespace fastchat::parallel
