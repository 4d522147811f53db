#include "ops/cpu/row_sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

namespace fastchat::ops::cpu {
namespace {

constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
/// Below this a temperature is greedy; see SamplingRow.
constexpr float kMinTemperature = 1e-5f;

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

}  // namespace

std::size_t RowSampler::scratch_bytes(std::int64_t vocab_size, std::int64_t num_modifications) {
  return static_cast<std::size_t>(2 * divide_up(vocab_size, kChunk)) * sizeof(float) +
         static_cast<std::size_t>(vocab_size) * sizeof(Candidate) +
         static_cast<std::size_t>(num_modifications) * sizeof(Saved);
}

RowSampler::RowSampler(const Kernels& kernels, std::int64_t vocab_size, void* scratch)
    : kernels_(kernels),
      vocab_size_(vocab_size),
      num_chunks_(divide_up(vocab_size, kChunk)),
      // Weights are at most 1: the sum of all stays below quantum * 2^53.
      quantum_(std::ldexp(
          1.0f, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(vocab_size))) - 52)),
      chunk_max_(static_cast<float*>(scratch)),
      sorted_chunk_max_(chunk_max_ + num_chunks_),
      candidates_(reinterpret_cast<Candidate*>(sorted_chunk_max_ + num_chunks_)),
      saved_(reinterpret_cast<Saved*>(candidates_ + vocab_size)) {}

bool RowSampler::comes_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/// Finds the row's maximum. False when there is nothing to choose from, or an overflow.
bool RowSampler::scan(const float* logits) {
  max_ = kernels_.scan(logits, vocab_size_, chunk_max_).max;
  return std::isfinite(max_);
}

/// Tokens whose logits reach `threshold`, by rising id.
void RowSampler::collect(const float* logits, float threshold) {
  num_candidates_ = 0;
  for (std::int64_t chunk = 0; chunk < num_chunks_; ++chunk) {
    if (!(chunk_max_[chunk] >= threshold)) continue;
    const std::int64_t end = std::min((chunk + 1) * kChunk, vocab_size_);
    for (std::int64_t token = chunk * kChunk; token < end; ++token) {
      if (logits[token] >= threshold)
        candidates_[num_candidates_++] = {logits[token], static_cast<std::int32_t>(token), 0.0f};
    }
  }
}

/// Gives the candidates their weights, in vectors.
void RowSampler::weigh(float inverse_temperature) {
  float values[kChunk];
  for (std::int64_t first = 0; first < num_candidates_; first += kChunk) {
    const std::int64_t count = std::min(kChunk, num_candidates_ - first);
    for (std::int64_t i = 0; i < count; ++i) values[i] = candidates_[first + i].logit;
    kernels_.sample_weights(values, count, max_, inverse_temperature, quantum_, values);
    for (std::int64_t i = 0; i < count; ++i) candidates_[first + i].weight = values[i];
  }
}

double RowSampler::mass() const {
  double sum = 0.0;
  for (std::int64_t i = 0; i < num_candidates_; ++i) sum += candidates_[i].weight;
  return sum;
}

/// A logit that at least `count` tokens reach, and not many more: the count-th largest of the
/// chunks' maxima.
float RowSampler::threshold_of_top(std::int64_t count) {
  if (count > num_chunks_) return kLowest;
  std::copy_n(chunk_max_, num_chunks_, sorted_chunk_max_);
  std::nth_element(sorted_chunk_max_,
                   sorted_chunk_max_ + count - 1,
                   sorted_chunk_max_ + num_chunks_,
                   std::greater<>());
  return std::max(sorted_chunk_max_[count - 1], kLowest);
}

