// The end of a step: tokens are chosen from its logits, on the device, and read on the host.
#pragma once

#include "engine/step.h"
#include "ops/ops.h"

namespace fastchat::engine {

/// Enqueues sampling and the logprobs of known tokens. `logits` f32 [rows of logits, vocab_size] or
/// more rows, `targets` i32 [input.targets]; `outputs` in device memory, by OutputLayout.
void enqueue_sampling(ops::Ops& ops,
                      device::Stream& stream,
                      const StepInput& input,
                      ops::TensorView logits,
                      ops::TensorView targets,
                      const ops::Buffer& outputs);
/// Bytes of `outputs` that a step has written.
std::size_t sampling_bytes(const StepInput& input);
/// Takes results from host memory, by OutputLayout. `marks_missing`: where logits are no numbers
/// the device has written -1 for the token; else the logprob tells.
void read_sampling(const StepInput& input,
                   const ops::Buffer& host_outputs,
                   bool marks_missing,
                   StepOutput& output);

}  // namespace fastchat::engine
