// POST /v1/completions, whole and streamed.
#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "serve/api/answer_parts.h"
#include "serve/api/completion_request.h"
#include "serve/api/endpoints.h"
#include "serve/api/openai_answer.h"
#include "serve/api/prompts.h"

namespace fastchat::serve::api {
namespace {

using text::Json;

/// Tokens with their logprobs, as completions have them.
class TokenTable {
 public:
  TokenTable(const text::Tokenizer& tokenizer, std::int32_t num_top)
      : tokenizer_(tokenizer), num_top_(num_top) {}

  /// `offset`: of the first token in the answer's text, in characters.
  void add(const engine::TokenLogprob& each, std::size_t& offset, bool has_logprob = true) {
    const std::string text = readable(token_bytes(tokenizer_, each.token));
    tokens_.push_back(text);
    offsets_.push_back(offset);
    logprobs_.push_back(has_logprob ? Json(each.logprob) : Json());
    Json top = Json::object();
    for (const auto& [token, logprob] : each.top)
      top[readable(token_bytes(tokenizer_, token))] = logprob;
    if (has_logprob && num_top_ > 0 && !top.contains(text)) top[text] = each.logprob;
    tops_.push_back(has_logprob && num_top_ > 0 ? std::move(top) : Json());
    offset += static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  }
  Json json() const {
    return {{"tokens", tokens_},
            {"token_logprobs", logprobs_},
            {"top_logprobs", num_top_ > 0 ? Json(tops_) : Json()},
            {"text_offset", offsets_}};
  }
  bool empty() const { return tokens_.empty(); }

 private:
  const text::Tokenizer& tokenizer_;
  std::int32_t num_top_;
  Json tokens_ = Json::array(), logprobs_ = Json::array(), tops_ = Json::array(),
       offsets_ = Json::array();
};

/// One sequence of an answer.
struct Choice {
  std::size_t prompt_index = 0;
  std::string text;
  std::vector<engine::TokenLogprob> logprobs, prompt_logprobs;
  double sum_of_logprobs = 0.0;
  Progress last;  // without text and logprobs
  std::size_t text_offset = 0;
  bool is_begun = false;
};

struct EncodedPrompt {
  std::vector<std::int32_t> tokens;
  std::string text;  // for echo
};

class CompletionAnswer final : public OpenAiAnswer {
 public:
  CompletionAnswer(const ServedModel& model,
                   const CompletionRequest& request,
                   std::vector<EncodedPrompt> prompts)
      : model_(model), request_(request), prompts_(std::move(prompts)) {
    const auto per_prompt = static_cast<std::size_t>(request.best_of);
    choices_.resize(prompts_.size() * per_prompt);
    for (std::size_t i = 0; i < choices_.size(); ++i) choices_[i].prompt_index = i / per_prompt;
  }

  void append_events(std::size_t index, const Progress& progress, std::string& events) override {
    Choice& choice = choices_[index];
    note(choice, progress);
    std::string text = request_.generates ? progress.text : std::string();
    TokenTable table(*model_.tokenizer, request_.common.sampling.num_logprobs);
    if (!std::exchange(choice.is_begun, true) && request_.echoes) {
      text.insert(0, prompts_[choice.prompt_index].text);
      add_prompt(choice, progress.prompt_logprobs, table);
    }
    if (request_.generates) add_tokens(choice, progress.logprobs, table);
    if (text.empty() && table.empty() && !progress.is_over()) return;
    Json json = head();
    Json one = {{"index", index},
                {"text", text},
                {"logprobs", wants_logprobs() && !table.empty() ? table.json() : Json()},
                {"finish_reason", finish_reason(choice)}};
    json["choices"] = Json::array({std::move(one)});
    const StreamOptions& stream = request_.common.stream;
    if (stream.continuous_usage_stats)
      json["usage"] = usage_json(usage());
    else if (stream.include_usage)
      json["usage"] = nullptr;
    events += sse_event(json);
  }

  void add(std::size_t index, const Progress& progress) override {
    Choice& choice = choices_[index];
    note(choice, progress);
    choice.text += progress.text;
    choice.logprobs.insert(
        choice.logprobs.end(), progress.logprobs.begin(), progress.logprobs.end());
    choice.prompt_logprobs.insert(choice.prompt_logprobs.end(),
                                  progress.prompt_logprobs.begin(),
                                  progress.prompt_logprobs.end());
  }

  Json whole() override {
    Json json = head();
    json["choices"] = Json::array();
    for (const std::size_t index : best_choices()) {
      Choice& choice = choices_[index];
      std::string text = request_.generates ? choice.text : std::string();
      TokenTable table(*model_.tokenizer, request_.common.sampling.num_logprobs);
      if (request_.echoes) {
        text.insert(0, prompts_[choice.prompt_index].text);
        add_prompt(choice, choice.prompt_logprobs, table);
      }
      if (request_.generates) add_tokens(choice, choice.logprobs, table);
      json["choices"].push_back(
          {{"index", json["choices"].size()},
           {"text", std::move(text)},
           {"logprobs", wants_logprobs() ? table.json() : Json()},
           {"finish_reason", finish_reason(choice)},
           {"stop_reason",
            choice.last.stop_string.empty() ? Json() : Json(choice.last.stop_string)}});
    }
    json["usage"] = usage_json(usage());
    return json;
  }