/// Most likely tokens that weigh `wanted` or more together; all if there is no such set.
void RowSampler::collect_mass(const float* logits, float temperature, double wanted) {
  // e^-6 and e^-14 of the likeliest: the first usually holds a top-p set, the second all but a few
  // draws of 2^24.
  for (const float distance : {6.0f, 14.0f}) {
    collect(logits, max_ - distance * temperature);
    weigh(1.0f / temperature);
    if (mass() > wanted) return;
  }
  collect(logits, kLowest);
  weigh(1.0f / temperature);
}

/// Sorts candidates as far as needed, and returns how many of the most likely are the fewest whose
/// mass is at least (or, to `exceed`, above) `wanted`. All when there are none such.
std::int64_t RowSampler::prefix_reaching(double wanted, bool exceed) {
  constexpr std::int64_t kFewEnoughToSort = 64;
  std::int64_t begin = 0;
  std::int64_t end = num_candidates_;
  double before = 0.0;  // mass of [0, begin)
  const auto reached = [&](double sum) { return exceed ? sum > wanted : sum >= wanted; };
  while (end - begin > kFewEnoughToSort) {
    const std::int64_t middle = begin + (end - begin) / 2;
    std::nth_element(candidates_ + begin, candidates_ + middle, candidates_ + end, comes_before);
    double sum = before;
    for (std::int64_t i = begin; i < middle; ++i) sum += candidates_[i].weight;
    if (reached(sum)) {
      end = middle;
    } else {
      before = sum;
      begin = middle;
    }
  }
  std::sort(candidates_ + begin, candidates_ + end, comes_before);
  for (std::int64_t i = begin; i < end; ++i) {
    before += candidates_[i].weight;
    if (reached(before)) return i + 1;
  }
  return end;
}

/// Applies bias and penalties, keeping what was there in saved_; returns how many entries.
std::int64_t RowSampler::modify(float* logits, const SamplingRow& row, const SamplingBatch& batch) {
  std::int64_t num_saved = 0;
  const auto save = [&](std::int32_t token) {
    if (token < 0 || token >= vocab_size_) return false;
    saved_[num_saved++] = {token, logits[token]};
    return true;
  };
  for (std::int32_t i = row.bias_begin; i < row.bias_end; ++i) {
    const LogitBias& bias = batch.biases[static_cast<std::size_t>(i)];
    if (save(bias.token)) logits[bias.token] += bias.bias;
  }
  if (row.repetition_penalty == 1.0f && row.presence_penalty == 0.0f &&
      row.frequency_penalty == 0.0f)
    return num_saved;
  for (std::int32_t i = row.count_begin; i < row.count_end; ++i) {
    const TokenCount& count = batch.counts[static_cast<std::size_t>(i)];
    if (!save(count.token)) continue;
    float& logit = logits[count.token];
    logit = logit > 0.0f ? logit / row.repetition_penalty : logit * row.repetition_penalty;
    if (count.in_output > 0)
      logit -= row.presence_penalty + row.frequency_penalty * static_cast<float>(count.in_output);
  }
  return num_saved;
}

