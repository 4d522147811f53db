#include "tests/engine/scripted_model.h"

#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

#include "base/log.h"

namespace fastchat::engine::testing {
namespace {

std::uint64_t mix(std::uint64_t state) {
  state += 0x9E3779B97F4A7C15ull;
  state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ull;
  state = (state ^ (state >> 27)) * 0x94D049BB133111EBull;
  return state ^ (state >> 31);
}

}  // namespace

std::uint64_t ScriptedModel::extend(std::uint64_t context, std::int32_t token) {
  return mix(context ^ (static_cast<std::uint64_t>(token) + 1));
}

float ScriptedModel::logit(std::uint64_t context, std::int32_t token) const {
  return static_cast<float>(extend(context, token + 7777) >> 40) * 0x1.0p-22f;
}

bool ScriptedModel::is_nan(std::uint64_t context) const {
  return nan_period > 0 && context % nan_period == 0;
}

std::int32_t ScriptedModel::choose(std::uint64_t context,
                                   const ops::SamplingRow& row,
                                   std::span<const ops::LogitBias> biases,
                                   std::span<const ops::TokenCount> counts) const {
  if (is_nan(context)) return -1;
  std::int32_t best = -1;
  float best_score = -std::numeric_limits<float>::infinity();
  for (std::int32_t token = 0; token < vocab_size; ++token) {
    float score = logit(context, token);
    for (const ops::LogitBias& bias : biases)
      if (bias.token == token) score += bias.bias;
    for (const ops::TokenCount& count : counts) {
      if (count.token != token) continue;
      score = score > 0 ? score / row.repetition_penalty : score * row.repetition_penalty;
      if (count.in_output > 0) score -= row.presence_penalty;
      score -= row.frequency_penalty * static_cast<float>(count.in_output);
    }
    if (row.temperature >= 1e-5f)
      score += 4 * row.temperature *
               ops::uniform_draw(row.seed ^ mix(static_cast<std::uint64_t>(token)), row.draw_index);
    if (score > best_score) {
      best = token;
      best_score = score;
    }
  }
  return best;
}

std::vector<std::pair<std::int32_t, float>> ScriptedModel::top(std::uint64_t context,
                                                               std::int32_t k) const {
  std::vector<std::pair<std::int32_t, float>> all;
  for (std::int32_t token = 0; token < vocab_size; ++token)
    all.emplace_back(token, logit(context, token));
  std::stable_sort(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  all.resize(static_cast<std::size_t>(std::clamp(k, 0, vocab_size)));
  return all;
}

Answer answer_alone(const ScriptedModel& model,
                    const SchedulerConfig& config,
                    const Request& request) {
  const SamplingParams& params = request.sampling;
  std::vector<std::int32_t> stop_ids = params.stop_token_ids;
  if (!params.ignore_eos)
    stop_ids.insert(stop_ids.end(), config.eos_token_ids.begin(), config.eos_token_ids.end());
  const std::int64_t room =
      std::min(config.max_model_len, config.num_blocks * config.block_size + 1) -
      static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t limit = params.max_tokens > 0 ? params.max_tokens : room;

  ops::SamplingRow row;
  row.temperature = params.temperature;
  row.repetition_penalty = params.repetition_penalty;
  row.presence_penalty = params.presence_penalty;
  row.frequency_penalty = params.frequency_penalty;
  row.seed = params.seed.value_or(0);

  Answer answer;
  std::uint64_t context = 0;
  for (std::size_t i = 0; i < request.prompt.size(); ++i) {
    const std::int32_t token = request.prompt[i];
    if (i > 0 && params.num_prompt_logprobs >= 0)
      answer.prompt_logprobs.push_back({.token = token,
                                        .logprob = model.logit(context, token),
                                        .top = model.top(context, params.num_prompt_logprobs)});
    context = ScriptedModel::extend(context, token);
  }
  while (answer.finish_reason == FinishReason::none) {
    const auto num_output = static_cast<std::int64_t>(answer.tokens.size());
    std::vector<ops::LogitBias> biases;
    for (const auto& [token, bias] : params.logit_bias) biases.push_back({token, bias});
    if (num_output < params.min_tokens)
      for (const std::int32_t token : stop_ids)
        biases.push_back({token, -std::numeric_limits<float>::infinity()});
    std::map<std::int32_t, std::int32_t> occurrences;
    if (params.repetition_penalty != 1.0f)
      for (const std::int32_t token : request.prompt) occurrences[token];
    for (const std::int32_t token : answer.tokens) ++occurrences[token];
    std::vector<ops::TokenCount> counts;
    for (const auto& [token, in_output] : occurrences) counts.push_back({token, in_output});
    row.draw_index = request.prompt.size() + answer.tokens.size();

    const std::int32_t token = model.choose(context, row, biases, counts);
    if (token < 0) {
      answer.finish_reason = FinishReason::error;
    } else if (num_output >= params.min_tokens &&
               std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
      answer.finish_reason = FinishReason::stop;
      answer.stop_token_id = token;
    } else {
      answer.tokens.push_back(token);
      if (params.num_logprobs >= 0)
        answer.logprobs.push_back({.token = token,
                                   .logprob = model.logit(context, token),
                                   .top = model.top(context, params.num_logprobs)});
      if (num_output + 1 == limit) answer.finish_reason = FinishReason::length;
      context = ScriptedModel::extend(context, token);
    }
  }
  return answer;
}

ScriptedExecutor::ScriptedExecutor(const ScriptedModel& model,
                                   const SchedulerConfig& config,
                                   int depth)
    : model_(model),
      config_(config),
      ring_(static_cast<std::size_t>(depth)),
      kv_(static_cast<std::size_t>(config.num_blocks * config.block_size)),
      writers_(static_cast<std::size_t>(config.num_blocks)) {}

std::span<const std::int32_t> ScriptedExecutor::table(const StepInput& input,
                                                      std::size_t sequence) const {
  const auto width = static_cast<std::size_t>(input.max_blocks);
  const auto num_blocks =
      (static_cast<std::size_t>(input.context_lens[sequence]) + config_.block_size - 1) /
      static_cast<std::size_t>(config_.block_size);
  return std::span(input.block_table).subspan(sequence * width, num_blocks);
}

void ScriptedExecutor::check_input(const StepInput& input) {
  ASSERT_EQ(input.step_id, last_submitted_ + 1);
  ASSERT_LT(last_submitted_ - last_taken_, ring_.size()) << "too many steps are outstanding";
  const auto num_tokens = input.tokens.size();
  const auto num_seqs = input.context_lens.size();
  ASSERT_GT(num_tokens, 0u);
  ASSERT_LE(input.num_tokens(), config_.max_num_batched_tokens);
  ASSERT_LE(input.num_seqs(), config_.max_num_seqs);
  ASSERT_LE(static_cast<std::int64_t>(input.logits_rows.size()), config_.max_logits_rows);
  ASSERT_EQ(input.logits_rows.size(), input.sampling.size() + input.targets.size());
  ASSERT_EQ(input.positions.size(), num_tokens);
  ASSERT_EQ(input.slots.size(), num_tokens);
  ASSERT_EQ(input.query_starts.size(), num_seqs + 1);
  ASSERT_EQ(input.query_starts.front(), 0);
  ASSERT_EQ(input.query_starts.back(), input.num_tokens());
  ASSERT_EQ(input.block_table.size(), num_seqs * static_cast<std::size_t>(input.max_blocks));
  for (std::size_t i = 0; i < num_seqs; ++i) {
    const std::int32_t begin = input.query_starts[i];
    const std::int32_t end = input.query_starts[i + 1];
    ASSERT_LT(begin, end);
    const std::span<const std::int32_t> blocks = table(input, i);
    for (std::int32_t j = begin; j < end; ++j) {
      const auto index = static_cast<std::size_t>(j);
      const std::int32_t position = input.context_lens[i] - (end - j);
      ASSERT_EQ(input.positions[index], position);
      const std::int64_t block = blocks[static_cast<std::size_t>(position / config_.block_size)];
      ASSERT_EQ(input.slots[index], block * config_.block_size + position % config_.block_size);
    }
    const auto row = std::span(input.block_table)
                         .subspan(i * static_cast<std::size_t>(input.max_blocks),
                                  static_cast<std::size_t>(input.max_blocks));
    for (std::size_t j = 0; j < row.size(); ++j)
      ASSERT_EQ(row[j] >= 0, j < blocks.size()) << "block table past the context's end";
  }
  for (const TokenSource& source : input.token_sources) {
    ASSERT_LT(source.step_id, input.step_id);
    ASSERT_GT(source.step_id, last_taken_) << "the step was taken, its tokens are known";
    ASSERT_LT(static_cast<std::size_t>(source.sample_row),
              step(source.step_id).input.sampling.size());
  }
  for (const ops::SamplingRow& row : input.sampling) {
    ASSERT_LE(static_cast<std::size_t>(row.bias_end), input.biases.size());
    ASSERT_LE(static_cast<std::size_t>(row.count_end), input.counts.size());
  }
}

/// A block that a step writes is used by one sequence only, in this step and in outstanding ones.
void ScriptedExecutor::check_blocks(const StepInput& input) {
  std::fill(writers_.begin(), writers_.end(), -1);
  for (std::size_t i = 0; i < input.context_lens.size(); ++i)
    for (std::int32_t j = input.query_starts[i]; j < input.query_starts[i + 1]; ++j)
      writers_[static_cast<std::size_t>(input.slots[static_cast<std::size_t>(j)] /
                                        config_.block_size)] = static_cast<std::int32_t>(i);
  const auto writer = [&](std::int32_t block) { return writers_[static_cast<std::size_t>(block)]; };
  for (std::size_t i = 0; i < input.context_lens.size(); ++i)
    for (const std::int32_t block : table(input, i))
      ASSERT_TRUE(writer(block) < 0 || writer(block) == static_cast<std::int32_t>(i))
          << "two sequences of a step use a block that one of them writes";
  for (std::uint64_t id = last_taken_ + 1; id <= last_submitted_; ++id) {
    const StepInput& other = step(id).input;
    for (std::size_t i = 0; i < other.context_lens.size(); ++i) {
      const std::span<const std::int32_t> used = table(other, i);
      for (const std::int32_t block : used) {
        if (writer(block) < 0) continue;
        // Then it must be the same sequence, further on.
        const auto same = static_cast<std::size_t>(writer(block));
        const std::span<const std::int32_t> blocks = table(input, same);
        const auto first = static_cast<std::size_t>(input.query_starts[same]);
        ASSERT_TRUE(input.positions[first] >= other.context_lens[i] &&
                    blocks.size() >= used.size() &&
                    std::equal(used.begin(), used.end(), blocks.begin()))
            << "block " << block << " was reused while step " << id << " is outstanding";
      }
    }
  }
}

void ScriptedExecutor::submit(StepInput input) {
  check_input(input);
  check_blocks(input);
  if (::testing::Test::HasFatalFailure()) throw std::runtime_error("broken step contract");
  if (on_submit) on_submit(input);
  last_submitted_ = input.step_id;
  max_seen_outstanding =
      std::max(max_seen_outstanding, static_cast<std::int64_t>(last_submitted_ - last_taken_));
  num_computed_tokens += input.num_tokens();
  num_chained_tokens += static_cast<std::int64_t>(input.token_sources.size());
  step(input.step_id).input = std::move(input);
}

/// The tokens that attention sees from this token; none if the memory holds another sequence's.
std::optional<std::uint64_t> ScriptedExecutor::context(const StepInput& input,
                                                       std::int32_t token_index) const {
  const auto after =
      std::upper_bound(input.query_starts.begin(), input.query_starts.end(), token_index);
  const auto sequence = static_cast<std::size_t>(after - input.query_starts.begin()) - 1;
  const std::span<const std::int32_t> blocks = table(input, sequence);
  std::uint64_t context = 0;
  for (std::int32_t p = 0; p <= input.positions[static_cast<std::size_t>(token_index)]; ++p) {
    const std::int64_t block = blocks[static_cast<std::size_t>(p / config_.block_size)];
    const Slot& slot =
        kv_[static_cast<std::size_t>(block * config_.block_size + p % config_.block_size)];
    if (slot.position != p || slot.token < 0) return std::nullopt;
    context = ScriptedModel::extend(context, slot.token);
  }
  return context;
}

StepOutput ScriptedExecutor::wait() {
  if (last_taken_ == last_submitted_) throw std::logic_error("no step is outstanding");
  RingStep& current = step(++last_taken_);
  const StepInput& input = current.input;
  StepOutput output = std::move(spare_output_);
  output.step_id = input.step_id;
  output.error = before_step ? before_step(input) : std::string();
  const bool fails = !output.error.empty();

  std::vector<std::int32_t>& sampled = current.sampled;
  for (std::size_t i = 0; i < input.tokens.size(); ++i)
    kv_[static_cast<std::size_t>(input.slots[i])] = {.token = fails ? 3 : input.tokens[i],
                                                     .position = input.positions[i]};
  for (const TokenSource& source : input.token_sources) {
    const auto i = static_cast<std::size_t>(source.token_index);
    if (!fails)
      kv_[static_cast<std::size_t>(input.slots[i])].token =
          step(source.step_id).sampled[static_cast<std::size_t>(source.sample_row)];
  }
  const auto width = static_cast<std::size_t>(input.max_logprobs > 0 ? input.max_logprobs : 0);
  const std::size_t num_rows = input.logits_rows.size();
  sampled.assign(input.sampling.size(), 5);
  output.tokens.assign(input.sampling.size(), -1);
  output.logprobs.assign(num_rows, 0);
  output.top_tokens.assign(num_rows * width, -1);
  output.top_logprobs.assign(num_rows * width, 0);
  if (fails) return output;
  for (std::size_t i = 0; i < num_rows; ++i) {
    const std::optional<std::uint64_t> seen = context(input, input.logits_rows[i]);
    std::int32_t token = -1;
    std::int32_t num_top = static_cast<std::int32_t>(width);
    if (i < input.sampling.size()) {
      const ops::SamplingRow& row = input.sampling[i];
      const auto range = [](const auto& values, std::int32_t begin, std::int32_t end) {
        return std::span(values).subspan(static_cast<std::size_t>(begin),
                                         static_cast<std::size_t>(end - begin));
      };
      if (seen)
        token = model_.choose(*seen,
                              row,
                              range(input.biases, row.bias_begin, row.bias_end),
                              range(input.counts, row.count_begin, row.count_end));
      sampled[i] = output.tokens[i] = token;
      num_top = row.num_logprobs;
    } else {
      token = input.targets[i - input.sampling.size()];
    }
    if (!seen || token < 0) continue;
    output.logprobs[i] = model_.logit(*seen, token);
    if (num_top <= 0) continue;
    const auto top = model_.top(*seen, num_top);
    for (std::size_t j = 0; j < top.size(); ++j) {
      output.top_tokens[i * width + j] = top[j].first;
      output.top_logprobs[i * width + j] = top[j].second;
    }
  }
  return output;
}

StepInput ScriptedExecutor::recycle(StepOutput output) {
  StepInput input = std::move(step(output.step_id).input);
  spare_output_ = std::move(output);
  return input;
}

Verdict Collector::on_output(const SequenceOutput& output) {
  EXPECT_FALSE(is_done) << "a call after the last";
  if (on_call) on_call(output);
  answer.tokens.insert(answer.tokens.end(), output.new_tokens.begin(), output.new_tokens.end());
  answer.logprobs.insert(
      answer.logprobs.end(), output.new_logprobs.begin(), output.new_logprobs.end());
  answer.prompt_logprobs.insert(
      answer.prompt_logprobs.end(), output.prompt_logprobs.begin(), output.prompt_logprobs.end());
  EXPECT_EQ(static_cast<std::size_t>(output.num_output_tokens), answer.tokens.size());
  num_cached_tokens = output.num_cached_tokens;
  if (throw_after && answer.tokens.size() >= *throw_after &&
      output.finish_reason == FinishReason::none)
    throw std::runtime_error("listener's own fault");
  const bool stops = stop_after && answer.tokens.size() >= *stop_after &&
                     output.finish_reason == FinishReason::none;
  if (stops || output.finish_reason != FinishReason::none) {
    const std::lock_guard lock(mutex_);
    answer.finish_reason = stops ? FinishReason::stop : output.finish_reason;
    answer.stop_token_id = output.stop_token_id;
    error = output.error;
    is_done = true;
    done_.notify_all();
  }
  return stops ? Verdict::stop : Verdict::go_on;
}

void Collector::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return is_done; });
}

QuietLog::QuietLog() {
  log::set_sink([](log::Level, std::string_view) {});
}

QuietLog::~QuietLog() {
  log::set_sink([](log::Level, std::string_view message) { std::cerr << message << '\n'; });
}

void expect_equal(const std::vector<TokenLogprob>& found,
                  const std::vector<TokenLogprob>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].token, expected[i].token);
    EXPECT_EQ(found[i].logprob, expected[i].logprob);
    EXPECT_EQ(found[i].top, expected[i].top);
  }
}

}  // namespace fastchat::engine::testing
