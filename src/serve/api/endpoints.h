// The endpoints, one function each. They throw ApiError for what the dispatcher is to answer.
#pragma once

#include "serve/api/api_context.h"

namespace fastchat::serve::api {

asio::awaitable<void> chat_completions(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> completions(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> responses(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> messages(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> count_message_tokens(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> embeddings(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> list_models(ApiContext& context, http::Exchange& exchange);
/// The path's last part names it.
asio::awaitable<void> get_model(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> tokenize(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> detokenize(ApiContext& context, http::Exchange& exchange);
/// FastChat's: does a prompt fit into the context?
asio::awaitable<void> token_check(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> health(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> ready(ApiContext& context, http::Exchange& exchange);
/// In Prometheus' text format.
asio::awaitable<void> metrics(ApiContext& context, http::Exchange& exchange);
asio::awaitable<void> version(ApiContext& context, http::Exchange& exchange);

}  // namespace fastchat::serve::api
