// The KV cache and attention: how work is shared among the threads; the arithmetic is in
// kernels/attention.cpp.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"

#include <algorithm>

namespace fastchat::ops {
namespace {

using cpu::AttentionArgs;
using cpu::AttentionState;
using cpu::AttentionTile;
using cpu::kDepth;
using cpu::Kernels;
using cpu::kPartition;
using cpu::kQueryRows;
using device::CpuTeam;

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

/// Attention of a step, as its task sees it.
class StepAttention {
 public:
  StepAttention(const Kernels& kernels,
                const AttentionArgs& args,
                const AttentionMetadata& metadata)
      : kernels_(&kernels),
        args_(args),
        query_starts_(metadata.query_starts.as<const std::int32_t>()),
        context_lens_(metadata.context_lens.as<const std::int32_t>()),
        block_table_(metadata.block_table.as<const std::int32_t>()),
        table_stride_(metadata.block_table.row_stride()),
        max_blocks_(metadata.block_table.dim(1)),
        num_seqs_(metadata.num_seqs),
        pitch_(divide_up(args.kv.head_dim, cpu::kPanelColumns) * cpu::kPanelColumns),
        query_floats_(divide_up(args.kv.head_dim, kDepth) * kQueryRows * kDepth) {}

  void run(CpuTeam& team) const {
    std::int64_t num_tiles = 0;
    std::int64_t num_partitions = 0;
    for (std::int64_t seq = 0; seq < num_seqs_; ++seq) {
      num_tiles += tiles_per_head(seq) * args_.kv.num_kv_heads;
      num_partitions = std::max(num_partitions, divide_up(context_lens_[seq], kPartition));
    }
    constexpr std::int64_t kTilesPerThread = 3;  // enough for threads of unequal speed
    if (team.num_threads() == 1 || num_partitions <= 1 ||
        num_tiles >= kTilesPerThread * team.num_threads()) {
      run_tiles(team, num_tiles);
    } else {
      run_partitions(team, num_tiles, num_partitions);
    }
  }

 private:
  struct Partitions {
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };

  std::int64_t num_rows(std::int64_t seq) const {
    return (query_starts_[seq + 1] - query_starts_[seq]) * args_.group;
  }
  std::int64_t tiles_per_head(std::int64_t seq) const {
    return divide_up(num_rows(seq), kQueryRows);
  }

  /// Tiles are numbered sequence by sequence, in it head by head: a head's tiles share its keys and
  /// values.
  AttentionTile tile_at(std::int64_t index) const {
    std::int64_t seq = 0;
    while (index >= tiles_per_head(seq) * args_.kv.num_kv_heads) {
      index -= tiles_per_head(seq) * args_.kv.num_kv_heads;
      ++seq;
    }
    const std::int64_t row = index % tiles_per_head(seq) * kQueryRows;
    const std::int64_t query_len = query_starts_[seq + 1] - query_starts_[seq];
    return {.blocks = block_table_ + seq * table_stride_,
            .max_blocks = max_blocks_,
            .context_len = context_lens_[seq],
            .first_token = query_starts_[seq],
            .first_position = context_lens_[seq] - query_len,
            .kv_head = index / tiles_per_head(seq),
            .row_begin = row,
            .row_end = std::min(row + kQueryRows, num_rows(seq))};
  }

  /// Partitions that some row of the tile sees; at least one, so that the tile has a result.
  Partitions partitions_of(const AttentionTile& tile) const {
    const std::int64_t first = tile.first_position + tile.row_begin / args_.group;
    const std::int64_t last = tile.first_position + (tile.row_end - 1) / args_.group;
    const std::int64_t seen =
        args_.window > 0 ? std::max<std::int64_t>(0, first + 1 - args_.window) : 0;
    const std::int64_t begin = seen / kPartition;
    return {begin,
            std::max(begin + 1, divide_up(std::min(last + 1, tile.context_len), kPartition))};
  }

  std::int64_t state_floats(std::int64_t rows) const { return rows * (2 + pitch_); }
  AttentionState state_in(float* memory, std::int64_t rows) const {
    return {.max = memory, .mass = memory + rows, .sum = memory + 2 * rows, .pitch = pitch_};
  }

  void run_tiles(CpuTeam& team, std::int64_t num_tiles) const {
    const std::int64_t floats =
        query_floats_ + kQueryRows * kPartition + 2 * state_floats(kQueryRows);
    team.parallel_for(num_tiles, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      auto* memory = static_cast<float*>(
          team.scratch(thread, static_cast<std::size_t>(floats) * sizeof(float)));
      float* scores = memory + query_floats_;
      const AttentionState state = state_in(scores + kQueryRows * kPartition, kQueryRows);
      const AttentionState later = state_in(state.max + state_floats(kQueryRows), kQueryRows);
      for (std::int64_t index = begin; index < end; ++index) {
        const AttentionTile tile = tile_at(index);
        const Partitions partitions = partitions_of(tile);
        kernels_->attention_queries(args_, tile, memory);
        kernels_->attention_partition(args_, tile, memory, partitions.begin, scores, state);
        for (std::int64_t p = partitions.begin + 1; p < partitions.end; ++p) {
          kernels_->attention_partition(args_, tile, memory, p, scores, later);
          kernels_->attention_merge(state, later, tile.row_end - tile.row_begin);
        }
        kernels_->attention_finish(args_, tile, state);
      }
    });
  }

