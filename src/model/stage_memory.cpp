#include "model/stage_memory.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kAlignment =
    64;  // of every part: a cache line, and all that vector loads ask for
constexpr std::uint64_t kNumParts = 15;
/// More would be gigabytes for models that are made for millions of positions.
constexpr std::int64_t kMostKeptRotations = 131072;

// Bytes per token or per row of each part.
struct Widths {
  Widths(const ModelConfig& config,
         const parallel::TensorShare& share,
         device::DType dtype,
         const ops::OpsTraits& traits) {
    const std::uint64_t element = device::size_of(dtype);
    const auto hidden_size = static_cast<std::uint64_t>(config.hidden_size);
    const auto heads = static_cast<std::uint64_t>(share.heads.count * config.head_dim);
    const auto kv_heads = static_cast<std::uint64_t>(share.kv_heads.count * config.head_dim);
    const auto intermediate = static_cast<std::uint64_t>(share.intermediate.count);
    const std::int64_t vocab = share.rank == 0 ? config.vocab_size : share.vocab.count;
    residual = hidden_size * device::size_of(traits.residual_dtype(dtype));
    rotary_table = static_cast<std::uint64_t>(config.rope.rotary_dim) * sizeof(float);
    hidden = hidden_size * element;
    qkv = (heads + 2 * kv_heads) * element;
    rotated = (heads + kv_heads) * element;
    attention = heads * element;
    gate_up = 2 * intermediate * element;
    activated = intermediate * element;
    logits = static_cast<std::uint64_t>(vocab) * sizeof(float);
    inverse_frequencies = rotary_table / 2;
    kept_rotations = static_cast<std::uint64_t>(num_kept_rotations(config, traits)) * rotary_table;
  }
  /// The larger of the two halves of a layer.
  std::uint64_t shared() const { return std::max(qkv + rotated + attention, gate_up + activated); }

  std::uint64_t residual, rotary_table, hidden, qkv, rotated, attention, gate_up, activated, logits;
  std::uint64_t inverse_frequencies, kept_rotations;  // all of them
};

}  // namespace

std::int64_t num_kept_rotations(const ModelConfig& config, const ops::OpsTraits& traits) {
  const std::int64_t positions = config.max_position_embeddings;
  return traits.keeps_rotary_table && positions <= kMostKeptRotations ? positions : 0;
}

ArenaCosts arena_costs(const ModelConfig& config,
                       const parallel::TensorShare& share,
                       device::DType dtype,
                       const ops::OpsTraits& traits) {
  const Widths widths(config, share, dtype, traits);
  return {.residual_per_token = widths.residual,
          .per_token = widths.rotary_table + widths.hidden + widths.residual + widths.shared(),
          .per_logits_row = 2 * widths.residual + widths.hidden + widths.logits,
          .fixed = widths.inverse_frequencies + widths.kept_rotations + kNumParts * kAlignment};
}

ArenaLayout::ArenaLayout(const ModelConfig& config,
                         const parallel::TensorShare& share,
                         device::DType dtype,
                         const ops::OpsTraits& traits,
                         const StepLimits& limits,
                         bool has_embedding,
                         bool has_head) {
  const Widths widths(config, share, dtype, traits);
  const ArenaCosts costs = arena_costs(config, share, dtype, traits);
  const auto tokens = static_cast<std::uint64_t>(limits.max_num_tokens);
  const auto rows = static_cast<std::uint64_t>(has_head ? limits.max_logits_rows : 0);
  const std::uint64_t residual_tokens = has_embedding ? tokens : 0;

  std::uint64_t used = 0;
  const auto take = [&used](std::uint64_t bytes) {
    const std::uint64_t offset = used;
    used += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  };
  inverse_frequencies = take(widths.inverse_frequencies);
  kept_rotations = take(widths.kept_rotations);
  residual = take(residual_tokens * widths.residual);
  rotary_table = take(tokens * widths.rotary_table);
  normed = take(tokens * widths.hidden);
  delta = take(tokens * widths.residual);
  row_residual = take(rows * widths.residual);
  row_delta = take(rows * widths.residual);
  row_normed = take(rows * widths.hidden);
  logits = take(rows * widths.logits);
  const std::uint64_t shared = used;
  qkv = take(tokens * widths.qkv);
  rotated = take(tokens * widths.rotated);
  attention = take(tokens * widths.attention);
  const std::uint64_t end_of_attention = std::exchange(used, shared);
  gate_up = take(tokens * widths.gate_up);
  activated = take(tokens * widths.activated);
  used = std::max(used, end_of_attention);

  size_bytes = residual_tokens * costs.residual_per_token + tokens * costs.per_token +
               rows * costs.per_logits_row + costs.fixed;
  FASTCHAT_ASSERT(used <= size_bytes, "arena of {} bytes needs {}", size_bytes, used);
}

}  // namespace fastchat::model
