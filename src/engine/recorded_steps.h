// A stage's decode steps, recorded once per size and run again at the cost of one call.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "engine/padded_step.h"
#include "model/decoder_stage.h"

namespace fastchat::engine {

/// Of one rank; on its thread.
class RecordedSteps {
 public:
  /// Steps of one size that may be outstanding read different memory: each has a record of its own.
  struct Key {
    StepSize size;
    std::size_t slot = 0;
    // NOLINTNEXTLINE(modernize-use-nullptr): of the generated code
    auto operator<=>(const Key&) const = default;
  };

  /// Runs the stage on padded input: operation by operation the first time, which loads kernels and
  /// connects devices, then recorded. `input` is the same for equal keys. A step that cannot be
  /// recorded runs operation by operation ever after; the log says why, once.
  model::StageOutput run(const Key& key,
                         model::DecoderStage& stage,
                         device::Stream& stream,
                         const model::StageInput& input);
  /// Whether steps may take their lengths along.
  bool can_set_lengths() const { return updates_ != nullptr; }
  /// Makes the stream that lengths are set on. False: the device has none left.
  bool make_updates(device::Device& device);
  /// Forgets a failure that the stream of updates has met.
  void synchronize_updates() {
    if (updates_) updates_->synchronize();
  }

  /// Off: records nothing more, and runs no record.
  void switch_on(bool is_on) { is_on_ = is_on; }
  bool is_on() const { return is_on_; }
  std::size_t num_graphs() const;
  /// Steps that were run by their record. Any thread.
  std::uint64_t num_replays() const { return num_replays_; }

 private:
  struct Entry {
    std::unique_ptr<device::Graph> graph;
    // Where it takes lengths: its last run is over, and it has those of the next.
    std::unique_ptr<device::Event> has_run_again, has_lengths;
    model::StageOutput output;
    bool has_run = false;
    bool is_refused = false;  // it could not be recorded
    std::uint64_t last_use = 0;
  };
  void record(Entry& entry,
              model::DecoderStage& stage,
              device::Stream& stream,
              const model::StageInput& input);
  /// False: it could not, and the graph is gone.
  bool set_lengths(Entry& entry,
                   device::Stream& stream,
                   std::span<const std::int32_t> context_lens);
  void refuse(Entry& entry, std::string_view why);
  void make_room(device::Stream& stream);

  std::map<Key, Entry> entries_;
  std::unique_ptr<device::Stream> updates_;
  std::size_t most_graphs_ = 96;
  std::uint64_t num_uses_ = 0;
  std::atomic<std::uint64_t> num_replays_{0};
  bool is_on_ = true;
  bool has_warned_ = false;
};

}  // namespace fastchat::engine
