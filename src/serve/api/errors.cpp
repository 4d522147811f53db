#include "serve/api/errors.h"

#include <string_view>

namespace fastchat::serve::api {
namespace {

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_request:
    case ErrorCode::context_too_long:
    case ErrorCode::unsupported:
      return 400;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::overloaded:
      return 429;
    case ErrorCode::cancelled:
      return 499;  // the client closed the request: seen in logs only
    case ErrorCode::shutting_down:
      return 503;
    case ErrorCode::device_failed:
    case ErrorCode::internal:
      return 500;
  }
  return 500;
}

/// As OpenAI's own server names them; SDKs choose their exceptions by status.
std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

/// As Anthropic's server names them.
std::string_view anthropic_type_of(int status) {
  switch (status) {
    case 413:
      return "request_too_large";
    case 500:
    case 501:
      return "api_error";
    case 503:
      return "overloaded_error";
    default:
      return type_of(status);
  }
}

text::Json or_null(const std::string& text) {
  return text.empty() ? text::Json() : text::Json(text);
}

}  // namespace

void refuse(const std::string& param, std::string message) {
  throw ApiError(400, std::move(message), param);
}

ApiError to_api_error(const Error& error) {
  ApiError api(status_of(error.code), error.message);
  if (error.code == ErrorCode::context_too_long) {
    api.code = "context_length_exceeded";
    api.param = "messages";
  }
  if (error.code == ErrorCode::overloaded) api.retry_after_s = 1;
  return api;
}

text::Json error_body(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", type_of(error.status)},
            {"param", or_null(error.param)},
            {"code", or_null(error.code)}}}};
}

text::Json anthropic_error_body(const ApiError& error) {
  return {{"type", "error"},
          {"error", {{"type", anthropic_type_of(error.status)}, {"message", error.message}}}};
}

text::Json error_body(int status, const std::string& message) {
  return error_body(ApiError(status, message));
}

}  // namespace fastchat::serve::api
