// The least a forward pass must do: what a speed is a fraction of.
#pragma once

#include <cstdint>

#include "model/model_config.h"
#include "parallel/planner.h"

namespace fastchat::model {

struct ForwardWork {
  double flops = 0.0;  // a multiply-add is two
  double bytes = 0.0;  // of weights and KV read; activations stay in caches
};

/// One pass over `num_seqs` sequences that hold `context` positions each and get `new_tokens` more,
/// logits for the last of them. Causal attention: a token meets itself and what is before it,
/// within the layer's window. `sizes` are model_sizes() of `config`.
ForwardWork forward_work(const ModelConfig& config,
                         const parallel::ModelSizes& sizes,
                         std::int64_t num_seqs,
                         std::int64_t context,
                         std::int64_t new_tokens);

}  // namespace fastchat::model
