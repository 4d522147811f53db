#include "serve/cli/styled_text.h"

#include <algorithm>
#include <cstddef>

#include <utf8proc.h>

#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

// What stays together: a character and the combining ones behind it.
struct Cluster {
  std::string_view bytes;
  char32_t first = 0;
  int width = 0;
  const TextStyle* style = nullptr;
};

int character_width(char32_t character) {
  return utf8proc_charwidth(static_cast<utf8proc_int32_t>(character));
}

std::vector<Cluster> clusters_of(const StyledText& text) {
  std::vector<Cluster> clusters;
  for (const StyledRun& run : text) {
    std::string_view rest = run.text;
    bool first_of_run = true;
    while (!rest.empty()) {
      const std::size_t length = std::max<std::size_t>(1, utf8_length(rest));
      const char32_t character = first_character(rest);
      const int width = character == U'\n' ? 0 : character_width(character);
      if (width == 0 && character != U'\n' && !first_of_run) {
        Cluster& base = clusters.back();
        base.bytes = {base.bytes.data(), base.bytes.size() + length};
      } else {
        clusters.push_back({rest.substr(0, length), character, width, &run.style});
      }
      first_of_run = false;
      rest.remove_prefix(length);
    }
  }
  return clusters;
}

// Kinsoku: what may not begin a line, and what may not end one.
constexpr std::u32string_view kClosing = U"，。、；：？！）】》」』〉〕］｝”’…·,.;:?!)]}%";
constexpr std::u32string_view kOpening = U"（【《「『〈〔［｛“‘([{";

bool contains(std::u32string_view characters, char32_t wanted) {
  return characters.find(wanted) != std::u32string_view::npos;
}

bool may_break(const Cluster& before, const Cluster& after) {
  if (before.first == U' ') return true;
  if (before.width < 2 && after.width < 2) return false;
  return !contains(kClosing, after.first) && !contains(kOpening, before.first);
}

StyledText joined(const std::vector<Cluster>& clusters, std::size_t begin, std::size_t end) {
  StyledText line;
  for (std::size_t index = begin; index < end; ++index)
    append(line, clusters[index].bytes, *clusters[index].style);
  return line;
}

}  // namespace

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length != 0 && text.front() != '\n') width += character_width(first_character(text));
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return width;
}

int display_width(const StyledText& text) {
  int width = 0;
  for (const StyledRun& run : text) width += display_width(run.text);
  return width;
}

void append(StyledText& text, std::string_view more, const TextStyle& style) {
  if (more.empty()) return;
  if (!text.empty() && text.back().style == style)
    text.back().text += more;
  else
    text.push_back({std::string(more), style});
}

void append(StyledText& text, const StyledText& more) {
  for (const StyledRun& run : more) append(text, run.text, run.style);
}

std::vector<StyledText> wrap(const StyledText& text, int width) {
  const std::vector<Cluster> clusters = clusters_of(text);
  std::vector<StyledText> lines;
  std::size_t begin = 0;        // of the line
  std::size_t opportunity = 0;  // last place after `begin` where it may be broken
  int used = 0;
  const auto end_line = [&](std::size_t end, std::size_t next) {
    while (end > begin && clusters[end - 1].first == U' ') --end;
    lines.push_back(joined(clusters, begin, end));
    begin = opportunity = next;
    used = 0;
  };
  for (std::size_t index = 0; index < clusters.size(); ++index) {
    const Cluster& cluster = clusters[index];
    if (cluster.first == U'\n') {
      end_line(index, index + 1);
      continue;
    }
    if (index > begin && may_break(clusters[index - 1], cluster)) opportunity = index;
    if (cluster.first == U' ' && used + cluster.width > width) continue;  // dropped with the break
    while (used + cluster.width > width && index > begin) {
      const std::size_t end = opportunity > begin ? opportunity : index;
      end_line(end, end);
      for (std::size_t moved = begin; moved < index; ++moved) used += clusters[moved].width;
    }
    used += cluster.width;
  }
  end_line(clusters.size(), clusters.size());
  return lines;
}

std::vector<StyledText> chop(const StyledText& text, int width) {
  std::vector<StyledText> lines(1);
  int used = 0;
  for (const Cluster& cluster : clusters_of(text)) {
    if (cluster.first == U'\n' || used + cluster.width > width) {
      lines.emplace_back();
      used = 0;
    }
    if (cluster.first == U'\n') continue;
    append(lines.back(), cluster.bytes, *cluster.style);
    used += cluster.width;
  }
  return lines;
}

std::string to_terminal(const StyledText& text, bool colour) {
  std::string out;
  for (const StyledRun& run : text) {
    std::string codes;
    const auto add = [&codes](bool wanted, int code) {
      if (wanted) codes += (codes.empty() ? "" : ";") + std::to_string(code);
    };
    add(run.style.bold, 1);
    add(run.style.dim, 2);
    add(run.style.italic, 3);
    add(run.style.underline, 4);
    add(run.style.strike, 9);
    add(colour && run.style.colour != 0, run.style.colour);
    if (codes.empty())
      out += run.text;
    else
      out += "\x1b[" + codes + "m" + run.text + "\x1b[0m";
  }
  return out;
}

}  // namespace fastchat::serve
