#include "serve/language.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

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

std::string system_text(int error) {
  // The C library has Chinese only where that locale is installed: those that people meet.
  std::string_view chinese;
  switch (error) {
    case EACCES:
    case EPERM:
      chinese = "没有权限";
      break;
    case EDQUOT:
      chinese = "超出磁盘配额";
      break;
    case EISDIR:
      chinese = "是文件夹";
      break;
    case ENAMETOOLONG:
      chinese = "文件名过长";
      break;
    case ENOENT:
      chinese = "没有这个文件或文件夹";
      break;
    case ENOSPC:
      chinese = "设备上没有剩余空间";
      break;
    case ENOTDIR:
      chinese = "路径中有一部分不是文件夹";
      break;
    case EROFS:
      chinese = "文件系统只读";
      break;
    default:
      return std::strerror(error);
  }
  return say(std::strerror(error), chinese);
}

}  // namespace fastchat::serve
