// Where a step's integers and results lie in memory, the same on host and device.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastchat::engine {

/// Every array of a step begins at a multiple of it, in bytes.
inline constexpr std::size_t kAlignment = 64;

constexpr std::size_t align_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Counts of a step, or their upper bounds.
struct StepShape {
  std::size_t num_tokens = 0;
  std::size_t num_seqs = 0;
  std::size_t block_table_entries = 0;
  std::size_t num_logits = 0;
  std::size_t num_targets = 0;
  std::size_t num_source_steps = 0;
};

/// Offsets of a step's i32 arrays in its staging memory, in bytes.
struct StepLayout {
  explicit StepLayout(const StepShape& shape);

  std::size_t tokens = 0;
  std::size_t positions = 0;
  std::size_t slots = 0;
  std::size_t query_starts = 0;
  std::size_t context_lens = 0;
  std::size_t block_table = 0;
  std::size_t logits_rows = 0;
  std::size_t targets = 0;
  /// Per source step: which tokens it fills in, and with which of its samples; num_tokens each.
  std::size_t sources = 0;
  std::size_t size_bytes = 0;

 private:
  std::size_t take(std::size_t count);
};

/// Offsets of a step's results in its output memory, in bytes: i32 and f32, one per row of logits,
/// or max_logprobs per row.
struct OutputLayout {
  OutputLayout(std::size_t num_logits, std::size_t max_logprobs);

  std::size_t tokens = 0;
  std::size_t logprobs = 0;
  std::size_t top_tokens = 0;
  std::size_t top_logprobs = 0;
  std::size_t size_bytes = 0;
};

}  // namespace fastchat::engine
