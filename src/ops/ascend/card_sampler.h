// Sampling by the card's own operators: nothing of the logits comes to the host.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "device/ascend/npu_stream.h"
#include "ops/ascend/acl_objects.h"
#include "ops/ops.h"

namespace fastchat::ops::ascend {

/// Arg-max, temperature, top-k, top-p and min-p, with the draws of ops/sampling.h: a seed means the
/// answer that the host's sampler gives, but where sums in f32 fall on the other side of a draw.
/// Rows with logit biases or penalties, or that want logprobs in different numbers, are the
/// host's.
class CardSampler {
 public:
  explicit CardSampler(device::ascend::NpuDevice& device) : device_(device) {}

  static bool can_sample(const TensorView& logits,
                         const SamplingBatch& batch,
                         const SampleOutput& output);
  /// As Ops::sample, where can_sample(). Enqueues only; of more than 64 rows that are not all
  /// greedy the first are waited for, whose parameters' memory the others take.
  void sample(device::ascend::NpuStream& stream,
              const TensorView& logits,
              const SamplingBatch& batch,
              const SampleOutput& output);

 private:
  /// What rows are sampled by, f32 [n, 1] each.
  struct Parameters {
    TensorView inverse_temperature;
    TensorView draw;
    TensorView top_k;
    TensorView top_p;
    TensorView min_p;
  };
  /// Token positions of the rows, i64 [n, 1], in `ids` and `logprobs`, whose order is the same.
  struct Choice {
    TensorView position;
    TensorView ids;       // i64 [n, vocab]; empty: positions are ids
    TensorView logprobs;  // f32 [n, vocab]
  };

  Parameters upload(device::ascend::NpuStream& stream, std::span<const SamplingRow> rows);
  static Choice choose_greedily(device::ascend::NpuStream& stream, const TensorView& logits);
  Choice draw(device::ascend::NpuStream& stream,
              const TensorView& logits,
              std::span<const SamplingRow> rows);

  /// Parameters on their way to the card.
  struct Staging {
    Buffer memory;  // pinned
    std::unique_ptr<device::Event> copied;
  };
  device::ascend::NpuDevice& device_;
  std::array<Staging, 4> staging_;
  std::size_t next_staging_ = 0;
};

}  // namespace fastchat::ops::ascend
