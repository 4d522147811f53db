#include "serve/api/completion_request.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace fastchat::serve::api {
namespace {

using text::Json;

bool is_token(const Json& value) {
  return value.is_number_integer() && value.get<std::int64_t>() >= 0 &&
         value.get<std::int64_t>() <= std::numeric_limits<std::int32_t>::max();
}

bool are_tokens(const Json& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), is_token);
}

}  // namespace

std::vector<PromptInput> read_prompts(Fields& fields, const std::string& name) {
  constexpr std::string_view kExpected =
      "a string, an array of strings, an array of token ids, or an array of such arrays";
  const Json* const value = fields.any(name);
  if (value == nullptr) refuse(name, fmt::format("'{}' is missing, expected {}", name, kExpected));
  if (value->is_string()) return {value->get<std::string>()};
  if (are_tokens(*value)) return {value->get<std::vector<std::int32_t>>()};
  if (!value->is_array() || value->empty()) fields.expected(name, kExpected, *value);
  if (value->size() > kMaxPrompts)
    refuse(name,
           fmt::format(
               "'{}' has {} members, at most {} are possible", name, value->size(), kMaxPrompts));
  std::vector<PromptInput> prompts;
  for (const Json& each : *value) {
    if (each.is_string())
      prompts.emplace_back(each.get<std::string>());
    else if (are_tokens(each))
      prompts.emplace_back(each.get<std::vector<std::int32_t>>());
    else
      fields.expected(name, kExpected, each);
  }
  return prompts;
}

CompletionRequest read_completion_request(const Json& body,
                                          const engine::SamplingParams& defaults,
                                          bool is_strict) {
  Fields fields(body);
  fields.any("model");
  CompletionRequest request;
  request.common = read_common_fields(fields, defaults);
  CommonFields& common = request.common;
  request.prompts = read_prompts(fields, "prompt");
  request.echoes = fields.boolean("echo").value_or(false);

  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  constexpr std::int64_t kDefaultMaxTokens = 16;  // OpenAI's and FastChat's
  const std::int64_t max_tokens =
      fields.integer("max_tokens", 0, kMost).value_or(kDefaultMaxTokens);
  if (max_tokens == 0 && !request.echoes)
    refuse("max_tokens", "'max_tokens' is 0, which asks for nothing without 'echo'");
  request.generates = max_tokens > 0;
  common.sampling.max_tokens = static_cast<std::int32_t>(std::max<std::int64_t>(max_tokens, 1));

  if (const auto logprobs = fields.integer("logprobs", 0, 20)) {
    request.wants_logprobs = true;
    common.sampling.num_logprobs = static_cast<std::int32_t>(*logprobs);
    if (request.echoes) common.sampling.num_prompt_logprobs = common.sampling.num_logprobs;
  }
  request.best_of = static_cast<std::int32_t>(
      fields.integer("best_of", common.n, kMaxChoices).value_or(common.n));
  if (request.best_of > common.n) {
    if (common.stream.streams)
      refuse("best_of", "'best_of' cannot be streamed: which are best is known at the end");
    common.sampling.num_logprobs = std::max(common.sampling.num_logprobs, 0);
  }
  if (const auto suffix = fields.string("suffix"); suffix && !suffix->empty())
    refuse("suffix", "'suffix' is not supported here: the model writes forwards only");
  refuse_unsupported(fields);
  handle_unknown(fields, is_strict);
  return request;
}

}  // namespace fastchat::serve::api
