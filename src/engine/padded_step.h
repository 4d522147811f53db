// Steps that only decode, made as large as one of few sizes: what is recorded for one serves all of
// its size.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/step.h"
#include "engine/step_layout.h"

namespace fastchat::engine {

/// Bounds of the steps that are recorded.
struct PaddingLimits {
  std::int64_t max_num_seqs = 0;
  std::int64_t max_blocks = 0;  // of a sequence
  std::int64_t kv_block_size = 0;
  /// Two blocks that belong to no sequence: nothing is ever written to the first, which fills block
  /// tables; the second takes the KV of sequences that are none.
  std::int64_t first_spare_block = 0;
  /// Positions that may be read in vain; beyond, the step takes its lengths along. None: it cannot.
  std::optional<std::int64_t> most_read_in_vain;
};

/// The size that a step is made: sequences, and blocks of each.
struct StepSize {
  std::int64_t num_seqs = 0;
  std::int64_t max_blocks = 0;
  bool takes_lengths = false;  // only positions that count are read, but every launch says which
  // NOLINTNEXTLINE(modernize-use-nullptr): of the generated code
  auto operator<=>(const StepSize&) const = default;
};

/// The size to which `input` is padded, one of few up to the limits. Nothing where a sequence has
/// more than one new token, logits of other rows are asked for, or it has more sequences than are
/// recorded.
std::optional<StepSize> padded_size(const StepInput& input, const PaddingLimits& limits);

/// Writes `input` to `staging`, laid out by `layout` for `size`: first its own arrays, then
/// sequences of one token whose results nobody reads. Rows of logits where `with_logits`.
void write_padded(const StepInput& input,
                  const StepSize& size,
                  const PaddingLimits& limits,
                  const StepLayout& layout,
                  bool with_logits,
                  char* staging);

}  // namespace fastchat::engine
