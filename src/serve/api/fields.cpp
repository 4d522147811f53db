#include "serve/api/fields.h"

#include <cmath>

#include <fmt/format.h>

namespace fastchat::serve::api {
namespace {

using text::Json;

// Deeper than any tool's schema; shallow enough for every stack that walks it.
constexpr int kMaxDepth = 64;

}  // namespace

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json parse_body(std::string_view body) {
  const auto watch = [](int depth, Json::parse_event_t /*event*/, Json& /*value*/) {
    if (depth > kMaxDepth)
      throw ApiError(400,
                     fmt::format("the request body is nested deeper than {} levels", kMaxDepth));
    return true;
  };
  Json parsed;
  try {
    parsed = Json::parse(body, watch);
  } catch (const Json::exception& error) {
    throw ApiError(400, fmt::format("the request body is not valid JSON: {}", error.what()));
  }
  if (!parsed.is_object())
    throw ApiError(
        400, fmt::format("the request body is {}, expected a JSON object", describe_type(parsed)));
  return parsed;
}

std::string describe_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return "the number " + value.dump();
  }
}

Fields element(const Json& array, std::size_t index, const std::string& name) {
  const std::string place = fmt::format("{}[{}]", name, index);
  const Json& value = array[index];
  if (!value.is_object())
    refuse(place, fmt::format("'{}' is {}, expected an object", place, describe_type(value)));
  return Fields(value, place + ".");
}

Fields::Fields(const Json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

void Fields::expected(const std::string& name, std::string_view what, const Json& came) const {
  refuse(full_name(name),
         fmt::format("'{}' is {}, expected {}", full_name(name), describe_type(came), what));
}

const Json* Fields::any(const std::string& name) {
  asked_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool Fields::has(const std::string& name) { return any(name) != nullptr; }

std::optional<bool> Fields::boolean(const std::string& name) {
  const Json* const value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) expected(name, "true or false", *value);
  return value->get<bool>();
}

std::optional<double> Fields::number(const std::string& name, double least, double most) {
  const Json* const value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) expected(name, "a number", *value);
  const auto number = value->get<double>();
  if (!(number >= least && number <= most))
    expected(name, fmt::format("a number from {} to {}", least, most), *value);
  return number;
}

std::optional<std::int64_t> Fields::integer(const std::string& name,
                                            std::int64_t least,
                                            std::int64_t most) {
  const Json* const value = any(name);
  if (value == nullptr) return std::nullopt;
  // 10.0 is a whole number too: some clients know no others.
  const bool is_whole =
      value->is_number_integer() ||
      (value->is_number() && std::nearbyint(value->get<double>()) == value->get<double>());
  if (!is_whole) expected(name, "a whole number", *value);
  const auto as_double = value->get<double>();
  const bool fits = as_double >= static_cast<double>(least) &&
                    as_double <= static_cast<double>(most) &&
                    !(value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX);
  if (!fits) expected(name, fmt::format("a whole number from {} to {}", least, most), *value);
  const std::int64_t number = value->is_number_integer() ? value->get<std::int64_t>()
                                                         : static_cast<std::int64_t>(as_double);
  if (number < least || number > most)
    expected(name, fmt::format("a whole number from {} to {}", least, most), *value);
  return number;
}

std::optional<std::string> Fields::string(const std::string& name) {
  const Json* const value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) expected(name, "a string", *value);
  return value->get<std::string>();
}

std::string Fields::required_string(const std::string& name) {
  std::optional<std::string> value = string(name);
  if (!value)
    refuse(full_name(name), fmt::format("'{}' is missing, expected a string", full_name(name)));
  return *std::move(value);
}

std::optional<std::vector<std::string>> Fields::strings(const std::string& name, std::size_t most) {
  const Json* const value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::vector{value->get<std::string>()};
  if (!value->is_array()) expected(name, "a string or an array of strings", *value);
  if (value->size() > most)
    refuse(
        full_name(name),
        fmt::format(
            "'{}' has {} strings, at most {} are possible", full_name(name), value->size(), most));
  std::vector<std::string> strings;
  for (const Json& each : *value) {
    if (!each.is_string()) expected(name, "an array of strings", each);
    strings.push_back(each.get<std::string>());
  }
  return strings;
}

const Json* Fields::object(const std::string& name) {
  const Json* const value = any(name);
  if (value != nullptr && !value->is_object()) expected(name, "an object", *value);
  return value;
}

const Json* Fields::array(const std::string& name) {
  const Json* const value = any(name);
  if (value != nullptr && !value->is_array()) expected(name, "an array", *value);
  return value;
}

std::vector<std::string> Fields::others() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items())
    if (asked_.find(name) == asked_.end()) names.push_back(name);
  return names;
}

}  // namespace fastchat::serve::api
