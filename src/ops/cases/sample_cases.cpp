#include "ops/cases/op_case.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fastchat::ops::cases {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Sampling {
  const char* name;
  SamplingRow row;
  float magnitude = 6.0f;
};

/// Tokens as a fraction of the vocabulary, so that they are of the size of logprobs and do not hide
/// their errors.
std::vector<float> tokens_and_logprobs(Rig& rig,
                                       const SampleOutput& output,
                                       std::int64_t vocab_size) {
  std::vector<float> results;
  std::vector<float> tokens = rig.download(output.tokens);
  std::vector<float> logprobs = rig.download(output.logprobs);
  // A row without a token may be told by either.
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!rig.traits().tolerates_bad_indices && !std::isfinite(logprobs[i])) tokens[i] = -1.0f;
    if (tokens[i] < 0.0f) logprobs[i] = kNan;
    results.push_back(tokens[i] / static_cast<float>(vocab_size));
    results.push_back(logprobs[i]);
  }
  for (const TensorView& view : {output.top_tokens, output.top_logprobs}) {
    for (const float value : rig.download(view))
      results.push_back(view.dtype() == DType::i32 ? value / static_cast<float>(vocab_size)
                                                   : value);
  }
  return results;
}

SampleOutput blank_output(Rig& rig, std::int64_t rows, std::int64_t max_logprobs) {
  return {.tokens = rig.blank(DType::i32, {rows}),
          .logprobs = rig.blank(DType::f32, {rows}),
          .top_tokens = rig.blank(DType::i32, {rows, max_logprobs}),
          .top_logprobs = rig.blank(DType::f32, {rows, max_logprobs})};
}

/// Eight rows that differ in seed and logits.
std::vector<float> run_sample(Rig& rig, std::int64_t vocab_size, const Sampling& sampling) {
  constexpr std::int64_t kRows = 8;
  const TensorView logits = rig.upload(
      random_values(1, kRows * vocab_size, sampling.magnitude), DType::f32, {kRows, vocab_size});
  std::vector<SamplingRow> rows;
  std::vector<LogitBias> biases = {{-5, 100.0f},
                                   {static_cast<std::int32_t>(vocab_size), 100.0f},
                                   {3, 2.5f},
                                   {4, -kInfinity},
                                   {3, 1.0f}};
  std::vector<TokenCount> counts = {
      {5, 0}, {6, 2}, {7, 1}, {-1, 1}, {static_cast<std::int32_t>(vocab_size), 3}};
  for (std::int64_t i = 0; i < kRows; ++i) {
    SamplingRow row = sampling.row;
    row.seed = 1000 + static_cast<std::uint64_t>(i);
    row.draw_index = static_cast<std::uint64_t>(i * i);
    if (i % 2 == 1) {
      row.bias_end = static_cast<std::int32_t>(biases.size());
      row.count_end = static_cast<std::int32_t>(counts.size());
    }
    row.num_logprobs = static_cast<std::int32_t>(i % 4);
    rows.push_back(row);
  }
  const SampleOutput output = blank_output(rig, kRows, 3);
  rig.ops().sample(
      rig.stream(), logits, {.rows = rows, .biases = biases, .counts = counts}, output);
  return tokens_and_logprobs(rig, output, vocab_size);
}

/// Rows that have no answer, ties, and one possible answer.
std::vector<float> run_edges(Rig& rig) {
  constexpr std::int64_t kVocab = 200;
  constexpr std::int64_t kRows = 7;
  std::vector<float> values = random_values(2, kRows * kVocab);
  const auto row_of = [&](std::int64_t row) { return values.data() + row * kVocab; };
  row_of(0)[150] = kNan;
  std::fill_n(row_of(1), kVocab, -kInfinity);
  row_of(2)[9] = kInfinity;
  std::fill_n(row_of(3), kVocab, 0.5f);
  std::fill_n(row_of(4), kVocab, -kInfinity);
  row_of(4)[199] = -3.0f;
  row_of(5)[20] = row_of(5)[180] = 8.0f;
  const TensorView logits = rig.upload(values, DType::f32, {kRows, kVocab});
  std::vector<SamplingRow> rows(kRows);
  for (std::int64_t i = 0; i < kRows; ++i) {
    rows[static_cast<std::size_t>(i)].num_logprobs = 2;
    rows[static_cast<std::size_t>(i)].seed = 5;
  }
  rows[5].temperature = 0.0f;
  rows[6].min_p = 2.0f;  // nothing is as likely as that: the likeliest stays
  const SampleOutput output = blank_output(rig, kRows, 2);
  rig.ops().sample(rig.stream(), logits, {.rows = rows}, output);
  return tokens_and_logprobs(rig, output, kVocab);
}

}  // namespace

std::vector<OpCase> sample_cases() {
  const Sampling samplings[] = {
      {.name = "greedy", .row = {.temperature = 0.0f}},
      {.name = "plain", .row = {}},
      {.name = "nearly flat", .row = {.temperature = 50.0f}},
      {.name = "sharp", .row = {.temperature = 0.01f}},
      {.name = "top_k 1", .row = {.top_k = 1}},
      {.name = "top_k 20", .row = {.temperature = 2.0f, .top_k = 20}},
      {.name = "top_k 400", .row = {.temperature = 2.0f, .top_k = 400}},
      {.name = "top_p 0.9", .row = {.top_p = 0.9f}},
      {.name = "top_p 0.5 of flat", .row = {.temperature = 50.0f, .top_p = 0.5f}},
      {.name = "top_p 0", .row = {.top_p = 0.0f}},
      {.name = "min_p 0.2", .row = {.min_p = 0.2f}},
      {.name = "all filters",
       .row = {.temperature = 1.5f, .top_p = 0.8f, .min_p = 0.1f, .top_k = 50}},
      {.name = "penalties",
       .row = {.repetition_penalty = 1.3f, .presence_penalty = 0.5f, .frequency_penalty = 0.2f}},
      {.name = "penalties, greedy",
       .row = {.temperature = 0.0f, .repetition_penalty = 0.7f, .frequency_penalty = -0.4f}},
  };
  std::vector<OpCase> cases;
  // Tokens are the same or far apart: a wrong one is beyond any tolerance but this.
  const double allowed = 2e-6;
  for (const Sampling& sampling : samplings) {
    for (const std::int64_t vocab_size : {10, 1000, 5003}) {
      cases.push_back({.op = "sample",
                       .name = fmt::format("{} of {}", sampling.name, vocab_size),
                       .dtype = DType::f32,
                       .tolerance = allowed,
                       .run = [=](Rig& rig) { return run_sample(rig, vocab_size, sampling); }});
    }
  }
  cases.push_back({.op = "sample",
                   .name = "nothing to choose, ties",
                   .dtype = DType::f32,
                   .tolerance = allowed,
                   .run = run_edges});
  cases.push_back({.op = "token_logprobs",
                   .name = "known, none, hostile targets; a row of NaN",
                   .dtype = DType::f32,
                   .tolerance = allowed,
                   .run = [](Rig& rig) {
                     std::vector<float> values = random_values(3, 6 * 999, 8.0f);
                     values[5 * 999 + 7] = kNan;
                     const TensorView logits = rig.upload(values, DType::f32, {6, 999});
                     const std::int32_t targets[] = {0, 998, -1, 999, 500, 1};
                     SampleOutput output = blank_output(rig, 6, 5);
                     rig.ops().token_logprobs(rig.stream(), logits, rig.upload(targets), output);
                     return tokens_and_logprobs(rig, output, 999);
                   }});
  return cases;
}

}  // namespace fastchat::ops::cases
