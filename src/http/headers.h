// Header fields of requests and answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::http {

struct Header {
  std::string name;
  std::string value;
};

/// In the order they came, or are to be sent. Names compare without regard to case.
struct Headers {
  Headers() = default;  // no aggregate, see Response

  std::vector<Header> fields;

  /// The first field of that name.
  std::optional<std::string_view> find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name).has_value(); }
  void add(std::string name, std::string value);
};

/// ASCII letters only, as header names have.
bool equal_ignoring_case(std::string_view left, std::string_view right);

}  // namespace fastchat::http
