#include "engine/model_runner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <cstring>
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
#include "engine/recorded_steps.h"
#include "engine/step_layout.h"

namespace fastchat::engine {
namespace {

using device::DType;
using ops::TensorView;

/// Tells one rank thread that another has enqueued its part of a step, so that events recorded
/// there may be waited for.
class StepGate {
 public:
  void post(std::uint64_t step_id) {
    const std::lock_guard lock(mutex_);
    posted_ = step_id;
    changed_.notify_all();
  }
  void wait(std::uint64_t step_id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return posted_ >= step_id; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t posted_ = 0;
};

/// One step in flight, shared by all ranks. Overwritten by the step max_outstanding later.
struct StepSlot {
  StepInput input;
  std::mutex mutex;
  std::string error;  // the first failure of any rank

  void set_error(const std::string& message) {
    const std::lock_guard lock(mutex);
    if (error.empty()) error = message;
  }
  std::string get_error() {
    const std::lock_guard lock(mutex);
    return error;
  }
};

/// What a rank does with a step: its work, or the forward pass once more, looking at every layer.
enum class Pass : std::uint8_t { work, find_overflow };

/// An earlier step that samples tokens of the one being enqueued.
struct SourceStep {
  std::uint64_t step_id = 0;
  std::int64_t num_tokens = 0;
  bool in_order = true;  // they are the first tokens
};

struct Command {
  enum class Kind : std::uint8_t { step, find_overflow, recover } kind = Kind::step;
  std::size_t slot = 0;
};

/// What a rank keeps per step in flight.
struct RankStep {
  ops::Buffer staging;       // host, StepLayout
  ops::Buffer integers;      // device, StepLayout
  ops::Buffer hidden_out;    // device; all but the last stage: [max_num_tokens, hidden_size]
  ops::Buffer outputs;       // device, OutputLayout; the sampler
  ops::Buffer host_outputs;  // host, OutputLayout; the sampler
  ops::Buffer sampled;       // device; first stage: tokens sampled by this step, copied from the
                             // sampler, unless that is this rank
  std::optional<StepSize> padded;               // the step's input is as large as this
  std::unique_ptr<device::Event> hidden_ready;  // hidden_out is written
  std::unique_ptr<device::Event> done;          // the sampler: outputs are on the host
};

/// Largest logprobs of the same step, computed twice: sums over devices and other kernels may round
/// differently, logits of some twenty by an eighth in bf16. Which of two equal ones comes first may
/// differ too.
bool agree(const StepOutput& a, const StepOutput& b, DType dtype) {
  const float tolerance = dtype == DType::bf16 ? 0.25f : 0.03f;
  return std::equal(a.top_logprobs.begin(),
                    a.top_logprobs.end(),
                    b.top_logprobs.begin(),
                    b.top_logprobs.end(),
                    [&](float x, float y) { return std::abs(x - y) <= tolerance; });
}

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
    ops::Buffer hidden_in;                 // device; all but the first stage
    StepGate enqueued;                     // this rank has enqueued its part of a step
    std::string overflow;                  // see find_overflow_in()
    std::vector<SourceStep> source_steps;  // of the step being enqueued
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

  std::size_t num_threads = 0;  // written before may_load or is_stopping is

  std::mutex state_mutex;  // start-up, recovery and the end: how many ranks have answered, are idle
  std::condition_variable state_changed;
  std::size_t num_answered = 0;
  std::size_t num_idle = 0;
  bool may_load = false;
  bool is_stopping = false;
  std::exception_ptr start_failure;

  Impl(const model::ModelConfig& model_config,
       const parallel::Plan& model_plan,
       device::DType model_dtype,
       const ModelRunnerOptions& runner_options)
      : config(model_config),
        plan(model_plan),
        dtype(model_dtype),
        options(runner_options),
        ranks(count_ranks(model_plan)),
        slots(num_slots(runner_options)) {
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
  /// Sources of tokens concern the first stage only, rows of logits the last.
  StepShape shape_for(std::size_t r, StepShape shape) const {
    if (!in_first_stage(r)) shape.num_source_steps = 0;
    if (!in_last_stage(r)) shape.num_logits = shape.num_targets = 0;
    return shape;
  }
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
    std::rethrow_exception(start_failure);
  }

