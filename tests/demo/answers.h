// The demo model loaded as the program loads it, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serve/model_instance.h"
#include "tests/demo/generate.h"

namespace fastchat::demo_test {

inline std::vector<Answer> generate(serve::ModelInstance& model,
                                    const std::vector<std::vector<std::int32_t>>& prompts,
                                    const engine::SamplingParams& sampling) {
  return generate(model.engine(), prompts, sampling);
}

inline serve::ModelOptions demo_options(int num_devices, const std::string& dtype) {
  serve::ModelOptions options;
  options.model_path = FASTCHAT_SOURCE_DIR "/models/demo";
  options.device = "cpu";
  options.num_gpus = num_devices;
  options.dtype = dtype;
  options.parallel.request.mode = parallel::ParallelMode::layer;
  options.max_model_len = 1024;
  options.max_num_seqs = 16;
  options.kv_cache_bytes = 256 * 1024 * 1024;
  return options;
}

}  // namespace fastchat::demo_test
