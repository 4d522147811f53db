// One stream of tokens grown from a request, and how far its KV is computed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/block_allocator.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/step.h"

namespace fastchat::engine {

enum class SequenceState : std::uint8_t {
  waiting,     // holds no blocks
  running,     // holds blocks, is scheduled
  preempting,  // its blocks go, and it waits again, when its outstanding steps have returned
  finished,    // its listener had the last call; goes when its outstanding steps have returned
};

/// Owned and changed by the Scheduler. Engine thread only.
///
/// Positions, from the front:  [ computed | in outstanding steps | to schedule )
///                             0      num_computed        num_scheduled     length()
/// The last num_pending of the length() tokens are being sampled by outstanding steps: `tokens`
/// does not have them yet.
struct Sequence {
  /// Takes over the request. `eos_token_ids` end it too, unless it ignores them; `max_len` is the
  /// length at which it ends anyway.
  Sequence(RequestId request_id,
           Request request,
           const std::vector<std::int32_t>& eos_token_ids,
           std::uint64_t seed,
           std::int64_t max_length);

  std::int64_t num_known() const { return static_cast<std::int64_t>(tokens.size()); }
  std::int64_t length() const { return num_known() + num_pending; }
  std::int64_t num_output() const { return length() - num_prompt; }
  std::int64_t num_to_schedule() const { return length() - num_scheduled; }
  /// Whether a step may take tokens of it now: it needs another token, and knows what it must.
  bool is_ready() const { return length() < max_len && (!needs_counts || num_pending == 0); }
  bool is_stop(std::int32_t token) const;
  /// A sampled token became known.
  void append(std::int32_t token);
  /// Room for all tokens and blocks it can ever have, so that its steps allocate nothing.
  void reserve(std::int64_t block_size);

  // The request.
  RequestId id = 0;  // also the order of arrival
  SamplingParams sampling;
  ops::SamplingRow row;
  std::shared_ptr<OutputListener> listener;  // until the last call
  std::vector<std::int32_t> stop_ids;        // sorted
  std::int64_t num_prompt = 0;
  std::int64_t max_len = 0;
  bool needs_counts = false;  // a penalty looks at the tokens so far

  // Progress.
  SequenceState state = SequenceState::waiting;
  std::vector<std::int32_t> tokens;
  std::int64_t num_pending = 0;
  std::int64_t num_scheduled = 0;
  std::int64_t num_computed = 0;
  std::uint64_t source_step = 0;  // samples the last pending token …
  std::int32_t source_row = 0;    // … in this row
  int num_outstanding = 0;        // steps not yet returned that use its blocks
  bool is_releasing = false;      // its blocks come back when these have returned

  std::vector<ops::TokenCount> counts;  // by token, of `tokens`; if needs_counts

  // Blocks: blocks[i] holds positions i * block_size and on.
  std::vector<BlockRef> blocks;
  std::vector<BlockHash> hashes;       // of full blocks of known tokens, as far as asked
  std::int64_t num_cached_blocks = 0;  // the first of `blocks`: known to the prefix cache

  // What its listener is told.
  bool was_admitted = false;
  std::int64_t num_cached_tokens = 0;
  std::int64_t num_prompt_rows = 0;  // prompt positions whose logprobs are asked of a step already
  std::vector<TokenLogprob> prompt_logprobs;
};

/// Queues of sequences are kept in the order of arrival.
inline bool is_earlier(const Sequence* a, const Sequence* b) { return a->id < b->id; }

template <typename Queue>
void insert_by_arrival(Queue& queue, Sequence* sequence) {
  queue.insert(std::upper_bound(queue.begin(), queue.end(), sequence, is_earlier), sequence);
}

/// Removes it if it is there.
template <typename Queue>
void remove_by_arrival(Queue& queue, Sequence* sequence) {
  const auto place = std::lower_bound(queue.begin(), queue.end(), sequence, is_earlier);
  if (place != queue.end() && *place == sequence) queue.erase(place);
}

}  // namespace fastchat::engine
