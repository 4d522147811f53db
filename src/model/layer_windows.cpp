#include "model/layer_windows.h"

namespace fastchat::model {

// Published configurations state a window and switch it off: only use_sliding_window makes it real,
// and then only from layer max_window_layers on (older documents say the opposite of what the
// models' own code does).
void read_qwen_windows(const ConfigReader& reader, ModelConfig& config) {
  if (!reader.flag("use_sliding_window", false) || !reader.has("sliding_window")) return;
  constexpr std::int64_t kMaxWindow = std::int64_t{1} << 31;
  const std::int64_t window = reader.size("sliding_window", kMaxWindow);
  if (const auto types = reader.texts("layer_types", config.layer_window.size())) {
    if (types->size() != config.layer_window.size())
      reader.reject("layer_types", "one entry per layer");
    for (std::size_t i = 0; i < types->size(); ++i) {
      if ((*types)[i] == "sliding_attention")
        config.layer_window[i] = window;
      else if ((*types)[i] != "full_attention")
        reader.reject("layer_types", "\"full_attention\" or \"sliding_attention\" per layer");
    }
    return;
  }
  constexpr std::int64_t kDefaultMaxWindowLayers = 28;  // of both Qwen2Config and Qwen3Config
  const std::int64_t first = reader.count("max_window_layers", kDefaultMaxWindowLayers);
  for (std::size_t i = 0; i < config.layer_window.size(); ++i)
    if (static_cast<std::int64_t>(i) >= first) config.layer_window[i] = window;
}

}  // namespace fastchat::model