  /// Few tiles over long contexts, one long decode at the extreme: partitions are shared among the
  /// threads, then merged in the order that run_tiles has.
  void run_partitions(CpuTeam& team, std::int64_t num_tiles, std::int64_t num_partitions) const {
    std::int64_t max_rows = 1;
    for (std::int64_t seq = 0; seq < num_seqs_; ++seq)
      max_rows = std::max(max_rows, std::min(kQueryRows, num_rows(seq)));
    const std::int64_t states_per_tile = state_floats(max_rows) * num_partitions;
    constexpr std::int64_t kSharedFloats = 256 * 1024;
    const std::int64_t tiles_at_once =
        std::clamp<std::int64_t>(kSharedFloats / states_per_tile, 1, num_tiles);
    const std::int64_t shared_floats = tiles_at_once * states_per_tile;
    const std::int64_t own_floats = query_floats_ + kQueryRows * kPartition;
    // Thread 0, which runs this, keeps the states before its own scratch.
    auto* shared = static_cast<float*>(
        team.scratch(0, static_cast<std::size_t>(shared_floats + own_floats) * sizeof(float)));
    const auto state_of = [&](std::int64_t tile, std::int64_t partition) {
      return state_in(shared + tile * states_per_tile + partition * state_floats(max_rows),
                      max_rows);
    };
    for (std::int64_t first = 0; first < num_tiles; first += tiles_at_once) {
      const std::int64_t count = std::min(tiles_at_once, num_tiles - first);
      team.parallel_for(
          count * num_partitions, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
            auto* memory = thread == 0
                               ? shared + shared_floats
                               : static_cast<float*>(team.scratch(
                                     thread, static_cast<std::size_t>(own_floats) * sizeof(float)));
            std::int64_t prepared = -1;
            for (std::int64_t i = begin; i < end; ++i) {
              const std::int64_t index = i / num_partitions;
              const std::int64_t partition = i % num_partitions;
              const AttentionTile tile = tile_at(first + index);
              const Partitions partitions = partitions_of(tile);
              if (partition < partitions.begin || partition >= partitions.end) continue;
              if (index != prepared) kernels_->attention_queries(args_, tile, memory);
              prepared = index;
              kernels_->attention_partition(args_,
                                            tile,
                                            memory,
                                            partition,
                                            memory + query_floats_,
                                            state_of(index, partition));
            }
          });
      team.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
        for (std::int64_t index = begin; index < end; ++index) {
          const AttentionTile tile = tile_at(first + index);
          const Partitions partitions = partitions_of(tile);
          const AttentionState state = state_of(index, partitions.begin);
          for (std::int64_t p = partitions.begin + 1; p < partitions.end; ++p)
            kernels_->attention_merge(state, state_of(index, p), tile.row_end - tile.row_begin);
          kernels_->attention_finish(args_, tile, state);
        }
      });
    }
  }

  const Kernels* kernels_;
  AttentionArgs args_;
  const std::int32_t* query_starts_;
  const std::int32_t* context_lens_;
  const std::int32_t* block_table_;
  std::int64_t table_stride_;
  std::int64_t max_blocks_;
  std::int64_t num_seqs_;
  std::int64_t pitch_;         // of the sums
  std::int64_t query_floats_;  // of a tile
};

}  // namespace

void CpuOps::kv_write(Stream& stream, TensorView k, TensorView v, TensorView slots, KvLayer kv) {
  check_kv_write(k, v, slots, kv);
  if (slots.rows() == 0) return;
  const cpu::KvWriteArgs args{.k = cpu::const_rows(k),
                              .v = cpu::const_rows(v),
                              .slots = slots.as<const std::int32_t>(),
                              .kv = cpu::kv_pointers(kv)};
  cpu::cpu_stream(stream, "kv_write")
      .enqueue([kernels = &kernels_, args, num_rows = slots.rows()](CpuTeam& team) {
        team.parallel_for(num_rows,
                          cpu::row_grain(args.kv.num_kv_heads * args.kv.head_dim),
                          [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                            kernels->kv_write(args, begin, end);
                          });
      });
}

void CpuOps::paged_attention(Stream& stream, const PagedAttentionArgs& args) {
  check_paged_attention(args);
  if (args.q.rows() == 0 || args.metadata.num_seqs == 0) return;
  const StepAttention step(kernels_,
                           {.q = cpu::const_rows(args.q),
                            .out = cpu::rows(args.out),
                            .kv = cpu::kv_pointers(args.kv),
                            .group = args.num_heads / args.kv.spec.num_kv_heads,
                            .scale = args.scale,
                            .softcap = args.softcap,
                            .window = args.window},
                           args.metadata);
  cpu::cpu_stream(stream, "paged_attention").enqueue([step](CpuTeam& team) { step.run(team); });
}

}  // namespace fastchat::ops
