// What a person sees of a program's output: the few things of a terminal that the chat uses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "serve/cli/styled_text.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {

/// Rows that scrolled out at the top are kept. Colours and modes are skipped; anything else that is
/// not text is counted as `num_unknown`.
class TerminalScreen {
 public:
  TerminalScreen(int rows, int columns) : rows_(rows), columns_(columns), screen_(1) {}

  int num_unknown = 0;

  void feed(std::string_view output) {
    while (!output.empty()) {
      if (output.starts_with("\x1b[")) {
        const std::size_t end = output.find_first_not_of("?0123456789;", 2);
        if (end == output.npos) return;
        obey(output[end], std::atoi(std::string(output.substr(2, end - 2)).c_str()));
        output.remove_prefix(end + 1);
        continue;
      }
      const std::size_t length = std::max<std::size_t>(1, utf8_length(output));
      put(output.substr(0, length));
      output.remove_prefix(length);
    }
  }

  /// All rows with the ones that scrolled out, spaces at their ends cut off.
  std::string text() const {
    std::string out;
    for (const Row& row : screen_) {
      std::string line;
      for (const std::string& cell : row) line += cell;
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    return out;
  }

 private:
  using Row = std::vector<std::string>;  // one cell per column; the second of a wide one is empty

  void put(std::string_view character) {
    if (character == "\r") {
      column_ = 0;
    } else if (character == "\n") {
      move_down();
    } else if (static_cast<unsigned char>(character.front()) < 0x20) {
      ++num_unknown;
    } else {
      const int width = display_width(character);
      if (column_ + width > columns_) {
        column_ = 0;
        move_down();
      }
      Row& row = screen_[row_];
      row.resize(std::max(row.size(), static_cast<std::size_t>(column_ + width)), " ");
      if (width > 0) row[static_cast<std::size_t>(column_)] = character;
      if (width == 2) row[static_cast<std::size_t>(column_) + 1] = "";
      column_ += width;
    }
  }

  void obey(char command, int number) {
    const std::size_t top = screen_.size() > static_cast<std::size_t>(rows_)
                                ? screen_.size() - static_cast<std::size_t>(rows_)
                                : 0;
    Row& row = screen_[row_];
    if (command == 'A') {
      const auto up = static_cast<std::size_t>(std::max(1, number));
      row_ = row_ >= top + up ? row_ - up : top;
    } else if (command == 'K' || command == 'J') {
      row.resize(std::min(row.size(), static_cast<std::size_t>(column_)));
      if (command == 'J')
        for (std::size_t below = row_ + 1; below < screen_.size(); ++below) screen_[below].clear();
    } else if (command != 'm' && command != 'h' && command != 'l') {
      ++num_unknown;
    }
  }

  void move_down() {
    if (++row_ == screen_.size()) screen_.emplace_back();
  }

  int rows_;
  int columns_;
  std::vector<Row> screen_;  // the window is the last `rows_` of them
  std::size_t row_ = 0;
  int column_ = 0;
};

}  // namespace fastchat::serve
