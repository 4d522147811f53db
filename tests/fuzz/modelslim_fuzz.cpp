// Any bytes as an msModelSlim description of a small model: refused with a Failure, or all linear
// layers have a format.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "model/modelslim.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace model = fastchat::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return 0;
  model::ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.num_layers = 1;
  try {
    model::apply_modelslim(model::parse_modelslim_description(json, "fuzz.json"), config);
  } catch (const fastchat::Failure&) {
    return 0;  // a refused description
  }
  if (config.layer_quantization.size() != 1) __builtin_trap();
  return 0;
}
