// Models as the API sees them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "serve/api/metrics.h"
#include "serve/api/sampling_fields.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace fastchat::serve::api {

/// What requests need of a model that is ready. What it points to outlives the server.
struct ServedModel {
  std::string id;
  std::vector<std::string> other_names;  // that it answers to
  std::int64_t created = 0;              // seconds since 1970
  engine::RequestQueue* engine = nullptr;
  const text::Tokenizer* tokenizer = nullptr;
  const text::ChatTemplate* chat_template = nullptr;  // nullptr: prompts only, no chats
  engine::SamplingParams defaults;
  /// It writes what it thinks between <think> and </think>, which answers give apart.
  bool thinks = false;
  std::shared_ptr<ModelMetrics> metrics = std::make_shared<ModelMetrics>();

  std::int64_t max_model_len() const { return engine->config().max_model_len; }
  bool is_called(std::string_view name) const;
};

/// Throws ApiError, 404, naming those that there are.
const ServedModel& find_model(const std::vector<ServedModel>& models, const std::string& name);

/// generation_config.json of the folder, as far as it is about sampling. Errors: invalid_request.
Result<engine::SamplingParams> read_sampling_defaults(const std::filesystem::path& folder);

}  // namespace fastchat::serve::api
