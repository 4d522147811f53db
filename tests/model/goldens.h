// What record_goldens.py recorded from transformers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "device/dtype.h"
#include "model/model_config.h"

namespace fastchat::model {

struct Golden {
  std::string name;
  ModelConfig config;
  std::vector<std::int32_t> prompt;
  std::vector<std::int32_t> greedy;  // what f32 goes on with
  std::vector<float> inverse_frequencies;
  float attention_scale = 1.0f;
  std::map<device::DType, std::size_t> logits_offset;  // in bytes of the file of logits

  /// [positions, vocab], of the f32 model on weights rounded to `dtype`.
  std::vector<float> logits(device::DType dtype) const;
};

struct RopeGolden {
  std::string name;
  ModelConfig config;
  std::int64_t max_model_len = 0;
  std::vector<float> inverse_frequencies;
  float attention_scale = 1.0f;
};

struct Goldens {
  std::int64_t max_model_len = 0;
  std::vector<std::int32_t> positions;  // of the prompt, whose logits are recorded
  std::vector<Golden> cases;
  std::vector<RopeGolden> rope;
};

/// Read once.
const Goldens& goldens();

}  // namespace fastchat::model
