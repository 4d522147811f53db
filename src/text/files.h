// Reading a model folder's small files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace fastchat::text {

/// Keeps the order of members, which shows wherever a template prints an object.
using Json = nlohmann::ordered_json;

/// The whole file, or nothing if there is no such file. Errors: internal if it exists and cannot be
/// read.
Result<std::optional<std::string>> read_if_present(const std::filesystem::path& path);

/// Parses `text`, which came from `path`. Errors: invalid_request, naming the file.
Result<Json> parse_json(std::string_view text, const std::filesystem::path& path);

/// A JSON file of the folder, or null if it is absent. Errors: as above; invalid_request unless an
/// object.
Result<Json> read_json_object(const std::filesystem::path& path);

/// The text of a token in tokenizer_config.json: a string, or an object with "content"; else
/// nothing.
std::optional<std::string> token_content(const Json& token);

}  // namespace fastchat::text
