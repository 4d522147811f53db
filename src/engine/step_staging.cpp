#include "engine/step_staging.h"

#include <algorithm>

#include "base/check.h"

namespace fastchat::engine {
namespace {

using device::DType;
using ops::TensorView;

/// In order, as in steps of decodes alone.
bool all_tokens_have_logits(const StepInput& input) {
  const std::vector<std::int32_t>& rows = input.logits_rows;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] != static_cast<std::int32_t>(i)) return false;
  return rows.size() == input.tokens.size();
}

}  // namespace

StepStaging::StepStaging(device::Device& device, StepShape limits, bool has_tokens, bool has_logits)
    : has_tokens_(has_tokens), has_logits_(has_logits) {
  const StepLayout layout(shape_for(limits));
  host_ = device.allocate_host(layout.size_bytes);
  device_ = device.allocate(layout.size_bytes, "step input");
}

/// Sources of tokens concern the first stage only, rows of logits the last.
StepShape StepStaging::shape_for(StepShape shape) const {
  if (!has_tokens_) shape.num_source_steps = 0;
  if (!has_logits_) shape.num_logits = shape.num_targets = 0;
  return shape;
}

void StepStaging::write(const StepInput& input,
                        const std::optional<StepSize>& padded,
                        const PaddingLimits& padding,
                        bool resolves_on_device) {
  padded_ = padded;
  kv_block_size_ = padding.kv_block_size;
  sources_.clear();
  if (has_tokens_ && resolves_on_device)
    for (const TokenSource& source : input.token_sources)
      if (std::none_of(sources_.begin(), sources_.end(), [&](const SourceStep& known) {
            return known.step_id == source.step_id;
          }))
        sources_.push_back({.step_id = source.step_id});
  StepShape whole{.num_tokens = input.tokens.size(),
                  .num_seqs = input.context_lens.size(),
                  .block_table_entries = input.block_table.size(),
                  .num_logits = input.logits_rows.size(),
                  .num_targets = input.targets.size(),
                  .num_source_steps = sources_.size()};
  table_width_ = input.max_blocks;
  if (padded) {
    table_width_ = padded->max_blocks;
    whole.num_tokens = whole.num_seqs = whole.num_logits =
        static_cast<std::size_t>(padded->num_seqs);
    whole.block_table_entries = whole.num_seqs * static_cast<std::size_t>(table_width_);
  }
  shape_ = shape_for(whole);
  layout_ = StepLayout(shape_);
  FASTCHAT_ASSERT(layout_.size_bytes <= host_.size_bytes(),
                  "step {} has {} bytes of input, at most {} were planned",
                  input.step_id,
                  layout_.size_bytes,
                  host_.size_bytes());
  if (padded)
    write_padded(input, *padded, padding, layout_, has_logits_, static_cast<char*>(host_.data()));
  else
    write_plain(input);
  write_sources(input);
}

void StepStaging::write_plain(const StepInput& input) {
  const auto put = [&](std::size_t offset, const std::vector<std::int32_t>& values) {
    std::copy(values.begin(), values.end(), host_array(offset));
  };
  put(layout_.tokens, input.tokens);
  put(layout_.positions, input.positions);
  put(layout_.slots, input.slots);
  put(layout_.query_starts, input.query_starts);
  put(layout_.context_lens, input.context_lens);
  put(layout_.block_table, input.block_table);
  if (!has_logits_) return;
  put(layout_.logits_rows, input.logits_rows);
  put(layout_.targets, input.targets);
}

void StepStaging::write_sources(const StepInput& input) {
  const std::size_t stride = align_up(shape_.num_tokens * sizeof(std::int32_t));
  std::size_t begin = layout_.sources;
  for (SourceStep& step : sources_) {
    std::int32_t* const token_rows = host_array(begin);
    std::int32_t* const samples = host_array(begin + stride);
    std::size_t count = 0;
    bool in_order = true;  // they are the first tokens
    for (const TokenSource& source : input.token_sources) {
      if (source.step_id != step.step_id) continue;
      in_order &= static_cast<std::size_t>(source.token_index) == count;
      token_rows[count] = source.token_index;
      samples[count++] = source.sample_row;
    }
    if (!in_order) step.token_rows = integers(begin, count);
    step.samples = integers(begin + stride, count);
    begin += 2 * stride;
  }
}

std::int32_t* StepStaging::host_tokens() { return host_array(layout_.tokens); }

void StepStaging::upload(device::Stream& stream) {
  stream.copy_from_host(device_.data(), host_.data(), layout_.size_bytes);
}

model::StageInput StepStaging::stage_input(const StepInput& input) const {
  model::StageInput stage;
  stage.num_tokens = static_cast<std::int64_t>(shape_.num_tokens);
  stage.positions = integers(layout_.positions, shape_.num_tokens);
  stage.slots = integers(layout_.slots, shape_.num_tokens);
  if (has_tokens_) stage.token_ids = integers(layout_.tokens, shape_.num_tokens);

  ops::AttentionMetadata& attention = stage.attention;
  const auto num_seqs = static_cast<std::int64_t>(shape_.num_seqs);
  attention.num_seqs = num_seqs;
  attention.query_starts = integers(layout_.query_starts, shape_.num_seqs + 1);
  attention.context_lens = integers(layout_.context_lens, shape_.num_seqs);
  attention.block_table = device_.view(DType::i32, {num_seqs, table_width_}, layout_.block_table);
  attention.host_query_starts = input.query_starts;
  attention.host_context_lens = input.context_lens;
  if (padded_) {
    attention.max_query_len = 1;
    attention.max_context_len = table_width_ * kv_block_size_;
    attention.lengths_may_change = padded_->takes_lengths;
    if (padded_->takes_lengths) {
      attention.host_query_starts = host_integers(layout_.query_starts, shape_.num_seqs + 1);
      attention.host_context_lens = host_integers(layout_.context_lens, shape_.num_seqs);
    } else {
      attention.padded_context_len = attention.max_context_len;
    }
  } else {
    for (std::size_t i = 0; i < shape_.num_seqs; ++i) {
      attention.max_query_len = std::max<std::int64_t>(
          attention.max_query_len, input.query_starts[i + 1] - input.query_starts[i]);
      attention.max_context_len =
          std::max<std::int64_t>(attention.max_context_len, input.context_lens[i]);
    }
  }
  if (has_logits_) {
    stage.num_logits = static_cast<std::int64_t>(shape_.num_logits);
    if (!padded_ && !all_tokens_have_logits(input))
      stage.logits_rows = integers(layout_.logits_rows, shape_.num_logits);
  }
  return stage;
}

TensorView StepStaging::targets() const { return integers(layout_.targets, shape_.num_targets); }

TensorView StepStaging::integers(std::size_t offset, std::size_t count) const {
  return device_.view(DType::i32, {static_cast<std::int64_t>(count)}, offset);
}
std::span<const std::int32_t> StepStaging::host_integers(std::size_t offset,
                                                         std::size_t count) const {
  const auto* const base = static_cast<const char*>(host_.data());
  return {reinterpret_cast<const std::int32_t*>(base + offset), count};
}
std::int32_t* StepStaging::host_array(std::size_t offset) {
  return reinterpret_cast<std::int32_t*>(static_cast<char*>(host_.data()) + offset);
}

}  // namespace fastchat::engine
