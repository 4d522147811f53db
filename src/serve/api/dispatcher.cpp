#include "serve/api/dispatcher.h"

#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <boost/system/system_error.hpp>

#include "base/log.h"
#include "serve/api/endpoints.h"

namespace fastchat::serve::api {
namespace {

using Endpoint = asio::awaitable<void> (*)(ApiContext&, http::Exchange&);

enum class Access { keys, everybody };

struct Route {
  std::string_view method;
  std::string_view path;  // one that ends in "/" has anything behind
  Endpoint endpoint;
  Access access = Access::keys;
};

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", chat_completions},
    {"POST", "/api/v1/chat/completions", chat_completions},
    {"POST", "/v1/completions", completions},
    {"POST", "/v1/responses", responses},
    {"POST", "/v1/messages", messages},
    {"POST", "/v1/messages/count_tokens", count_message_tokens},
    {"POST", "/v1/embeddings", embeddings},
    {"GET", "/v1/models", list_models},
    {"GET", "/v1/models/", get_model},
    {"POST", "/tokenize", tokenize},
    {"POST", "/detokenize", detokenize},
    {"POST", "/api/v1/token_check", token_check},
    {"GET", "/metrics", metrics},
    {"GET", "/health", health, Access::everybody},
    {"GET", "/ready", ready, Access::everybody},
    {"GET", "/version", version, Access::everybody},
};

bool matches(const Route& route, std::string_view path) {
  if (route.path.ends_with('/')) return path.starts_with(route.path) && path != route.path;
  return path == route.path;
}

/// Throws ApiError: 404, or 405 where the path has other methods.
const Route& find_route(const http::Request& request) {
  std::string_view path = request.path;
  std::string methods;
  for (const Route& route : kRoutes) {
    if (!matches(route, path)) continue;
    if (route.method == request.method || (route.method == "GET" && request.method == "HEAD"))
      return route;
    methods += methods.empty() ? "" : ", ";
    methods += route.method;
  }
  if (!methods.empty())
    throw ApiError(
        405, fmt::format("{} {} is not possible, expected {}", request.method, path, methods));
  throw ApiError(404, fmt::format("there is no {} {} here", request.method, path));
}

/// "Authorization: Bearer KEY", or Anthropic's "X-Api-Key: KEY". Throws ApiError, 401.
void require_key(const ApiKeys& keys, const http::Request& request) {
  if (keys.empty()) return;
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view key;
  if (const auto authorization = request.header("Authorization");
      authorization && authorization->size() > kBearer.size() &&
      http::equal_ignoring_case(authorization->substr(0, kBearer.size() - 1), "Bearer"))
    key = authorization->substr(kBearer.size());
  else if (const auto sent = request.header("X-Api-Key"))
    key = *sent;
  if (!key.empty() && keys.find(key) != nullptr) return;
  ApiError error(401,
                 key.empty() ? "a key is missing, expected the header Authorization: Bearer KEY"
                             : "the key is not known here");
  error.code = "invalid_api_key";
  throw error;
}

asio::awaitable<void> handle(ApiContext& context, http::Exchange& exchange) {
  std::optional<ApiError> failure;
  try {
    const Route& route = find_route(exchange.request());
    if (route.access == Access::keys) require_key(context.options().keys, exchange.request());
    co_await route.endpoint(context, exchange);
  } catch (const ApiError& error) {
    failure = error;
  }
  if (!failure) co_return;
  http::Response response;
  response.status = failure->status;
  response.content_type = "application/json";
  const bool is_anthropic = exchange.request().path.starts_with("/v1/messages");
  const text::Json body = is_anthropic ? anthropic_error_body(*failure) : error_body(*failure);
  response.body = json_text(body);
  if (failure->retry_after_s > 0)
    response.headers.add("Retry-After", fmt::format("{}", failure->retry_after_s));
  co_await exchange.respond(response);
}

std::string body_text(int status, std::string_view message) {
  return json_text(error_body(status, std::string(message)));
}

}  // namespace

http::Handler make_handler(ApiContext& context) {
  return [&context](http::Exchange& exchange) { return handle(context, exchange); };
}

http::ServerHooks error_hooks() {
  http::ServerHooks hooks;
  hooks.on_unhandled = [](const http::Request& request, const std::exception_ptr& failure) {
    std::string why = "no answer was given";
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      why = error.what();
    } catch (...) {
      why = "an unknown exception";
    }
    log::error("request {} {} {}: {}", request.id, request.method, request.path, why);
    http::Response response;
    response.status = 500;
    response.content_type = "application/json";
    response.body = body_text(500, fmt::format("internal error in request {}", request.id));
    return response;
  };
  hooks.protocol_error_body = [](int status, std::string_view message) {
    return http::ErrorBody{.content_type = "application/json", .body = body_text(status, message)};
  };
  return hooks;
}

}  // namespace fastchat::serve::api
