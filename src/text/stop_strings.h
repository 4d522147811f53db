// Stop strings over streamed text, exact wherever the tokens' borders fall.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::text {

// One per sequence; one thread at a time.
class StopStrings {
 public:
  /// Empty stop strings are ignored.
  explicit StopStrings(std::vector<std::string> stops);

  struct Step {
    std::string text;  // safe to show now: no part of it can belong to a stop string
    std::optional<std::size_t>
        matched;  // index of the stop string that was found; it is not part of `text`
  };

  /// Takes the next piece of text. The stop string that is complete first wins, and of those that
  /// end together the longest, so the result does not depend on how the text is cut into pieces.
  /// After a match everything is dropped.
  Step push(std::string_view piece);

  /// The end of the text: what was held back because it could have become a stop string.
  std::string finish();

  bool matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // the longest end of the text that begins some stop string
  bool matched_ = false;
};

}  // namespace fastchat::text
