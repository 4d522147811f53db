// POST /v1/chat/completions, whole and streamed.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "serve/api/answer_parts.h"
#include "serve/api/chat_request.h"
#include "serve/api/endpoints.h"
#include "serve/api/openai_answer.h"
#include "serve/api/prompts.h"

namespace fastchat::serve::api {
namespace {

using text::Json;

/// One choice of an answer.
struct Choice {
  AnswerText text;
  bool is_begun = false;
  // Of whole answers.
  std::string content, reasoning;
  Json logprobs = nullptr;
  Json finish_reason = nullptr;
  Json stop_reason = nullptr;
  std::int32_t num_output_tokens = 0;
};

class ChatAnswer final : public OpenAiAnswer {
 public:
  ChatAnswer(const ServedModel& model, const ChatRequest& request, bool is_thinking)
      : model_(model),
        stream_(request.common.stream),
        wants_logprobs_(request.common.sampling.num_logprobs >= 0),
        choices_(static_cast<std::size_t>(request.common.n),
                 Choice{.text = AnswerText(model, is_thinking)}) {}

  void append_events(std::size_t index, const Progress& progress, std::string& events) override {
    Choice& choice = choices_[index];
    note(choice, progress);
    const text::ReasoningSplitter::Parts parts = choice.text.take(progress);
    const bool has_logprobs = wants_logprobs_ && !progress.logprobs.empty();
    const bool has_news =
        !parts.content.empty() || !parts.reasoning.empty() || has_logprobs || progress.is_over();
    if (!has_news) return;
    if (!std::exchange(choice.is_begun, true))
      events += chunk(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr, nullptr);
    if (!parts.reasoning.empty())
      events += chunk(index, {{"reasoning_content", parts.reasoning}}, nullptr, nullptr, nullptr);
    Json delta = Json::object();
    if (!parts.content.empty()) delta["content"] = parts.content;
    const Json logprobs =
        has_logprobs ? chat_logprobs(*model_.tokenizer, progress.logprobs) : Json();
    if (!delta.empty() || has_logprobs)
      events += chunk(index, std::move(delta), logprobs, nullptr, nullptr);
    if (progress.is_over())
      events += chunk(
          index, Json::object(), nullptr, finish_reason_json(progress), stop_reason_json(progress));
  }

  void add(std::size_t index, const Progress& progress) override {
    Choice& choice = choices_[index];
    note(choice, progress);
    text::ReasoningSplitter::Parts parts = choice.text.take(progress);
    choice.content += parts.content;
    choice.reasoning += parts.reasoning;
    if (wants_logprobs_) {
      const Json more = chat_logprobs(*model_.tokenizer, progress.logprobs);
      if (choice.logprobs.is_null())
        choice.logprobs = more;
      else
        for (const Json& each : more["content"]) choice.logprobs["content"].push_back(each);
    }
    choice.finish_reason = finish_reason_json(progress);
    choice.stop_reason = stop_reason_json(progress);
  }

  Json whole() override {
    Json answer = head("chat.completion");
    answer["choices"] = Json::array();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
      if (choice.text.has_thoughts())
        message["reasoning_content"] = choice.reasoning.empty() ? Json() : Json(choice.reasoning);
      answer["choices"].push_back({{"index", i},
                                   {"message", std::move(message)},
                                   {"logprobs", choice.logprobs},
                                   {"finish_reason", choice.finish_reason},
                                   {"stop_reason", choice.stop_reason}});
    }
    answer["usage"] = usage_json(usage_);
    return answer;
  }

 private:
  std::string usage_events() override {
    if (!stream_.include_usage) return {};
    Json last = head("chat.completion.chunk");
    last["choices"] = Json::array();
    last["usage"] = usage_json(usage_);
    return sse_event(last);
  }

  void note(Choice& choice, const Progress& progress) {
    // The choices share one prompt.
    usage_.num_prompt_tokens = progress.num_prompt_tokens;
    usage_.num_cached_tokens =
        std::max<std::int64_t>(usage_.num_cached_tokens, progress.num_cached_tokens);
    usage_.num_output_tokens += progress.num_output_tokens - choice.num_output_tokens;
    choice.num_output_tokens = progress.num_output_tokens;
  }

  /// vLLM's: which stop string ended it.
  static Json stop_reason_json(const Progress& progress) {
    if (!progress.stop_string.empty()) return progress.stop_string;
    return nullptr;
  }

  Json head(const char* object) const {
    return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_.id}};
  }

  std::string chunk(std::size_t index,
                    Json delta,
                    const Json& logprobs,
                    const Json& finish_reason,
                    const Json& stop_reason) const {
    Json json = head("chat.completion.chunk");
    Json choice = {{"index", index},
                   {"delta", std::move(delta)},
                   {"logprobs", logprobs},
                   {"finish_reason", finish_reason}};
    if (!finish_reason.is_null()) choice["stop_reason"] = stop_reason;
    json["choices"] = Json::array({std::move(choice)});
    if (stream_.continuous_usage_stats)
      json["usage"] = usage_json(usage_);
    else if (stream_.include_usage)
      json["usage"] = nullptr;
    return sse_event(json);
  }

  const ServedModel& model_;
  const StreamOptions stream_;
  const bool wants_logprobs_;
  const std::string id_ = fresh_id("chatcmpl-");
  const std::int64_t created_ = unix_seconds();
  std::vector<Choice> choices_;
  Usage usage_;
};

}  // namespace

asio::awaitable<void> chat_completions(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = context.model_of(body);
  ChatRequest request = read_chat_request(body, model.defaults, context.options().is_strict);
  const Prompt prompt = chat_prompt(model, request);
  CommonFields& common = request.common;
  fit_into_context(model, prompt.tokens.size(), common.sampling);

  Generation generation(*model.engine, *model.tokenizer, exchange.executor());
  start_choices(generation, prompt.tokens, common);
  ChatAnswer answer(model, request, prompt.is_thinking);
  co_await give_answer(context, exchange, model, generation, answer, common.stream.streams);
}

}  // namespace fastchat::serve::api
