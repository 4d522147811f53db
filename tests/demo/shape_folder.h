// Models of a given shape with made-up weights, for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "serve/model_instance.h"

namespace fastchat::demo_test {

/// Qwen2-7B's, but for a vocabulary that leaves room for the layers.
inline constexpr const char* kFourLayersOfSevenBillion = R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 4,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 8192,
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "eos_token_id": 0, "use_sliding_window": false})";

/// A folder with a config.json and made-up weights.
class ShapeFolder {
 public:
  explicit ShapeFolder(const std::string& config)
      : path_(std::filesystem::temp_directory_path() /
              ("fastchat_shape_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
    std::ofstream(path_ / "config.json") << config;
  }
  ~ShapeFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ShapeFolder(const ShapeFolder&) = delete;
  ShapeFolder& operator=(const ShapeFolder&) = delete;

  serve::ModelOptions options(const std::string& dtype) const {
    serve::ModelOptions options;
    options.model_path = path_;
    options.load_format = serve::LoadFormat::dummy;
    options.device = "cpu";
    options.dtype = dtype;
    options.max_model_len = 256;
    options.max_num_seqs = 4;
    options.max_num_batched_tokens = 64;
    options.kv_cache_bytes = 64 * 1024 * 1024;
    return options;
  }

 private:
  std::filesystem::path path_;
};

inline std::vector<std::vector<std::int32_t>> made_up_prompts(std::int32_t vocab_size) {
  std::vector<std::vector<std::int32_t>> prompts;
  for (const int length : {70, 5, 33}) {
    std::vector<std::int32_t>& prompt = prompts.emplace_back();
    for (int i = 0; i < length; ++i) prompt.push_back((length * 7919 + i * 104729) % vocab_size);
  }
  return prompts;
}

}  // namespace fastchat::demo_test
