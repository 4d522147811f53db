// An engine of few blocks, and requests for it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tests/engine/scripted_model.h"

namespace fastchat::engine::testing {

inline SchedulerConfig small_config() {
  SchedulerConfig config;
  config.num_blocks = 40;
  config.block_size = 4;
  config.max_model_len = 64;
  config.max_num_batched_tokens = 24;
  config.max_num_seqs = 6;
  config.max_logits_rows = 6;
  config.vocab_size = 32;
  config.eos_token_ids = {0};
  return config;
}

inline Request greedy(std::vector<std::int32_t> prompt, std::int32_t max_tokens = 6) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  request.listener = std::make_shared<Collector>();
  return request;
}

inline Collector& collector_of(const Request& request) {
  return static_cast<Collector&>(*request.listener);
}

}  // namespace fastchat::engine::testing
