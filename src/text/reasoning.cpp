#include "text/reasoning.h"

#include <algorithm>

namespace fastchat::text {
namespace {

constexpr std::string_view kBegin = "<think>";
constexpr std::string_view kEnd = "</think>";
constexpr std::string_view kSpaces = " \t\r\n";

/// How many bytes at the end of `text` may become spaces and then `tag`.
std::size_t unsure_bytes(std::string_view text, std::string_view tag) {
  std::size_t begins = std::min(text.size(), tag.size() - 1);
  while (!tag.starts_with(text.substr(text.size() - begins))) --begins;
  const std::string_view before = text.substr(0, text.size() - begins);
  const std::size_t last = before.find_last_not_of(kSpaces);
  return text.size() - (last == std::string_view::npos ? 0 : last + 1);
}

std::string_view without_spaces_at_end(std::string_view text) {
  const std::size_t last = text.find_last_not_of(kSpaces);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

}  // namespace

ReasoningSplitter::Parts ReasoningSplitter::push(std::string_view piece) {
  Parts parts;
  held_ += piece;
  advance(parts, false);
  return parts;
}

ReasoningSplitter::Parts ReasoningSplitter::finish() {
  Parts parts;
  advance(parts, true);
  return parts;
}

void ReasoningSplitter::advance(Parts& parts, bool is_end) {
  if (state_ == State::undecided) {
    const std::size_t first = held_.find_first_not_of(kSpaces);
    const std::string_view begin =
        first == std::string::npos ? std::string_view() : std::string_view(held_).substr(first);
    if (begin.starts_with(kBegin)) {
      held_.erase(0, first + kBegin.size());
      state_ = State::thinking;
    } else if (!is_end && kBegin.starts_with(begin)) {
      return;
    } else {
      state_ = State::answering;
      skips_spaces_ = false;  // an answer that has no thoughts is left as it is
    }
  }
  const auto skip_spaces = [this] {
    if (skips_spaces_) held_.erase(0, std::min(held_.size(), held_.find_first_not_of(kSpaces)));
    if (!held_.empty()) skips_spaces_ = false;
  };
  skip_spaces();
  if (state_ == State::thinking) {
    if (const std::size_t end = held_.find(kEnd); end != std::string::npos) {
      parts.reasoning += without_spaces_at_end(std::string_view(held_).substr(0, end));
      held_.erase(0, end + kEnd.size());
      state_ = State::answering;
      skips_spaces_ = true;
      skip_spaces();
    } else {
      const std::size_t sure = held_.size() - (is_end ? 0 : unsure_bytes(held_, kEnd));
      parts.reasoning += held_.substr(0, sure);
      held_.erase(0, sure);
      return;
    }
  }
  parts.content += held_;
  held_.clear();
}

bool ends_thinking(std::string_view prompt) {
  return without_spaces_at_end(prompt).ends_with(kBegin);
}

}  // namespace fastchat::text
