#include "engine/sequence.h"

#include <algorithm>

#include "engine/sampling_params.h"

namespace fastchat::engine {
namespace {

ops::TokenCount& count_of(std::vector<ops::TokenCount>& counts, std::int32_t token) {
  const auto place = std::lower_bound(
      counts.begin(), counts.end(), token, [](const ops::TokenCount& count, std::int32_t wanted) {
        return count.token < wanted;
      });
  if (place != counts.end() && place->token == token) return *place;
  return *counts.insert(place, ops::TokenCount{.token = token, .in_output = 0});
}

}  // namespace

Sequence::Sequence(RequestId request_id,
                   Request request,
                   const std::vector<std::int32_t>& eos_token_ids,
                   std::uint64_t seed,
                   std::int64_t max_length)
    : id(request_id),
      sampling(std::move(request.sampling)),
      row(sampling_row(sampling, seed)),
      listener(std::move(request.listener)),
      stop_ids(sampling.stop_token_ids),
      num_prompt(static_cast<std::int64_t>(request.prompt.size())),
      max_len(max_length),
      needs_counts(counts_tokens(sampling)),
      tokens(std::move(request.prompt)) {
  if (!sampling.ignore_eos)
    stop_ids.insert(stop_ids.end(), eos_token_ids.begin(), eos_token_ids.end());
  std::sort(stop_ids.begin(), stop_ids.end());
  stop_ids.erase(std::unique(stop_ids.begin(), stop_ids.end()), stop_ids.end());
  // Only the repetition penalty looks at the prompt.
  if (sampling.repetition_penalty != 1.0f) {
    std::vector<std::int32_t> sorted = tokens;
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    for (const std::int32_t token : sorted) counts.push_back({.token = token, .in_output = 0});
  }
}

bool Sequence::is_stop(std::int32_t token) const {
  return std::binary_search(stop_ids.begin(), stop_ids.end(), token);
}

void Sequence::append(std::int32_t token) {
  tokens.push_back(token);
  if (needs_counts) ++count_of(counts, token).in_output;
}

void Sequence::reserve(std::int64_t block_size) {
  const auto num_tokens = static_cast<std::size_t>(max_len);
  const auto num_blocks = static_cast<std::size_t>((max_len + block_size - 1) / block_size);
  tokens.reserve(num_tokens);
  blocks.reserve(num_blocks);
  hashes.reserve(num_blocks);
  if (needs_counts) counts.reserve(num_tokens);
}

}  // namespace fastchat::engine
