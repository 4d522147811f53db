// What md4c finds in Markdown, as a tree.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/cli/styled_text.h"

namespace fastchat::serve {

struct MarkdownBlock {
  enum class Kind {
    document,
    paragraph,
    heading,
    quote,
    bullet_list,
    ordered_list,
    item,
    rule,
    code,
    table,
    row,
    cell
  };
  enum class Align { left, centre, right };

  Kind kind = Kind::document;
  StyledText text;  // of paragraphs, headings, cells; code with its newlines
  std::vector<std::unique_ptr<MarkdownBlock>> children;
  unsigned number = 0;        // level of a heading, first number of an ordered list
  bool tight = true;          // lists: no empty lines between items
  std::string task;           // items of task lists: "[ ] " or "[x] "
  std::string language;       // of code
  bool in_header = false;     // rows
  Align align = Align::left;  // cells
  bool implicit = false;      // the paragraph that md4c leaves out in tight lists
};

/// `source` is well-formed UTF-8 without control characters other than newline and tab; so is the
/// text of the tree, where newlines are the source's and tabs are spaces. Containers nested deeper
/// than a person would are flattened.
std::unique_ptr<MarkdownBlock> parse_markdown(std::string_view source);

}  // namespace fastchat::serve
