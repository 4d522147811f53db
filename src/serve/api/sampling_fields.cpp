#include "serve/api/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <mutex>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"

namespace fastchat::serve::api {
namespace {

using text::Json;

constexpr std::int64_t kMaxTokenId = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kMaxStopStrings = 64;

/// {"50256": -100, …}
std::vector<std::pair<std::int32_t, float>> read_logit_bias(Fields& fields) {
  std::vector<std::pair<std::int32_t, float>> biases;
  const Json* const object = fields.object("logit_bias");
  if (object == nullptr) return biases;
  for (const auto& [key, value] : object->items()) {
    std::int32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size())
      refuse("logit_bias",
             fmt::format("'logit_bias' has the key '{}', expected token ids as strings, such as "
                         "\"50256\"",
                         key));
    if (!value.is_number() || !(std::abs(value.get<double>()) <= 100.0))
      refuse("logit_bias",
             fmt::format("'logit_bias' gives token {} {}, expected a number from -100 to 100",
                         key,
                         value.dump()));
    biases.emplace_back(token, value.get<float>());
  }
  return biases;
}

void read_stop(Fields& fields, CommonFields& common) {
  common.stop = read_stop_strings(fields, "stop");
  if (const Json* const ids = fields.array("stop_token_ids"))
    for (const Json& id : *ids) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
          id.get<std::int64_t>() > kMaxTokenId)
        fields.expected("stop_token_ids", "an array of token ids", id);
      common.sampling.stop_token_ids.push_back(id.get<std::int32_t>());
    }
}

void read_stream(Fields& fields, CommonFields& common) {
  common.stream.streams = fields.boolean("stream").value_or(false);
  const Json* const options = fields.object("stream_options");
  if (options == nullptr) return;
  if (!common.stream.streams)
    refuse("stream_options", "'stream_options' is for streamed answers: set 'stream' to true");
  Fields inner(*options, "stream_options.");
  common.stream.include_usage = inner.boolean("include_usage").value_or(false);
  common.stream.continuous_usage_stats = inner.boolean("continuous_usage_stats").value_or(false);
}

/// A field that this server lacks. Some of its values ask for nothing.
struct Unsupported {
  const char* name;
  bool (*asks_for_nothing)(const Json& value);
  const char* instead;
};

bool never(const Json& /*value*/) { return false; }
bool is_empty(const Json& value) { return value.empty(); }
bool is_false(const Json& value) { return value.is_boolean() && !value.get<bool>(); }
bool is_no_choice(const Json& value) { return value == "none" || value == "auto"; }
bool is_text(const Json& value) {
  return value.is_object() && value.value("type", Json()) == "text";
}
bool is_text_alone(const Json& value) { return value == Json::array({"text"}); }

constexpr Unsupported kUnsupported[] = {
    {"tools", is_empty, "tool calls come in a later version"},
    {"functions", is_empty, "tool calls come in a later version"},
    {"tool_choice", is_no_choice, "tool calls come in a later version"},
    {"function_call", is_no_choice, "tool calls come in a later version"},
    {"response_format", is_text, "constrained output comes in a later version"},
    {"guided_json", never, "constrained output comes in a later version"},
    {"guided_regex", never, "constrained output comes in a later version"},
    {"guided_choice", never, "constrained output comes in a later version"},
    {"guided_grammar", never, "constrained output comes in a later version"},
    {"structured_outputs", never, "constrained output comes in a later version"},
    {"modalities", is_text_alone, "answers are text"},
    {"audio", never, "answers are text"},
    {"web_search_options", never, "this server searches nothing"},
    {"verbosity", never, "ask for it in a message"},
    {"use_beam_search", is_false, "answers are sampled"},
    {"length_penalty", never, "it belongs to beam search, which this server does not have"},
};

/// Sent by clients for their own ends; they change no answer.
constexpr const char* kHarmless[] = {"user",
                                     "metadata",
                                     "store",
                                     "service_tier",
                                     "safety_identifier",
                                     "prompt_cache_key",
                                     "prompt_cache_retention",
                                     "parallel_tool_calls",
                                     "prediction",
                                     "request_id",
                                     "early_stopping",
                                     "spaces_between_special_tokens"};

}  // namespace

CommonFields read_common_fields(Fields& fields, const engine::SamplingParams& defaults) {
  CommonFields common;
  engine::SamplingParams& sampling = common.sampling;
  sampling = defaults;
  const auto number = [&](const char* name, double least, double most, float fallback) {
    return static_cast<float>(fields.number(name, least, most).value_or(fallback));
  };
  sampling.temperature = number("temperature", 0, 2, defaults.temperature);
  sampling.top_p = read_top_p(fields, defaults.top_p);
  sampling.top_k =
      static_cast<std::int32_t>(fields.integer("top_k", -1, kMaxTokenId).value_or(defaults.top_k));
  sampling.min_p = number("min_p", 0, 1, defaults.min_p);
  sampling.presence_penalty = number("presence_penalty", -2, 2, 0.0f);
  sampling.frequency_penalty = number("frequency_penalty", -2, 2, 0.0f);
  sampling.repetition_penalty =
      number("repetition_penalty", 0.01, 100, defaults.repetition_penalty);
  if (const auto seed = fields.integer("seed",
                                       std::numeric_limits<std::int64_t>::min(),
                                       std::numeric_limits<std::int64_t>::max()))
    sampling.seed = static_cast<std::uint64_t>(*seed);
  sampling.logit_bias = read_logit_bias(fields);
  sampling.min_tokens =
      static_cast<std::int32_t>(fields.integer("min_tokens", 0, kMaxTokenId).value_or(0));
  sampling.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  read_stop(fields, common);
  common.include_stop_str_in_output = fields.boolean("include_stop_str_in_output").value_or(false);
  common.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  common.n = static_cast<std::int32_t>(fields.integer("n", 1, kMaxChoices).value_or(1));
  read_stream(fields, common);
  return common;
}

std::vector<std::string> read_stop_strings(Fields& fields, const std::string& name) {
  std::vector<std::string> stops =
      fields.strings(name, kMaxStopStrings).value_or(std::vector<std::string>());
  stops.erase(std::remove(stops.begin(), stops.end(), ""), stops.end());
  return stops;
}

float read_top_p(Fields& fields, float fallback) {
  constexpr float kLeast = 1e-6f;  // the engine takes none at all for an error
  return std::max(static_cast<float>(fields.number("top_p", 0, 1).value_or(fallback)), kLeast);
}

void refuse_unsupported(Fields& fields) {
  for (const Unsupported& each : kUnsupported) {
    const Json* const value = fields.any(each.name);
    if (value != nullptr && !each.asks_for_nothing(*value))
      refuse(fields.full_name(each.name),
             fmt::format("'{}' is not supported here: {}", each.name, each.instead));
  }
  for (const char* const name : kHarmless) fields.any(name);
}

void handle_unknown(const Fields& fields, bool is_strict) {
  const std::vector<std::string> names = fields.others();
  if (names.empty()) return;
  if (is_strict)
    refuse(
        names.front(),
        fmt::format("this server (--strict-requests) does not know: {}", fmt::join(names, ", ")));
  static std::mutex mutex;
  static std::set<std::string> logged;
  // A client that makes names up must not fill the memory.
  constexpr std::size_t kMostLogged = 256;
  const std::lock_guard lock(mutex);
  for (const std::string& name : names)
    if (logged.size() < kMostLogged && logged.insert(name).second)
      log::info("requests have a field '{}', which is not known here and passed over", name);
}

}  // namespace fastchat::serve::api
