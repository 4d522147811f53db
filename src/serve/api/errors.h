// Errors as OpenAI's API gives them, and how ours map to them.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "base/result.h"
#include "text/files.h"

namespace fastchat::serve::api {

/// What a client did wrong, or what went wrong for it. Thrown while a request is read and answered;
/// the dispatcher makes a response of it.
struct ApiError : std::exception {
  ApiError(int http_status, std::string error_message, std::string error_param = {})
      : status(http_status), message(std::move(error_message)), param(std::move(error_param)) {}
  const char* what() const noexcept override { return message.c_str(); }

  int status;
  std::string message;
  std::string param;      // the field; empty: null
  std::string code;       // "model_not_found", …; empty: null
  int retry_after_s = 0;  // 0: no Retry-After
};

/// A field that is missing, of a wrong type, or out of range: 400.
[[noreturn]] void refuse(const std::string& param, std::string message);

/// Of what the engine, a tokenizer or a template answered.
ApiError to_api_error(const Error& error);

/// {"error": {"message", "type", "param", "code"}}
text::Json error_body(const ApiError& error);
/// As Anthropic's API has it: {"type": "error", "error": {"type", "message"}}
text::Json anthropic_error_body(const ApiError& error);
/// As OpenAI's, for a status of the HTTP layer.
text::Json error_body(int status, const std::string& message);

}  // namespace fastchat::serve::api
