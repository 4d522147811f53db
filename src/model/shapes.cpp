// Shapes of published models: the keys of their own config.json that matter here, read by the same
// code.
#include <array>
#include <string>

#include <nlohmann/json.hpp>

#include "model/model_config.h"

namespace fastchat::model {
namespace {

struct Shape {
  std::string_view name;
  std::string_view config;
};

constexpr std::array kShapes{
    Shape{"qwen2-0.5b", R"({
      "architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "num_hidden_layers": 24,
      "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864,
      "vocab_size": 151936, "tie_word_embeddings": true, "max_position_embeddings": 32768,
      "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "torch_dtype": "bfloat16",
      "use_sliding_window": false, "bos_token_id": 151643, "eos_token_id": [151645, 151643]})"},
    Shape{"qwen2-1.5b", R"({
      "architectures": ["Qwen2ForCausalLM"], "hidden_size": 1536, "num_hidden_layers": 28,
      "num_attention_heads": 12, "num_key_value_heads": 2, "intermediate_size": 8960,
      "vocab_size": 151936, "tie_word_embeddings": true, "max_position_embeddings": 32768,
      "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "torch_dtype": "bfloat16",
      "use_sliding_window": false, "bos_token_id": 151643, "eos_token_id": [151645, 151643]})"},
    Shape{"qwen2-7b", R"({
      "architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584, "num_hidden_layers": 28,
      "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944,
      "vocab_size": 152064, "tie_word_embeddings": false, "max_position_embeddings": 32768,
      "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "torch_dtype": "bfloat16",
      "use_sliding_window": false, "bos_token_id": 151643, "eos_token_id": [151645, 151643]})"},
    Shape{"qwen2-72b", R"({
      "architectures": ["Qwen2ForCausalLM"], "hidden_size": 8192, "num_hidden_layers": 80,
      "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 29568,
      "vocab_size": 152064, "tie_word_embeddings": false, "max_position_embeddings": 32768,
      "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "torch_dtype": "bfloat16",
      "use_sliding_window": false, "bos_token_id": 151643, "eos_token_id": [151645, 151643]})"},
    Shape{"qwen3-0.6b", R"({
      "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 28,
      "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
      "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": true,
      "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
      "torch_dtype": "bfloat16", "use_sliding_window": false, "bos_token_id": 151643,
      "eos_token_id": [151645, 151643]})"},
    Shape{"qwen3-1.7b", R"({
      "architectures": ["Qwen3ForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 28,
      "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
      "intermediate_size": 6144, "vocab_size": 151936, "tie_word_embeddings": true,
      "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
      "torch_dtype": "bfloat16", "use_sliding_window": false, "bos_token_id": 151643,
      "eos_token_id": [151645, 151643]})"},
    Shape{"qwen3-4b", R"({
      "architectures": ["Qwen3ForCausalLM"], "hidden_size": 2560, "num_hidden_layers": 36,
      "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
      "intermediate_size": 9728, "vocab_size": 151936, "tie_word_embeddings": true,
      "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
      "torch_dtype": "bfloat16", "use_sliding_window": false, "bos_token_id": 151643,
      "eos_token_id": [151645, 151643]})"},
    Shape{"qwen3-8b", R"({
      "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 36,
      "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
      "intermediate_size": 12288, "vocab_size": 151936, "tie_word_embeddings": false,
      "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
      "torch_dtype": "bfloat16", "use_sliding_window": false, "bos_token_id": 151643,
      "eos_token_id": [151645, 151643]})"},
    Shape{"qwen3-14b", R"({
      "architectures": ["Qwen3ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 40,
      "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
      "intermediate_size": 17408, "vocab_size": 151936, "tie_word_embeddings": false,
      "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
      "torch_dtype": "bfloat16", "use_sliding_window": false, "bos_token_id": 151643,
      "eos_token_id": [151645, 151643]})"},
    Shape{"qwen3-32b", R"({
      "architectures": ["Qwen3ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 64,
      "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
      "intermediate_size": 25600, "vocab_size": 151936, "tie_word_embeddings": false,
      "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
      "torch_dtype": "bfloat16", "use_sliding_window": false, "bos_token_id": 151643,
      "eos_token_id": [151645, 151643]})"},
    Shape{"llama3-8b", R"({
      "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32,
      "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
      "vocab_size": 128256, "tie_word_embeddings": false, "max_position_embeddings": 8192,
      "rope_theta": 500000.0, "rms_norm_eps": 1e-05, "torch_dtype": "bfloat16",
      "bos_token_id": 128000, "eos_token_id": [128001, 128009]})"},
};

}  // namespace

Result<ModelConfig> shape_by_name(std::string_view name) {
  std::string known;
  for (const Shape& shape : kShapes) {
    if (shape.name == name)
      return parse_model_config(nlohmann::json::parse(shape.config), std::string(name));
    known += fmt::format("{}{}", known.empty() ? "" : ", ", shape.name);
  }
  return Error{ErrorCode::not_found, fmt::format("no shape \"{}\"; known are {}", name, known)};
}

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names;
  names.reserve(kShapes.size());
  for (const Shape& shape : kShapes) names.push_back(shape.name);
  return names;
}

}  // namespace fastchat::model
