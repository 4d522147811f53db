#include "engine/step_sampling.h"

#include <cmath>

#include "engine/step_layout.h"

namespace fastchat::engine {
namespace {

using device::DType;

OutputLayout layout_of(const StepInput& input) {
  return {input.logits_rows.size(), static_cast<std::size_t>(input.max_logprobs)};
}

}  // namespace

void enqueue_sampling(ops::Ops& ops,
                      device::Stream& stream,
                      const StepInput& input,
                      ops::TensorView logits,
                      ops::TensorView targets,
                      const ops::Buffer& outputs) {
  const auto num_logits = static_cast<std::int64_t>(input.logits_rows.size());
  if (num_logits == 0) return;
  const auto num_sampled = static_cast<std::int64_t>(input.sampling.size());
  const std::int64_t num_targets = num_logits - num_sampled;
  const OutputLayout layout = layout_of(input);
  const auto rows = [&](std::int64_t first, std::int64_t count) {
    const auto skip = static_cast<std::size_t>(first) * sizeof(std::int32_t);
    ops::SampleOutput out;
    out.tokens = outputs.view(DType::i32, {count}, layout.tokens + skip);
    out.logprobs = outputs.view(DType::f32, {count}, layout.logprobs + skip);
    if (input.max_logprobs > 0) {
      const std::size_t top_skip = skip * static_cast<std::size_t>(input.max_logprobs);
      out.top_tokens =
          outputs.view(DType::i32, {count, input.max_logprobs}, layout.top_tokens + top_skip);
      out.top_logprobs =
          outputs.view(DType::f32, {count, input.max_logprobs}, layout.top_logprobs + top_skip);
    }
    return out;
  };
  if (num_sampled > 0)
    ops.sample(stream,
               logits.slice_rows(0, num_sampled),
               {.rows = input.sampling, .biases = input.biases, .counts = input.counts},
               rows(0, num_sampled));
  if (num_targets > 0)
    ops.token_logprobs(stream,
                       logits.slice_rows(num_sampled, num_targets),
                       targets,
                       rows(num_sampled, num_targets));
}

std::size_t sampling_bytes(const StepInput& input) {
  return input.logits_rows.empty() ? 0 : layout_of(input).size_bytes;
}

void read_sampling(const StepInput& input,
                   const ops::Buffer& host_outputs,
                   bool marks_missing,
                   StepOutput& output) {
  const std::size_t num_logits = input.logits_rows.size();
  if (num_logits == 0) return;
  const auto width = static_cast<std::size_t>(input.max_logprobs);
  const OutputLayout layout = layout_of(input);
  const auto* base = static_cast<const char*>(host_outputs.data());
  const auto* tokens = reinterpret_cast<const std::int32_t*>(base + layout.tokens);
  const auto* logprobs = reinterpret_cast<const float*>(base + layout.logprobs);
  output.tokens.assign(tokens, tokens + input.sampling.size());
  output.logprobs.assign(logprobs, logprobs + num_logits);
  if (!marks_missing)
    for (std::size_t i = 0; i < output.tokens.size(); ++i)
      if (!std::isfinite(logprobs[i])) output.tokens[i] = -1;
  if (width == 0) return;
  const auto* top_tokens = reinterpret_cast<const std::int32_t*>(base + layout.top_tokens);
  const auto* top_logprobs = reinterpret_cast<const float*>(base + layout.top_logprobs);
  output.top_tokens.assign(top_tokens, top_tokens + num_logits * width);
  output.top_logprobs.assign(top_logprobs, top_logprobs + num_logits * width);
}

}  // namespace fastchat::engine
