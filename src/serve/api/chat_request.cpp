#include "serve/api/chat_request.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include <fmt/format.h>

namespace fastchat::serve::api {
namespace {

using text::Json;

constexpr std::string_view kRoles[] = {
    "system", "developer", "user", "assistant", "tool", "function"};

/// Text of a message: a string, or parts of which all are text.
std::string content_text(Fields& message, bool may_be_absent) {
  const Json* const content = message.any("content");
  if (content == nullptr) {
    if (may_be_absent) return {};
    refuse(message.full_name("content"),
           fmt::format("'{}' is missing, expected a string or an array of parts",
                       message.full_name("content")));
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) message.expected("content", "a string or an array of parts", *content);
  std::string joined;
  for (std::size_t i = 0; i < content->size(); ++i) {
    Fields part = element(*content, i, message.full_name("content"));
    const std::string type = part.required_string("type");
    std::string piece;
    if (type == "text" || type == "input_text" || type == "output_text")
      piece = part.required_string("text");
    else if (type == "refusal")
      piece = part.required_string("refusal");
    else
      refuse(part.full_name("type"),
             fmt::format("'{}' is '{}': the model reads text only, expected 'text'",
                         part.full_name("type"),
                         type));
    if (i > 0) joined += '\n';
    joined += piece;
  }
  return joined;
}

/// Templates print arguments as objects; the API has them as JSON in a string.
Json tool_calls_of(const Json& calls) {
  Json read = calls;
  for (Json& call : read) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    Json& function = call["function"];
    if (!function.contains("arguments") || !function["arguments"].is_string()) continue;
    Json parsed = Json::parse(function["arguments"].get<std::string>(), nullptr, false);
    if (!parsed.is_discarded()) function["arguments"] = std::move(parsed);
  }
  return read;
}

Json template_message(const Json& messages, std::size_t index) {
  Fields fields = element(messages, index, "messages");
  std::string role = fields.required_string("role");
  if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles))
    refuse(fields.full_name("role"),
           fmt::format("'{}' is '{}', expected system, developer, user, assistant or tool",
                       fields.full_name("role"),
                       role));
  const Json* const calls = fields.array("tool_calls");
  const bool is_answer = role == "assistant";
  Json read;
  read["role"] = role == "developer" ? "system" : role;
  read["content"] = content_text(fields, is_answer);
  if (is_answer && calls != nullptr && !calls->empty()) read["tool_calls"] = tool_calls_of(*calls);
  for (const char* const name : {"name", "tool_call_id", "reasoning_content"})
    if (const auto value = fields.string(name)) read[name] = *value;
  return read;
}

/// `reasoning_effort` and the like are variables of the template.
void read_template_variables(Fields& fields, text::RenderOptions& render) {
  if (const Json* const variables = fields.object("chat_template_kwargs"))
    render.extra.update(*variables);
  if (const auto thinks = fields.boolean("enable_thinking"))
    render.extra["enable_thinking"] = *thinks;
  if (const auto effort = fields.string("reasoning_effort")) {
    render.extra["reasoning_effort"] = *effort;
    if (*effort == "none" && !render.extra.contains("enable_thinking"))
      render.extra["enable_thinking"] = false;
  }
}

}  // namespace

Json template_messages(const Json& messages) {
  if (messages.empty()) refuse("messages", "'messages' is empty, expected at least one message");
  Json read = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) read.push_back(template_message(messages, i));
  return read;
}

ChatRequest read_chat_request(const Json& body,
                              const engine::SamplingParams& defaults,
                              bool is_strict) {
  Fields fields(body);
  fields.any("model");
  ChatRequest request;
  request.common = read_common_fields(fields, defaults);
  const Json* const messages = fields.any("messages");
  if (messages == nullptr)
    refuse("messages", "'messages' is missing, expected an array of messages");
  if (messages->is_string())
    request.raw_prompt = messages->get<std::string>();
  else if (messages->is_array())
    request.messages = template_messages(*messages);
  else
    fields.expected("messages", "an array of messages", *messages);

  engine::SamplingParams& sampling = request.common.sampling;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const auto max_tokens = fields.integer("max_tokens", 1, kMost);
  const auto max_completion_tokens = fields.integer("max_completion_tokens", 1, kMost);
  sampling.max_tokens =
      static_cast<std::int32_t>(max_completion_tokens.value_or(max_tokens.value_or(0)));
  const bool wants_logprobs = fields.boolean("logprobs").value_or(false);
  const auto top_logprobs = fields.integer("top_logprobs", 0, 20);
  if (top_logprobs.value_or(0) > 0 && !wants_logprobs)
    refuse("top_logprobs", "'top_logprobs' needs 'logprobs' to be true");
  if (wants_logprobs) sampling.num_logprobs = static_cast<std::int32_t>(top_logprobs.value_or(0));

  read_template_variables(fields, request.render);
  request.continues_final_message = fields.boolean("continue_final_message").value_or(false);
  request.render.add_generation_prompt =
      fields.boolean("add_generation_prompt").value_or(!request.continues_final_message);
  if (request.continues_final_message && request.render.add_generation_prompt)
    refuse("continue_final_message",
           "'continue_final_message' and 'add_generation_prompt' exclude each other");
  if (request.continues_final_message &&
      (request.raw_prompt || request.messages.back()["role"] != "assistant"))
    refuse("continue_final_message",
           "'continue_final_message' needs a last message of the assistant");
  refuse_unsupported(fields);
  handle_unknown(fields, is_strict);
  return request;
}

}  // namespace fastchat::serve::api
