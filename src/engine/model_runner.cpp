#include "engine/model_runner.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "base/bounded_queue.h"
#include "base/log.h"
#include "engine/kv_cache.h"
#include "engine/padded_step.h"
#include "engine/probe_steps.h"
#include "engine/rank_rendezvous.h"
#include "engine/recorded_steps.h"
#include "engine/step_gate.h"
#include "engine/step_layout.h"
#include "engine/step_sampling.h"
#include "engine/step_staging.h"

namespace fastchat::engine {
namespace {

using device::DType;
using ops::TensorView;

/// One step in flight, shared by all ranks. Overwritten by the step max_outstanding later.
struct StepSlot {
  StepInput input;

  void set_error(std::string message) {
    const std::lock_guard lock(mutex_);
    if (has_failed_) return;
    error_ = std::move(message);
    has_failed_.store(true, std::memory_order_release);
  }
  /// Empty: no rank has failed.
  std::string error() const {
    if (!has_failed_.load(std::memory_order_acquire)) return {};
    const std::lock_guard lock(mutex_);
    return error_;
  }
  /// Where no rank has the step.
  void clear_error() { has_failed_.store(false, std::memory_order_relaxed); }

 private:
  // Steps that do not fail take no lock.
  std::atomic<bool> has_failed_{false};
  mutable std::mutex mutex_;
  std::string error_;  // the first failure of any rank
};

/// What a rank does with a step: its work, or the forward pass once more, looking at every layer.
enum class Pass : std::uint8_t { work, find_overflow };

struct Command {
  enum class Kind : std::uint8_t { step, find_overflow, recover } kind = Kind::step;
  std::size_t slot = 0;
};

/// What a rank keeps per step in flight.
struct RankStep {
  std::optional<StepStaging> input;
  ops::Buffer hidden_out;    // device; all but the last stage: [max_num_tokens, hidden_size]
  ops::Buffer outputs;       // device, OutputLayout; the sampler
  ops::Buffer host_outputs;  // host, OutputLayout; the sampler
  ops::Buffer sampled;       // device; first stage: tokens sampled by this step, copied from the
                             // sampler, unless that is this rank
  std::unique_ptr<device::Event> hidden_ready;  // hidden_out is written
  std::unique_ptr<device::Event> done;          // the sampler: outputs are on the host
};

std::size_t num_slots(const ModelRunnerOptions& options) {
  check(options.max_outstanding >= 1,
        "max_outstanding is {}, expected at least 1",
        options.max_outstanding);
  return static_cast<std::size_t>(options.max_outstanding);
}

}  // namespace

struct ModelRunner::Impl {
  /// One device of one stage.
  struct Rank {
    std::size_t stage_index = 0;
    std::size_t group_rank = 0;  // among the devices of the stage
    ops::Ops* ops = nullptr;
    std::unique_ptr<device::Stream> stream;
    std::unique_ptr<parallel::Communicator> communicator;  // of several devices of one stage
    std::unique_ptr<model::DecoderStage> stage;
    std::unique_ptr<KvCache> kv;
    std::unique_ptr<RecordedSteps> recorded;        // nullptr: nothing is
    std::optional<std::int64_t> most_read_in_vain;  // see PaddingLimits
    std::vector<RankStep> steps;
    ops::Buffer hidden_in;  // device; all but the first stage
    StepGate enqueued;      // this rank has enqueued its part of a step
    std::string overflow;   // see find_overflow_in()
    std::unique_ptr<BoundedQueue<Command>> commands;
    std::thread thread;
    std::uint64_t allocated_bytes = 0;
  };

  const model::ModelConfig& config;
  parallel::Plan plan;
  device::DType dtype;
  ModelRunnerOptions options;
  StepShape limits;
  std::vector<Rank> ranks;               // stage by stage
  std::vector<std::size_t> first_ranks;  // of each stage
  std::vector<StepSlot> slots;
  std::uint64_t num_submitted = 0;
  std::uint64_t num_taken = 0;
  bool needs_recovery = false;

  RankRendezvous rendezvous;

