// Anthropic's POST /v1/messages and /v1/messages/count_tokens.
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

/// Text of a string or of blocks of text; thoughts apart.
struct BlockText {
  std::string text;
  std::string thinking;
};

BlockText read_blocks(Fields& fields, const std::string& name, const Json& content) {
  if (content.is_string()) return {.text = content.get<std::string>(), .thinking = {}};
  if (!content.is_array()) fields.expected(name, "a string or an array of blocks", content);
  BlockText read;
  for (std::size_t i = 0; i < content.size(); ++i) {
    Fields block = element(content, i, fields.full_name(name));
    const std::string type = block.required_string("type");
    if (type == "thinking") {
      read.thinking += block.required_string("thinking");
      continue;
    }
    if (type == "redacted_thinking") continue;
    if (type != "text")
      refuse(block.full_name("type"),
             fmt::format("'{}' is '{}': the model reads text only, expected 'text'; tool calls "
                         "come in a later version",
                         block.full_name("type"),
                         type));
    if (!read.text.empty()) read.text += '\n';
    read.text += block.required_string("text");
  }
  return read;
}

Json read_messages(Fields& fields) {
  Json messages = Json::array();
  if (const Json* const system = fields.any("system"))
    messages.push_back(
        {{"role", "system"}, {"content", read_blocks(fields, "system", *system).text}});
  const Json* const sent = fields.array("messages");
  if (sent == nullptr || sent->empty())
    refuse("messages", "'messages' is missing or empty, expected at least one message");
  for (std::size_t i = 0; i < sent->size(); ++i) {
    Fields message = element(*sent, i, "messages");
    const std::string role = message.required_string("role");
    if (role != "user" && role != "assistant" && role != "system")
      refuse(
          message.full_name("role"),
          fmt::format("'{}' is '{}', expected user or assistant", message.full_name("role"), role));
    const Json* const content = message.any("content");
    if (content == nullptr)
      refuse(message.full_name("content"),
             fmt::format("'{}' is missing, expected a string or an array of blocks",
                         message.full_name("content")));
    const BlockText read = read_blocks(message, "content", *content);
    Json one = {{"role", role}, {"content", read.text}};
    if (!read.thinking.empty()) one["reasoning_content"] = read.thinking;
    messages.push_back(std::move(one));
  }
  return messages;
}

/// {"type": "enabled", "budget_tokens": …}, {"type": "disabled"}, {"type": "adaptive"}.
void read_thinking(Fields& fields, text::RenderOptions& render) {
  const Json* const thinking = fields.object("thinking");
  if (thinking == nullptr) return;
  Fields inner(*thinking, "thinking.");
  const std::string type = inner.required_string("type");
  if (type != "enabled" && type != "disabled" && type != "adaptive")
    refuse("thinking.type",
           fmt::format("'thinking.type' is '{}', expected enabled, disabled or adaptive", type));
  render.extra["enable_thinking"] = type != "disabled";
}

/// `needs_max_tokens`: not to count tokens.
ChatRequest read_messages_request(const Json& body,
                                  const engine::SamplingParams& defaults,
                                  bool is_strict,
                                  bool needs_max_tokens) {
  Fields fields(body);
  ChatRequest request;
  CommonFields& common = request.common;
  fields.any("model");
  request.messages = read_messages(fields);
  const auto max_tokens = fields.integer("max_tokens", 1, INT32_MAX);
  if (!max_tokens && needs_max_tokens)
    refuse("max_tokens", "'max_tokens' is missing, expected a whole number of at least 1");
  engine::SamplingParams& sampling = common.sampling;
  sampling = defaults;
  sampling.max_tokens = static_cast<std::int32_t>(max_tokens.value_or(1));
  if (const auto temperature = fields.number("temperature", 0, 2))
    sampling.temperature = static_cast<float>(*temperature);
  sampling.top_p = read_top_p(fields, defaults.top_p);
  if (const auto top_k = fields.integer("top_k", -1, INT32_MAX))
    sampling.top_k = static_cast<std::int32_t>(*top_k);
  common.stop = read_stop_strings(fields, "stop_sequences");
  common.stream.streams = fields.boolean("stream").value_or(false);
  read_thinking(fields, request.render);
  // A last message of the assistant is the beginning of the answer.
  request.continues_final_message = request.messages.back()["role"] == "assistant";
  request.render.add_generation_prompt = !request.continues_final_message;
  for (const char* const harmless : {"context_management", "container", "betas"})
    fields.any(harmless);
  refuse_unsupported(fields);
  handle_unknown(fields, is_strict);
  return request;
}

std::string named_event(const char* name, const Json& json) {
  Json typed = {{"type", name}};
  typed.update(json);
  return fmt::format("event: {}\n", name) + sse_event(typed);
}

