// Texts in the reader's language, for layers that do not know it: whoever speaks to people hands
// down the choice.
#pragma once

#include <string>
#include <string_view>

namespace fastchat {

/// Picks one of two languages for the reader.
using ChooseText = std::string_view (*)(std::string_view english, std::string_view chinese);
inline std::string_view in_english(std::string_view english, std::string_view /*chinese*/) {
  return english;
}

/// A message that is made before its reader's language is known.
struct TwoTexts {
  std::string english;
  std::string chinese;
  bool empty() const { return english.empty(); }
};

}  // namespace fastchat