  Impl(const model::ModelConfig& model_config,
       const parallel::Plan& model_plan,
       device::DType model_dtype,
       const ModelRunnerOptions& runner_options)
      : config(model_config),
        plan(model_plan),
        dtype(model_dtype),
        options(runner_options),
        ranks(count_ranks(model_plan)),
        slots(num_slots(runner_options)),
        rendezvous(ranks.size()) {
    std::size_t r = 0;
    for (std::size_t stage = 0; stage < plan.placement.stages.size(); ++stage) {
      first_ranks.push_back(r);
      for (std::size_t i = 0; i < plan.placement.stages[stage].devices.size(); ++i, ++r) {
        ranks[r].stage_index = stage;
        ranks[r].group_rank = i;
      }
    }
    const auto max_seqs = static_cast<std::size_t>(plan.max_num_seqs);
    limits = {.num_tokens = static_cast<std::size_t>(plan.max_num_batched_tokens),
              .num_seqs = max_seqs,
              .block_table_entries = max_seqs * static_cast<std::size_t>(max_blocks()),
              .num_logits = static_cast<std::size_t>(plan.max_logits_rows),
              .num_targets = static_cast<std::size_t>(plan.max_logits_rows),
              .num_source_steps = slots.size()};
  }

  static std::size_t count_ranks(const parallel::Plan& plan) {
    std::size_t count = 0;
    for (const parallel::StagePlacement& stage : plan.placement.stages)
      count += stage.devices.size();
    return count;
  }

  std::int64_t max_blocks() const {
    return (plan.max_model_len + plan.kv_block_size - 1) / plan.kv_block_size;
  }
  PaddingLimits padding(std::size_t r) const {
    return {.max_num_seqs = plan.max_num_seqs,
            .max_blocks = max_blocks(),
            .kv_block_size = plan.kv_block_size,
            .first_spare_block = plan.num_kv_blocks,
            .most_read_in_vain = ranks[r].most_read_in_vain};
  }
  /// One stage on several devices: the sampler tells the others by their communicator.
  bool broadcasts_tokens() const { return first_ranks.size() == 1 && ranks.size() > 1; }
  bool in_first_stage(std::size_t r) const { return ranks[r].stage_index == 0; }
  bool in_last_stage(std::size_t r) const {
    return ranks[r].stage_index + 1 == plan.placement.stages.size();
  }
  /// The rank that has the logits.
  std::size_t sampler() const { return first_ranks.back(); }
  /// The rank of the stage before whose hidden states rank r takes: all of that stage have them.
  std::size_t sender_to(std::size_t r) const {
    const std::size_t stage = ranks[r].stage_index - 1;
    const std::size_t size = plan.placement.stages[stage].devices.size();
    return first_ranks[stage] + ranks[r].group_rank % size;
  }

  // ---- start and stop ----

  void start(const std::vector<ops::Ops*>& device_ops,
             model::WeightSource& weights,
             const model::LoadProgress& progress) {
    std::mutex progress_mutex;
    const model::LoadProgress locked_progress = [&](std::uint64_t bytes) {
      const std::lock_guard lock(progress_mutex);
      if (progress) progress(bytes);
    };
    if (prepare_ranks(device_ops, weights, locked_progress)) return;
    stop();
    std::rethrow_exception(rendezvous.failure());
  }

  /// False: the rendezvous has the failure. No rank's thread is left out of account: stop() ends
  /// those that there are.
  bool prepare_ranks(const std::vector<ops::Ops*>& device_ops,
                     model::WeightSource& weights,
                     const model::LoadProgress& progress) {
    if (!rendezvous.attempt([&] { start_threads(device_ops, weights, progress); })) return false;
    rendezvous.await_answers();  // every rank has a stream
    if (rendezvous.failure() || !rendezvous.attempt([&] { connect_groups(); })) return false;
    rendezvous.let_load();
    rendezvous.await_answers();
    return !rendezvous.failure();
  }

