#include "ops/cpu/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace fastchat::ops::reference {
namespace {

/// Ids by falling logit, the lower id first among equals.
std::vector<std::int32_t> sorted_ids(const std::vector<double>& logits) {
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::sort(ids.begin(), ids.end(), [&](std::int32_t a, std::int32_t b) {
    const double x = logits[static_cast<std::size_t>(a)];
    const double y = logits[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  });
  return ids;
}

bool usable(const std::vector<double>& logits) {
  double max = -std::numeric_limits<double>::infinity();
  for (const double logit : logits) {
    if (std::isnan(logit)) return false;
    max = std::max(max, logit);
  }
  return std::isfinite(max);
}

double log_sum_exp(const std::vector<double>& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const double logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

std::vector<double> row_of(const TensorView& logits, std::int64_t row) {
  std::vector<double> values(static_cast<std::size_t>(logits.dim(1)));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = get(logits, row, static_cast<std::int64_t>(i));
  return values;
}

void write_top(const std::vector<double>& raw,
               std::int64_t count,
               std::int64_t row,
               const SampleOutput& output) {
  if (output.top_tokens.empty()) return;
  const bool wanted = count > 0 && usable(raw);
  const std::vector<std::int32_t> ids = wanted ? sorted_ids(raw) : std::vector<std::int32_t>();
  auto* tokens = output.top_tokens.as<std::int32_t>() + row * output.top_tokens.row_stride();
  for (std::int64_t i = 0; i < output.top_tokens.dim(1); ++i) {
    const auto index = static_cast<std::size_t>(i);
    const bool there =
        i < count && index < ids.size() &&
        raw[static_cast<std::size_t>(ids[index])] > -std::numeric_limits<double>::infinity();
    tokens[i] = there ? ids[index] : -1;
    set(output.top_logprobs,
        row,
        i,
        there ? raw[static_cast<std::size_t>(ids[index])] - log_sum_exp(raw)
              : std::numeric_limits<double>::quiet_NaN());
  }
}

void modify(std::vector<double>& logits, const SamplingRow& row, const SamplingBatch& batch) {
  const auto known = [&](std::int32_t token) {
    return token >= 0 && static_cast<std::size_t>(token) < logits.size();
  };
  // Each step rounds to f32, as logits are.
  const auto rounded = [](double value) { return static_cast<double>(static_cast<float>(value)); };
  for (std::int32_t i = row.bias_begin; i < row.bias_end; ++i) {
    const LogitBias& bias = batch.biases[static_cast<std::size_t>(i)];
    if (!known(bias.token)) continue;
    double& logit = logits[static_cast<std::size_t>(bias.token)];
    logit = rounded(logit + bias.bias);
  }
  for (std::int32_t i = row.count_begin; i < row.count_end; ++i) {
    const TokenCount& count = batch.counts[static_cast<std::size_t>(i)];
    if (!known(count.token)) continue;
    double& logit = logits[static_cast<std::size_t>(count.token)];
    logit = rounded(logit > 0.0 ? logit / row.repetition_penalty : logit * row.repetition_penalty);
    if (count.in_output > 0)
      logit = rounded(logit - (row.presence_penalty +
                               static_cast<double>(row.frequency_penalty) * count.in_output));
  }
}

std::int32_t choose(const std::vector<double>& logits, const SamplingRow& row) {
  const std::vector<std::int32_t> ids = sorted_ids(logits);
  if (row.temperature < 1e-5f) return ids[0];
  const double max = logits[static_cast<std::size_t>(ids[0])];
  std::vector<double> weights;
  weights.reserve(ids.size());
  for (const std::int32_t id : ids)
    weights.push_back(std::exp((logits[static_cast<std::size_t>(id)] - max) / row.temperature));
  if (row.top_k > 0 && static_cast<std::size_t>(row.top_k) < weights.size())
    weights.resize(static_cast<std::size_t>(row.top_k));
  if (row.top_p < 1.0f) {
    const double wanted = std::accumulate(weights.begin(), weights.end(), 0.0) * row.top_p;
    double sum = 0.0;
    std::size_t kept = 0;
    while (kept < weights.size() && (kept == 0 || sum < wanted)) sum += weights[kept++];
    weights.resize(kept);
  }
  while (weights.size() > 1 && weights.back() < row.min_p) weights.pop_back();
  const double target =
      std::accumulate(weights.begin(), weights.end(), 0.0) * uniform_draw(row.seed, row.draw_index);
  double sum = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (sum > target) return ids[i];
  }
  return ids[weights.size() - 1];
}

}  // namespace

void sample(TensorView logits, const SamplingBatch& batch, SampleOutput output) {
  for (std::int64_t i = 0; i < logits.rows(); ++i) {
    const SamplingRow& row = batch.rows[static_cast<std::size_t>(i)];
    const std::vector<double> raw = row_of(logits, i);
    write_top(raw, row.num_logprobs, i, output);
    std::vector<double> modified = raw;
    modify(modified, row, batch);
    const std::int32_t token = usable(modified) ? choose(modified, row) : -1;
    output.tokens.as<std::int32_t>()[i] = token;
    if (row.num_logprobs >= 0)
      output.logprobs.as<float>()[i] =
          token < 0 ? std::numeric_limits<float>::quiet_NaN()
                    : static_cast<float>(raw[static_cast<std::size_t>(token)] - log_sum_exp(raw));
  }
}

void token_logprobs(TensorView logits, TensorView targets, SampleOutput output) {
  for (std::int64_t i = 0; i < logits.rows(); ++i) {
    const std::vector<double> raw = row_of(logits, i);
    write_top(raw, logits.dim(1), i, output);
    const std::int32_t target = get_index(targets, i);
    const bool known = usable(raw) && target >= 0 && target < logits.dim(1);
    output.logprobs.as<float>()[i] =
        known ? static_cast<float>(raw[static_cast<std::size_t>(target)] - log_sum_exp(raw))
              : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace fastchat::ops::reference
