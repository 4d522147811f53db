#include "serve/api/served_model.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fastchat::serve::api {

bool ServedModel::is_called(std::string_view name) const {
  return name == id || std::find(other_names.begin(), other_names.end(), name) != other_names.end();
}

const ServedModel& find_model(const std::vector<ServedModel>& models, const std::string& name) {
  for (const ServedModel& model : models)
    if (model.is_called(name)) return model;
  std::vector<std::string> names;
  for (const ServedModel& model : models) names.push_back(model.id);
  ApiError error(
      404,
      fmt::format("the model '{}' is not served here; there is: {}", name, fmt::join(names, ", ")),
      "model");
  error.code = "model_not_found";
  throw error;
}

Result<engine::SamplingParams> read_sampling_defaults(const std::filesystem::path& folder) {
  engine::SamplingParams defaults;
  const std::filesystem::path file = folder / "generation_config.json";
  const Result<text::Json> read = text::read_json_object(file);
  if (!read) return read.error();
  if (read->is_null()) return defaults;
  try {
    Fields fields(*read);
    const auto take = [&](const char* name, double least, double most, float& value) {
      if (const auto found = fields.number(name, least, most)) value = static_cast<float>(*found);
    };
    take("temperature", 0, 2, defaults.temperature);
    take("top_p", 0, 1, defaults.top_p);
    take("min_p", 0, 1, defaults.min_p);
    take("repetition_penalty", 0.01, 100, defaults.repetition_penalty);
    if (const auto top_k = fields.integer("top_k", -1, 1'000'000))
      defaults.top_k = static_cast<std::int32_t>(*top_k);
    if (const auto samples = fields.boolean("do_sample"); samples && !*samples)
      defaults.temperature = 0.0f;
  } catch (const ApiError& error) {
    return Error{ErrorCode::invalid_request, fmt::format("{}: {}", file.string(), error.message)};
  }
  return defaults;
}

}  // namespace fastchat::serve::api
