#include "serve/cli/markdown_splitter.h"

#include <algorithm>

#include "serve/cli/markdown.h"

namespace fastchat::serve {
namespace {

// An open block is parsed again with every line; more than this is no prose.
constexpr std::size_t kMaxOpenBytes = 32u << 10;
// A line that begins with none of these is text, whatever comes behind.
constexpr std::string_view kMarkers = " \t0123456789-*+>`~#=_|<[:$\\&!";

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == line.npos; }

}  // namespace

std::vector<MarkdownSplitter::Piece> MarkdownSplitter::push(std::string_view text) {
  buffer_ += text;
  std::vector<Piece> pieces;
  while (fence_ ? take_code_line(pieces) : take_block(pieces)) {
  }
  return pieces;
}

std::vector<MarkdownSplitter::Piece> MarkdownSplitter::finish() {
  std::vector<Piece> pieces;
  if (fence_) {
    if (!buffer_.empty() && !closes_fence(buffer_)) pieces.push_back({Kind::code_line, buffer_});
    pieces.push_back({Kind::code_end, ""});
  } else if (!is_blank(buffer_)) {
    pieces.push_back({Kind::block, buffer_});
  }
  *this = {};
  return pieces;
}

bool MarkdownSplitter::take_code_line(std::vector<Piece>& pieces) {
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos) return false;
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  if (closes_fence(line)) {
    fence_.reset();
    pieces.push_back({Kind::code_end, ""});
  } else {
    pieces.push_back({Kind::code_line, std::move(line)});
  }
  return true;
}

// Looks at one line. False when more text is needed.
bool MarkdownSplitter::take_block(std::vector<Piece>& pieces) {
  const std::size_t newline = buffer_.find('\n', checked_);
  const bool complete = newline != std::string::npos;
  const std::size_t end = complete ? newline + 1 : buffer_.size();
  const std::string_view whole = buffer_;
  const std::string_view line = whole.substr(checked_, end - checked_);
  const bool is_text = !line.empty() && kMarkers.find(line.front()) == kMarkers.npos;
  if (!complete && !is_text) return false;

  if (checked_ == 0 && complete) {
    if (is_blank(line.substr(0, line.size() - 1))) {
      buffer_.erase(0, end);
      return true;
    }
    if (const std::optional<Fence> fence = opening_fence(line)) {
      fence_ = fence;
      const std::size_t word = line.find_first_not_of(" \t", fence->length);
      const std::size_t word_end = line.find_first_of(" \t\n{,", word);
      pieces.push_back({Kind::code_begin, std::string(line.substr(word, word_end - word))});
      buffer_.erase(0, end);
      return true;
    }
  }
  // The line begins a new block when there is one more with it than without.
  if (checked_ > 0 && line.front() != ' ' && line.front() != '\t' && line.front() != '\n') {
    const int before = count_markdown_blocks(whole.substr(0, checked_));
    if (before > 0 && count_markdown_blocks(whole.substr(0, end)) > before) {
      pieces.push_back({Kind::block, buffer_.substr(0, checked_)});
      buffer_.erase(0, checked_);
      checked_ = 0;
      return true;
    }
  }
  if (!complete) return false;
  checked_ = end;
  if (buffer_.size() > kMaxOpenBytes) {
    pieces.push_back({Kind::block, buffer_.substr(0, end)});
    buffer_.erase(0, end);
    checked_ = 0;
  }
  return true;
}

std::optional<MarkdownSplitter::Fence> MarkdownSplitter::opening_fence(std::string_view line) {
  const char mark = line.front();
  if (mark != '`' && mark != '~') return std::nullopt;
  const std::size_t length = std::min(line.find_first_not_of(mark), line.size());
  if (length < 3) return std::nullopt;
  // "```code``` here" is a span.
  if (mark == '`' && line.find('`', length) != line.npos) return std::nullopt;
  return Fence{mark, length};
}

bool MarkdownSplitter::closes_fence(std::string_view line) const {
  const std::size_t indent = line.find_first_not_of(' ');
  if (indent == line.npos || indent > 3) return false;
  line.remove_prefix(indent);
  const std::size_t length = std::min(line.find_first_not_of(fence_->mark), line.size());
  return length >= fence_->length && is_blank(line.substr(length));
}

}  // namespace fastchat::serve
