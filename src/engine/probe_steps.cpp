#include "engine/probe_steps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace fastchat::engine {

StepInput whole_prompt_step(const std::vector<std::int32_t>& tokens, std::int64_t kv_block_size) {
  const auto num_tokens = static_cast<std::int32_t>(tokens.size());
  StepInput input;
  input.tokens = tokens;
  input.positions.resize(tokens.size());
  std::iota(input.positions.begin(), input.positions.end(), 0);
  input.slots = input.positions;  // of blocks 0, 1, …
  input.query_starts = {0, num_tokens};
  input.context_lens = {num_tokens};
  input.max_blocks = static_cast<std::int32_t>((num_tokens + kv_block_size - 1) / kv_block_size);
  input.block_table.resize(static_cast<std::size_t>(input.max_blocks));
  std::iota(input.block_table.begin(), input.block_table.end(), 0);
  input.logits_rows = {num_tokens - 1};
  input.sampling = {{.temperature = 0.0f}};
  return input;
}

StepInput decode_probe(std::int32_t position, std::int64_t vocab_size) {
  StepInput input;
  // Of ordinary tokens, which differ: the first ids are often those of specials.
  input.tokens = {static_cast<std::int32_t>(vocab_size / (2 + position))};
  input.positions = {position};
  input.slots = {position};
  input.query_starts = {0, 1};
  input.context_lens = {position + 1};
  input.block_table = {0};
  input.max_blocks = 1;
  input.logits_rows = {0};
  input.max_logprobs = static_cast<std::int32_t>(std::min<std::int64_t>(kMaxLogprobs, vocab_size));
  input.sampling = {{.temperature = 0.0f, .num_logprobs = input.max_logprobs}};
  return input;
}

bool agree(const StepOutput& a, const StepOutput& b, device::DType dtype) {
  // Sums over devices and other kernels may round differently, logits of some twenty by an eighth
  // in bf16. Which of two equal ones comes first may differ too.
  const float tolerance = dtype == device::DType::bf16 ? 0.25f : 0.03f;
  return std::equal(a.top_logprobs.begin(),
                    a.top_logprobs.end(),
                    b.top_logprobs.begin(),
                    b.top_logprobs.end(),
                    [&](float x, float y) { return std::abs(x - y) <= tolerance; });
}

}  // namespace fastchat::engine
