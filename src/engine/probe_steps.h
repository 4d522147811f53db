// Steps of one sequence that a runner is tried with before it serves any.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/step.h"
#include "ops/ops.h"

namespace fastchat::engine {

/// Reads `tokens` into the first KV blocks and samples one more, greedily.
StepInput whole_prompt_step(const std::vector<std::int32_t>& tokens, std::int64_t kv_block_size);
/// Decodes one token after `position` others in the first KV block: the KV it writes is the same
/// each time. With the largest logprobs.
StepInput decode_probe(std::int32_t position, std::int64_t vocab_size);
/// Whether the largest logprobs of two runs of one step are the same but for rounding in `dtype`.
bool agree(const StepOutput& a, const StepOutput& b, device::DType dtype);

}  // namespace fastchat::engine
