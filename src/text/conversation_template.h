// FastChat's conversation templates: prompts as its models were trained on, chosen by name with
// --conv-template. For models whose folder has no chat template of its own, and for clients that
// name one.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastchat::text {

/// How roles, texts and separators follow each other. The values are FastChat's SeparatorStyle,
/// which its worker protocol carries; none: API models that have no prompt.
enum class PromptStyle : std::uint8_t {
  none = 0,
  add_colon_single = 1,
  add_colon_two,
  add_colon_space_single,
  no_colon_single,
  no_colon_two,
  add_new_line_single,
  llama2,
  llama3,
  chatglm,
  chatml,
  chatintern,
  dolly,
  rwkv,
  phoenix,
  robin,
  falcon_chat,
  chatglm3,
  deepseek_chat,
  metamath,
  yuan2,
  gemma,
  cllm,
  default_style,
};

struct ConversationTemplate {
  std::string_view name;
  PromptStyle style = PromptStyle::none;
  std::string_view system_template = "{system_message}";
  std::string_view system_message;        // the default one
  std::array<std::string_view, 2> roles;  // of user and assistant
  std::string_view sep = "\n";
  std::string_view sep2;
  std::vector<std::string_view> stop_strings;
  std::vector<std::int32_t> stop_token_ids;
  std::vector<std::string_view> examples;  // turns before the conversation, the user's first
};

/// All of them, in FastChat's order.
std::span<const ConversationTemplate> conversation_templates();
/// Errors: not_found, naming the nearest names.
Result<const ConversationTemplate*> find_conversation_template(std::string_view name);

/// The prompt for `turns`, the user's first; `examples` are among them where they are wanted. After
/// a user's turn the assistant is left to speak. Byte for byte FastChat's prompt, where a turn of
/// empty text counts as one that is still open. Errors: unsupported for a template without a
/// prompt.
Result<std::string> render(const ConversationTemplate& conversation,
                           std::string_view system_message,
                           std::span<const std::string> turns);

}  // namespace fastchat::text