  void start_threads(const std::vector<ops::Ops*>& device_ops,
                     model::WeightSource& weights,
                     const model::LoadProgress& progress) {
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      const parallel::StagePlacement& placement = plan.placement.stages[ranks[r].stage_index];
      ranks[r].ops =
          device_ops.at(static_cast<std::size_t>(placement.devices[ranks[r].group_rank]));
      ranks[r].commands = std::make_unique<BoundedQueue<Command>>(slots.size() + 1);
      try {
        ranks[r].thread =
            std::thread([this, r, &weights, &progress] { run_rank(r, weights, progress); });
      } catch (const std::system_error& error) {
        fail("no thread for rank {}: {}; allow this process more threads (ulimit -u)",
             r,
             error.what());
      }
      rendezvous.add_thread();
    }
  }

  /// The life of a rank's thread, which alone touches its device.
  void run_rank(std::size_t r, model::WeightSource& weights, const model::LoadProgress& progress) {
    const bool is_open = rendezvous.attempt([&] {
      device::Device& device = ranks[r].ops->device();
      device.prepare_thread();
      ranks[r].stream = device.create_stream();
    });
    rendezvous.answer();
    if (rendezvous.await_load()) {
      const bool is_ready =
          is_open && rendezvous.attempt([&] { prepare_rank(r, weights, progress); });
      rendezvous.answer();
      if (is_ready) serve_rank(r);
    }
    release_rank(r);
  }

  void connect_groups() {
    for (std::size_t stage = 0; stage < first_ranks.size(); ++stage) {
      const std::size_t size = plan.placement.stages[stage].devices.size();
      if (size == 1) continue;
      std::vector<device::Stream*> streams;
      for (std::size_t i = 0; i < size; ++i)
        streams.push_back(ranks[first_ranks[stage] + i].stream.get());
      auto ends = parallel::create_communicators(streams);
      for (std::size_t i = 0; i < size; ++i)
        ranks[first_ranks[stage] + i].communicator = std::move(ends[i]);
    }
  }

  void stop() {
    rendezvous.stop();
    for (Rank& rank : ranks)
      if (rank.commands) rank.commands->close();
    for (Rank& rank : ranks)
      if (rank.thread.joinable()) rank.thread.join();
  }

  void prepare_rank(std::size_t r,
                    model::WeightSource& weights,
                    const model::LoadProgress& progress) {
    Rank& rank = ranks[r];
    device::Device& device = rank.ops->device();
    const std::uint64_t before = device.memory().allocated_bytes;
    const parallel::StagePlacement& placement = plan.placement.stages[rank.stage_index];
    device.reserve(planned_bytes(r), "weights, KV cache and workspace");
    if (rank.communicator) rank.communicator->connect();
    const model::StepLimits step_limits{.max_num_tokens = plan.max_num_batched_tokens,
                                        .max_num_seqs = plan.max_num_seqs,
                                        .max_logits_rows = plan.max_logits_rows};
    rank.stage = std::make_unique<model::DecoderStage>(config,
                                                       placement,
                                                       dtype,
                                                       step_limits,
                                                       plan.max_model_len,
                                                       *rank.ops,
                                                       *rank.stream,
                                                       weights,
                                                       progress,
                                                       rank.communicator.get());
    const bool records = options.graphs && device.has_graphs();
    rank.kv = std::make_unique<KvCache>(*rank.ops,
                                        *rank.stage,
                                        placement.num_layers,
                                        plan.num_kv_blocks + (records ? kSpareKvBlocks : 0));
    if (records) {
      rank.recorded = std::make_unique<RecordedSteps>();
      // Padded steps read what nobody has written, and count it zero times.
      rank.kv->clear(*rank.stream);
      if (device.graphs_take_lengths() && options.most_bytes_in_vain &&
          rank.recorded->make_updates(device))
        let_take_lengths(rank, *options.most_bytes_in_vain);
    }

    const std::size_t hidden_bytes = limits.num_tokens *
                                     static_cast<std::size_t>(config.hidden_size) *
                                     device::size_of(rank.ops->traits().residual_dtype(dtype));
    if (!in_first_stage(r))
      rank.hidden_in = device.allocate(hidden_bytes, "hand-over of hidden states");
    const OutputLayout outputs(limits.num_logits, kMaxLogprobs);
    rank.steps.resize(slots.size());
    for (RankStep& step : rank.steps) {
      step.input.emplace(device, limits, in_first_stage(r), in_last_stage(r));
      if (r == sampler()) {
        step.outputs = device.allocate(outputs.size_bytes, "step output");
        // A step may embed what one that failed before sampling left here: always ids of tokens.
        rank.stream->fill(step.outputs.data(), 0, outputs.size_bytes);
        step.host_outputs = device.allocate_host(outputs.size_bytes);
        step.done = device.create_event();
      }
      if (!in_last_stage(r)) {
        step.hidden_out = device.allocate(hidden_bytes, "hand-over of hidden states");
        step.hidden_ready = device.create_event();
      }
      if (in_first_stage(r) && r != sampler()) {
        step.sampled =
            device.allocate(align_up(limits.num_seqs * sizeof(std::int32_t)), "step input");
        rank.stream->fill(step.sampled.data(), 0, step.sampled.size_bytes());
      }
    }
    rank.allocated_bytes = device.memory().allocated_bytes - before;
  }

