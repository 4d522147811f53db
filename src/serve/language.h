// English and Chinese messages, side by side where they are used.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace fastchat::serve {

enum class Language { english, chinese };

/// From --lang en|zh when given, else from LC_ALL, LC_MESSAGES, LANG ("zh…" is Chinese), else
/// English.
Language detect_language(std::string_view flag);
void set_language(Language language);
Language language();

/// The text in the chosen language: text("model loaded", "模型已加载").
constexpr std::string_view pick(Language language,
                                std::string_view english,
                                std::string_view chinese) {
  return language == Language::chinese ? chinese : english;
}
std::string_view text(std::string_view english, std::string_view chinese);
/// The same as a string of its own, for whoever keeps it.
std::string say(std::string_view english, std::string_view chinese);
/// What an errno means.
std::string system_text(int error);
/// The same with {} filled in, as by fmt::format.
template <typename... Args>
std::string say_with(std::string_view english, std::string_view chinese, const Args&... args) {
  return fmt::format(fmt::runtime(text(english, chinese)), args...);
}

}  // namespace fastchat::serve
