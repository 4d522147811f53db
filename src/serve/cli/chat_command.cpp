#include "serve/cli/chat_command.h"

#include <algorithm>
#include <vector>

#include "serve/verb_names.h"

namespace fastchat::serve {
namespace {

using Kind = ChatCommand::Kind;

struct Entry {
  std::string_view name;
  Kind kind;
  bool takes_argument;
};
constexpr Entry kEntries[] = {
    {"!!exit", Kind::exit, false},
    {"!!reset", Kind::reset, false},
    {"!!remove", Kind::remove, false},
    {"!!regen", Kind::regen, false},
    {"!!save", Kind::save, true},
    {"!!load", Kind::load, true},
    {"!!help", Kind::help, false},
};

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

ChatCommand parse_chat_command(std::string_view line) {
  line = trimmed(line);
  if (!line.starts_with("!!")) return {};
  const std::size_t word_end = line.find_first_of(" \t\n");
  const std::string_view word = line.substr(0, word_end);
  const std::string_view rest =
      word_end == std::string_view::npos ? std::string_view() : trimmed(line.substr(word_end));
  std::vector<std::string_view> names;
  for (const Entry& entry : kEntries) {
    if (entry.name == word && (entry.takes_argument || rest.empty()))
      return {entry.kind, std::string(rest)};
    names.push_back(entry.name.substr(2));
  }
  // "!!what a day" is a message; "!!rest" alone is a slip.
  if (rest.empty() && word.size() > 4)
    if (const std::string_view meant = nearest_name(word.substr(2), names); !meant.empty())
      return {Kind::misspelt, "!!" + std::string(meant)};
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (rest.empty() && word.size() > 2 && std::all_of(word.begin() + 2, word.end(), is_letter))
    return {Kind::unknown, std::string(word)};
  return {};
}

std::vector<std::string_view> chat_commands(std::string_view beginning) {
  std::vector<std::string_view> names;
  for (const Entry& entry : kEntries)
    if (entry.name.starts_with(beginning)) names.push_back(entry.name);
  return names;
}

}  // namespace fastchat::serve
