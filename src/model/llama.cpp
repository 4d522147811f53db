// Llama 2, 3, 3.1 and 3.2, and what is published in their form.
#include "model/models.h"

namespace fastchat::model {
namespace {

void parse(const ConfigReader& reader, ModelConfig& config) {
  config.qkv_bias = reader.flag("attention_bias", false);
  config.attention_output_bias = config.qkv_bias;
  config.mlp_bias = reader.flag("mlp_bias", false);
}

}  // namespace

constinit const Family kLlama{"LlamaForCausalLM", "Llama 2, 3, 3.1, 3.2", parse, TensorNames{}};

}  // namespace fastchat::model
