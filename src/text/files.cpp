#include "text/files.h"

#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace fastchat::text {
namespace {

// Depth of what we parse. Deeper documents are refused: much of what handles JSON recurses.
constexpr int kMaxDepth = 100;

}  // namespace

Result<std::optional<std::string>> read_if_present(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<std::string>();
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path, ignored)) {
    return Error{ErrorCode::internal, fmt::format("{} cannot be read", path.string())};
  }
  return std::optional<std::string>(std::move(text));
}

Result<Json> parse_json(std::string_view text, const std::filesystem::path& path) {
  const auto limit_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw std::length_error("it is nested too deeply");
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
  } catch (const std::exception& e) {
    return Error{ErrorCode::invalid_request,
                 fmt::format("{} is not valid JSON: {}", path.string(), e.what())};
  }
}

Result<Json> read_json_object(const std::filesystem::path& path) {
  Result<std::optional<std::string>> text = read_if_present(path);
  if (!text) return text.error();
  if (!text->has_value()) return Json();
  Result<Json> json = parse_json(**text, path);
  if (json && !json->is_object()) {
    return Error{ErrorCode::invalid_request,
                 fmt::format("{}: expected an object, found {}", path.string(), json->type_name())};
  }
  return json;
}

std::optional<std::string> token_content(const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object()) {
    const auto content = token.find("content");
    if (content != token.end() && content->is_string()) return content->get<std::string>();
  }
  return std::nullopt;
}

}  // namespace fastchat::text
