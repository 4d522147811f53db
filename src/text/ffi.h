// The crate's handles and texts as C++ values. Included by the sources of src/text only.
#pragma once

#include <string>

#include "base/result.h"
#include "text/crate/fastchat_text.h"

namespace fastchat::text {

/// Takes over a text that the crate gave.
inline std::string take(fct_buffer buffer) {
  std::string text = buffer.size == 0 ? std::string() : std::string(buffer.data, buffer.size);
  fct_buffer_free(buffer);
  return text;
}

/// The error of a failed call, taking over its message.
inline Error take_error(fct_status status, fct_buffer message) {
  return {status == fct_panicked ? ErrorCode::internal : ErrorCode::invalid_request, take(message)};
}

}  // namespace fastchat::text
