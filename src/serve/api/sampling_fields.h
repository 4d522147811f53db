// The fields that chat and completion requests share: how tokens are chosen, when to stop, what is
// wanted back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "serve/api/fields.h"

namespace fastchat::serve::api {

/// What a request gets where it says nothing: the model's generation_config.json, else neutral.
struct SamplingDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  std::int32_t top_k = 0;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
};

struct StreamOptions {
  bool streams = false;
  bool include_usage = false;           // one chunk with usage alone at the end
  bool continuous_usage_stats = false;  // usage in every chunk
};

struct CommonFields {
  std::string model;
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  std::int32_t n = 1;
  StreamOptions stream;
};

/// Most choices of one request.
inline constexpr std::int32_t kMaxChoices = 128;

/// Reads them from `fields`. Of `max_tokens` and the like the caller takes care. Throws ApiError.
CommonFields read_common_fields(Fields& fields, const SamplingDefaults& defaults);

/// What a client may send that this server does not have. Throws ApiError for fields that would
/// change the answer; takes note of those that do not.
void refuse_unsupported(Fields& fields);
/// Fields that are left over: refused where `is_strict`, else named in the log, each once.
void handle_unknown(const Fields& fields, bool is_strict);

}  // namespace fastchat::serve::api
