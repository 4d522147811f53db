#include "model/config_reader.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/bilingual_failure.h"
#include "base/bytes.h"
#include "base/check.h"

namespace fastchat::model {
namespace {

constexpr std::size_t kMaxQuoted = 120;  // characters of a foreign text in one error message

// Containers are counted, not printed: they may be large, and printing deep ones recurses.
std::string describe(const nlohmann::json* value) {
  if (value == nullptr) return "nothing";
  if (value->is_object()) return fmt::format("an object of {} keys", value->size());
  if (value->is_array()) return fmt::format("an array of {} elements", value->size());
  if (value->is_string()) return in_quotes(value->get_ref<const std::string&>());
  return value->dump();
}

bool is_positive_number(const nlohmann::json& value) {
  if (!value.is_number()) return false;
  const double number = value.get<double>();
  return std::isfinite(number) && number > 0.0;
}

std::optional<std::int64_t> to_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    return std::nullopt;
  if (!value.is_number_integer()) return std::nullopt;
  return value.get<std::int64_t>();
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kMaxQuoted)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + (text.size() > kMaxQuoted ? "…\"" : "\"");
}

nlohmann::json read_json_file(const std::filesystem::path& file, std::uint64_t max_bytes) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  check_in_both(error != std::errc::no_such_file_or_directory,
                "{}: No such file or directory",
                "{}：没有这个文件",
                file.string());
  check_in_both(!error, "{}: {}", "{}：{}", file.string(), error.message());
  check_in_both(size <= max_bytes,
                "{}: expected at most {}, found {}",
                "{}：最大应为 {}，实为 {}",
                file.string(),
                format_bytes(max_bytes),
                format_bytes(size));
  std::ifstream stream(file, std::ios::binary);
  check_in_both(stream.good(), "{}: cannot be read", "{}：无法读取", file.string());
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& exception) {
    fail_in_both("{}: expected JSON, found: {}",
                 "{}：应为 JSON，解析出错：{}",
                 file.string(),
                 exception.what());
  }
}

ConfigReader::ConfigReader(const nlohmann::json& object, std::string origin, std::string prefix)
    : object_(&object), origin_(std::move(origin)), prefix_(std::move(prefix)) {
  check(object.is_object(),
        "{}: expected {} to be a JSON object, found {}",
        origin_,
        prefix_.empty() ? "the file" : in_quotes(prefix_.substr(0, prefix_.size() - 1)),
        describe(&object));
}

bool ConfigReader::is_null(std::string_view key) const {
  const auto found = object_->find(std::string(key));
  return found != object_->end() && found->is_null();
}

const nlohmann::json* ConfigReader::find(std::string_view key) const {
  const auto found = object_->find(std::string(key));
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void ConfigReader::reject(std::string_view key, std::string_view expected) const {
  fail("{}: \"{}{}\": expected {}, found {}", origin_, prefix_, key, expected, describe(find(key)));
}

std::int64_t ConfigReader::size(std::string_view key, std::int64_t max) const {
  const nlohmann::json* value = find(key);
  const std::optional<std::int64_t> number = value ? to_integer(*value) : std::nullopt;
  if (!number || *number < 1 || *number > max)
    reject(key, fmt::format("an integer from 1 to {}", max));
  return *number;
}

std::int64_t ConfigReader::size(std::string_view key,
                                std::int64_t max,
                                std::int64_t fallback) const {
  return has(key) ? size(key, max) : fallback;
}

std::int64_t ConfigReader::count(std::string_view key, std::int64_t fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  const std::optional<std::int64_t> number = to_integer(*value);
  if (!number || *number < 0) reject(key, "an integer of 0 or more");
  return *number;
}

double ConfigReader::positive(std::string_view key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr || !is_positive_number(*value)) reject(key, "a number above 0");
  return value->get<double>();
}

double ConfigReader::positive(std::string_view key, double fallback) const {
  return has(key) ? positive(key) : fallback;
}

std::optional<double> ConfigReader::optional_positive(std::string_view key) const {
  return has(key) ? std::optional(positive(key)) : std::nullopt;
}

bool ConfigReader::flag(std::string_view key, bool fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) reject(key, "true or false");
  return value->get<bool>();
}

std::optional<std::string> ConfigReader::text(std::string_view key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) reject(key, "a string");
  return value->get<std::string>();
}

std::vector<double> ConfigReader::positives(std::string_view key, std::size_t count) const {
  const nlohmann::json* value = find(key);
  const std::string expected = fmt::format("an array of {} numbers above 0", count);
  if (value == nullptr || !value->is_array() || value->size() != count) reject(key, expected);
  std::vector<double> out;
  out.reserve(count);
  for (const nlohmann::json& element : *value) {
    if (!is_positive_number(element))
      reject(fmt::format("{}[{}]", key, out.size()), "a number above 0");
    out.push_back(element.get<double>());
  }
  return out;
}

std::optional<std::vector<std::string>> ConfigReader::texts(std::string_view key,
                                                            std::size_t max_count) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string expected = fmt::format("an array of at most {} strings", max_count);
  if (!value->is_array() || value->size() > max_count) reject(key, expected);
  std::vector<std::string> out;
  for (const nlohmann::json& element : *value) {
    if (!element.is_string()) reject(key, expected);
    out.push_back(element.get<std::string>());
  }
  return out;
}

std::vector<std::int32_t> ConfigReader::token_ids(std::string_view key) const {
  constexpr std::size_t kMaxIds = 4096;
  const std::string_view expected = "a token id, or an array of at most 4096";
  std::vector<std::int32_t> out;
  const nlohmann::json* value = find(key);
  if (value == nullptr) return out;
  const auto append = [&](const nlohmann::json& element) {
    const std::optional<std::int64_t> id = to_integer(element);
    if (!id || *id > std::numeric_limits<std::int32_t>::max()) reject(key, expected);
    if (*id >= 0) out.push_back(static_cast<std::int32_t>(*id));
  };
  if (value->is_array()) {
    if (value->size() > kMaxIds) reject(key, expected);
    for (const nlohmann::json& element : *value) append(element);
  } else {
    append(*value);
  }
  return out;
}

std::optional<ConfigReader> ConfigReader::object(std::string_view key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return ConfigReader(*value, origin_, fmt::format("{}{}.", prefix_, key));
}

}  // namespace fastchat::model