 private:
  std::string usage_events() override {
    if (!request_.common.stream.include_usage) return {};
    Json json = head();
    json["choices"] = Json::array();
    json["usage"] = usage_json(usage());
    return sse_event(json);
  }

  bool wants_logprobs() const { return request_.wants_logprobs; }

  Json head() const {
    return {
        {"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_.id}};
  }

  Json finish_reason(const Choice& choice) const {
    if (!request_.generates && choice.last.is_over()) return "length";
    return finish_reason_json(choice.last);
  }

  void note(Choice& choice, const Progress& progress) {
    for (const engine::TokenLogprob& each : progress.logprobs)
      choice.sum_of_logprobs += each.logprob;
    choice.last = progress;
    choice.last.text.clear();
    choice.last.logprobs.clear();
    choice.last.prompt_logprobs.clear();
  }

  /// The first token of a prompt has no logprob: nothing is before it.
  void add_prompt(Choice& choice,
                  const std::vector<engine::TokenLogprob>& logprobs,
                  TokenTable& table) const {
    if (!wants_logprobs()) return;
    const engine::TokenLogprob first{.token = prompts_[choice.prompt_index].tokens.front()};
    table.add(first, choice.text_offset, /*has_logprob=*/false);
    for (const engine::TokenLogprob& each : logprobs) table.add(each, choice.text_offset);
  }
  void add_tokens(Choice& choice,
                  const std::vector<engine::TokenLogprob>& logprobs,
                  TokenTable& table) const {
    if (!wants_logprobs()) return;
    for (const engine::TokenLogprob& each : logprobs) table.add(each, choice.text_offset);
  }

  /// Of each prompt the n likeliest per token, by falling likelihood; all in order where all are
  /// given.
  std::vector<std::size_t> best_choices() const {
    std::vector<std::size_t> order(choices_.size());
    std::iota(order.begin(), order.end(), 0);
    if (request_.best_of == request_.common.n) return order;
    const auto mean = [this](std::size_t i) {
      return choices_[i].sum_of_logprobs / std::max(1, choices_[i].last.num_output_tokens);
    };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      if (choices_[a].prompt_index != choices_[b].prompt_index)
        return choices_[a].prompt_index < choices_[b].prompt_index;
      return mean(a) > mean(b);
    });
    std::vector<std::size_t> best;
    const auto per_prompt = static_cast<std::size_t>(request_.best_of);
    for (std::size_t i = 0; i < order.size(); ++i)
      if (i % per_prompt < static_cast<std::size_t>(request_.common.n)) best.push_back(order[i]);
    return best;
  }

  /// Each prompt counts once.
  Usage usage() const {
    Usage sum;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      if (request_.generates) sum.num_output_tokens += choice.last.num_output_tokens;
      if (i % static_cast<std::size_t>(request_.best_of) != 0) continue;
      sum.num_prompt_tokens +=
          static_cast<std::int64_t>(prompts_[choice.prompt_index].tokens.size());
      sum.num_cached_tokens += choice.last.num_cached_tokens;
    }
    return sum;
  }

  const ServedModel& model_;
  const CompletionRequest& request_;
  const std::vector<EncodedPrompt> prompts_;
  const std::string id_ = fresh_id("cmpl-");
  const std::int64_t created_ = unix_seconds();
  std::vector<Choice> choices_;
};

std::vector<EncodedPrompt> encode_prompts(const ServedModel& model,
                                          const CompletionRequest& request) {
  std::vector<EncodedPrompt> prompts;
  for (const PromptInput& input : request.prompts) {
    EncodedPrompt prompt;
    if (const auto* const text = std::get_if<std::string>(&input)) {
      prompt.tokens = text_prompt(model, *text);
      prompt.text = *text;
      if (prompt.tokens.empty()) refuse("prompt", "'prompt' is empty, expected at least one token");
    } else {
      prompt.tokens = std::get<std::vector<std::int32_t>>(input);
      if (request.echoes)
        prompt.text = model.tokenizer->decode(prompt.tokens, false).value_or(std::string());
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace

asio::awaitable<void> completions(ApiContext& context, http::Exchange& exchange) {
  const Json body = parse_body(exchange.request().body);
  const ServedModel& model = context.model_of(body);
  const CompletionRequest request =
      read_completion_request(body, model.defaults, context.options().is_strict);
  std::vector<EncodedPrompt> prompts = encode_prompts(model, request);

  Generation generation(*model.engine, *model.tokenizer, exchange.executor());
  for (const EncodedPrompt& prompt : prompts) {
    CommonFields common = request.common;
    common.n = request.best_of;
    fit_into_context(model, prompt.tokens.size(), common.sampling);
    start_choices(generation, prompt.tokens, common);
  }
  CompletionAnswer answer(model, request, std::move(prompts));
  co_await give_answer(context, exchange, model, generation, answer, request.common.stream.streams);
}

}  // namespace fastchat::serve::api
