// The model's own chat template: messages to prompt text, as transformers' apply_chat_template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/files.h"

struct fct_template;

namespace fastchat::text {

/// What a template sees besides the messages. `null` is Python's None.
struct RenderOptions {
  bool add_generation_prompt = true;
  Json tools = nullptr;      // array of JSON schemas, as in the OpenAI API
  Json documents = nullptr;  // array of {title, text}
  Json extra =
      Json::object();  // further variables ("enable_thinking"); they override the special tokens
  std::optional<std::string> bos_token;  // in place of the folder's
  std::optional<std::string> eos_token;
  std::optional<std::int64_t>
      now;  // seconds since 1970 for strftime_now; the machine's clock if absent
};

// Immutable once made: any thread may render.
class ChatTemplate {
 public:
  /// chat_template.jinja of the folder, else "chat_template" in tokenizer_config.json: a text, or a
  /// list of {name, template}, of which "tool_use" serves requests with tools and "default" the
  /// others. The special tokens of tokenizer_config.json are variables, as in transformers. Errors:
  /// not_found if the model has no template; invalid_request for a malformed one, with the line.
  static Result<ChatTemplate> from_folder(const std::filesystem::path& folder);

  /// From the template's text, without special tokens. Errors: invalid_request with the line.
  static Result<ChatTemplate> from_source(std::string_view source);

  /// The prompt for `messages`, an array of objects with role and content.
  /// Errors: invalid_request with raise_exception's message, or what went wrong on which line; so
  /// too for a template that exceeds its budget of work and memory.
  Result<std::string> render(const Json& messages, const RenderOptions& options = {}) const;

 private:
  struct Named {
    std::string name;
    std::shared_ptr<fct_template> handle;
  };
  static Result<Named> compile(std::string name, std::string_view source);
  Result<const Named*> choose(const Json& tools) const;

  std::vector<Named> templates_;
  Json special_tokens_ = Json::object();
};

}  // namespace fastchat::text
