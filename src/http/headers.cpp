#include "http/headers.h"

#include <algorithm>
#include <utility>

namespace fastchat::http {
namespace {

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](char a, char b) {
    return to_lower(a) == to_lower(b);
  });
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const Header& field : fields) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

void Headers::add(std::string name, std::string value) {
  fields.push_back({std::move(name), std::move(value)});
}

}  // namespace fastchat::http
