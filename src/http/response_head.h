// The head of an answer, as bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "http/headers.h"

namespace fastchat::http {

struct ResponseHead {
  int status = 200;
  std::string_view content_type;     // empty: none
  const Headers* headers = nullptr;  // further ones
  std::string_view request_id;
  std::optional<std::size_t> content_length;  // without it: see `chunked`
  bool chunked = false;
  bool keep_alive = true;
};

/// Throws std::invalid_argument for a status below 200 or above 599, and for headers that break the
/// head or are the server's to write.
std::string to_bytes(const ResponseHead& head);

/// Status 204 and 304 have none.
bool may_have_body(int status);

}  // namespace fastchat::http
