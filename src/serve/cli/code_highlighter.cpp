#include "serve/cli/code_highlighter.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "serve/cli/utf8.h"

namespace fastchat::serve {

struct CodeLanguage {
  std::string_view names;     // separated by spaces, in small letters
  std::string_view keywords;  // likewise
  std::string_view line_comment;
  std::string_view second_line_comment;
  std::string_view comment_begin;
  std::string_view comment_end;
  std::string_view quotes;       // each begins and ends a string of one line
  std::string_view long_quotes;  // those that may span lines: "`", or with `triple` three of each
  bool triple = false;
  bool ignores_case = false;
};

namespace {

constexpr TextStyle kComment{.dim = true, .italic = true};
constexpr TextStyle kString{.colour = 32};
constexpr TextStyle kNumber{.colour = 36};
constexpr TextStyle kKeyword{.colour = 35};

constexpr std::string_view kCKeywords =
    "alignas alignof asm auto bool break case catch char class co_await co_return co_yield concept "
    "const consteval constexpr continue decltype default delete do double else enum explicit "
    "extern "
    "false final float for friend goto if inline int long mutable namespace new noexcept nullptr "
    "operator override private protected public requires return short signed sizeof static struct "
    "switch template this throw true try typedef typename union unsigned using virtual void "
    "volatile "
    "while #include #define #if #ifdef #ifndef #else #elif #endif #pragma";

constexpr CodeLanguage kLanguages[] = {
    {.names = "python py python3 ipython",
     .keywords = "and as assert async await break case class continue def del elif else except "
                 "False finally for from global if import in is lambda match None nonlocal not or "
                 "pass raise return self True try while with yield",
     .line_comment = "#",
     .quotes = "\"'",
     .long_quotes = "\"'",
     .triple = true},
    {.names = "c cc cpp c++ cxx h hpp cuda cu",
     .keywords = kCKeywords,
     .line_comment = "//",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\"'"},
    {.names = "java kotlin kt scala c# cs csharp",
     .keywords =
         "abstract as async await boolean break byte case catch char class continue data def "
         "default do double else enum extends false final finally float for foreach fun get if "
         "implements import in instanceof int interface internal is let long namespace new null "
         "object out override package private protected public readonly record return sealed "
         "set short static string super switch this throw throws trait true try val var virtual "
         "void when while with yield",
     .line_comment = "//",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\"'"},
    {.names = "javascript js jsx typescript ts tsx node",
     .keywords =
         "abstract any as async await boolean break case catch class const continue default "
         "delete do else enum export extends false finally for from function if implements "
         "import in instanceof interface let new null number of private public readonly return "
         "static string super switch this throw true try type typeof undefined var void while "
         "yield",
     .line_comment = "//",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\"'",
     .long_quotes = "`"},
    {.names = "go golang",
     .keywords = "any bool break byte case chan const continue default defer else error "
                 "fallthrough false float64 for func go goto if import int int64 interface map nil "
                 "package range return rune select string struct switch true type var",
     .line_comment = "//",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\"'",
     .long_quotes = "`"},
    {.names = "rust rs",
     .keywords = "as async await bool break const continue crate dyn else enum extern f32 f64 "
                 "false fn for i32 i64 if impl in let loop match mod move mut pub ref return self "
                 "Self static str String struct super trait true type u8 u32 u64 unsafe use usize "
                 "where while",
     .line_comment = "//",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\""},
    {.names = "bash sh shell zsh console dockerfile makefile make",
     .keywords = "case do done echo elif else esac exit export fi for function if in local read "
                 "return set shift then unset until while FROM RUN COPY CMD ENTRYPOINT ENV WORKDIR "
                 "cd sudo",
     .line_comment = "#",
     .quotes = "\"'"},
    {.names = "sql mysql postgresql sqlite plsql",
     .keywords =
         "add all alter and as asc avg begin between by case check column commit constraint "
         "count create cross default delete desc distinct drop else end exists foreign from "
         "full group having if in index inner insert into is join key left like limit max min "
         "not null offset on or order outer over partition primary references right rollback "
         "select set sum table then union unique update using values view when where with",
     .line_comment = "--",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\"'",
     .ignores_case = true},
    {.names = "ruby rb perl pl php r lua",
     .keywords = "and begin break class case def do else elsif elseif end ensure false for foreach "
                 "function if in local module my next nil not null or print require rescue return "
                 "self sub then true unless until use when while yield NULL TRUE FALSE",
     .line_comment = "#",
     .second_line_comment = "--",
     .quotes = "\"'"},
    {.names = "json yaml yml toml ini properties",
     .keywords = "true false null yes no on off",
     .line_comment = "#",
     .second_line_comment = "//",
     .quotes = "\"'"},
    {.names = "html xml svg vue", .comment_begin = "<!--", .comment_end = "-->", .quotes = "\""},
    {.names = "css scss less",
     .keywords = "important",
     .comment_begin = "/*",
     .comment_end = "*/",
     .quotes = "\"'"},
};

bool has_word(std::string_view list, std::string_view word) {
  for (std::size_t at = list.find(word); at != std::string_view::npos; at = list.find(word, at + 1))
    if ((at == 0 || list[at - 1] == ' ') &&
        (at + word.size() == list.size() || list[at + word.size()] == ' '))
      return !word.empty();
  return false;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool starts(std::string_view text, std::string_view mark) {
  return !mark.empty() && text.starts_with(mark);
}

// Length of the string at the front of `text`, which begins with a quote: to its end, or the
// line's.
std::size_t string_length(std::string_view text) {
  for (std::size_t index = 1; index < text.size(); ++index) {
    if (text[index] == '\\')
      ++index;
    else if (text[index] == text.front())
      return index + 1;
  }
  return text.size();
}

}  // namespace

CodeHighlighter::CodeHighlighter(std::string_view language) {
  const std::string name = lower(language);
  for (const CodeLanguage& known : kLanguages)
    if (has_word(known.names, name)) language_ = &known;
}

StyledText CodeHighlighter::highlight(std::string_view line) {
  StyledText out;
  const auto take = [&](std::size_t length, const TextStyle& style) {
    append(out, line.substr(0, length), style);
    line.remove_prefix(std::min(length, line.size()));
  };
  const auto take_open = [&] {
    const std::size_t end = line.find(open_until_);
    const TextStyle& style = open_is_comment_ ? kComment : kString;
    if (end == std::string_view::npos) return take(line.size(), style);
    take(end + open_until_.size(), style);
    open_until_ = {};
  };
  const auto open = [&](std::size_t mark_length, std::string_view until, bool is_comment) {
    open_until_ = until;
    open_is_comment_ = is_comment;
    take(mark_length, is_comment ? kComment : kString);
    take_open();
  };

  if (language_ == nullptr) take(line.size(), {});
  if (!open_until_.empty()) take_open();
  bool after_word = false;  // "a1" is a name, "don't" no string
  while (!line.empty()) {
    const char c = line.front();
    if (starts(line, language_->line_comment) || starts(line, language_->second_line_comment)) {
      take(line.size(), kComment);
    } else if (starts(line, language_->comment_begin)) {
      open(language_->comment_begin.size(), language_->comment_end, /*is_comment=*/true);
    } else if (language_->triple && (starts(line, R"(""")") || starts(line, "'''"))) {
      open(3, c == '"' ? std::string_view(R"(""")") : "'''", /*is_comment=*/false);
    } else if (!language_->triple && language_->long_quotes.find(c) != std::string_view::npos) {
      open(1, language_->long_quotes.substr(language_->long_quotes.find(c), 1), false);
    } else if (!after_word && language_->quotes.find(c) != std::string_view::npos) {
      take(string_length(line), kString);
    } else if (is_word(c) || (c == '#' && line.size() > 1 && is_word(line[1]))) {
      std::size_t length = 1;
      while (length < line.size() &&
             (is_word(line[length]) ||
              (std::isdigit(static_cast<unsigned char>(c)) != 0 && line[length] == '.')))
        ++length;
      const std::string_view word = line.substr(0, length);
      const bool keyword =
          has_word(language_->keywords, language_->ignores_case ? lower(word) : std::string(word));
      if (std::isdigit(static_cast<unsigned char>(c)) != 0)
        take(length, kNumber);
      else
        take(length, keyword ? kKeyword : TextStyle{});
      after_word = true;
      continue;
    } else {
      take(std::max<std::size_t>(1, utf8_length(line)), {});
    }
    after_word = false;
  }
  return out;
}

}  // namespace fastchat::serve