  /// False: start_failure says why not. No rank's thread is left out of account: stop() ends those
  /// that there are.
  bool prepare_ranks(const std::vector<ops::Ops*>& device_ops,
                     model::WeightSource& weights,
                     const model::LoadProgress& progress) {
    if (!attempt([&] { start_threads(device_ops, weights, progress); })) return false;
    await_answers();  // every rank has a stream
    if (start_failure || !attempt([&] { connect_groups(); })) return false;
    let_load();
    await_answers();
    return !start_failure;
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
      ++num_threads;
    }
  }

  /// The life of a rank's thread, which alone touches its device.
  void run_rank(std::size_t r, model::WeightSource& weights, const model::LoadProgress& progress) {
    const bool is_open = attempt([&] {
      device::Device& device = ranks[r].ops->device();
      device.prepare_thread();
      ranks[r].stream = device.create_stream();
    });
    answer();
    if (await_load()) {
      const bool is_ready = is_open && attempt([&] { prepare_rank(r, weights, progress); });
      answer();
      if (is_ready) serve_rank(r);
    }
    release_rank(r);
  }

  /// Keeps the first failure of start-up.
  template <typename Work>
  bool attempt(Work&& work) {
    try {
      work();
      return true;
    } catch (...) {
      const std::lock_guard lock(state_mutex);
      if (!start_failure) start_failure = std::current_exception();
      return false;
    }
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

  void let_load() {
    const std::lock_guard lock(state_mutex);
    may_load = true;
    state_changed.notify_all();
  }
  bool await_load() {
    std::unique_lock lock(state_mutex);
    state_changed.wait(lock, [&] { return may_load || is_stopping; });
    return may_load;
  }

  void stop() {
    {
      const std::lock_guard lock(state_mutex);
      is_stopping = true;
      state_changed.notify_all();
    }
    for (Rank& rank : ranks)
      if (rank.commands) rank.commands->close();
    for (Rank& rank : ranks)
      if (rank.thread.joinable()) rank.thread.join();
  }

  void answer() {
    const std::lock_guard lock(state_mutex);
    ++num_answered;
    state_changed.notify_all();
  }
  void await_answers() {
    std::unique_lock lock(state_mutex);
    state_changed.wait(lock, [&] { return num_answered == ranks.size(); });
    num_answered = 0;
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
    const StepLayout layout(shape_for(r, limits));
    const OutputLayout outputs(limits.num_logits, kMaxLogprobs);
    rank.steps.resize(slots.size());
    for (RankStep& step : rank.steps) {
      step.staging = device.allocate_host(layout.size_bytes);
      step.integers = device.allocate(layout.size_bytes, "step input");
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
    await_idle_ranks();
    rank.recorded.reset();
    rank.steps.clear();
    rank.hidden_in.reset();
    rank.kv.reset();
    rank.stage.reset();
    rank.communicator.reset();
    rank.stream.reset();
  }

  /// Ranks read each other's memory, after a failed step even when its output was taken: none gives
  /// its own back before all are idle.
  void await_idle_ranks() {
    std::unique_lock lock(state_mutex);
    ++num_idle;
    state_changed.notify_all();
    state_changed.wait(lock, [&] { return num_idle == num_threads; });
  }

  // ---- the rank thread ----

  void serve_rank(std::size_t r) {
    while (const std::optional<Command> command = ranks[r].commands->pop()) {
      if (command->kind == Command::Kind::recover) {
        forget_failure(r, [&] { ranks[r].stream->synchronize(); });
        if (ranks[r].recorded) forget_failure(r, [&] { ranks[r].recorded->synchronize_updates(); });
        answer();
        continue;
      }
      if (command->kind == Command::Kind::find_overflow) {
        find_overflow_in(r, command->slot);
        answer();
        continue;
      }
      StepSlot& slot = slots[command->slot];
      try {
        require_no_error(slot);
        enqueue_step(r, command->slot, Pass::work);
      } catch (const std::exception& failure) {
        slot.set_error(fmt::format("rank {}: {}", r, failure.what()));
        // The others of the group would wait for what is not enqueued here.
        if (ranks[r].communicator) ranks[r].communicator->abort(slot.get_error());
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
    const std::string error = slot.get_error();
    if (!error.empty()) throw Failure(error);
  }

  void enqueue_step(std::size_t r, std::size_t slot_index, Pass pass) {
    Rank& rank = ranks[r];
    RankStep& step = rank.steps[slot_index];
    const StepInput& input = slots[slot_index].input;
    device::Stream& stream = *rank.stream;

    // Token sources grouped by the step that samples them.
    std::vector<SourceStep>& source_steps = rank.source_steps;
    source_steps.clear();
    if (in_first_stage(r)) {
      for (const TokenSource& source : input.token_sources)
        if (std::none_of(source_steps.begin(), source_steps.end(), [&](const SourceStep& known) {
              return known.step_id == source.step_id;
            }))
          source_steps.push_back({.step_id = source.step_id});
    }
    const std::size_t num_source_steps = source_steps.size();
    if (pass == Pass::work) {
      step.padded.reset();
      if (rank.recorded && rank.recorded->is_on()) step.padded = padded_size(input, padding(r));
    }
    StepShape whole{.num_tokens = input.tokens.size(),
                    .num_seqs = input.context_lens.size(),
                    .block_table_entries = input.block_table.size(),
                    .num_logits = input.logits_rows.size(),
                    .num_targets = input.targets.size(),
                    .num_source_steps = num_source_steps};
    std::int64_t table_width = input.max_blocks;
    if (step.padded) {
      table_width = step.padded->max_blocks;
      whole.num_tokens = whole.num_seqs = whole.num_logits =
          static_cast<std::size_t>(step.padded->num_seqs);
      whole.block_table_entries = whole.num_seqs * static_cast<std::size_t>(table_width);
    }
    const StepShape shape = shape_for(r, whole);
    const StepLayout layout(shape);
    FASTCHAT_ASSERT(layout.size_bytes <= step.staging.size_bytes(),
                    "step {} has {} bytes of input, at most {} were planned",
                    input.step_id,
                    layout.size_bytes,
                    step.staging.size_bytes());
    auto* staging = static_cast<char*>(step.staging.data());
    const auto put = [&](std::size_t offset, const std::vector<std::int32_t>& values) {
      if (!values.empty())
        std::memcpy(staging + offset, values.data(), values.size() * sizeof(std::int32_t));
    };
    if (step.padded) {
      write_padded(input, *step.padded, padding(r), layout, in_last_stage(r), staging);
    } else {
      put(layout.tokens, input.tokens);
      put(layout.positions, input.positions);
      put(layout.slots, input.slots);
      put(layout.query_starts, input.query_starts);
      put(layout.context_lens, input.context_lens);
      put(layout.block_table, input.block_table);
      if (in_last_stage(r)) {
        put(layout.logits_rows, input.logits_rows);
        put(layout.targets, input.targets);
      }
    }
    const std::size_t source_stride = align_up(shape.num_tokens * sizeof(std::int32_t));
    const bool passes_tokens = options.host_passes_tokens && r != sampler() && !broadcasts_tokens();
    if (passes_tokens && pass == Pass::work)
      fill_in_tokens(input, reinterpret_cast<std::int32_t*>(staging + layout.tokens));
    for (std::size_t i = 0; i < num_source_steps && !passes_tokens; ++i) {
      char* const begin = staging + layout.sources + 2 * i * source_stride;
      auto* const token_rows = reinterpret_cast<std::int32_t*>(begin);
      auto* const samples = reinterpret_cast<std::int32_t*>(begin + source_stride);
      std::size_t count = 0;
      for (const TokenSource& source : input.token_sources) {
        if (source.step_id != source_steps[i].step_id) continue;
        source_steps[i].in_order &= static_cast<std::size_t>(source.token_index) == count;
        token_rows[count] = source.token_index;
        samples[count++] = source.sample_row;
      }
      source_steps[i].num_tokens = static_cast<std::int64_t>(count);
    }
    // The tokens that were placeholders have been filled in on the device.
    if (pass == Pass::work) stream.copy_from_host(step.integers.data(), staging, layout.size_bytes);

    const auto num_tokens = static_cast<std::int64_t>(shape.num_tokens);
    const auto num_seqs = static_cast<std::int64_t>(shape.num_seqs);
    const auto num_logits = static_cast<std::int64_t>(shape.num_logits);
    const auto integers = [&](std::size_t offset, std::int64_t count) {
      return step.integers.view(DType::i32, {count}, offset);
    };
    model::StageInput stage_input;
    stage_input.num_tokens = num_tokens;
    stage_input.positions = integers(layout.positions, num_tokens);
    stage_input.slots = integers(layout.slots, num_tokens);
    stage_input.attention.query_starts = integers(layout.query_starts, num_seqs + 1);
    stage_input.attention.context_lens = integers(layout.context_lens, num_seqs);
    stage_input.attention.block_table =
        step.integers.view(DType::i32, {num_seqs, table_width}, layout.block_table);
    stage_input.attention.num_seqs = num_seqs;
    stage_input.attention.host_query_starts = input.query_starts;
    stage_input.attention.host_context_lens = input.context_lens;
    if (step.padded) {
      stage_input.attention.max_query_len = 1;
      stage_input.attention.max_context_len = table_width * plan.kv_block_size;
      stage_input.attention.lengths_may_change = step.padded->takes_lengths;
      if (step.padded->takes_lengths) {
        const auto host_integers = [&](std::size_t offset, std::size_t count) {
          return std::span(reinterpret_cast<const std::int32_t*>(staging + offset), count);
        };
        stage_input.attention.host_query_starts =
            host_integers(layout.query_starts, shape.num_seqs + 1);
        stage_input.attention.host_context_lens =
            host_integers(layout.context_lens, shape.num_seqs);
      } else {
        stage_input.attention.padded_context_len = stage_input.attention.max_context_len;
      }
    }
    for (std::size_t i = 0; i < shape.num_seqs && !step.padded; ++i) {
      stage_input.attention.max_query_len = std::max<std::int64_t>(
          stage_input.attention.max_query_len, input.query_starts[i + 1] - input.query_starts[i]);
      stage_input.attention.max_context_len =
          std::max<std::int64_t>(stage_input.attention.max_context_len, input.context_lens[i]);
    }
    stage_input.kv = rank.kv->layers();
    if (in_last_stage(r)) {
      stage_input.num_logits = num_logits;
      if (!step.padded && !all_tokens_have_logits(input))
        stage_input.logits_rows = integers(layout.logits_rows, num_logits);
    }

    if (in_first_stage(r)) {
      stage_input.token_ids = integers(layout.tokens, num_tokens);
      for (std::size_t i = 0; i < num_source_steps && pass == Pass::work && !passes_tokens; ++i) {
        const SourceStep& source = source_steps[i];
        const std::size_t begin = layout.sources + 2 * i * source_stride;
        const TensorView samples = integers(begin + source_stride, source.num_tokens);
        if (source.in_order)
          resolve_tokens(
              r, source.step_id, integers(layout.tokens, source.num_tokens), {}, samples);
        else
          resolve_tokens(r,
                         source.step_id,
                         stage_input.token_ids,
                         integers(begin, source.num_tokens),
                         samples);
      }
    } else {
      Rank& previous = ranks[sender_to(r)];
      previous.enqueued.wait(input.step_id);
      require_no_error(slots[slot_index]);
      RankStep& sent = previous.steps[slot_index];
      stream.wait(*sent.hidden_ready);
      stage_input.hidden = rank.hidden_in.view(rank.ops->traits().residual_dtype(dtype),
                                               {num_tokens, config.hidden_size});
      stream.copy_from_peer(stage_input.hidden.data(),
                            sent.hidden_out.data(),
                            previous.ops->device(),
                            stage_input.hidden.size_bytes());
    }

    if (pass == Pass::find_overflow) {
      stage_input.writes_kv = false;  // blocks may have found another owner
      stage_input.on_part = [&](std::int64_t layer, std::string_view part, TensorView delta) {
        if (rank.overflow.empty()) rank.overflow = describe_overflow(stream, layer, part, delta);
      };
      rank.stage->forward(stream, stage_input);
      return;
    }
    const model::StageOutput output =
        step.padded
            ? rank.recorded->run(
                  {.size = *step.padded, .slot = slot_index}, *rank.stage, stream, stage_input)
            : rank.stage->forward(stream, stage_input);
    if (r == sampler()) choose_tokens(rank, step, input, output.logits, layout);
    if (const auto count = static_cast<std::int64_t>(input.sampling.size());
        broadcasts_tokens() && count > 0)
      rank.communicator->broadcast(
          (r == sampler() ? step.outputs : step.sampled).view(DType::i32, {count}));
    if (r == sampler()) {
      if (!input.logits_rows.empty())
        stream.copy_to_host(
            step.host_outputs.data(),
            step.outputs.data(),
            OutputLayout(input.logits_rows.size(), static_cast<std::size_t>(input.max_logprobs))
                .size_bytes);
      // Recording moves the event. Ranks of the first stage that wait for its last recording do so
      // in steps before this one.
      for (std::size_t other = 0; other < ranks.size() && in_first_stage(other); ++other)
        if (other != r) ranks[other].enqueued.wait(input.step_id - 1);
      stream.record(*step.done);
    } else if (!in_last_stage(r)) {
      stream.copy(step.hidden_out.data(), output.hidden.data(), output.hidden.size_bytes());
      stream.record(*step.hidden_ready);
    }
  }

  /// In order, as in steps of decodes alone.
  static bool all_tokens_have_logits(const StepInput& input) {
    const std::vector<std::int32_t>& rows = input.logits_rows;
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (rows[i] != static_cast<std::int32_t>(i)) return false;
    return rows.size() == input.tokens.size();
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
  void resolve_tokens(std::size_t r,
                      std::uint64_t source_step,
                      TensorView token_ids,
                      TensorView token_rows,
                      TensorView samples) {
    Rank& rank = ranks[r];
    Rank& last = ranks[sampler()];
    const std::size_t source_slot = source_step % slots.size();
    if (r != sampler() && !broadcasts_tokens()) last.enqueued.wait(source_step);
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
    rank.ops->resolve_tokens(*rank.stream, token_ids, token_rows, samples, sampled);
  }

  void choose_tokens(Rank& rank,
                     RankStep& step,
                     const StepInput& input,
                     TensorView logits,
                     const StepLayout& layout) {
    const auto num_logits = static_cast<std::int64_t>(input.logits_rows.size());
    if (num_logits == 0) return;
    const auto num_sampled = static_cast<std::int64_t>(input.sampling.size());
    const std::int64_t num_targets = num_logits - num_sampled;
    const OutputLayout outputs(input.logits_rows.size(),
                               static_cast<std::size_t>(input.max_logprobs));
    const auto rows = [&](std::int64_t first, std::int64_t count) {
      const auto skip = static_cast<std::size_t>(first) * sizeof(std::int32_t);
      ops::SampleOutput out;
      out.tokens = step.outputs.view(DType::i32, {count}, outputs.tokens + skip);
      out.logprobs = step.outputs.view(DType::f32, {count}, outputs.logprobs + skip);
      if (input.max_logprobs > 0) {
        const std::size_t top_skip = skip * static_cast<std::size_t>(input.max_logprobs);
        out.top_tokens = step.outputs.view(
            DType::i32, {count, input.max_logprobs}, outputs.top_tokens + top_skip);
        out.top_logprobs = step.outputs.view(
            DType::f32, {count, input.max_logprobs}, outputs.top_logprobs + top_skip);
      }
      return out;
    };
    if (num_sampled > 0)
      rank.ops->sample(*rank.stream,
                       logits.slice_rows(0, num_sampled),
                       {.rows = input.sampling, .biases = input.biases, .counts = input.counts},
                       rows(0, num_sampled));
    if (num_targets > 0)
      rank.ops->token_logprobs(*rank.stream,
                               logits.slice_rows(num_sampled, num_targets),
                               step.integers.view(DType::i32, {num_targets}, layout.targets),
                               rows(num_sampled, num_targets));
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
    {
      const std::lock_guard lock(slot.mutex);
      slot.error.clear();
    }
    slot.input = std::move(input);
    for (Rank& rank : ranks) rank.commands->push({.kind = Command::Kind::step, .slot = slot_index});
  }

  /// After a failed step: every rank drains its stream, which forgets the failure.
  void recover() {
    for (Rank& rank : ranks) rank.commands->push({.kind = Command::Kind::recover});
    await_answers();
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
    output.error = slot.get_error();
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
    read_outputs(step, slot.input, output);
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
    await_answers();
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

  void read_outputs(const RankStep& step, const StepInput& input, StepOutput& output) const {
    const std::size_t num_logits = input.logits_rows.size();
    if (num_logits == 0) return;
    const auto width = static_cast<std::size_t>(input.max_logprobs);
    const OutputLayout layout(num_logits, width);
    const auto* base = static_cast<const char*>(step.host_outputs.data());
    const auto* tokens = reinterpret_cast<const std::int32_t*>(base + layout.tokens);
    const auto* logprobs = reinterpret_cast<const float*>(base + layout.logprobs);
    output.tokens.assign(tokens, tokens + input.sampling.size());
    output.logprobs.assign(logprobs, logprobs + num_logits);
    if (!ranks[sampler()].ops->traits().tolerates_bad_indices)
      for (std::size_t i = 0; i < output.tokens.size(); ++i)
        if (!std::isfinite(logprobs[i])) output.tokens[i] = -1;
    if (width == 0) return;
    const auto* top_tokens = reinterpret_cast<const std::int32_t*>(base + layout.top_tokens);
    const auto* top_logprobs = reinterpret_cast<const float*>(base + layout.top_logprobs);
    output.top_tokens.assign(top_tokens, top_tokens + num_logits * width);
    output.top_logprobs.assign(top_logprobs, top_logprobs + num_logits * width);
  }

  void switch_recording(bool is_on) {
    for (Rank& rank : ranks) rank.recorded->switch_on(is_on);
  }

  /// A step that decodes one token after `position` others; the KV it writes is the same each time.
  StepOutput run_probe(std::int32_t position) {
    StepInput input;
    input.step_id = num_submitted + 1;
    // Of ordinary tokens, which differ: the first ids are often those of specials.
    input.tokens = {static_cast<std::int32_t>(config.vocab_size / (2 + position))};
    input.positions = {position};
    input.slots = {position};
    input.query_starts = {0, 1};
    input.context_lens = {position + 1};
    input.block_table = {0};
    input.max_blocks = 1;
    input.logits_rows = {0};
    input.max_logprobs =
        static_cast<std::int32_t>(std::min<std::int64_t>(kMaxLogprobs, config.vocab_size));
    input.sampling = {{.temperature = 0.0f, .num_logprobs = input.max_logprobs}};
    submit(std::move(input));
    StepOutput output = wait();
    check(output.error.empty(), "{}", output.error);
    return output;
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
  const parallel::Plan& plan = impl_->plan;
  const auto block_size = static_cast<std::size_t>(plan.kv_block_size);
  const auto num_tokens = static_cast<std::int32_t>(tokens.size());
  StepInput input;
  input.step_id = next_step_id();
  input.tokens = tokens;
  for (std::int32_t position = 0; position < num_tokens; ++position) {
    input.positions.push_back(position);
    input.slots.push_back(position);  // of blocks 0, 1, …
  }
  input.query_starts = {0, num_tokens};
  input.context_lens = {num_tokens};
  for (std::size_t block = 0; block * block_size < tokens.size(); ++block)
    input.block_table.push_back(static_cast<std::int32_t>(block));
  input.max_blocks = static_cast<std::int32_t>(input.block_table.size());
  input.logits_rows = {num_tokens - 1};
  input.sampling = {{.temperature = 0.0f}};
  impl_->submit(std::move(input));
  StepOutput output = impl_->wait();
  check(output.error.empty(), "{}", output.error);
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
