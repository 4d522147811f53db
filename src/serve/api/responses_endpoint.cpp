// OpenAI's POST /v1/responses, without what a server would have to remember between requests.
#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "serve/api/answer.h"
#include "serve/api/answer_parts.h"
#include "serve/api/endpoints.h"
#include "serve/api/prompts.h"

namespace fastchat::serve::api {
namespace {

using text::Json;

struct ResponsesRequest {
  ChatRequest chat;
  Json echoed = Json::object();  // fields that the response repeats
};

/// Messages from "input": a string, or items of which all are messages.
Json read_input(Fields& fields) {
  Json messages = Json::array();
  if (const auto instructions = fields.string("instructions"))
    messages.push_back({{"role", "system"}, {"content", *instructions}});
  const Json* const input = fields.any("input");
  if (input == nullptr)
    refuse("input", "'input' is missing, expected a string or an array of items");
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
    return template_messages(messages);
  }
  if (!input->is_array()) fields.expected("input", "a string or an array of items", *input);
  for (std::size_t i = 0; i < input->size(); ++i) {
    Fields item = element(*input, i, "input");
    const std::string type = item.string("type").value_or("message");
    if (type == "reasoning") continue;  // what the model thought before is not read again
    if (type != "message")
      refuse(item.full_name("type"),
             fmt::format("'{}' is '{}', expected message; tool calls come in a later version",
                         item.full_name("type"),
                         type));
    messages.push_back({{"role", item.required_string("role")},
                        {"content", item.has("content") ? *item.any("content") : Json()}});
  }
  return template_messages(messages);
}

void refuse_memory(Fields& fields) {
  for (const char* const name : {"previous_response_id", "conversation"})
    if (fields.has(name))
      refuse(name,
             fmt::format("'{}' is not supported here: nothing is kept between requests; send the "
                         "whole conversation as 'input'",
                         name));
  if (fields.boolean("background").value_or(false))
    refuse("background", "'background' is not supported here: nothing is kept between requests");
  for (const char* const harmless : {"include", "truncation", "max_tool_calls", "prompt_cache_key"})
    fields.any(harmless);
}

/// "text": {"format": {"type": "text"}}
void read_text_format(Fields& fields) {
  const Json* const text = fields.object("text");
  if (text == nullptr) return;
  Fields inner(*text, "text.");
  if (inner.has("verbosity"))
    refuse("text.verbosity", "'text.verbosity' is not supported here: ask for it in a message");
  const Json* const format = inner.object("format");
  if (format != nullptr && format->value("type", Json()) != "text")
    refuse("text.format",
           "'text.format' is not supported here: constrained output comes in a "
           "later version");
}

ResponsesRequest read_responses_request(const Json& body,
                                        const engine::SamplingParams& defaults,
                                        bool is_strict) {
  Fields fields(body);
  ResponsesRequest request;
  CommonFields& common = request.chat.common;
  fields.any("model");
  request.chat.messages = read_input(fields);
  engine::SamplingParams& sampling = common.sampling;
  const auto max_tokens = fields.integer("max_output_tokens", 1, INT32_MAX);
  sampling = defaults;
  sampling.max_tokens = static_cast<std::int32_t>(max_tokens.value_or(0));
  if (const auto temperature = fields.number("temperature", 0, 2))
    sampling.temperature = static_cast<float>(*temperature);
  sampling.top_p = read_top_p(fields, defaults.top_p);
  common.stream.streams = fields.boolean("stream").value_or(false);
  fields.any("stream_options");
  Json effort = nullptr;
  if (const Json* const reasoning = fields.object("reasoning")) {
    Fields inner(*reasoning, "reasoning.");
    if (const auto named = inner.string("effort")) {
      effort = *named;
      request.chat.render.extra["reasoning_effort"] = *named;
      if (*named == "none") request.chat.render.extra["enable_thinking"] = false;
    }
  }
  read_text_format(fields);
  refuse_memory(fields);
  request.echoed = {{"instructions", fields.has("instructions") ? body["instructions"] : Json()},
                    {"max_output_tokens", max_tokens ? Json(*max_tokens) : Json()},
                    {"metadata", fields.has("metadata") ? body["metadata"] : Json::object()},
                    {"parallel_tool_calls", true},
                    {"previous_response_id", nullptr},
                    {"reasoning", {{"effort", effort}, {"summary", nullptr}}},
                    {"store", false},
                    {"temperature", sampling.temperature},
                    {"text", {{"format", {{"type", "text"}}}}},
                    {"tool_choice", "auto"},
                    {"tools", Json::array()},
                    {"top_p", sampling.top_p},
                    {"truncation", "disabled"}};
  refuse_unsupported(fields);
  handle_unknown(fields, is_strict);
  return request;
}

class ResponsesAnswer final : public Answer {
 public:
  ResponsesAnswer(const ServedModel& model, const Prompt& prompt, Json echoed)
      : model_(model), echoed_(std::move(echoed)), split_(model, prompt.is_thinking) {
    usage_.num_prompt_tokens = static_cast<std::int64_t>(prompt.tokens.size());
  }

