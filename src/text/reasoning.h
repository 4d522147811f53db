// Tells what a model thinks from what it answers, as its text comes.
#pragma once

#include <string>
#include <string_view>

namespace fastchat::text {

/// For models that think between <think> and </think> before they answer. Both tags, and the line
/// ends around them, belong to neither part. One per sequence; one thread at a time.
class ReasoningSplitter {
 public:
  /// `is_thinking`: the prompt ends inside, after a <think> of the template.
  explicit ReasoningSplitter(bool is_thinking)
      : state_(is_thinking ? State::thinking : State::undecided) {}

  struct Parts {
    std::string reasoning;
    std::string content;
  };
  /// What is certain with this piece of the text.
  Parts push(std::string_view piece);
  /// The end of the text: what was held back because it could have become a tag.
  Parts finish();

 private:
  enum class State { undecided, thinking, answering };
  void advance(Parts& parts, bool is_end);

  State state_;
  std::string held_;          // not given out yet
  bool skips_spaces_ = true;  // line ends behind a tag are left out
};

/// Whether a prompt leaves the model inside of its thoughts.
bool ends_thinking(std::string_view prompt);

}  // namespace fastchat::text
