// Chooses a token from one row of logits: what the sample operation does on a cpu, the same on
// every instruction set.
#pragma once

#include "ops/cpu/kernels.h"
#include "ops/sampling.h"

#include <cstddef>
#include <cstdint>

namespace fastchat::ops::cpu {

/// Where a row's results go; null or 0 where not wanted.
struct RowOutput {
  std::int32_t* token = nullptr;
  float* logprob = nullptr;
  std::int32_t* top_tokens = nullptr;
  float* top_logprobs = nullptr;
  std::int64_t max_logprobs = 0;
};

/// One thread, one row at a time. Passes over the whole row are vectorised; then it works on
/// candidates: a set of most likely tokens, large enough to hold the answer. Their weights are
/// multiples of one quantum, so masses are exact sums and do not depend on the order of addition.
class RowSampler {
 public:
  static std::size_t scratch_bytes(std::int64_t vocab_size, std::int64_t num_modifications);
  /// `scratch` is aligned to 64 and of scratch_bytes.
  RowSampler(const Kernels& kernels, std::int64_t vocab_size, void* scratch);

  void sample(float* logits,
              const SamplingRow& row,
              const SamplingBatch& batch,
              const RowOutput& output);
  void token_logprobs(const float* logits, std::int32_t target, const RowOutput& output);

 private:
  struct Candidate {
    float logit;
    std::int32_t token;
    float weight;
  };
  struct Saved {
    std::int32_t token;
    float logit;
  };
  static bool comes_before(const Candidate& a, const Candidate& b);

  bool scan(const float* logits);
  void collect(const float* logits, float threshold);
  void weigh(float inverse_temperature);
  double mass() const;
  float threshold_of_top(std::int64_t count);
  void collect_mass(const float* logits, float temperature, double wanted);
  std::int64_t prefix_reaching(double wanted, bool exceed);
  std::int64_t modify(float* logits, const SamplingRow& row, const SamplingBatch& batch);
  std::int32_t choose(const float* logits, const SamplingRow& row);
  float raw_logprob(const float* logits, std::int32_t token, std::int64_t num_saved) const;
  void write_top(const float* logits, std::int64_t count, const RowOutput& output);

  const Kernels& kernels_;
  std::int64_t vocab_size_;
  std::int64_t num_chunks_;
  float quantum_;
  float* chunk_max_;
  float* sorted_chunk_max_;
  Candidate* candidates_;
  Saved* saved_;
  std::int64_t num_candidates_ = 0;
  float max_ = 0.0f;
  float raw_max_ = 0.0f;
  double raw_log_mass_ = 0.0;
};

}  // namespace fastchat::ops::cpu
