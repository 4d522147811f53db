#include "engine/padded_step.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

namespace fastchat::engine {
namespace {

/// A recorded step reads no fewer blocks over all sequences: fewer sizes, for reads that cost
/// nothing beside the weights.
constexpr std::int64_t kLeastBlocks = 8;

std::int64_t next_power_of_two(std::int64_t count) {
  return static_cast<std::int64_t>(
      std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1))));
}

/// 1, 2, 4, 8, 16, 24, 32, 40, …
std::int64_t seqs_size(std::int64_t count) {
  constexpr std::int64_t kStep = 8;
  return count <= kStep ? next_power_of_two(count) : (count + kStep - 1) / kStep * kStep;
}

/// 1, 2, 3, 4, 6, 8, 12, 16, 24, …: padding is read too, and adds at most a third.
std::int64_t blocks_size(std::int64_t count) {
  const std::int64_t power = next_power_of_two(count);
  return count <= power / 4 * 3 ? power / 4 * 3 : power;
}

}  // namespace

std::optional<StepSize> padded_size(const StepInput& input, const PaddingLimits& limits) {
  const std::int64_t num_seqs = input.num_seqs();
  // Every sequence that is none writes to a position of its own in one block.
  const std::int64_t most_seqs = std::min(limits.max_num_seqs, limits.kv_block_size);
  if (num_seqs == 0 || num_seqs > most_seqs || input.num_tokens() != num_seqs ||
      !input.targets.empty() || input.sampling.size() != input.logits_rows.size() ||
      input.logits_rows.size() != static_cast<std::size_t>(num_seqs))
    return std::nullopt;
  for (std::int32_t i = 0; i < num_seqs; ++i)
    if (input.logits_rows[static_cast<std::size_t>(i)] != i ||
        input.query_starts[static_cast<std::size_t>(i)] != i)
      return std::nullopt;
  const std::int64_t padded_seqs = std::min(seqs_size(num_seqs), most_seqs);
  const std::int64_t blocks =
      std::max<std::int64_t>({input.max_blocks, kLeastBlocks / padded_seqs, 1});
  StepSize size{.num_seqs = padded_seqs,
                .max_blocks = std::min(blocks_size(blocks), limits.max_blocks)};
  const std::int64_t count = std::accumulate(
      input.context_lens.begin(), input.context_lens.end(), std::int64_t{padded_seqs - num_seqs});
  size.takes_lengths =
      limits.most_read_in_vain &&
      size.num_seqs * size.max_blocks * limits.kv_block_size - count > *limits.most_read_in_vain;
  return size;
}

void write_padded(const StepInput& input,
                  const StepSize& size,
                  const PaddingLimits& limits,
                  const StepLayout& layout,
                  bool with_logits,
                  char* staging) {
  const auto array = [&](std::size_t offset) {
    return reinterpret_cast<std::int32_t*>(staging + offset);
  };
  const auto num_seqs = static_cast<std::size_t>(input.num_seqs());
  const auto padded = static_cast<std::size_t>(size.num_seqs);
  const auto width = static_cast<std::size_t>(size.max_blocks);
  const auto empty_block = static_cast<std::int32_t>(limits.first_spare_block);
  const std::int32_t written_block = empty_block + 1;
  const auto put = [&](std::size_t offset, const std::vector<std::int32_t>& values, auto rest) {
    std::int32_t* const to = array(offset);
    std::copy(values.begin(), values.end(), to);
    for (std::size_t i = values.size(); i < padded; ++i) to[i] = rest(static_cast<std::int32_t>(i));
  };
  const auto zero = [](std::int32_t) { return 0; };
  put(layout.tokens, input.tokens, zero);
  put(layout.positions, input.positions, zero);
  put(layout.slots, input.slots, [&](std::int32_t i) {
    return written_block * static_cast<std::int32_t>(limits.kv_block_size) + i;
  });
  put(layout.context_lens, input.context_lens, [](std::int32_t) { return 1; });
  if (with_logits) put(layout.logits_rows, input.logits_rows, [](std::int32_t i) { return i; });
  std::iota(array(layout.query_starts), array(layout.query_starts) + padded + 1, 0);

  std::int32_t* row = array(layout.block_table);
  const auto used_width = static_cast<std::size_t>(input.max_blocks);
  for (std::size_t seq = 0; seq < padded; ++seq, row += width) {
    std::fill_n(row, width, empty_block);
    if (seq >= num_seqs) {
      row[0] = written_block;
      continue;
    }
    const std::int32_t* const blocks = input.block_table.data() + seq * used_width;
    for (std::size_t i = 0; i < used_width; ++i)
      if (blocks[i] >= 0) row[i] = blocks[i];
  }
}

}  // namespace fastchat::engine
