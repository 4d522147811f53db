// The target of a request line: path and query.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastchat::http {

struct QueryParameter {
  std::string name;
  std::string value;
};

struct Target {
  std::string path;  // as sent, still percent-encoded; "/" where an absolute URL has none
  std::vector<QueryParameter> query;  // decoded, in order
};

/// Takes both forms that clients send: "/path?query", and "http://host/path?query" as to a proxy.
Target parse_target(std::string_view target);

/// "%41" → "A". What is no valid escape stays as it is.
std::string percent_decode(std::string_view text);

}  // namespace fastchat::http
