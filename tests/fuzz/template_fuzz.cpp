// Any text as a chat template, rendered with a small conversation: an error or a text of bounded
// size, never a crash. The input may bring its own messages as JSON after a NUL.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "text/chat_template.h"

using fastchat::Result;
using fastchat::text::ChatTemplate;
using fastchat::text::Json;
using fastchat::text::RenderOptions;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t border = input.find('\0');
  const Result<ChatTemplate> chat_template = ChatTemplate::from_source(input.substr(0, border));
  if (!chat_template) return 0;

  static const Json kMessages = Json::parse(R"([
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is 1 + 1?"}]},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "abcdef123", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 1.5}}}]},
    {"role": "tool", "content": "2", "tool_call_id": "abcdef123"}])");
  static const Json kTools = Json::parse(R"([{"type": "function", "function": {"name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}])");
  RenderOptions options;
  options.tools = kTools;
  options.bos_token = "<s>";
  options.now = 0;
  Json messages = kMessages;
  if (border != std::string_view::npos) {
    Json own = Json::parse(input.substr(border + 1), nullptr, /*allow_exceptions=*/false);
    if (!own.is_discarded()) messages = std::move(own);
  }
  const Result<std::string> text = chat_template->render(messages, options);
  if (!text && text.error().code == fastchat::ErrorCode::internal) std::abort();  // a panic inside
  return 0;
}