  void add(std::size_t /*index*/, const Progress& progress) override {
    const text::ReasoningSplitter::Parts parts = take(progress);
    reasoning_ += parts.reasoning;
    text_ += parts.content;
  }

  Json whole() override {
    Json output = Json::array();
    if (!reasoning_.empty()) output.push_back(reasoning_item("completed"));
    output.push_back(message_item(status()));
    return response(status(), std::move(output));
  }

  std::string first_events() override {
    const Json begun = response("in_progress", Json::array());
    std::string events = event("response.created", {{"response", begun}});
    events += event("response.in_progress", {{"response", begun}});
    return events;
  }

  void append_events(std::size_t /*index*/,
                     const Progress& progress,
                     std::string& events) override {
    const text::ReasoningSplitter::Parts parts = take(progress);
    if (!parts.reasoning.empty()) {
      open(Item::reasoning, events);
      reasoning_ += parts.reasoning;
      events += event("response.reasoning_text.delta",
                      in_part(reasoning_id_, {{"delta", parts.reasoning}}));
    }
    if (!parts.content.empty()) {
      open(Item::message, events);
      text_ += parts.content;
      events +=
          event("response.output_text.delta",
                in_part(message_id_, {{"delta", parts.content}, {"logprobs", Json::array()}}));
    }
  }

  std::string last_events() override {
    std::string events;
    open(Item::message, events);
    close(events);
    const std::string state = status();
    return events + event("response." + state, {{"response", whole()}});
  }

  std::string error_events(const ApiError& error) override {
    Json failed = response("failed", Json::array());
    failed["error"] = {{"code", "server_error"}, {"message", error.message}};
    return event("response.failed", {{"response", std::move(failed)}});
  }

 private:
  enum class Item { none, reasoning, message };

  text::ReasoningSplitter::Parts take(const Progress& progress) {
    usage_.num_output_tokens = progress.num_output_tokens;
    usage_.num_cached_tokens = progress.num_cached_tokens;
    finish_reason_ = progress.finish_reason;
    return split_.take(progress);
  }

  std::string status() const {
    return finish_reason_ == engine::FinishReason::length ? "incomplete" : "completed";
  }

