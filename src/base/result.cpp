#include "base/result.h"

namespace fastchat {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_request:
      return "invalid_request";
    case ErrorCode::context_too_long:
      return "context_too_long";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::overloaded:
      return "overloaded";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::shutting_down:
      return "shutting_down";
    case ErrorCode::device_failed:
      return "device_failed";
    case ErrorCode::internal:
      return "internal";
  }
  return "unknown";
}

}  // namespace fastchat