  /// What the plan counts for this rank and the device's allocations serve.
  std::uint64_t planned_bytes(std::size_t r) const {
    const Rank& rank = ranks[r];
    const std::vector<int>& devices = plan.placement.stages[rank.stage_index].devices;
    const parallel::DevicePlan& planned =
        plan.devices[static_cast<std::size_t>(devices[rank.group_rank])];
    const std::uint64_t collectives = devices.size() > 1 ? rank.ops->traits().collective_bytes : 0;
    const std::uint64_t bytes = planned.weight_bytes + planned.kv_bytes + planned.workspace_bytes;
    return bytes - std::min(bytes, collectives);
  }

  /// On the rank's thread, which alone touches the device.
  void release_rank(std::size_t r) {
    Rank& rank = ranks[r];
    if (rank.stream) {
      try {
        rank.stream->synchronize();
      } catch (const std::exception& failure) {
        log::error("rank {}: {}", r, failure.what());
      }
    }
    // Ranks read each other's memory, after a failed step even when its output was taken: none
    // gives its own back before all are idle.
    rendezvous.await_idle_threads();
    rank.recorded.reset();
    rank.steps.clear();
    rank.hidden_in.reset();
    rank.kv.reset();
    rank.stage.reset();
    rank.communicator.reset();
    rank.stream.reset();
  }

  // ---- the rank thread ----

  void serve_rank(std::size_t r) {
    while (const std::optional<Command> command = ranks[r].commands->pop()) {
      if (command->kind == Command::Kind::recover) {
        forget_failure(r, [&] { ranks[r].stream->synchronize(); });
        if (ranks[r].recorded) forget_failure(r, [&] { ranks[r].recorded->synchronize_updates(); });
        rendezvous.answer();
        continue;
      }
      if (command->kind == Command::Kind::find_overflow) {
        find_overflow_in(r, command->slot);
        rendezvous.answer();
        continue;
      }
      StepSlot& slot = slots[command->slot];
      try {
        require_no_error(slot);
        enqueue_step(r, command->slot, Pass::work);
      } catch (const std::exception& failure) {
        slot.set_error(fmt::format("rank {}: {}", r, failure.what()));
        // The others of the group would wait for what is not enqueued here.
        if (ranks[r].communicator) ranks[r].communicator->abort(slot.error());
      }
      ranks[r].enqueued.post(slot.input.step_id);
    }
  }

  /// Input, KV and hidden states handed over are still what the step had; nothing is written but
  /// the stage's arena.
  void find_overflow_in(std::size_t r, std::size_t slot) {
    ranks[r].overflow.clear();
    try {
      // Numbers that are none stay in the KV cache, where a padded step would read them.
      if (ranks[r].recorded) ranks[r].recorded->switch_on(false);
      enqueue_step(r, slot, Pass::find_overflow);
      ranks[r].stream->synchronize();
    } catch (const std::exception& failure) {
      log::debug("rank {} does not find where numbers overflow: {}", r, failure.what());
    }
  }

  template <typename Wait>
  static void forget_failure(std::size_t r, Wait wait) {
    try {
      wait();
    } catch (const std::exception& failure) {
      log::debug("rank {} recovers from: {}", r, failure.what());
    }
  }

