#include "serve/cli/live_region.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace fastchat::serve {
namespace {

constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

std::string to_line(std::size_t lines_up) {
  return lines_up == 0 ? "\r" : "\r\x1b[" + std::to_string(lines_up) + "A";
}

}  // namespace

void LiveRegion::draw(const std::vector<std::string>& finished, std::vector<std::string> open) {
  if (open.empty()) open.emplace_back();
  std::string out;
  if (!finished.empty() || !valid_) {
    out += to_line(shown_.size() - 1);
    out += kClearBelow;
    for (const std::string& line : finished) out += line + "\n";
    for (std::size_t index = 0; index < open.size(); ++index)
      out += (index == 0 ? "" : "\n") + open[index];
  } else {
    const std::size_t common = std::min(shown_.size(), open.size());
    std::size_t first = 0;
    while (first < common && shown_[first] == open[first]) ++first;
    if (first == shown_.size() && first == open.size()) return;
    // Lines that are only added need no way up; else the first changed one, or the last that stays.
    const std::size_t from = std::min(first, common - 1);
    out += to_line(shown_.size() - 1 - from);
    for (std::size_t index = from; index < open.size(); ++index) {
      if (index != from) out += "\n";
      out += kClearLine;
      out += open[index];
    }
    if (shown_.size() > open.size()) out += kClearBelow;
  }
  write_(out);
  shown_ = std::move(open);
  valid_ = true;
}

}  // namespace fastchat::serve
