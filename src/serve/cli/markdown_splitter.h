// Cuts Markdown that is still arriving into blocks that are finished and the one that is open.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::serve {

/// Finished means that no text to come can change how the block looks. Fenced code at the top level
/// comes line by line, as every line of it is finished with its newline. (A link defined far behind
/// its use stays as written: blocks are finished before it is seen.)
class MarkdownSplitter {
 public:
  enum class Kind { block, code_begin, code_line, code_end };
  struct Piece {
    Kind kind = Kind::block;
    std::string text;  // a block's source; the word behind the fence; a line without its newline
  };

  /// What became finished with `text`.
  std::vector<Piece> push(std::string_view text);
  /// The rest, at the end of the text.
  std::vector<Piece> finish();

  /// What has come of the open block, or of the open line of code.
  std::string_view open() const { return buffer_; }
  bool in_code() const { return fence_.has_value(); }

 private:
  struct Fence {
    char mark = '`';
    std::size_t length = 0;
  };
  bool take_code_line(std::vector<Piece>& pieces);
  bool take_block(std::vector<Piece>& pieces);
  static std::optional<Fence> opening_fence(std::string_view line);
  bool closes_fence(std::string_view line) const;

  std::string buffer_;
  std::size_t checked_ = 0;  // lines before this place of the buffer begin no new block
  std::optional<Fence> fence_;
};

}  // namespace fastchat::serve