  static void require_no_error(StepSlot& slot) {
    if (const std::string error = slot.error(); !error.empty()) throw Failure(error);
  }

  void enqueue_step(std::size_t r, std::size_t slot_index, Pass pass) {
    Rank& rank = ranks[r];
    RankStep& step = rank.steps[slot_index];
    const StepInput& input = slots[slot_index].input;
    device::Stream& stream = *rank.stream;

    if (pass == Pass::work) write_input(r, step, input);
    model::StageInput stage_input = step.input->stage_input(input);
    stage_input.kv = rank.kv->layers();
    if (!in_first_stage(r))
      stage_input.hidden = receive_hidden(r, slot_index, stage_input.num_tokens);
    // The tokens that were placeholders have been filled in on the device.
    else if (pass == Pass::work)
      for (const SourceStep& source : step.input->sources())
        resolve_tokens(r, source, stage_input.token_ids);

    if (pass == Pass::find_overflow) {
      stage_input.writes_kv = false;  // blocks may have found another owner
      stage_input.on_part = [&](std::int64_t layer, std::string_view part, TensorView delta) {
        if (rank.overflow.empty()) rank.overflow = describe_overflow(stream, layer, part, delta);
      };
      rank.stage->forward(stream, stage_input);
      return;
    }
    const std::optional<StepSize>& padded = step.input->padded();
    const model::StageOutput output =
        padded ? rank.recorded->run(
                     {.size = *padded, .slot = slot_index}, *rank.stage, stream, stage_input)
               : rank.stage->forward(stream, stage_input);
    hand_over(r, step, input, output);
  }

  void write_input(std::size_t r, RankStep& step, const StepInput& input) {
    const Rank& rank = ranks[r];
    std::optional<StepSize> padded;
    if (rank.recorded && rank.recorded->is_on()) padded = padded_size(input, padding(r));
    const bool passes_tokens = options.host_passes_tokens && r != sampler() && !broadcasts_tokens();
    step.input->write(input, padded, padding(r), !passes_tokens);
    if (passes_tokens) fill_in_tokens(input, step.input->host_tokens());
    step.input->upload(*rank.stream);
  }

  /// R [num_tokens, hidden_size], of the stage before.
  TensorView receive_hidden(std::size_t r, std::size_t slot_index, std::int64_t num_tokens) {
    Rank& rank = ranks[r];
    Rank& previous = ranks[sender_to(r)];
    previous.enqueued.wait(slots[slot_index].input.step_id);
    require_no_error(slots[slot_index]);
    RankStep& sent = previous.steps[slot_index];
    rank.stream->wait(*sent.hidden_ready);
    const TensorView hidden = rank.hidden_in.view(rank.ops->traits().residual_dtype(dtype),
                                                  {num_tokens, config.hidden_size});
    rank.stream->copy_from_peer(
        hidden.data(), sent.hidden_out.data(), previous.ops->device(), hidden.size_bytes());
    return hidden;
  }

  /// To the next stage, or as tokens to the other ranks and the host.
  void hand_over(std::size_t r,
                 RankStep& step,
                 const StepInput& input,
                 const model::StageOutput& output) {
    Rank& rank = ranks[r];
    device::Stream& stream = *rank.stream;
    if (!in_last_stage(r)) {
      stream.copy(step.hidden_out.data(), output.hidden.data(), output.hidden.size_bytes());
      stream.record(*step.hidden_ready);
      return;
    }
    if (r == sampler())
      enqueue_sampling(
          *rank.ops, stream, input, output.logits, step.input->targets(), step.outputs);
    if (const auto count = static_cast<std::int64_t>(input.sampling.size());
        broadcasts_tokens() && count > 0)
      rank.communicator->broadcast(
          (r == sampler() ? step.outputs : step.sampled).view(DType::i32, {count}));
    if (r != sampler()) return;
    if (const std::size_t bytes = sampling_bytes(input); bytes > 0)
      stream.copy_to_host(step.host_outputs.data(), step.outputs.data(), bytes);
    // Recording moves the event. Ranks of the first stage that wait for its last recording do so in
    // steps before this one.
    for (std::size_t other = 0; other < ranks.size() && in_first_stage(other); ++other)
      if (other != r) ranks[other].enqueued.wait(input.step_id - 1);
    stream.record(*step.done);
  }

