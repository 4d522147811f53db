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

struct StreamOptions {
  bool streams = false;
  bool include_usage = false;           // one chunk with usage alone at the end
  bool continuous_usage_stats = false;  // usage in every chunk
};

struct CommonFields {
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  std::int32_t n = 1;
  StreamOptions stream;
};

/// Most choices of one request.
inline constexpr std::int32_t kMaxChoices = 128;

/// Reads them from `fields`; what these leave open is as in `defaults`, the model's own. Of
/// "model", `max_tokens` and the like the caller takes care. Throws ApiError.
CommonFields read_common_fields(Fields& fields, const engine::SamplingParams& defaults);

/// Strings that end an answer: one, or several; empty ones end nothing. Throws ApiError.
std::vector<std::string> read_stop_strings(Fields& fields, const std::string& name);
/// "top_p": 0 leaves the likeliest token.
float read_top_p(Fields& fields, float fallback);

/// What a client may send that this server does not have. Throws ApiError for fields that would
/// change the answer; takes note of those that do not.
void refuse_unsupported(Fields& fields);
/// Fields that are left over: refused where `is_strict`, else named in the log, each once.
void handle_unknown(const Fields& fields, bool is_strict);

}  // namespace fastchat::serve::api
