// Mistral 7B and what is published in its form (Nemo): Llama without biases, with a
// sliding window on every layer where the file states one.
#include "model/models.h"

namespace fastchat::model {
namespace {

void parse(const ConfigReader& reader, ModelConfig& config) {
  // From v0.2 on the files say null: no window. Silence means the first version's window.
  if (reader.is_null("sliding_window")) return;
  constexpr std::int64_t kMaxWindow = std::int64_t{1} << 31;
  constexpr std::int64_t kDefaultWindow = 4096;  // transformers' MistralConfig
  const std::int64_t window = reader.size("sliding_window", kMaxWindow, kDefaultWindow);
  config.layer_window.assign(config.layer_window.size(), window);
}

}  // namespace

constinit const Family kMistral{"MistralForCausalLM", "Mistral 7B, Nemo", parse, TensorNames{}};

}  // namespace fastchat::model
