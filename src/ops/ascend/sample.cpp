// Sampling for Ascend cards. What the card's sampler leaves out is done on the host, by the very
// code of cpu devices: the logits come down, tokens and logprobs go up again in stream order.
#include <cstring>
#include <limits>

#include "device/cpu/cpu_device.h"
#include "ops/ascend/launch.h"
#include "ops/ascend/npu_ops.h"
#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/row_sampler.h"

namespace fastchat::ops::ascend {

using device::ascend::npu_stream;
using device::ascend::NpuStream;

/// The results of a call in pinned memory, one array after the other.
struct NpuOps::HostOutput {
  HostOutput(Buffer& buffer, Device& device, const SampleOutput& output, std::int64_t rows) {
    width = output.top_tokens.empty() ? 0 : output.top_tokens.dim(1);
    const auto count = static_cast<std::size_t>(rows);
    const auto top = count * static_cast<std::size_t>(width);
    const std::size_t bytes = (2 * count + 2 * top) * sizeof(std::int32_t);
    if (buffer.size_bytes() < bytes) buffer = device.allocate_host(bytes);
    tokens = static_cast<std::int32_t*>(buffer.data());
    logprobs = reinterpret_cast<float*>(tokens + count);
    top_tokens = reinterpret_cast<std::int32_t*>(logprobs + count);
    top_logprobs = reinterpret_cast<float*>(top_tokens + top);
  }
  cpu::RowOutput row(std::int64_t i) const {
    return {.token = tokens + i,
            .logprob = logprobs + i,
            .top_tokens = width == 0 ? nullptr : top_tokens + i * width,
            .top_logprobs = width == 0 ? nullptr : top_logprobs + i * width,
            .max_logprobs = width};
  }
  std::int32_t* tokens = nullptr;
  float* logprobs = nullptr;
  std::int32_t* top_tokens = nullptr;
  float* top_logprobs = nullptr;
  std::int64_t width = 0;
};

namespace {

/// `scratch` grows to what a sampler of one row needs.
std::byte* sampler_scratch(std::vector<std::byte>& scratch,
                           std::int64_t vocab_size,
                           std::int64_t modifications) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t bytes = cpu::RowSampler::scratch_bytes(vocab_size, modifications);
  if (scratch.size() < bytes + kAlignment) scratch.resize(bytes + kAlignment);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  return scratch.data() + (kAlignment - address % kAlignment) % kAlignment;
}

}  // namespace

// Waiting for the stream also ends the upload of the call before, whose memory is used again.
float* NpuOps::download_logits(NpuStream& stream, TensorView logits) {
  const auto row_bytes = static_cast<std::size_t>(logits.dim(1)) * sizeof(float);
  const std::size_t bytes = static_cast<std::size_t>(logits.rows()) * row_bytes;
  if (host_logits_.size_bytes() < bytes) {
    stream.synchronize();
    host_logits_ = device_.allocate_host(bytes);
  }
  auto* const host = static_cast<char*>(host_logits_.data());
  if (logits.is_dense()) {
    stream.copy_to_host(host, logits.data(), bytes);
  } else {
    for (std::int64_t row = 0; row < logits.rows(); ++row)
      stream.copy_to_host(host + static_cast<std::size_t>(row) * row_bytes,
                          logits.slice_rows(row, 1).data(),
                          row_bytes);
  }
  stream.synchronize();
  return static_cast<float*>(host_logits_.data());
}

void NpuOps::write_output(NpuStream& stream, const SampleOutput& output, std::int64_t rows) {
  const HostOutput host(host_output_, device_, output, rows);
  const auto write = [&](const TensorView& view, const void* source) {
    if (view.empty()) return;
    check(view.is_dense(), "{}", "sample: outputs are dense");
    stream.copy_from_host(view.data(), source, view.size_bytes());
  };
  write(output.tokens, host.tokens);
  write(output.logprobs, host.logprobs);
  write(output.top_tokens, host.top_tokens);
  write(output.top_logprobs, host.top_logprobs);
}

void NpuOps::sample(Stream& stream,
                    TensorView logits,
                    const SamplingBatch& batch,
                    SampleOutput output) {
  check_sample(logits, batch, output);
  const std::int64_t rows = logits.rows();
  if (rows == 0) return;
  NpuStream& npu = npu_stream(stream, "sample");
  if (CardSampler::can_sample(logits, batch, output))
    return card_sampler_.sample(npu, logits, batch, output);
  const std::int64_t vocab_size = logits.dim(1);
  float* const host = download_logits(npu, logits);
  const HostOutput results(host_output_, device_, output, rows);
  const cpu::Kernels& kernels = cpu::kernels_of(device::default_cpu_isa());
  for (std::int64_t i = 0; i < rows; ++i) {
    const SamplingRow& row = batch.rows[static_cast<std::size_t>(i)];
    const std::int64_t modifications =
        row.bias_end - row.bias_begin + row.count_end - row.count_begin;
    cpu::RowSampler sampler(
        kernels, vocab_size, sampler_scratch(sampler_scratch_, vocab_size, modifications));
    const cpu::RowOutput result = results.row(i);
    sampler.sample(host + i * vocab_size, row, batch, result);
    if (*result.token >= 0) continue;
    *result.token = 0;
    *result.logprob = std::numeric_limits<float>::quiet_NaN();
  }
  write_output(npu, output, rows);
}

void NpuOps::token_logprobs(Stream& stream,
                            TensorView logits,
                            TensorView targets,
                            SampleOutput output) {
  check_token_logprobs(logits, targets, output);
  const std::int64_t rows = logits.rows();
  if (rows == 0) return;
  NpuStream& npu = npu_stream(stream, "token_logprobs");
  const std::int64_t vocab_size = logits.dim(1);
  const Buffer wanted = device_.allocate_host(targets.size_bytes());
  npu.copy_to_host(wanted.data(), targets.data(), targets.size_bytes());
  const float* const host = download_logits(npu, logits);
  const HostOutput results(host_output_, device_, output, rows);
  cpu::RowSampler sampler(cpu::kernels_of(device::default_cpu_isa()),
                          vocab_size,
                          sampler_scratch(sampler_scratch_, vocab_size, 0));
  for (std::int64_t i = 0; i < rows; ++i)
    sampler.token_logprobs(
        host + i * vocab_size, static_cast<const std::int32_t*>(wanted.data())[i], results.row(i));
  output.tokens = {};  // not of this operation
  write_output(npu, output, rows);
}

}  // namespace fastchat::ops::ascend
