// From a request's path to the endpoint that answers it, and from its error to a response.
#pragma once

#include "http/server.h"
#include "serve/api/api_context.h"

namespace fastchat::serve::api {

/// The handler of the HTTP server. `context` outlives it.
http::Handler make_handler(ApiContext& context);

/// The server's hooks that shape errors no endpoint sees as OpenAI's.
http::ServerHooks error_hooks();

}  // namespace fastchat::serve::api
