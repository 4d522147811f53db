// Sampling: rows over threads; what happens in a row is in row_sampler.cpp.
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/row_sampler.h"

namespace fastchat::ops {
namespace {

using device::CpuTeam;

template <typename T>
T* row_at(const TensorView& view, std::int64_t row) {
  return view.empty() ? nullptr : view.as<T>() + row * view.row_stride();
}

cpu::RowOutput row_output(const SampleOutput& output, std::int64_t row) {
  return {.token = row_at<std::int32_t>(output.tokens, row),
          .logprob = row_at<float>(output.logprobs, row),
          .top_tokens = row_at<std::int32_t>(output.top_tokens, row),
          .top_logprobs = row_at<float>(output.top_logprobs, row),
          .max_logprobs = output.top_tokens.empty() ? 0 : output.top_tokens.dim(1)};
}

}  // namespace

void CpuOps::sample(Stream& stream,
                    TensorView logits,
                    const SamplingBatch& batch,
                    SampleOutput output) {
  check_sample(logits, batch, output);
  if (logits.rows() == 0) return;
  cpu::cpu_stream(stream, "sample")
      .enqueue([kernels = &kernels_, logits, batch, output](CpuTeam& team) {
        const std::int64_t vocab_size = logits.dim(1);
        team.parallel_for(logits.rows(), 1, [&](std::int64_t begin, std::int64_t end, int thread) {
          for (std::int64_t i = begin; i < end; ++i) {
            const SamplingRow& row = batch.rows[static_cast<std::size_t>(i)];
            const std::int64_t modifications =
                row.bias_end - row.bias_begin + row.count_end - row.count_begin;
            cpu::RowSampler sampler(
                *kernels,
                vocab_size,
                team.scratch(thread, cpu::RowSampler::scratch_bytes(vocab_size, modifications)));
            sampler.sample(row_at<float>(logits, i), row, batch, row_output(output, i));
          }
        });
      });
}

void CpuOps::token_logprobs(Stream& stream,
                            TensorView logits,
                            TensorView targets,
                            SampleOutput output) {
  check_token_logprobs(logits, targets, output);
  if (logits.rows() == 0) return;
  cpu::cpu_stream(stream, "token_logprobs")
      .enqueue([kernels = &kernels_, logits, targets, output](CpuTeam& team) {
        const std::int64_t vocab_size = logits.dim(1);
        team.parallel_for(logits.rows(), 1, [&](std::int64_t begin, std::int64_t end, int thread) {
          cpu::RowSampler sampler(
              *kernels,
              vocab_size,
              team.scratch(thread, cpu::RowSampler::scratch_bytes(vocab_size, 0)));
          for (std::int64_t i = begin; i < end; ++i)
            sampler.token_logprobs(row_at<const float>(logits, i),
                                   *row_at<const std::int32_t>(targets, i),
                                   row_output(output, i));
        });
      });
}

}  // namespace fastchat::ops
