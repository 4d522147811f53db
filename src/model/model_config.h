// A decoder described by plain data: what one family file reads from config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "device/dtype.h"
#include "ops/ops.h"

namespace fastchat::model {

enum class RopeKind : std::uint8_t { plain, linear, dynamic, yarn, longrope, llama3 };

/// Rotary embedding. Fields beyond theta and rotary_dim are read by the kinds that use them; names
/// are those of Hugging Face's rope_scaling.
struct RopeConfig {
  RopeKind kind = RopeKind::plain;
  double theta = 10000.0;
  std::int64_t rotary_dim = 0;
  double factor = 1.0;
  std::int64_t original_max_position_embeddings = 0;
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0;        // yarn
  double beta_slow = 1.0;         // yarn
  double mscale = 0.0;            // yarn, as DeepSeek writes it; 0 = absent
  double mscale_all_dim = 0.0;
  bool truncate = true;  // yarn
  std::optional<double> attention_factor;
  std::vector<double> short_factor;  // longrope
  std::vector<double> long_factor;
};

struct ModelConfig {
  std::string architecture;  // as in config.json's "architectures": "Qwen2ForCausalLM"
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings =
      0;  // context the model was made for, rope scaling included
  float norm_eps = 1e-6f;
  ops::Activation activation = ops::Activation::silu;
  bool qk_norm = false;  // RMS norm of every query and key head before the rotation
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  std::vector<std::int64_t> layer_window;  // per layer: 0 = full attention, else the sliding window
  RopeConfig rope;
  device::DType checkpoint_dtype = device::DType::f32;
  std::int32_t bos_token_id = -1;
  std::vector<std::int32_t>
      eos_token_ids;  // from generation_config.json when it is there, else config.json
};

/// Reads `folder`/config.json (and generation_config.json) by the family that its "architectures"
/// names. Throws Failure naming the file, what was expected and what was found.
ModelConfig read_model_config(const std::filesystem::path& folder);
ModelConfig parse_model_config(const nlohmann::json& config, const std::string& origin);

/// Shapes of published models by name, for `plan --shape` and dummy weights: "qwen2-0.5b",
/// "qwen2-7b", "qwen3-8b", "llama3-8b", … Errors: not_found naming all known names.
Result<ModelConfig> shape_by_name(std::string_view name);
std::vector<std::string_view> shape_names();

}  // namespace fastchat::model
