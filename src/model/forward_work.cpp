#include "model/forward_work.h"

#include <algorithm>

namespace fastchat::model {
namespace {

/// Sum over the new tokens of the positions each one meets.
double positions_met(std::int64_t context, std::int64_t new_tokens, std::int64_t window) {
  double sum = 0.0;
  for (std::int64_t i = 1; i <= new_tokens; ++i)
    sum += static_cast<double>(window > 0 ? std::min(window, context + i) : context + i);
  return sum;
}

}  // namespace

ForwardWork forward_work(const ModelConfig& config,
                         const parallel::ModelSizes& sizes,
                         std::int64_t num_seqs,
                         std::int64_t context,
                         std::int64_t new_tokens) {
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double hidden = number(config.hidden_size);
  const double heads = number(config.num_heads * config.head_dim);
  const double kv_heads = number(config.num_kv_heads * config.head_dim);
  const double tokens = number(num_seqs * new_tokens);

  const double layer_weights = hidden * (heads + 2 * kv_heads) + heads * hidden +
                               3 * hidden * number(config.intermediate_size);
  ForwardWork work;
  work.flops = 2.0 * number(config.num_layers) * layer_weights * tokens +
               2.0 * hidden * number(config.vocab_size) * number(num_seqs);
  work.bytes = static_cast<double>(sizes.head_bytes);
  for (std::size_t layer = 0; layer < config.layer_window.size(); ++layer) {
    const std::int64_t window = config.layer_window[layer];
    // q·k and the weighted sum of v, a multiply-add each per position and element.
    work.flops += 2.0 * 2.0 * heads * number(num_seqs) * positions_met(context, new_tokens, window);
    const std::int64_t kept =
        window > 0 ? std::min(window + new_tokens - 1, context + new_tokens) : context + new_tokens;
    work.bytes += static_cast<double>(sizes.layer_weight_bytes[layer]) +
                  number(num_seqs * kept) *
                      static_cast<double>(sizes.layer_kv_bytes_per_block[layer]) /
                      number(sizes.kv_block_size);
  }
  return work;
}

}  // namespace fastchat::model
