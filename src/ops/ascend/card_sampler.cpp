#include "ops/ascend/card_sampler.h"

#include <algorithm>
#include <limits>

#include "ops/ascend/launch.h"

namespace fastchat::ops::ascend {

using device::ascend::NpuStream;

namespace {

/// Rows whose temporaries fit what the planner counts as scratch: some 50 bytes per logit.
constexpr std::int64_t kRowsAtOnce = 16;
constexpr std::int64_t kLastDim = -1;
/// Below this a row is greedy; see SamplingRow.
constexpr float kGreedyTemperature = 1e-5f;
/// Draws stay below 1 by more than f32 rounds: target < total.
constexpr float kLargestDraw = 1.0f - 0x1.0p-22f;
/// Any mass is within it.
constexpr float kEverything = 2.0f;

bool is_greedy(const SamplingRow& row) { return row.temperature < kGreedyTemperature; }

bool is_modified(const SamplingRow& row) {
  const bool has_penalties = row.repetition_penalty != 1.0f || row.presence_penalty != 0.0f ||
                             row.frequency_penalty != 0.0f;
  return row.bias_begin != row.bias_end || (has_penalties && row.count_begin != row.count_end);
}

bool keeps_few(const SamplingRow& row, std::int64_t vocab_size) {
  return !is_greedy(row) && row.top_k > 0 && row.top_k < vocab_size;
}
bool has_top_p(const SamplingRow& row) { return !is_greedy(row) && row.top_p < 1.0f; }
bool has_min_p(const SamplingRow& row) { return !is_greedy(row) && row.min_p > 0.0f; }

template <typename Predicate>
bool any(std::span<const SamplingRow> rows, Predicate predicate) {
  return std::any_of(rows.begin(), rows.end(), predicate);
}

void subtract(NpuStream& stream, const TensorView& a, const TensorView& b, const TensorView& out) {
  const AclScalar one(1.0f);
  FASTCHAT_ACLNN(
      stream, aclnnSub, AclTensor(a).get(), AclTensor(b).get(), one.get(), AclTensor(out).get());
}

TensorView product(NpuStream& stream, const TensorView& a, const TensorView& b) {
  const TensorView out = temporary(stream, DType::f32, {a.rows(), std::max(a.dim(1), b.dim(1))});
  FASTCHAT_ACLNN(stream, aclnnMul, AclTensor(a).get(), AclTensor(b).get(), AclTensor(out).get());
  return out;
}

TensorView running_sum(NpuStream& stream, const TensorView& x) {
  const TensorView out = temporary(stream, DType::f32, {x.rows(), x.dim(1)});
  FASTCHAT_ACLNN(
      stream, aclnnCumsum, AclTensor(x).get(), kLastDim, ACL_FLOAT, AclTensor(out).get());
  return out;
}

TensorView last_column(const TensorView& x) { return x.slice_columns(x.dim(1) - 1, 1); }

// x becomes 1 where it is above 0, else 0: whether x + |x| is other than 0, of operators that every
// CANN has.
void mark_positive(NpuStream& stream, const TensorView& x) {
  const AclScalar one(1.0f);
  const AclTensor x_tensor(x);
  const AclTensor magnitude(temporary(stream, DType::f32, {x.rows(), x.dim(1)}));
  FASTCHAT_ACLNN(stream, aclnnAbs, x_tensor.get(), magnitude.get());
  FASTCHAT_ACLNN(stream, aclnnInplaceAdd, magnitude.get(), x_tensor.get(), one.get());
  const AclTensor is_positive = temporary_bool(stream, {x.rows(), x.dim(1)});
  FASTCHAT_ACLNN(stream, aclnnCast, magnitude.get(), ACL_BOOL, is_positive.get());
  FASTCHAT_ACLNN(stream, aclnnCast, is_positive.get(), ACL_FLOAT, x_tensor.get());
}

/// probabilities *= whether limit > x, elementwise; limit f32 [n, 1] or [1, vocab].
void keep_below(NpuStream& stream,
                const TensorView& probabilities,
                const TensorView& x,
                const TensorView& limit) {
  const TensorView room =
      temporary(stream, DType::f32, {probabilities.rows(), probabilities.dim(1)});
  subtract(stream, limit, x, room);
  mark_positive(stream, room);
  FASTCHAT_ACLNN(stream, aclnnInplaceMul, AclTensor(probabilities).get(), AclTensor(room).get());
}

// Tokens whose logprob is no number, or -infinity, become -1, and their logprob NaN. The softmax of
// a row with a NaN or +infinity, or of nothing finite, is NaN throughout. x - x is 0 or NaN.
void take_back(NpuStream& stream, const AclTensor& tokens, const TensorView& logprobs) {
  const AclScalar one(1.0f);
  const TensorView defect = temporary(stream, DType::f32, {logprobs.rows(), logprobs.dim(1)});
  subtract(stream, logprobs, logprobs, defect);
  const AclTensor is_defect = temporary_bool(stream, {logprobs.rows(), logprobs.dim(1)});
  FASTCHAT_ACLNN(stream, aclnnCast, AclTensor(defect).get(), ACL_BOOL, is_defect.get());
  FASTCHAT_ACLNN(stream,
                 aclnnInplaceMaskedFillScalar,
                 tokens.get(),
                 is_defect.get(),
                 AclScalar(std::int64_t{-1}).get());
  FASTCHAT_ACLNN(
      stream, aclnnInplaceAdd, AclTensor(logprobs).get(), AclTensor(defect).get(), one.get());
}

}  // namespace

bool CardSampler::can_sample(const TensorView& logits,
                             const SamplingBatch& batch,
                             const SampleOutput& output) {
  const std::int64_t width = output.top_tokens.empty() ? 0 : output.top_tokens.dim(1);
  const bool all_dense =
      logits.is_dense() && output.tokens.is_dense() && !output.logprobs.empty() &&
      output.logprobs.is_dense() &&
      (width == 0 || (output.top_tokens.is_dense() && output.top_logprobs.is_dense()));
  return all_dense && width <= logits.dim(1) && !any(batch.rows, [&](const SamplingRow& row) {
           return is_modified(row) || (width > 0 && row.num_logprobs != width);
         });
}

CardSampler::Parameters CardSampler::upload(NpuStream& stream, std::span<const SamplingRow> rows) {
  constexpr std::size_t kNumParameters = 5;
  const std::size_t bytes = kNumParameters * rows.size() * sizeof(float);
  Staging& staging = staging_[next_staging_];
  next_staging_ = (next_staging_ + 1) % staging_.size();
  if (staging.copied == nullptr) staging.copied = device_.create_event();
  staging.copied->synchronize();  // what it held the last time has left
  if (staging.memory.size_bytes() < bytes) staging.memory = device_.allocate_host(bytes);
  auto* const values = static_cast<float*>(staging.memory.data());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const SamplingRow& row = rows[i];
    const bool greedy = is_greedy(row);
    // A greedy row among others takes the likeliest: a draw of 0.
    const float row_values[kNumParameters] = {
        greedy ? 1.0f : 1.0f / row.temperature,
        greedy ? 0.0f : std::min(uniform_draw(row.seed, row.draw_index), kLargestDraw),
        row.top_k > 0 && !greedy ? static_cast<float>(row.top_k)
                                 : std::numeric_limits<float>::max(),
        has_top_p(row) ? row.top_p : kEverything,
        has_min_p(row) ? std::min(row.min_p, 1.0f) : 0.0f};
    for (std::size_t parameter = 0; parameter < kNumParameters; ++parameter)
      values[parameter * rows.size() + i] = row_values[parameter];
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  const TensorView all =
      temporary(stream, DType::f32, {static_cast<std::int64_t>(kNumParameters) * count, 1});
  stream.copy_from_host(all.data(), values, bytes);
  stream.record(*staging.copied);
  const auto part = [&](std::int64_t parameter) {
    return all.slice_rows(parameter * count, count);
  };
  return {.inverse_temperature = part(0),
          .draw = part(1),
          .top_k = part(2),
          .top_p = part(3),
          .min_p = part(4)};
}

CardSampler::Choice CardSampler::choose_greedily(NpuStream& stream, const TensorView& logits) {
  const std::int64_t rows = logits.rows();
  const Choice choice{.position = temporary(stream, DType::i64, {rows, 1}),
                      .ids = {},
                      .logprobs = temporary(stream, DType::f32, {rows, logits.dim(1)})};
  FASTCHAT_ACLNN(stream,
                 aclnnArgMax,
                 AclTensor(logits).get(),
                 kLastDim,
                 true,
                 AclTensor(choice.position).get());
  FASTCHAT_ACLNN(
      stream, aclnnLogSoftmax, AclTensor(logits).get(), kLastDim, AclTensor(choice.logprobs).get());
  return choice;
}

// By falling logit; of the probabilities that are kept, the first whose running sum exceeds the
// draw's share of all.
CardSampler::Choice CardSampler::draw(NpuStream& stream,
                                      const TensorView& logits,
                                      std::span<const SamplingRow> rows) {
  const std::int64_t count = logits.rows();
  const std::int64_t vocab_size = logits.dim(1);
  const Parameters by = upload(stream, rows);
  const TensorView sorted = temporary(stream, DType::f32, {count, vocab_size});
  const Choice choice{.position = temporary(stream, DType::i64, {count, 1}),
                      .ids = temporary(stream, DType::i64, {count, vocab_size}),
                      .logprobs = temporary(stream, DType::f32, {count, vocab_size})};
  FASTCHAT_ACLNN(stream,
                 aclnnSort,
                 AclTensor(logits).get(),
                 true,
                 kLastDim,
                 true,
                 AclTensor(sorted).get(),
                 AclTensor(choice.ids).get());
  FASTCHAT_ACLNN(
      stream, aclnnLogSoftmax, AclTensor(sorted).get(), kLastDim, AclTensor(choice.logprobs).get());

  const TensorView probabilities = temporary(stream, DType::f32, {count, vocab_size});
  const TensorView scaled = product(stream, sorted, by.inverse_temperature);
  FASTCHAT_ACLNN(
      stream, aclnnSoftmax, AclTensor(scaled).get(), kLastDim, AclTensor(probabilities).get());
  if (any(rows, [&](const SamplingRow& row) { return keeps_few(row, vocab_size); })) {
    const TensorView ranks = temporary(stream, DType::f32, {1, vocab_size});
    FASTCHAT_ACLNN(stream,
                   aclnnArange,
                   AclScalar(0.0f).get(),
                   AclScalar(static_cast<float>(vocab_size)).get(),
                   AclScalar(1.0f).get(),
                   AclTensor(ranks.data(), DType::f32, {vocab_size}).get());
    keep_below(stream, probabilities, ranks, by.top_k);
  }
  if (any(rows, has_top_p)) {
    const TensorView sum = running_sum(stream, probabilities);
    const TensorView limit = product(stream, last_column(sum), by.top_p);
    const TensorView before = temporary(stream, DType::f32, {count, vocab_size});
    subtract(stream, sum, probabilities, before);
    keep_below(stream, probabilities, before, limit);
  }
  if (any(rows, has_min_p)) {
    const TensorView least = product(stream, probabilities.slice_columns(0, 1), by.min_p);
    const TensorView lack = temporary(stream, DType::f32, {count, vocab_size});
    subtract(stream, least, probabilities, lack);
    mark_positive(stream, lack);
    const TensorView one = temporary(stream, DType::f32, {1, 1});
    FASTCHAT_ACLNN(stream, aclnnInplaceFillScalar, AclTensor(one).get(), AclScalar(1.0f).get());
    keep_below(stream, probabilities, lack, one);
  }

  const TensorView sum = running_sum(stream, probabilities);
  const TensorView target = product(stream, last_column(sum), by.draw);
  const TensorView beyond = temporary(stream, DType::f32, {count, vocab_size});
  subtract(stream, sum, target, beyond);
  mark_positive(stream, beyond);
  // position = vocab_size - max(number beyond, 1): inside the row also where logits are no numbers.
  const TensorView number = last_column(running_sum(stream, beyond));
  const TensorView more = temporary(stream, DType::f32, {count, 1});
  const TensorView magnitude = temporary(stream, DType::f32, {count, 1});
  const AclScalar one(1.0f);
  FASTCHAT_ACLNN(stream,
                 aclnnAdds,
                 AclTensor(number).get(),
                 AclScalar(-1.0f).get(),
                 one.get(),
                 AclTensor(more).get());
  FASTCHAT_ACLNN(stream, aclnnAbs, AclTensor(more).get(), AclTensor(magnitude).get());
  FASTCHAT_ACLNN(
      stream, aclnnInplaceAdd, AclTensor(more).get(), AclTensor(magnitude).get(), one.get());
  FASTCHAT_ACLNN(stream, aclnnInplaceMuls, AclTensor(more).get(), AclScalar(-0.5f).get());
  FASTCHAT_ACLNN(stream,
                 aclnnInplaceAdds,
                 AclTensor(more).get(),
                 AclScalar(static_cast<float>(vocab_size - 1)).get(),
                 one.get());
  FASTCHAT_ACLNN(
      stream, aclnnCast, AclTensor(more).get(), ACL_INT64, AclTensor(choice.position).get());
  return choice;
}

void CardSampler::sample(NpuStream& stream,
                         const TensorView& logits,
                         const SamplingBatch& batch,
                         const SampleOutput& output) {
  for (std::int64_t first = 0; first < logits.rows(); first += kRowsAtOnce) {
    const ScratchScope scope(stream);
    const std::int64_t count = std::min(kRowsAtOnce, logits.rows() - first);
    const std::span<const SamplingRow> rows =
        batch.rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const TensorView part = logits.slice_rows(first, count);
    const bool all_greedy = std::all_of(rows.begin(), rows.end(), is_greedy);
    const Choice choice = all_greedy ? choose_greedily(stream, part) : draw(stream, part, rows);

    const AclTensor position(choice.position);
    const AclTensor tokens(output.tokens.as<std::int32_t>() + first, DType::i32, {count, 1});
    if (choice.ids.empty()) {
      FASTCHAT_ACLNN(stream, aclnnCast, position.get(), ACL_INT32, tokens.get());
    } else {
      const AclTensor ids(temporary(stream, DType::i64, {count, 1}));
      FASTCHAT_ACLNN(stream,
                     aclnnGather,
                     AclTensor(choice.ids).get(),
                     std::int64_t{1},
                     position.get(),
                     ids.get());
      FASTCHAT_ACLNN(stream, aclnnCast, ids.get(), ACL_INT32, tokens.get());
    }
    // Of a row with a NaN or +infinity, or of nothing finite, it is NaN; the token is then any one.
    FASTCHAT_ACLNN(stream,
                   aclnnGather,
                   AclTensor(choice.logprobs).get(),
                   std::int64_t{1},
                   position.get(),
                   AclTensor(output.logprobs.as<float>() + first, DType::f32, {count, 1}).get());
    const std::int64_t width = output.top_tokens.empty() ? 0 : output.top_tokens.dim(1);
    if (width == 0) continue;
    TensorView top_ids = choice.ids;
    TensorView top_logprobs = choice.logprobs;
    if (choice.ids.empty()) {
      top_ids = temporary(stream, DType::i64, {count, width});
      top_logprobs = temporary(stream, DType::f32, {count, width});
      FASTCHAT_ACLNN(stream,
                     aclnnTopk,
                     AclTensor(choice.logprobs).get(),
                     width,
                     kLastDim,
                     true,
                     true,
                     AclTensor(top_logprobs).get(),
                     AclTensor(top_ids).get());
    }
    const AclTensor out_ids(output.top_tokens.slice_rows(first, count));
    const TensorView out_logprobs = output.top_logprobs.slice_rows(first, count);
    FASTCHAT_ACLNN(
        stream, aclnnInplaceCopy, out_ids.get(), AclTensor(top_ids.slice_columns(0, width)).get());
    FASTCHAT_ACLNN(stream,
                   aclnnInplaceCopy,
                   AclTensor(out_logprobs).get(),
                   AclTensor(top_logprobs.slice_columns(0, width)).get());
    take_back(stream, out_ids, out_logprobs);
  }
}

}  // namespace fastchat::ops::ascend