/// scan() has been done, and found a finite maximum.
std::int32_t RowSampler::choose(const float* logits, const SamplingRow& row) {
  if (!(row.temperature >= kMinTemperature)) {
    std::int64_t chunk = 0;
    while (chunk_max_[chunk] != max_) ++chunk;
    std::int64_t token = chunk * kChunk;
    while (logits[token] != max_) ++token;
    return static_cast<std::int32_t>(token);
  }
  const float inverse_temperature = 1.0f / row.temperature;
  const double draw = uniform_draw(row.seed, row.draw_index);
  const bool nucleus = row.top_p < 1.0f;
  double total = 0.0;
  if (row.top_k > 0 && row.top_k < vocab_size_) {
    collect(logits, threshold_of_top(row.top_k));
    if (num_candidates_ > row.top_k) {
      std::nth_element(
          candidates_, candidates_ + row.top_k, candidates_ + num_candidates_, comes_before);
      num_candidates_ = row.top_k;
    }
    weigh(inverse_temperature);
    total = mass();
  } else if (nucleus || row.min_p <= 0.0f) {
    total = kernels_.sample_mass(logits, vocab_size_, max_, inverse_temperature, quantum_);
    collect_mass(logits, row.temperature, total * (nucleus ? row.top_p : draw));
  } else {
    constexpr float kSlack = 1e-3f;  // more than the error of exp; what is too unlikely goes below
    const float distance = kSlack - std::log(std::min(row.min_p, 1.0f));
    collect(logits, std::max(max_ - distance * row.temperature, kLowest));
    weigh(inverse_temperature);
    total = mass();
  }
  if (nucleus) {
    num_candidates_ = prefix_reaching(total * row.top_p, /*exceed=*/false);
    total = mass();
  }
  if (row.min_p > 0.0f) {
    const float least = std::min(row.min_p, 1.0f);  // the likeliest weighs 1
    num_candidates_ = std::partition(candidates_,
                                     candidates_ + num_candidates_,
                                     [&](const Candidate& c) { return c.weight >= least; }) -
                      candidates_;
    total = mass();
  }
  return candidates_[prefix_reaching(total * draw, /*exceed=*/true) - 1].token;
}

float RowSampler::raw_logprob(const float* logits,
                              std::int32_t token,
                              std::int64_t num_saved) const {
  float logit = logits[token];
  // The first entry of a token holds what the model said.
  for (std::int64_t i = num_saved - 1; i >= 0; --i)
    if (saved_[i].token == token) logit = saved_[i].logit;
  return static_cast<float>(static_cast<double>(logit) - raw_max_ - raw_log_mass_);
}

/// The `count` most likely tokens of a row that has been scanned; -1 past them.
void RowSampler::write_top(const float* logits, std::int64_t count, const RowOutput& output) {
  count = std::min({count, output.max_logprobs, vocab_size_});
  if (count > 0) {
    collect(logits, threshold_of_top(count));
    count = std::min(count, num_candidates_);
    std::partial_sort(
        candidates_, candidates_ + count, candidates_ + num_candidates_, comes_before);
  }
  for (std::int64_t i = 0; i < output.max_logprobs; ++i) {
    const bool there = i < count;
    output.top_tokens[i] = there ? candidates_[i].token : -1;
    output.top_logprobs[i] = there ? raw_logprob(logits, candidates_[i].token, 0) : kNan;
  }
}

void RowSampler::sample(float* logits,
                        const SamplingRow& row,
                        const SamplingBatch& batch,
                        const RowOutput& output) {
  const bool wants_logprobs = row.num_logprobs >= 0;
  bool valid = true;
  if (wants_logprobs) {
    valid = scan(logits);
    if (valid) {
      raw_max_ = max_;
      raw_log_mass_ = std::log(kernels_.sample_mass(logits, vocab_size_, max_, 1.0f, quantum_));
    }
  }
  write_top(logits, valid && wants_logprobs ? row.num_logprobs : 0, output);
  std::int64_t num_saved = 0;
  if (valid) {
    num_saved = modify(logits, row, batch);
    if (!wants_logprobs || num_saved > 0) valid = scan(logits);
  }
  *output.token = valid ? choose(logits, row) : -1;
  if (wants_logprobs)
    *output.logprob = valid ? raw_logprob(logits, *output.token, num_saved) : kNan;
}

void RowSampler::token_logprobs(const float* logits, std::int32_t target, const RowOutput& output) {
  const bool valid = scan(logits);
  if (valid) {
    raw_max_ = max_;
    raw_log_mass_ = std::log(kernels_.sample_mass(logits, vocab_size_, max_, 1.0f, quantum_));
  }
  write_top(logits, valid ? output.max_logprobs : 0, output);
  const bool known = valid && target >= 0 && target < vocab_size_;
  *output.logprob = known ? raw_logprob(logits, target, 0) : kNan;
}

}  // namespace fastchat::ops::cpu