  void let_take_lengths(Rank& rank, std::int64_t most_bytes_in_vain) const {
    if (!rank.recorded->can_set_lengths()) return;
    const std::uint64_t block_bytes =
        ops::kv_block_bytes(rank.ops->traits(), rank.stage->kv_spec(0));
    rank.most_read_in_vain =
        most_bytes_in_vain / static_cast<std::int64_t>(block_bytes) * plan.kv_block_size;
  }

  /// Empty: all of it is finite.
  std::string describe_overflow(device::Stream& stream,
                                std::int64_t layer,
                                std::string_view part,
                                const TensorView& delta) const {
    std::vector<std::byte> values(delta.size_bytes());
    stream.copy_to_host(values.data(), delta.data(), delta.size_bytes());
    stream.synchronize();
    const std::size_t count = values.size() / device::size_of(delta.dtype());
    for (std::size_t i = 0; i < count; ++i)
      if (const float value = device::to_f32(values.data(), delta.dtype(), i);
          !std::isfinite(value))
        return fmt::format("the {} of layer {} gives {}: beyond the range of {}",
                           part,
                           layer,
                           std::isnan(value) ? "NaN" : "infinity",
                           device::to_string(dtype));
    return {};
  }

  /// The same on the host, from where the sampler's outputs arrive.
  void fill_in_tokens(const StepInput& input, std::int32_t* tokens) {
    Rank& last = ranks[sampler()];
    for (const TokenSource& source : input.token_sources) {
      const std::size_t source_slot = source.step_id % slots.size();
      last.enqueued.wait(source.step_id);
      require_no_error(slots[source_slot]);
      const RankStep& step = last.steps[source_slot];
      step.done->synchronize();
      const auto* const sampled = static_cast<const std::int32_t*>(step.host_outputs.data());
      // -1: no token, which ends its sequence; any id will do until then.
      tokens[source.token_index] = std::max(0, sampled[source.sample_row]);
    }
  }

  /// Fills in tokens sampled by an outstanding step, which the sampler has enqueued or is about to.
  void resolve_tokens(std::size_t r, const SourceStep& source, TensorView token_ids) {
    Rank& rank = ranks[r];
    Rank& last = ranks[sampler()];
    const std::size_t source_slot = source.step_id % slots.size();
    if (r != sampler() && !broadcasts_tokens()) last.enqueued.wait(source.step_id);
    // All rows the slot can hold: the source step's own input may have been taken and replaced
    // meanwhile.
    TensorView sampled = last.steps[source_slot].outputs.view(DType::i32, {plan.max_num_seqs});
    if (r != sampler()) {
      const TensorView local =
          rank.steps[source_slot].sampled.view(DType::i32, {plan.max_num_seqs});
      if (!broadcasts_tokens()) {
        rank.stream->wait(*last.steps[source_slot].done);
        rank.stream->copy_from_peer(
            local.data(), sampled.data(), last.ops->device(), sampled.size_bytes());
      }
      sampled = local;
    }
    const TensorView tokens = source.token_rows.data() == nullptr
                                  ? token_ids.slice_rows(0, source.samples.dim(0))
                                  : token_ids;
    rank.ops->resolve_tokens(*rank.stream, tokens, source.token_rows, source.samples, sampled);
  }

  // ---- the engine thread ----

  void submit(StepInput input) {
    FASTCHAT_ASSERT(
        num_submitted - num_taken < slots.size(), "{} steps are outstanding already", slots.size());
    FASTCHAT_ASSERT(input.step_id == num_submitted + 1,
                    "step {} follows step {}",
                    input.step_id,
                    num_submitted);
    if (needs_recovery && num_submitted == num_taken) recover();
    ++num_submitted;
    const std::size_t slot_index = input.step_id % slots.size();
    StepSlot& slot = slots[slot_index];
    slot.clear_error();
    slot.input = std::move(input);
    for (Rank& rank : ranks) rank.commands->push({.kind = Command::Kind::step, .slot = slot_index});
  }

