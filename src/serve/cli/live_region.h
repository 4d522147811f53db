// The last lines on a terminal, drawn again as they change, below lines that are printed for good.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::serve {

/// Starts on an empty line of its own. Writes once per draw(), and only from the first line that
/// differs, so nothing flickers. The cursor rests behind the last line.
class LiveRegion {
 public:
  explicit LiveRegion(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

  /// Prints `finished` where the region was, for good, and `open` below as the new region.
  /// Finished lines may be wider than the window; open ones must be narrower, and fewer than it has
  /// rows: what scrolled out at the top cannot be drawn again.
  void draw(const std::vector<std::string>& finished, std::vector<std::string> open);
  /// The window changed: what is on it may have moved, and is drawn anew next time. Too much may
  /// stay above then, never too little.
  void invalidate() { valid_ = false; }

 private:
  std::function<void(std::string_view)> write_;
  std::vector<std::string> shown_ = {""};
  bool valid_ = true;
};

}  // namespace fastchat::serve
