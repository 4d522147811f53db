#include "engine/recorded_steps.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace fastchat::engine {

std::size_t RecordedSteps::num_graphs() const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const auto& entry) {
        return entry.second.graph != nullptr;
      }));
}

model::StageOutput RecordedSteps::run(const Key& key,
                                      model::DecoderStage& stage,
                                      device::Stream& stream,
                                      const model::StageInput& input) {
  if (!is_on_) return stage.forward(stream, input);
  Entry& entry = entries_[key];
  entry.last_use = ++num_uses_;
  if (!entry.has_run) {
    model::StageOutput output = stage.forward(stream, input);
    entry.has_run = true;
    return output;
  }
  if (!entry.graph && !entry.is_refused) record(entry, stage, stream, input);
  const bool has_lengths =
      entry.graph &&
      (!key.size.takes_lengths || set_lengths(entry, stream, input.attention.host_context_lens));
  if (!has_lengths) return stage.forward(stream, input);
  entry.graph->launch(stream);
  if (key.size.takes_lengths) stream.record(*entry.has_run_again);
  ++num_replays_;
  return entry.output;
}

void RecordedSteps::record(Entry& entry,
                           model::DecoderStage& stage,
                           device::Stream& stream,
                           const model::StageInput& input) {
  make_room(stream);
  std::string why;
  bool is_recording = false;
  try {
    stream.begin_capture();
    is_recording = true;
    entry.output = stage.forward(stream, input);
  } catch (const std::exception& failure) {
    why = failure.what();
  }
  // Ended in any case: the stream records until then.
  try {
    if (is_recording) entry.graph = stream.end_capture();
  } catch (const std::exception& failure) {
    if (why.empty()) why = failure.what();
  }
  if (why.empty()) return;
  entry.graph.reset();
  // A card has room for so many; those it has go on to be used.
  most_graphs_ = std::max<std::size_t>(num_graphs(), 1);
  refuse(entry, why);
}

bool RecordedSteps::make_updates(device::Device& device) {
  try {
    updates_ = device.create_stream();
  } catch (const std::exception& failure) {
    log::warn("decode steps are recorded with padded lengths only: {}", failure.what());
  }
  return can_set_lengths();
}

void RecordedSteps::refuse(Entry& entry, std::string_view why) {
  entry.is_refused = true;
  if (!std::exchange(has_warned_, true))
    log::warn("not every decode step is recorded, the others start operation by operation: {}",
              why);
}

bool RecordedSteps::set_lengths(Entry& entry,
                                device::Stream& stream,
                                std::span<const std::int32_t> context_lens) {
  if (!entry.has_lengths) {
    entry.has_lengths = stream.device().create_event();
    entry.has_run_again = stream.device().create_event();
  }
  try {
    updates_->wait(*entry.has_run_again);
    entry.graph->set_lengths(*updates_, context_lens);
    updates_->record(*entry.has_lengths);
    stream.wait(*entry.has_lengths);
    return true;
  } catch (const std::exception& failure) {
    refuse(entry, failure.what());
  }
  // Its last launch may still run; it is of no use, whatever became of that.
  const std::unique_ptr<device::Graph> useless = std::move(entry.graph);
  stream.synchronize();
  return false;
}

/// The one that has not been used for longest goes.
void RecordedSteps::make_room(device::Stream& stream) {
  if (num_graphs() < most_graphs_) return;
  auto oldest = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry)
    if (entry->second.graph != nullptr &&
        (oldest == entries_.end() || entry->second.last_use < oldest->second.last_use))
      oldest = entry;
  if (oldest == entries_.end()) return;
  stream.synchronize();  // it may be running
  oldest->second.graph.reset();
}

}  // namespace fastchat::engine
