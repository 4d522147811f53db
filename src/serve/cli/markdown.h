// Markdown as lines for a terminal, with md4c as the parser.
#pragma once

#include <string_view>
#include <vector>

#include "serve/cli/styled_text.h"

namespace fastchat::serve {

/// Lines of at most `width` columns, with an empty one between blocks. `source` is well-formed
/// UTF-8 without control characters other than newline and tab; the lines have neither, whatever
/// entities the source spells. Headings, emphasis, lists, quotes, links with their addresses,
/// tables aligned by display width, code highlighted; HTML is shown as text, a single newline is
/// kept as a line break.
std::vector<StyledText> render_markdown(std::string_view source, int width);

/// Blocks of the top level.
int count_markdown_blocks(std::string_view source);

/// The lines above and below fenced code: a rule with the language's name, and a rule.
StyledText code_header(std::string_view language, int width);
StyledText code_footer(int width);

}  // namespace fastchat::serve