  /// After a failed step: every rank drains its stream, which forgets the failure.
  void recover() {
    for (Rank& rank : ranks) rank.commands->push({.kind = Command::Kind::recover});
    rendezvous.await_answers();
    for (const std::size_t first : first_ranks)
      if (ranks[first].communicator) ranks[first].communicator->reset();
    needs_recovery = false;
  }

  StepOutput wait() {
    FASTCHAT_ASSERT(num_taken < num_submitted, "no step is outstanding");
    const std::uint64_t step_id = ++num_taken;
    const std::size_t slot_index = step_id % slots.size();
    StepSlot& slot = slots[slot_index];
    for (Rank& rank : ranks) rank.enqueued.wait(step_id);
    StepOutput output = std::move(spare_output);
    output.step_id = step_id;
    output.tokens.clear();
    output.logprobs.clear();
    output.top_tokens.clear();
    output.top_logprobs.clear();
    output.error = slot.error();
    // A stream drops what was enqueued when its failure is reported, and runs what comes later: a
    // step that was being enqueued then has run in part.
    if (output.error.empty() && needs_recovery) output.error = "a step before it failed";
    const RankStep& step = ranks[sampler()].steps[slot_index];
    if (output.error.empty()) {
      try {
        step.done->synchronize();
      } catch (const std::exception& failure) {
        output.error = failure.what();
      }
    }
    if (!output.error.empty()) {
      needs_recovery = true;
      return output;
    }
    const bool marks_missing = ranks[sampler()].ops->traits().tolerates_bad_indices;
    read_sampling(slot.input, step.host_outputs, marks_missing, output);
    output.overflow.clear();
    if (std::any_of(output.tokens.begin(), output.tokens.end(), [](std::int32_t token) {
          return token < 0;
        }))
      output.overflow = find_overflow(slot_index);
    return output;
  }

  /// Of a step whose logits are no numbers: what its ranks find, the first stage's word first.
  std::string find_overflow(std::size_t slot_index) {
    for (Rank& rank : ranks)
      rank.commands->push({.kind = Command::Kind::find_overflow, .slot = slot_index});
    rendezvous.await_answers();
    for (const Rank& rank : ranks)
      if (!rank.overflow.empty()) return rank.overflow;
    return {};
  }

  StepInput recycle(StepOutput output) {
    const std::size_t slot_index = output.step_id % slots.size();
    const bool has_failed = !output.error.empty();
    spare_output = std::move(output);
    // Streams may still read a failed step's input, until recovery.
    if (has_failed) return {};
    return std::move(slots[slot_index].input);
  }

  void switch_recording(bool is_on) {
    for (Rank& rank : ranks) rank.recorded->switch_on(is_on);
  }

  StepOutput run_alone(StepInput input) {
    input.step_id = num_submitted + 1;
    submit(std::move(input));
    StepOutput output = wait();
    check(output.error.empty(), "{}", output.error);
    return output;
  }
  StepOutput run_probe(std::int32_t position) {
    return run_alone(decode_probe(position, config.vocab_size));
  }

  /// Runs what each slot has of a probe three times: operation by operation, recorded for another
  /// length, and the record again. What differs from `expected`, by position; or empty.
  std::string check_recorded(const std::array<StepOutput, 2>& expected) {
    const int depth = options.max_outstanding;
    for (int i = 0; i < 3 * depth; ++i) {
      // As many steps as there are slots have the same, so that every slot meets both.
      const std::int32_t position = i / depth % 2;
      StepOutput output = run_probe(position);
      const StepOutput& own = expected[static_cast<std::size_t>(position)];
      if (!agree(output, own, dtype))
        return fmt::format(
            "a recorded step gives token {} with logprob {}, the step itself {} with {}",
            output.tokens.front(),
            output.top_logprobs.front(),
            own.tokens.front(),
            own.top_logprobs.front());
      recycle(std::move(output));
    }
    return {};
  }

  StepOutput spare_output;  // engine thread only
};

