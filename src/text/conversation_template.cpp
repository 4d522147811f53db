#include "text/conversation_template.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace fastchat::text {
namespace {

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// The code point at `at`, and its bytes; {0, 1} where the text is no UTF-8.
std::pair<char32_t, std::size_t> code_point(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  if (size == 1 || at + size > text.size()) return {0, 1};
  char32_t value = first & (0xFF >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) value = value << 6 | (byte(i) & 0x3F);
  return {value, size};
}

/// What Python's str.strip() takes off.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view strip(std::string_view text) {
  std::size_t begin = text.size();
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [value, size] = code_point(text, at);
    if (!is_space(value)) {
      begin = std::min(begin, at);
      end = at + size;
    }
    at += size;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

/// Where a style that only varies marks puts them. A turn is
/// before + role + (text: between + text + after[parity] | open: open).
struct Marks {
  std::string_view between;
  std::string_view open;
  bool alternates = false;  // after the assistant's text stands sep2 in place of sep
  std::string_view after_user;
  std::string_view after_assistant;  // both behind the separator
  bool has_separators = true;
  std::string_view before_user;
};

std::optional<Marks> marks_of(PromptStyle style) {
  switch (style) {
    case PromptStyle::add_colon_single:
    case PromptStyle::falcon_chat:
      return Marks{.between = ": ", .open = ":"};
    case PromptStyle::add_colon_two:
    case PromptStyle::cllm:
    case PromptStyle::deepseek_chat:
      return Marks{.between = ": ", .open = ":", .alternates = true};
    case PromptStyle::add_colon_space_single:
      return Marks{.between = ": ", .open = ": "};
    case PromptStyle::no_colon_single:
      return Marks{};
    case PromptStyle::no_colon_two:
      return Marks{.alternates = true};
    case PromptStyle::add_new_line_single:
      return Marks{.between = "\n", .open = "\n"};
    case PromptStyle::chatglm:
      return Marks{.between = "：", .open = "："};
    case PromptStyle::chatml:
      return Marks{.between = "\n", .open = "\n", .after_user = "\n", .after_assistant = "\n"};
    case PromptStyle::chatintern:
      return Marks{.between = ":",
                   .open = ":",
                   .alternates = true,
                   .after_user = "\n",
                   .after_assistant = "\n",
                   .before_user = "<s>"};
    case PromptStyle::dolly:
      return Marks{.between = ":\n", .open = ":\n", .alternates = true, .after_assistant = "\n\n"};
    case PromptStyle::rwkv:
      return Marks{.between = ": ",
                   .open = ":",
                   .after_user = "\n\n",
                   .after_assistant = "\n\n",
                   .has_separators = false};
    case PromptStyle::phoenix:
      return Marks{.between = ": <s>",
                   .open = ": <s>",
                   .after_user = "</s>",
                   .after_assistant = "</s>",
                   .has_separators = false};
    case PromptStyle::robin:
      return Marks{.between = ":\n", .open = ":\n"};
    case PromptStyle::chatglm3:
      return Marks{.between = "\n", .has_separators = false};
    case PromptStyle::default_style:
      return Marks{.between = ": ",
                   .open = ":",
                   .after_user = "\n",
                   .after_assistant = "\n",
                   .has_separators = false};
    default:
      return std::nullopt;
  }
}

std::string system_part(const ConversationTemplate& conversation, std::string_view message) {
  std::string text =
      replace_all(std::string(conversation.system_template), "{system_message}", message);
  const std::string sep(conversation.sep);
  const auto unless_empty = [&](const std::string& tail) {
    return text.empty() ? std::string() : text + tail;
  };
  switch (conversation.style) {
    case PromptStyle::add_colon_single:
    case PromptStyle::add_colon_two:
    case PromptStyle::add_colon_space_single:
    case PromptStyle::robin:
    case PromptStyle::cllm:
      return text + sep;
    case PromptStyle::add_new_line_single:
    case PromptStyle::chatglm:
    case PromptStyle::metamath:
      return unless_empty(sep);
    case PromptStyle::chatml:
      return unless_empty(sep + "\n");
    case PromptStyle::llama2:
      return message.empty() ? "[INST] " : text;
    case PromptStyle::llama3:
      return "<|begin_of_text|>" + (message.empty() ? std::string() : text);
    case PromptStyle::falcon_chat:
      return message.empty() ? std::string() : text + sep;
    case PromptStyle::chatglm3:
      return message.empty() ? std::string() : text;
    case PromptStyle::yuan2:
      return message.empty() ? std::string() : text + std::string(conversation.sep2);
    case PromptStyle::gemma:
      return "<bos>";
    case PromptStyle::default_style:
      return text + "\n";
    default:
      return text;
  }
}

/// Turn `index`; an empty text is an open turn.
std::string turn_part(const ConversationTemplate& conversation,
                      std::size_t index,
                      const std::string& text) {
  const bool is_user = index % 2 == 0;
  std::string role(conversation.roles[index % 2]);
  const std::string sep(conversation.sep);
  const bool open = text.empty();
  switch (conversation.style) {
    case PromptStyle::llama2:
      if (open) return role;
      if (index == 0) return text + " ";  // the system part has opened it
      return role + " " + text + (is_user ? sep : std::string(conversation.sep2));
    case PromptStyle::llama3: {
      std::string header = "<|start_header_id|>" + role + "<|end_header_id|>\n\n";
      return open ? header : header.append(strip(text)).append("<|eot_id|>");
    }
    case PromptStyle::gemma:
      return "<start_of_turn>" + role + "\n" + (open ? std::string() : text + sep);
    case PromptStyle::metamath: {
      // sep2 begins the assistant's text, nothing ends it.
      const std::string start = is_user ? ":\n" : ": " + std::string(conversation.sep2);
      return role + start + text + (open || !is_user ? std::string() : sep);
    }
    case PromptStyle::yuan2:
      return open ? std::string() : text + "<n>";
    default:
      break;
  }
  const std::optional<Marks> marks = marks_of(conversation.style);
  FASTCHAT_ASSERT(marks.has_value(), "style without marks");
  std::string out;
  if (is_user) out += marks->before_user;
  if (conversation.style == PromptStyle::chatglm && is_user)
    // Rounds count from 0, and from 1 in the second version.
    out += fmt::format("[Round {}]{}", index / 2 + (conversation.name == "chatglm2" ? 1 : 0), sep);
  out += role;
  if (open) return out.append(marks->open);
  out += marks->between;
  out += conversation.style == PromptStyle::rwkv
             ? replace_all(replace_all(text, "\r\n", "\n"), "\n\n", "\n")
             : text;
  if (marks->has_separators) out += marks->alternates && !is_user ? conversation.sep2 : sep;
  return out.append(is_user ? marks->after_user : marks->after_assistant);
}

}  // namespace

