#include "serve/cli/markdown.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>

#include "serve/cli/code_highlighter.h"
#include "serve/cli/markdown_tree.h"

namespace fastchat::serve {
namespace {

using Block = MarkdownBlock;
using Kind = MarkdownBlock::Kind;
using Lines = std::vector<StyledText>;

constexpr TextStyle kDim{.dim = true};
constexpr int kHeadingColour = 35;
constexpr int kMaxRule = 40;   // columns
constexpr int kMinWidth = 8;   // what is nested deeper is broken anyhow
constexpr int kMinColumn = 4;  // of a table; with less it is printed row by row
constexpr int kColumnGap = 3;  // " │ "

StyledText styled(std::string_view text, TextStyle style = {}) {
  StyledText out;
  append(out, text, style);
  return out;
}

std::string repeated(std::string_view piece, int count) {
  std::string out;
  for (int index = 0; index < count; ++index) out += piece;
  return out;
}

StyledText with_style(const StyledText& text, bool bold, int colour) {
  StyledText out;
  for (StyledRun run : text) {
    run.style.bold = run.style.bold || bold;
    if (run.style.colour == 0) run.style.colour = colour;
    append(out, run.text, run.style);
  }
  return out;
}

Lines layout(const Block& block, int width);

void add_lines(Lines& lines,
               const Lines& more,
               const StyledText& first_prefix,
               const StyledText& prefix) {
  for (std::size_t index = 0; index < more.size(); ++index) {
    StyledText line = index == 0 ? first_prefix : prefix;
    append(line, more[index]);
    lines.push_back(std::move(line));
  }
}

Lines layout_children(const Block& block, int width, bool apart) {
  Lines lines;
  for (const auto& child : block.children) {
    if (apart && !lines.empty()) lines.emplace_back();
    add_lines(lines, layout(*child, width), {}, {});
  }
  return lines;
}

Lines layout_quote(const Block& block, int width) {
  Lines lines;
  const StyledText bar = styled("│ ", kDim);
  add_lines(lines, layout_children(block, std::max(width - 2, kMinWidth), true), bar, bar);
  return lines;
}

Lines layout_list(const Block& list, int width) {
  Lines lines;
  const bool ordered = list.kind == Kind::ordered_list;
  const std::size_t last = list.number + std::max<std::size_t>(1, list.children.size()) - 1;
  const int indent = ordered ? static_cast<int>(std::to_string(last).size()) + 2 : 2;
  std::size_t number = list.number;
  for (const auto& item : list.children) {
    const std::string name = ordered ? std::to_string(number++) + ". " : "• ";
    const int missing = indent - display_width(name);
    const int item_indent = indent + display_width(item->task);
    Lines inner = layout_children(*item, std::max(width - item_indent, kMinWidth), !list.tight);
    if (inner.empty()) inner.emplace_back();
    if (!list.tight && !lines.empty()) lines.emplace_back();
    StyledText marker = styled(repeated(" ", missing) + name, {.colour = kHeadingColour});
    append(marker, item->task, {});
    add_lines(lines, inner, marker, styled(repeated(" ", item_indent)));
  }
  return lines;
}

Lines layout_code(const Block& block, int width) {
  Lines lines = {code_header(block.language, width)};
  CodeHighlighter highlighter(block.language);
  std::string source;
  for (const StyledRun& run : block.text) source += run.text;
  if (source.ends_with('\n')) source.pop_back();
  for (std::size_t begin = 0; begin <= source.size();) {
    const std::size_t end = std::min(source.find('\n', begin), source.size());
    const std::string_view line = std::string_view(source).substr(begin, end - begin);
    add_lines(lines, chop(highlighter.highlight(line), width), {}, {});
    begin = end + 1;
  }
  lines.push_back(code_footer(width));
  return lines;
}

// ---- tables

int natural_width(const StyledText& text) {
  int widest = 0;
  for (const StyledText& line : wrap(text, 1 << 20)) widest = std::max(widest, display_width(line));
  return widest;
}

// The largest common bound under which all columns fit: wide ones are cut down, narrow ones stay.
std::vector<int> fit_columns(std::vector<int> widths, int available) {
  const auto total = [&](int bound) {
    return std::accumulate(widths.begin(), widths.end(), 0, [&](int sum, int width) {
      return sum + std::min(width, bound);
    });
  };
  int bound = *std::max_element(widths.begin(), widths.end());
  while (bound > kMinColumn && total(bound) > available) --bound;
  for (int& width : widths) width = std::min(width, bound);
  return widths;
}

StyledText aligned(const StyledText& text, int width, Block::Align align) {
  const int missing = std::max(0, width - display_width(text));
  const int left = align == Block::Align::right    ? missing
                   : align == Block::Align::centre ? missing / 2
                                                   : 0;
  StyledText out = styled(repeated(" ", left));
  append(out, text);
  append(out, repeated(" ", missing - left), {});
  return out;
}

Lines layout_row(const Block& row, const std::vector<int>& widths) {
  std::vector<Lines> cells;
  std::size_t height = 1;
  for (std::size_t column = 0; column < row.children.size(); ++column) {
    const StyledText& text = row.children[column]->text;
    cells.push_back(wrap(row.in_header ? with_style(text, true, 0) : text, widths[column]));
    height = std::max(height, cells.back().size());
  }
  Lines lines(height);
  for (std::size_t index = 0; index < height; ++index) {
    for (std::size_t column = 0; column < cells.size(); ++column) {
      if (column > 0) append(lines[index], " │ ", kDim);
      const bool is_last = column + 1 == cells.size();
      const StyledText text = index < cells[column].size() ? cells[column][index] : StyledText{};
      const Block::Align align = row.children[column]->align;
      // No spaces at the end of the line.
      append(lines[index],
             is_last && align == Block::Align::left ? text : aligned(text, widths[column], align));
    }
  }
  return lines;
}

// A window too narrow for the columns: each row as lines of "header: cell".
Lines layout_records(const Block& table, int width) {
  Lines lines;
  const Block& header = *table.children.front();
  for (const auto& row : table.children) {
    if (row->in_header && table.children.size() > 1) continue;
    if (!lines.empty()) lines.push_back(styled(repeated("─", std::min(width, kMaxRule)), kDim));
    for (std::size_t column = 0; column < row->children.size(); ++column) {
      StyledText line;
      if (!row->in_header && column < header.children.size()) {
        append(line, with_style(header.children[column]->text, true, 0));
        append(line, ": ", {.bold = true});
      }
      append(line, row->children[column]->text);
      add_lines(lines, wrap(line, width), {}, {});
    }
  }
  return lines;
}

Lines layout_table(const Block& table, int width) {
  std::size_t num_columns = 0;
  for (const auto& row : table.children) num_columns = std::max(num_columns, row->children.size());
  if (num_columns == 0) return {};
  const int gaps = kColumnGap * (static_cast<int>(num_columns) - 1);
  std::vector<int> natural(num_columns, 1);
  for (const auto& row : table.children)
    for (std::size_t column = 0; column < row->children.size(); ++column)
      natural[column] = std::max(natural[column], natural_width(row->children[column]->text));
  const std::vector<int> widths = fit_columns(natural, width - gaps);
  if (std::accumulate(widths.begin(), widths.end(), gaps) > width)
    return layout_records(table, width);

  Lines lines;
  for (const auto& row : table.children) {
    add_lines(lines, layout_row(*row, widths), {}, {});
    if (!row->in_header) continue;
    std::string rule;
    for (std::size_t column = 0; column < num_columns; ++column)
      rule += (column > 0 ? "─┼─" : "") + repeated("─", widths[column]);
    lines.push_back(styled(rule, kDim));
  }
  return lines;
}

Lines layout(const Block& block, int width) {
  switch (block.kind) {
    case Kind::paragraph:
      return wrap(block.text, width);
    case Kind::heading: {
      Lines lines = wrap(with_style(block.text, true, kHeadingColour), width);
      if (block.number == 1)
        for (StyledText& line : lines)
          for (StyledRun& run : line) run.style.underline = true;
      return lines;
    }
    case Kind::quote:
      return layout_quote(block, width);
    case Kind::bullet_list:
    case Kind::ordered_list:
      return layout_list(block, width);
    case Kind::rule:
      return {styled(repeated("─", std::min(width, kMaxRule)), kDim)};
    case Kind::code:
      return layout_code(block, width);
    case Kind::table:
      return layout_table(block, width);
    case Kind::document:
    case Kind::item:
    case Kind::row:
    case Kind::cell:
      break;
  }
  return layout_children(block, width, block.kind == Kind::document);
}

}  // namespace

std::vector<StyledText> render_markdown(std::string_view source, int width) {
  Lines lines;
  // Prefixes of deep nesting can be wider than a narrow window.
  for (const StyledText& line : layout(*parse_markdown(source), std::max(width, kMinWidth)))
    for (StyledText& part : chop(line, width)) lines.push_back(std::move(part));
  return lines;
}

StyledText code_header(std::string_view language, int width) {
  const int columns = std::min(width, kMaxRule);
  StyledText line;
  append(line, "──", kDim);
  if (!language.empty()) append(line, " " + std::string(language) + " ", kDim);
  append(line, repeated("─", columns - display_width(line)), kDim);
  return line;
}

StyledText code_footer(int width) { return styled(repeated("─", std::min(width, kMaxRule)), kDim); }

}  // namespace fastchat::serve
