#include "serve/language.h"

#include <atomic>
#include <cstdlib>

namespace fastchat::serve {
namespace {

std::atomic<Language>& chosen() {
  static std::atomic<Language> language{Language::english};
  return language;
}

}  // namespace

Language detect_language(std::string_view flag) {
  if (flag == "en") return Language::english;
  if (flag == "zh") return Language::chinese;
  // POSIX order: the first that is set and not empty decides, whatever it says.
  for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    return std::string_view(value).starts_with("zh") ? Language::chinese : Language::english;
  }
  return Language::english;
}

void set_language(Language language) { chosen() = language; }

Language language() { return chosen(); }

std::string_view text(std::string_view english, std::string_view chinese) {
  return pick(language(), english, chinese);
}

std::string say(std::string_view english, std::string_view chinese) {
  return std::string(text(english, chinese));
}

}  // namespace fastchat::serve