Result<const ConversationTemplate*> find_conversation_template(std::string_view name) {
  std::string similar;
  for (const ConversationTemplate& known : conversation_templates()) {
    if (known.name == name) return &known;
    const std::string_view stem = name.substr(0, 4);
    if (!stem.empty() && known.name.find(stem) != std::string_view::npos)
      similar += fmt::format("{}{}", similar.empty() ? "" : ", ", known.name);
  }
  return Error{ErrorCode::not_found,
               fmt::format("no conversation template \"{}\" among FastChat's {}{}",
                           name,
                           conversation_templates().size(),
                           similar.empty() ? "" : "; similar names: " + similar)};
}

Result<std::string> render(const ConversationTemplate& conversation,
                           std::string_view system_message,
                           std::span<const std::string> turns) {
  if (conversation.style == PromptStyle::none)
    return Error{ErrorCode::unsupported,
                 fmt::format("the template {} belongs to a model behind an API and has no prompt",
                             conversation.name)};
  std::vector<std::string> all(turns.begin(), turns.end());
  if (all.size() % 2 == 1) all.emplace_back();  // the assistant speaks next
  std::string prompt = system_part(conversation, system_message);
  // cllm shows the last exchange only.
  const std::size_t first =
      conversation.style == PromptStyle::cllm && all.size() > 2 ? all.size() - 2 : 0;
  for (std::size_t i = first; i < all.size(); ++i) prompt += turn_part(conversation, i, all[i]);
  if (conversation.style == PromptStyle::yuan2) {
    // Python's rstrip("<n>") takes off these three characters, whatever their order.
    prompt.resize(prompt.find_last_not_of("<n>") + 1);
    prompt += conversation.sep;
  }
  return prompt;
}

}  // namespace fastchat::text