class MessageAnswer final : public Answer {
 public:
  MessageAnswer(const ServedModel& model, const Prompt& prompt)
      : model_(model), split_(model, prompt.is_thinking) {
    usage_.num_prompt_tokens = static_cast<std::int64_t>(prompt.tokens.size());
  }

  void add(std::size_t /*index*/, const Progress& progress) override {
    const text::ReasoningSplitter::Parts parts = take(progress);
    thinking_ += parts.reasoning;
    text_ += parts.content;
  }

  Json whole() override {
    Json message = head();
    if (!thinking_.empty())
      message["content"].push_back(
          {{"type", "thinking"}, {"thinking", thinking_}, {"signature", ""}});
    if (!text_.empty() || thinking_.empty())
      message["content"].push_back({{"type", "text"}, {"text", text_}});
    message["stop_reason"] = stop_reason();
    message["stop_sequence"] = stop_sequence();
    message["usage"] = usage();
    return message;
  }

  std::string first_events() override {
    Json message = head();
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = usage();
    return named_event("message_start", {{"message", std::move(message)}});
  }

  void append_events(std::size_t /*index*/,
                     const Progress& progress,
                     std::string& events) override {
    const text::ReasoningSplitter::Parts parts = take(progress);
    if (!parts.reasoning.empty()) {
      open(Block::thinking, events);
      events += delta({{"type", "thinking_delta"}, {"thinking", parts.reasoning}});
    }
    if (!parts.content.empty()) {
      open(Block::text, events);
      events += delta({{"type", "text_delta"}, {"text", parts.content}});
    }
  }

  std::string last_events() override {
    std::string events;
    if (block_index_ < 0) open(Block::text, events);
    open(Block::none, events);
    events += named_event(
        "message_delta",
        {{"delta", {{"stop_reason", stop_reason()}, {"stop_sequence", stop_sequence()}}},
         {"usage", usage()}});
    return events + named_event("message_stop", Json::object());
  }

  std::string error_events(const ApiError& error) override {
    return "event: error\n" + sse_event(anthropic_error_body(error));
  }

 private:
  enum class Block { none, thinking, text };

  text::ReasoningSplitter::Parts take(const Progress& progress) {
    usage_.num_output_tokens = progress.num_output_tokens;
    usage_.num_cached_tokens = progress.num_cached_tokens;
    end_ = progress;
    end_.text.clear();
    return split_.take(progress);
  }

  /// Ends the block before, if it is another.
  void open(Block block, std::string& events) {
    if (block == block_) return;
    if (block_ != Block::none)
      events += named_event("content_block_stop", {{"index", block_index_}});
    block_ = block;
    if (block == Block::none) return;
    ++block_index_;
    Json begun = block == Block::text
                     ? Json{{"type", "text"}, {"text", ""}}
                     : Json{{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
    events += named_event("content_block_start",
                          {{"index", block_index_}, {"content_block", std::move(begun)}});
  }

  std::string delta(const Json& json) const {
    return named_event("content_block_delta", {{"index", block_index_}, {"delta", json}});
  }

  Json head() const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_.id},
            {"content", Json::array()}};
  }
  Json stop_reason() const {
    if (!end_.stop_string.empty()) return "stop_sequence";
    return end_.finish_reason == engine::FinishReason::length ? "max_tokens" : "end_turn";
  }
  Json stop_sequence() const { return end_.stop_string.empty() ? Json() : Json(end_.stop_string); }
  Json usage() const {
    return {{"input_tokens", usage_.num_prompt_tokens - usage_.num_cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", usage_.num_cached_tokens},
            {"output_tokens", usage_.num_output_tokens}};
  }

  const ServedModel& model_;
  const std::string id_ = fresh_id("msg_");
  AnswerText split_;
  std::string text_, thinking_;
  Progress end_;  // without text
  Usage usage_;
  Block block_ = Block::none;
  int block_index_ = -1;
};

}  // namespace

asio::awaitable<void> messages(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = context.model_of(body);
  ChatRequest request =
      read_messages_request(body, model.defaults, context.options().is_strict, true);
  const Prompt prompt = chat_prompt(model, request);
  fit_into_context(model, prompt.tokens.size(), request.common.sampling);
  Generation generation(*model.engine, *model.tokenizer, exchange.executor());
  start_choices(generation, prompt.tokens, request.common);
  MessageAnswer answer(model, prompt);
  co_await give_answer(context, exchange, model, generation, answer, request.common.stream.streams);
}

asio::awaitable<void> count_message_tokens(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = context.model_of(body);
  const ChatRequest request =
      read_messages_request(body, model.defaults, context.options().is_strict, false);
  const Json json = {{"input_tokens", chat_prompt(model, request).tokens.size()}};
  co_await respond_json(exchange, 200, json);
}

}  // namespace fastchat::serve::api