  Json text_part() const {
    return {{"type", "output_text"},
            {"text", text_},
            {"annotations", Json::array()},
            {"logprobs", Json::array()}};
  }
  Json message_item(const std::string& status) const {
    Json content = Json::array();
    if (status != "in_progress") content.push_back(text_part());
    return {{"type", "message"},
            {"id", message_id_},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }
  Json reasoning_part() const { return {{"type", "reasoning_text"}, {"text", reasoning_}}; }
  Json reasoning_item(const std::string& status) const {
    Json content = Json::array();
    if (status != "in_progress") content.push_back(reasoning_part());
    return {{"type", "reasoning"},
            {"id", reasoning_id_},
            {"summary", Json::array()},
            {"content", std::move(content)},
            {"status", status}};
  }

  Json response(const std::string& status, Json output) const {
    Json json = {{"id", id_},
                 {"object", "response"},
                 {"created_at", created_},
                 {"status", status},
                 {"background", false},
                 {"error", nullptr},
                 {"incomplete_details",
                  status == "incomplete" ? Json{{"reason", "max_output_tokens"}} : Json()},
                 {"model", model_.id},
                 {"output", std::move(output)}};
    json.update(echoed_);
    const bool is_over = status == "completed" || status == "incomplete";
    json["usage"] =
        is_over
            ? Json{{"input_tokens", usage_.num_prompt_tokens},
                   {"input_tokens_details", {{"cached_tokens", usage_.num_cached_tokens}}},
                   {"output_tokens", usage_.num_output_tokens},
                   {"output_tokens_details", {{"reasoning_tokens", split_.num_reasoning_tokens()}}},
                   {"total_tokens", usage_.num_prompt_tokens + usage_.num_output_tokens}}
            : Json();
    return json;
  }

  std::string event(const std::string& type, const Json& fields) {
    Json json = {{"type", type}, {"sequence_number", sequence_number_++}};
    json.update(fields);
    return fmt::format("event: {}\n", type) + sse_event(json);
  }
  Json in_part(const std::string& item_id, const Json& fields) const {
    Json json = {{"item_id", item_id}, {"output_index", output_index_}, {"content_index", 0}};
    json.update(fields);
    return json;
  }

  /// Ends the item before, if it is another.
  void open(Item item, std::string& events) {
    if (item == item_) return;
    close(events);
    item_ = item;
    ++output_index_;
    const bool is_message = item == Item::message;
    events +=
        event("response.output_item.added",
              {{"output_index", output_index_},
               {"item", is_message ? message_item("in_progress") : reasoning_item("in_progress")}});
    events += event("response.content_part.added",
                    in_part(is_message ? message_id_ : reasoning_id_,
                            {{"part", is_message ? text_part() : reasoning_part()}}));
  }

  void close(std::string& events) {
    if (item_ == Item::none) return;
    const bool is_message = item_ == Item::message;
    const std::string& id = is_message ? message_id_ : reasoning_id_;
    Json done = {{"text", is_message ? text_ : reasoning_}};
    if (is_message) done["logprobs"] = Json::array();
    events += event(is_message ? "response.output_text.done" : "response.reasoning_text.done",
                    in_part(id, done));
    events += event("response.content_part.done",
                    in_part(id, {{"part", is_message ? text_part() : reasoning_part()}}));
    events += event("response.output_item.done",
                    {{"output_index", output_index_},
                     {"item", is_message ? message_item(status()) : reasoning_item("completed")}});
    item_ = Item::none;
  }

  const ServedModel& model_;
  const Json echoed_;
  const std::string id_ = fresh_id("resp_");
  const std::string message_id_ = fresh_id("msg_");
  const std::string reasoning_id_ = fresh_id("rs_");
  const std::int64_t created_ = unix_seconds();
  AnswerText split_;
  std::string text_, reasoning_;
  engine::FinishReason finish_reason_ = engine::FinishReason::none;
  Usage usage_;
  Item item_ = Item::none;
  int output_index_ = -1;
  int sequence_number_ = 0;
};

}  // namespace

asio::awaitable<void> responses(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = context.model_of(body);
  ResponsesRequest request =
      read_responses_request(body, model.defaults, context.options().is_strict);
  CommonFields& common = request.chat.common;
  const Prompt prompt = chat_prompt(model, request.chat);
  fit_into_context(model, prompt.tokens.size(), common.sampling);
  Generation generation(*model.engine, *model.tokenizer, exchange.executor());
  start_choices(generation, prompt.tokens, common);
  ResponsesAnswer answer(model, prompt, std::move(request.echoed));
  co_await give_answer(context, exchange, model, generation, answer, common.stream.streams);
}

}  // namespace fastchat::serve::api
