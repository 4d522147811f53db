#include "serve/api/answer_parts.h"

#include <array>
#include <chrono>
#include <cmath>
#include <random>

#include <fmt/format.h>

namespace fastchat::serve::api {
namespace {

using text::Json;

Json bytes_json(const std::string& bytes) {
  Json array = Json::array();
  for (const char byte : bytes) array.push_back(static_cast<unsigned char>(byte));
  return array;
}

/// JSON has no infinity. OpenAI gives this for what is as good as impossible.
double finite(float logprob) { return std::isfinite(logprob) ? logprob : -9999.0; }

}  // namespace

std::string fresh_id(std::string_view prefix) {
  thread_local std::mt19937_64 random{(static_cast<std::uint64_t>(std::random_device{}()) << 32) ^
                                      std::random_device{}()};
  return fmt::format("{}{:016x}{:016x}", prefix, random(), random());
}

std::int64_t unix_seconds() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch())
      .count();
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.num_prompt_tokens},
          {"completion_tokens", usage.num_output_tokens},
          {"total_tokens", usage.num_prompt_tokens + usage.num_output_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.num_cached_tokens}}}};
}

Json finish_reason_json(const Progress& progress) {
  if (!progress.is_over()) return nullptr;
  return progress.finish_reason == engine::FinishReason::length ? "length" : "stop";
}

void require_success(const Progress& progress) {
  if (progress.finish_reason == engine::FinishReason::error) throw ApiError(500, progress.error);
  if (progress.finish_reason == engine::FinishReason::cancelled)
    throw ApiError(503, "the server is shutting down");
}

AnswerText::AnswerText(const ServedModel& model, bool is_thinking) {
  if (model.thinks) splitter_.emplace(is_thinking);
}

text::ReasoningSplitter::Parts AnswerText::take(const Progress& progress) {
  if (!splitter_) return {.reasoning = {}, .content = progress.text};
  text::ReasoningSplitter::Parts parts = splitter_->push(progress.text);
  if (progress.is_over()) {
    const text::ReasoningSplitter::Parts rest = splitter_->finish();
    parts.reasoning += rest.reasoning;
    parts.content += rest.content;
  }
  answers_ |= !parts.content.empty();
  if (!answers_) num_reasoning_tokens_ = progress.num_output_tokens;
  return parts;
}

std::string token_bytes(const text::Tokenizer& tokenizer, std::int32_t token) {
  std::string bytes;
  if (tokenizer.byte_decoding() && !tokenizer.is_special(token)) {
    tokenizer.append_token_bytes(token, bytes);
    return bytes;
  }
  const std::array<std::int32_t, 1> one = {token};
  return tokenizer.decode(one, /*skip_special_tokens=*/false).value_or(std::string());
}

std::string readable(std::string_view bytes) {
  // nlohmann's writer is the one that replaces; what it writes is read back.
  return Json::parse(json_text(Json(bytes))).get<std::string>();
}

Json chat_logprobs(const text::Tokenizer& tokenizer,
                   const std::vector<engine::TokenLogprob>& logprobs) {
  const auto entry = [&](std::int32_t token, float logprob) {
    const std::string bytes = token_bytes(tokenizer, token);
    return Json{
        {"token", readable(bytes)}, {"logprob", finite(logprob)}, {"bytes", bytes_json(bytes)}};
  };
  Json content = Json::array();
  for (const engine::TokenLogprob& each : logprobs) {
    Json one = entry(each.token, each.logprob);
    one["top_logprobs"] = Json::array();
    for (const auto& [token, logprob] : each.top)
      one["top_logprobs"].push_back(entry(token, logprob));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

std::string sse_event(const Json& json) { return "data: " + json_text(json) + "\n\n"; }

}  // namespace fastchat::serve::api
