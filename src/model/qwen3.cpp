// Qwen3, the dense models: queries and keys are normed head by head before they are rotated, which
// took the place of Qwen2's biases; heads of 128 whatever the hidden size.
#include "model/layer_windows.h"
#include "model/models.h"

namespace fastchat::model {
namespace {

void parse(const ConfigReader& reader, ModelConfig& config) {
  config.qk_norm = true;
  config.qkv_bias = reader.flag("attention_bias", false);
  config.attention_output_bias = config.qkv_bias;
  read_qwen_windows(reader, config);
}

constexpr std::int64_t kDefaultHeadDim = 128;  // transformers' Qwen3Config

}  // namespace

constinit const Family kQwen3{"Qwen3ForCausalLM", "Qwen3", parse, TensorNames{}, kDefaultHeadDim};

}  // namespace fastchat::model
