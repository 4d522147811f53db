#include "engine/step_layout.h"

namespace fastchat::engine {

StepLayout::StepLayout(const StepShape& shape) {
  tokens = take(shape.num_tokens);
  positions = take(shape.num_tokens);
  slots = take(shape.num_tokens);
  query_starts = take(shape.num_seqs + 1);
  context_lens = take(shape.num_seqs);
  block_table = take(shape.block_table_entries);
  logits_rows = take(shape.num_logits);
  targets = take(shape.num_targets);
  for (std::size_t i = 0; i < shape.num_source_steps; ++i) {
    const std::size_t offset = take(shape.num_tokens);
    take(shape.num_tokens);
    if (i == 0) sources = offset;
  }
}

std::size_t StepLayout::take(std::size_t count) {
  const std::size_t offset = size_bytes;
  size_bytes += align_up(count * sizeof(std::int32_t));
  return offset;
}

OutputLayout::OutputLayout(std::size_t num_logits, std::size_t max_logprobs) {
  const std::size_t row = align_up(num_logits * sizeof(std::int32_t));
  const std::size_t top = align_up(num_logits * max_logprobs * sizeof(std::int32_t));
  logprobs = row;
  top_tokens = 2 * row;
  top_logprobs = top_tokens + top;
  size_bytes = top_logprobs + top;
}

}  // namespace fastchat::engine
