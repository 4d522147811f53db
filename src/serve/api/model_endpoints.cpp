// What is served: /v1/models, health, version; and tokens.
#include <string>
#include <utility>

#include <fmt/format.h>

#include "http/url.h"
#include "serve/api/answer_parts.h"
#include "serve/api/completion_request.h"
#include "serve/api/endpoints.h"
#include "serve/api/prompts.h"

namespace fastchat::serve::api {
namespace {

using text::Json;

Json model_json(const ServedModel& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "fastchat"},
          {"root", model.id},
          {"parent", nullptr},
          {"max_model_len", model.max_model_len()},
          {"permission",
           Json::array({{{"id", "modelperm-" + model.id},
                         {"object", "model_permission"},
                         {"created", model.created},
                         {"allow_create_engine", false},
                         {"allow_sampling", true},
                         {"allow_logprobs", true},
                         {"allow_search_indices", true},
                         {"allow_view", true},
                         {"allow_fine_tuning", false},
                         {"organization", "*"},
                         {"group", nullptr},
                         {"is_blocking", false}}})}};
}

/// A prompt's tokens, of text or of messages.
std::vector<std::int32_t> tokens_of(const ServedModel& model, const Json& body) {
  Fields fields(body);
  if (!fields.has("messages")) {
    const std::string prompt = fields.required_string("prompt");
    const bool adds_special = fields.boolean("add_special_tokens").value_or(true);
    Result<std::vector<std::int32_t>> tokens = model.tokenizer->encode(prompt, adds_special);
    if (!tokens) throw to_api_error(tokens.error());
    return *std::move(tokens);
  }
  const ChatRequest request = read_chat_request(body, model.defaults, false);
  return chat_prompt(model, request).tokens;
}

/// Where a request need not name its model, the only one.
const ServedModel& model_or_only_one(const ApiContext& context, const Json& body) {
  const std::vector<ServedModel>& models = context.models();
  return models.size() == 1 && !Fields(body).has("model") ? models.front() : context.model_of(body);
}

}  // namespace

asio::awaitable<void> list_models(ApiContext& context, http::Exchange& exchange) {
  Json json = {{"object", "list"}, {"data", Json::array()}};
  for (const ServedModel& model : context.models()) json["data"].push_back(model_json(model));
  co_await respond_json(exchange, 200, json);
}

asio::awaitable<void> get_model(ApiContext& context, http::Exchange& exchange) {
  constexpr std::string_view kPrefix = "/v1/models/";
  // "Qwen%2FQwen2-7B": a name may have slashes.
  const std::string name = http::percent_decode(exchange.request().path.substr(kPrefix.size()));
  const Json json = model_json(find_model(context.models(), name));
  co_await respond_json(exchange, 200, json);
}

asio::awaitable<void> tokenize(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = model_or_only_one(context, body);
  const std::vector<std::int32_t> tokens = tokens_of(model, body);
  Json json = {
      {"count", tokens.size()}, {"max_model_len", model.max_model_len()}, {"tokens", tokens}};
  if (Fields(body).boolean("return_token_strs").value_or(false)) {
    json["token_strs"] = Json::array();
    for (const std::int32_t token : tokens)
      json["token_strs"].push_back(model.tokenizer->id_to_token(token).value_or(""));
  }
  co_await respond_json(exchange, 200, json);
}

asio::awaitable<void> detokenize(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = model_or_only_one(context, body);
  Fields fields(body);
  const Json* const tokens = fields.array("tokens");
  if (tokens == nullptr) refuse("tokens", "'tokens' is missing, expected an array of token ids");
  std::vector<std::int32_t> ids;
  for (const Json& each : *tokens) {
    if (!each.is_number_integer()) fields.expected("tokens", "an array of token ids", each);
    const auto id = each.get<std::int64_t>();
    if (id < 0 || id >= model.engine->config().vocab_size)
      refuse("tokens",
             fmt::format("'tokens' has {}, expected ids from 0 to {}",
                         id,
                         model.engine->config().vocab_size - 1));
    ids.push_back(static_cast<std::int32_t>(id));
  }
  const Result<std::string> prompt = model.tokenizer->decode(ids, false);
  if (!prompt) throw to_api_error(prompt.error());
  const Json json = {{"prompt", *prompt}};
  co_await respond_json(exchange, 200, json);
}

asio::awaitable<void> token_check(ApiContext& context, http::Exchange& exchange) {
  const std::vector<ServedModel>& models = context.models();
  const Json body = parse_body(exchange.request().body);
  Fields fields(body);
  const Json* const prompts = fields.array("prompts");
  if (prompts == nullptr)
    refuse("prompts", "'prompts' is missing, expected an array of {model, prompt, max_tokens}");
  Json checks = Json::array();
  for (std::size_t i = 0; i < prompts->size(); ++i) {
    Fields each = element(*prompts, i, "prompts");
    const ServedModel& model = find_model(models, each.required_string("model"));
    const std::size_t count = text_prompt(model, each.required_string("prompt")).size();
    const std::int64_t answer = each.integer("max_tokens", 0, INT32_MAX).value_or(0);
    checks.push_back({{"fits", static_cast<std::int64_t>(count) + answer <= model.max_model_len()},
                      {"tokenCount", count},
                      {"contextLength", model.max_model_len()}});
  }
  const Json json = {{"prompts", std::move(checks)}};
  co_await respond_json(exchange, 200, json);
}

asio::awaitable<void> embeddings(ApiContext& context, http::Exchange& exchange) {
  context.models();
  ApiError error(
      501,
      fmt::format("{} is not there yet: it comes in a later version", exchange.request().path));
  error.code = "unsupported";
  throw error;
  co_return;
}

asio::awaitable<void> health(ApiContext& /*context*/, http::Exchange& exchange) {
  const Json json = {{"status", "ok"}};
  co_await respond_json(exchange, 200, json);
}

asio::awaitable<void> ready(ApiContext& context, http::Exchange& exchange) {
  const Json json = {{"status", context.state()}, {"progress", context.loading_progress()}};
  co_await respond_json(exchange, context.is_ready() ? 200 : 503, json);
}

asio::awaitable<void> metrics(ApiContext& context, http::Exchange& exchange) {
  http::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  for (const ServedModel& model : context.models())
    response.body += prometheus_text(model.id, *model.metrics, model.engine->stats());
  co_await exchange.respond(response);
}

asio::awaitable<void> version(ApiContext& /*context*/, http::Exchange& exchange) {
  const Json json = {{"version", FASTCHAT_VERSION}};
  co_await respond_json(exchange, 200, json);
}

}  // namespace fastchat::serve::api
