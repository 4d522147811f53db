#include "http/exchange.h"

namespace fastchat::http {

std::optional<std::string_view> Request::query_value(std::string_view name) const {
  for (const QueryParameter& parameter : query) {
    if (parameter.name == name) return parameter.value;
  }
  return std::nullopt;
}

}  // namespace fastchat::http
