#include "http/url.h"

#include <cstddef>
#include <utility>

namespace fastchat::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      decoded += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

// The parts of `text` before and after the first `separator`; the second is empty without one.
std::pair<std::string_view, std::string_view> split(std::string_view text, char separator) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

std::string_view without_origin(std::string_view target) {
  const std::size_t scheme_end = target.find("://");
  if (target.starts_with('/') || scheme_end == std::string_view::npos) return target;
  const std::size_t origin_end = target.find_first_of("/?", scheme_end + 3);
  return origin_end == std::string_view::npos ? std::string_view() : target.substr(origin_end);
}

}  // namespace

Target parse_target(std::string_view target) {
  const auto [before_fragment, fragment] = split(target, '#');
  auto [path, query] = split(without_origin(before_fragment), '?');
  Target parsed;
  parsed.path = path.empty() ? "/" : std::string(path);
  while (!query.empty()) {
    const auto [parameter, rest] = split(query, '&');
    query = rest;
    if (parameter.empty()) continue;
    const auto [name, value] = split(parameter, '=');
    parsed.query.push_back({decode(name, true), decode(value, true)});
  }
  return parsed;
}

std::string percent_decode(std::string_view text) { return decode(text, false); }

}  // namespace fastchat::http
