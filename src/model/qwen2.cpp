// Qwen2 and Qwen2.5: biases on q, k and v only, always; an optional sliding window on the later
// layers.
#include "model/layer_windows.h"
#include "model/models.h"

namespace fastchat::model {
namespace {

void parse(const ConfigReader& reader, ModelConfig& config) {
  config.qkv_bias = true;
  read_qwen_windows(reader, config);
}

}  // namespace

constinit const Family kQwen2{"Qwen2ForCausalLM", "Qwen2, Qwen2.5", parse, TensorNames{}};

}  // namespace fastchat::model
