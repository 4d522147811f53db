#include "text/chat_template.h"

#include <utility>

#include <fmt/format.h>

#include "text/ffi.h"

namespace fastchat::text {
namespace {

// Depth of messages and tools. The crate refuses what is nested much deeper, and printing JSON
// recurses.
constexpr int kMaxDepth = 100;

bool is_deeper_than(const Json& json, int depth) {
  if (!json.is_structured()) return false;
  if (depth == 0) return true;
  for (const Json& child : json) {
    if (is_deeper_than(child, depth - 1)) return true;
  }
  return false;
}

/// bos_token and its kin, as far as the model has them: undefined otherwise, which prints as
/// nothing.
Json special_tokens_of(const Json& config) {
  Json tokens = Json::object();
  for (const char* key : {"bos_token",
                          "eos_token",
                          "unk_token",
                          "sep_token",
                          "pad_token",
                          "cls_token",
                          "mask_token"}) {
    const auto found = config.find(key);
    if (found == config.end()) continue;
    if (std::optional<std::string> token = token_content(*found)) tokens[key] = *token;
  }
  const auto additional = config.find("additional_special_tokens");
  if (additional != config.end() && additional->is_array() && !additional->empty()) {
    Json list = Json::array();
    for (const Json& entry : *additional) {
      if (std::optional<std::string> token = token_content(entry)) list.push_back(*token);
    }
    tokens["additional_special_tokens"] = std::move(list);
  }
  return tokens;
}

/// Templates read a message's reasoning under one of three names; the reference fills in two of
/// them.
Json with_reasoning_names(const Json& messages) {
  Json result = Json::array();
  for (const Json& message : messages) {
    const Json* reasoning = nullptr;
    for (const char* key : {"reasoning_content", "thinking", "reasoning"}) {
      const auto found = message.find(key);
      if (reasoning == nullptr && found != message.end() && !found->is_null()) reasoning = &*found;
    }
    if (reasoning == nullptr) {
      result.push_back(message);
      continue;
    }
    Json copy{{"thinking", *reasoning}};
    for (const auto& [key, value] : message.items()) copy[key] = value;
    copy["reasoning_content"] = *reasoning;
    result.push_back(std::move(copy));
  }
  return result;
}

Error invalid(std::string message) { return {ErrorCode::invalid_request, std::move(message)}; }

}  // namespace

Result<ChatTemplate::Named> ChatTemplate::compile(std::string name, std::string_view source) {
  fct_template* handle = nullptr;
  fct_buffer error{};
  const fct_status status = fct_template_new(source.data(), source.size(), &handle, &error);
  if (status != fct_ok) {
    Error failed = take_error(status, error);
    failed.message = fmt::format("chat template: {}", failed.message);
    return failed;
  }
  return Named{std::move(name), std::shared_ptr<fct_template>(handle, fct_template_free)};
}

Result<ChatTemplate> ChatTemplate::from_source(std::string_view source) {
  Result<Named> compiled = compile("default", source);
  if (!compiled) return compiled.error();
  ChatTemplate result;
  result.templates_.push_back(*std::move(compiled));
  return result;
}

Result<ChatTemplate> ChatTemplate::from_folder(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / "tokenizer_config.json";
  Result<Json> config = read_json_object(config_path);
  if (!config) return config.error();
  if (config->is_null()) *config = Json::object();
  const auto file = read_if_present(folder / "chat_template.jinja");
  if (!file) return file.error();

  ChatTemplate result;
  result.special_tokens_ = special_tokens_of(*config);
  const auto add = [&](std::string name,
                       const std::string& source,
                       const std::filesystem::path& path) -> Result<void> {
    Result<Named> compiled = compile(std::move(name), source);
    if (!compiled) {
      return Error{compiled.error().code,
                   fmt::format("{}: {}", path.string(), compiled.error().message)};
    }
    result.templates_.push_back(*std::move(compiled));
    return {};
  };

  if (file->has_value()) {
    if (auto added = add("default", **file, folder / "chat_template.jinja"); !added) {
      return added.error();
    }
    return result;
  }
  const auto entry = config->find("chat_template");
  if (entry == config->end() || entry->is_null()) {
    return Error{ErrorCode::not_found,
                 fmt::format("this model has no chat template: neither chat_template.jinja nor "
                             "\"chat_template\" in tokenizer_config.json is in {}",
                             folder.string())};
  }
  if (entry->is_string()) {
    if (auto added = add("default", entry->get<std::string>(), config_path); !added) {
      return added.error();
    }
    return result;
  }
  const Error malformed = invalid(
      fmt::format("{}: chat_template must be a text, or a list of objects with name and template",
                  config_path.string()));
  if (!entry->is_array() || entry->empty()) return malformed;
  for (const Json& item : *entry) {
    if (!item.is_object()) return malformed;
    const auto name = item.find("name");
    const auto source = item.find("template");
    if (name == item.end() || !name->is_string() || source == item.end() || !source->is_string()) {
      return malformed;
    }
    if (auto added = add(name->get<std::string>(), source->get<std::string>(), config_path);
        !added) {
      return added.error();
    }
  }
  return result;
}

Result<const ChatTemplate::Named*> ChatTemplate::choose(const Json& tools) const {
  const Named* fallback = nullptr;
  for (const Named& candidate : templates_) {
    if (!tools.is_null() && candidate.name == "tool_use") return &candidate;
    if (candidate.name == "default") fallback = &candidate;
  }
  if (fallback == nullptr) {
    return Error{ErrorCode::not_found,
                 "this model has several chat templates and none is named \"default\""};
  }
  return fallback;
}

Result<std::string> ChatTemplate::render(const Json& messages, const RenderOptions& options) const {
  if (!messages.is_array()) return invalid("messages must be an array");
  for (const Json& message : messages) {
    if (!message.is_object()) return invalid("each message must be an object");
  }
  if (!options.extra.is_object()) return invalid("template variables must be an object");
  const Result<const Named*> chosen = choose(options.tools);
  if (!chosen) return chosen.error();
  for (const Json* input : {&messages, &options.tools, &options.documents, &options.extra}) {
    if (is_deeper_than(*input, kMaxDepth)) {
      return invalid(fmt::format("messages and tools may be nested {} levels deep", kMaxDepth));
    }
  }

  Json context = special_tokens_;
  if (options.bos_token) context["bos_token"] = *options.bos_token;
  if (options.eos_token) context["eos_token"] = *options.eos_token;
  for (const auto& [key, value] : options.extra.items()) context[key] = value;
  context["messages"] = with_reasoning_names(messages);
  context["tools"] = options.tools;
  context["documents"] = options.documents;
  context["add_generation_prompt"] = options.add_generation_prompt;
  const std::string context_text = context.dump(-1, ' ', false, Json::error_handler_t::replace);

  fct_buffer text{};
  fct_buffer error{};
  const fct_status status = fct_template_render((*chosen)->handle.get(),
                                                context_text.data(),
                                                context_text.size(),
                                                options.now.value_or(-1),
                                                &text,
                                                &error);
  if (status == fct_ok) return take(text);
  Error failed = take_error(status, error);
  if (status != fct_raised) failed.message = fmt::format("chat template: {}", failed.message);
  return failed;
}

}  // namespace fastchat::text
