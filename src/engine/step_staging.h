// A rank's part of a step's input: laid out in host memory, copied to its device, and seen there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/device.h"
#include "engine/padded_step.h"
#include "engine/step.h"
#include "engine/step_layout.h"
#include "model/decoder_stage.h"

namespace fastchat::engine {

/// Tokens that one earlier step samples.
struct SourceStep {
  std::uint64_t step_id = 0;
  ops::TensorView token_rows;  // i32 [n], which of the tokens; empty: the first n
  ops::TensorView samples;     // i32 [n], which of that step's samples
};

/// Memory of one step in flight, on the rank's thread.
class StepStaging {
 public:
  /// `limits`: the largest step. `has_tokens`: the first stage; `has_logits`: the last.
  StepStaging(device::Device& device, StepShape limits, bool has_tokens, bool has_logits);

  /// Lays `input` out in host memory, as large as `padded` where that is set.
  /// `resolves_on_device`: tokens that are not known yet are to be filled in there, see sources().
  void write(const StepInput& input,
             const std::optional<StepSize>& padded,
             const PaddingLimits& padding,
             bool resolves_on_device);
  /// i32 [tokens of the step], in host memory.
  std::int32_t* host_tokens();
  void upload(device::Stream& stream);

  /// What follows is of the step written last, and of the same `input`; views of device memory.
  const std::optional<StepSize>& padded() const { return padded_; }
  /// All but `hidden`, `kv` and the hooks.
  model::StageInput stage_input(const StepInput& input) const;
  const std::vector<SourceStep>& sources() const { return sources_; }
  /// i32 [targets of the step].
  ops::TensorView targets() const;

 private:
  StepShape shape_for(StepShape shape) const;
  void write_plain(const StepInput& input);
  void write_sources(const StepInput& input);
  ops::TensorView integers(std::size_t offset, std::size_t count) const;
  std::span<const std::int32_t> host_integers(std::size_t offset, std::size_t count) const;
  std::int32_t* host_array(std::size_t offset);

  bool has_tokens_;
  bool has_logits_;
  ops::Buffer host_;
  ops::Buffer device_;
  std::optional<StepSize> padded_;
  std::int64_t kv_block_size_ = 0;
  std::int64_t table_width_ = 0;
  StepShape shape_;
  StepLayout layout_{{}};
  std::vector<SourceStep> sources_;
};

}  // namespace fastchat::engine
