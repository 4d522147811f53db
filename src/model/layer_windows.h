// Sliding windows as Qwen's configurations state them.
#pragma once

#include "model/config_reader.h"
#include "model/model_config.h"

namespace fastchat::model {

/// Fills `config.layer_window` from "use_sliding_window", "sliding_window", and "layer_types" or
/// "max_window_layers". Throws Failure.
void read_qwen_windows(const ConfigReader& reader, ModelConfig& config);

}  // namespace fastchat::model