void add_step_buffers(parallel::ModelSizes& sizes, const ModelRunnerOptions& options) {
  const auto depth = static_cast<std::uint64_t>(options.max_outstanding);
  const std::uint64_t hidden_bytes = sizes.hidden_bytes_per_token;
  // Tokens, positions, slots and two arrays per source step; hidden states handed out per step and
  // taken in once.
  sizes.activation_bytes_per_token +=
      depth * ((3 + 2 * depth) * sizeof(std::int32_t) + hidden_bytes) + hidden_bytes;
  // Query start, context length and sampled token; the block table is the planner's own.
  sizes.step_bytes_per_sequence += depth * 3 * sizeof(std::int32_t);
  sizes.logits_bytes_per_row += depth * (2 + 3 + 2 * kMaxLogprobs) * sizeof(std::int32_t);
  if (options.graphs) sizes.spare_kv_blocks = kSpareKvBlocks;
  // Alignment of every array, and the query starts' extra entry.
  sizes.fixed_bytes += depth * (8 + 2 * depth + 4 + 2) * kAlignment;
}

ModelRunner::ModelRunner(const model::ModelConfig& config,
                         const parallel::Plan& plan,
                         device::DType dtype,
                         const std::vector<ops::Ops*>& device_ops,
                         model::WeightSource& weights,
                         const model::LoadProgress& progress,
                         const ModelRunnerOptions& options)
    : impl_(std::make_unique<Impl>(config, plan, dtype, options)) {
  impl_->start(device_ops, weights, progress);
}

ModelRunner::~ModelRunner() { impl_->stop(); }

void ModelRunner::submit(StepInput input) { impl_->submit(std::move(input)); }
StepOutput ModelRunner::wait() { return impl_->wait(); }
StepInput ModelRunner::recycle(StepOutput output) { return impl_->recycle(std::move(output)); }
int ModelRunner::max_outstanding() const { return impl_->options.max_outstanding; }

std::uint64_t ModelRunner::next_step_id() const { return impl_->num_submitted + 1; }

std::string ModelRunner::dry_run(const std::vector<std::int32_t>& tokens) {
  StepOutput output = impl_->run_alone(whole_prompt_step(tokens, impl_->plan.kv_block_size));
  std::string defect;
  if (output.tokens.front() < 0)
    defect = output.overflow.empty() ? fmt::format("the logits are beyond the range of {}",
                                                   device::to_string(impl_->dtype))
                                     : output.overflow;
  impl_->recycle(std::move(output));
  return defect;
}

std::string ModelRunner::check_graphs() {
  if (!impl_->ranks.front().recorded) return {};
  for (Impl::Rank& rank : impl_->ranks) rank.most_read_in_vain.reset();
  impl_->switch_recording(false);
  const std::array<StepOutput, 2> expected = {impl_->run_probe(0), impl_->run_probe(1)};
  impl_->switch_recording(true);
  std::string defect = impl_->check_recorded(expected);
  if (!defect.empty()) {
    impl_->switch_recording(false);
    return defect;
  }
  if (!impl_->ranks.front().recorded->can_set_lengths()) return {};
  for (Impl::Rank& rank : impl_->ranks) impl_->let_take_lengths(rank, 0);
  defect = impl_->check_recorded(expected);
  for (Impl::Rank& rank : impl_->ranks) {
    if (defect.empty())
      impl_->let_take_lengths(rank, *impl_->options.most_bytes_in_vain);
    else
      rank.most_read_in_vain.reset();
  }
  if (!defect.empty()) log::warn("decode steps are recorded with padded lengths only: {}", defect);
  return {};
}

bool ModelRunner::takes_lengths() const {
  return std::all_of(impl_->ranks.begin(), impl_->ranks.end(), [](const Impl::Rank& rank) {
    return rank.most_read_in_vain.has_value();
  });
}

std::uint64_t ModelRunner::num_replays() const {
  std::uint64_t count = 0;
  for (const Impl::Rank& rank : impl_->ranks)
    if (rank.recorded) count += rank.recorded->num_replays();
  return count;
}

std::vector<std::uint64_t> ModelRunner::allocated_bytes() const {
  std::vector<std::uint64_t> bytes;
  for (const Impl::Rank& rank : impl_->ranks) bytes.push_back(rank.allocated_bytes);
  return bytes;
}

}  // namespace fastchat::engine
