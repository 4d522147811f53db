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

/// How the weights of linear layers are held: as the model's dtype has them; or in 8 bits, with
/// inputs as they come (w8a16) or in 8 bits themselves (w8a8). See ops::LinearFormat.
enum class Quantization : std::uint8_t { none, w8a16, w8a8 };

/// Of the linear layers of one decoder layer.
struct LayerQuantization {
  Quantization qkv = Quantization::none;
  Quantization attention_output = Quantization::none;
  Quantization gate_up = Quantization::none;
  Quantization down = Quantization::none;
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
  std::vector<LayerQuantization> layer_quantization;  // per layer; empty: none
  Quantization head_quantization = Quantization::none;
  std::int32_t bos_token_id = -1;
  std::vector<std::int32_t>
      eos_token_ids;  // from generation_config.json when it is there, else config.json
};

/// Reads `folder`/config.json (and generation_config.json) by the family that its "architectures"
/// names. Throws Failure naming the file, what was expected and what was found.
ModelConfig read_model_config(const std::filesystem::path& folder);
ModelConfig parse_model_config(const nlohmann::json& config, const std::string& origin);

/// Every linear layer, the head too, gets `quantization`; embeddings and norms stay as they are.
void quantize(ModelConfig& config, Quantization quantization);
LayerQuantization layer_quantization(const ModelConfig& config, std::int64_t layer);
/// The format of a linear layer for activations of `dtype`.
ops::LinearFormat linear_format(Quantization quantization, device::DType dtype);
/// What the linear layers have but for none, each once.
std::vector<Quantization> quantizations(const ModelConfig& config);
/// "none", "w8a16", "w8a8".
std::string_view to_string(Quantization quantization);

/// Shapes of published models by name, for `plan --shape` and dummy weights: "qwen2-0.5b",
/// "qwen2-7b", "qwen3-8b", "llama3-8b", … Errors: not_found naming all known names.
Result<ModelConfig> shape_by_name(std::string_view name);
std::vector<std::string_view> shape_names();

}  // namespace fastchat::model
