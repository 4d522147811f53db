// The step seam: what the scheduler asks of the ranks, and what comes back. Plain serialisable
// data: a rank is a thread today, a process or another host later, without changing this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/sampling.h"

namespace fastchat::engine {

/// Most columns of top logprobs a step can be asked for.
inline constexpr std::int32_t kMaxLogprobs = 20;

/// An input token that is not known yet: sampled by a step that is still outstanding.
struct TokenSource {
  std::int32_t token_index = 0;  // which of this step's tokens
  std::uint64_t step_id = 0;     // an earlier step whose output may not have reached the host
  std::int32_t sample_row = 0;   // which of that step's samples
};

/// One forward pass over a batch that mixes prefill and decode. Sequences lie one after another.
struct StepInput {
  std::uint64_t step_id = 0;     // consecutive from 1
  std::int32_t micro_batch = 0;  // which of the batches in flight (pipeline mode)

  // Per token.
  std::vector<std::int32_t> tokens;  // ids; any value where a TokenSource fills it
  std::vector<TokenSource> token_sources;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> slots;  // block * block_size + offset

  // Per sequence.
  std::vector<std::int32_t> query_starts;  // [num_seqs + 1]
  std::vector<std::int32_t> context_lens;  // [num_seqs], including this step's tokens
  std::vector<std::int32_t> block_table;   // [num_seqs, max_blocks], -1 past the end
  std::int32_t max_blocks = 0;

  // Rows of logits. Row i is computed from token logits_rows[i].
  std::vector<std::int32_t> logits_rows;
  /// The first sampling.size() logits rows are sampled.
  std::vector<ops::SamplingRow> sampling;
  std::vector<ops::LogitBias> biases;
  std::vector<ops::TokenCount> counts;
  /// The remaining rows give the logprob of a known token (prompt logprobs): targets[j] for row
  /// sampling.size() + j.
  std::vector<std::int32_t> targets;
  std::int32_t max_logprobs = 0;  // columns of the top-logprob outputs

  std::int32_t num_tokens() const { return static_cast<std::int32_t>(tokens.size()); }
  std::int32_t num_seqs() const { return static_cast<std::int32_t>(context_lens.size()); }
};

/// What a step produced. Per logits row.
struct StepOutput {
  std::uint64_t step_id = 0;
  std::vector<std::int32_t> tokens;      // [sampling.size()]; -1: the logits held a NaN
  std::vector<float> logprobs;           // [logits_rows.size()] where asked
  std::vector<std::int32_t> top_tokens;  // [logits_rows.size(), max_logprobs], -1 = none
  std::vector<float> top_logprobs;
  /// With a token of -1: which layer's output is the first that is no finite number; may be empty.
  std::string overflow;
  std::string error;  // not empty: the step failed; nothing else is valid
};

/// Runs steps, in order. Engine thread only.
class StepExecutor {
 public:
  virtual ~StepExecutor() = default;
  /// Starts a step; returns before it is done. At most max_outstanding() steps may be submitted and
  /// not yet taken. Once a step has failed, those behind it may fail too, up to the next one that
  /// is submitted with none outstanding.
  virtual void submit(StepInput input) = 0;
  /// The oldest outstanding step's output; blocks until it is there.
  virtual StepOutput wait() = 0;
  /// Steps that may be outstanding: 2 keeps one device busy, more fill a pipeline.
  virtual int max_outstanding() const = 0;
  /// Optional, so that steady decode allocates nothing: takes back an output that was read, and
  /// returns the input of its step, or an empty one, to be filled anew.
  virtual StepInput recycle(StepOutput /*output*/) {  // NOLINT(performance-unnecessary-value-param)
    return {};
  }
};

}  // namespace fastchat::engine
