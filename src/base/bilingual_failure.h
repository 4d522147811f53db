// Failures that are made where their reader's language is not known.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/choose_text.h"

namespace fastchat {

/// what() is English, as of every Failure; whoever speaks to people may have the other text.
class BilingualFailure : public Failure {
 public:
  explicit BilingualFailure(TwoTexts texts)
      : Failure(texts.english), chinese_(std::move(texts.chinese)) {}
  const std::string& chinese() const { return chinese_; }

 private:
  std::string chinese_;
};

/// Throws BilingualFailure with both texts formatted.
template <typename... Args>
[[noreturn]] void fail_in_both(std::string_view english,
                               std::string_view chinese,
                               const Args&... args) {
  throw BilingualFailure(
      {fmt::format(fmt::runtime(english), args...), fmt::format(fmt::runtime(chinese), args...)});
}

/// The same unless `condition` holds.
template <typename... Args>
void check_in_both(bool condition,
                   std::string_view english,
                   std::string_view chinese,
                   const Args&... args) {
  if (!condition) fail_in_both(english, chinese, args...);
}

}  // namespace fastchat
