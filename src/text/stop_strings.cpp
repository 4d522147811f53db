#include "text/stop_strings.h"

#include <algorithm>
#include <utility>

namespace fastchat::text {
namespace {

/// Length of the longest end of `text` that is a proper beginning of `stop`.
std::size_t possible_beginning(std::string_view text, std::string_view stop) {
  for (std::size_t size = std::min(text.size(), stop.size() - 1); size > 0; --size) {
    if (text.ends_with(stop.substr(0, size))) return size;
  }
  return 0;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

StopStrings::Step StopStrings::push(std::string_view piece) {
  Step step;
  if (matched_) return step;
  held_ += piece;

  std::size_t first_end = std::string::npos;
  std::size_t start = 0;
  std::size_t keep = 0;
  for (std::size_t i = 0; i < stops_.size(); ++i) {
    const std::string& stop = stops_[i];
    if (stop.empty()) continue;
    if (const std::size_t found = held_.find(stop); found != std::string::npos) {
      const std::size_t end = found + stop.size();
      if (end < first_end || (end == first_end && found < start)) {
        first_end = end;
        start = found;
        step.matched = i;
      }
    }
    keep = std::max(keep, possible_beginning(held_, stop));
  }
  if (step.matched) {
    matched_ = true;
    held_.resize(start);
    step.text = std::exchange(held_, {});
    return step;
  }
  step.text = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return step;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace fastchat::text
