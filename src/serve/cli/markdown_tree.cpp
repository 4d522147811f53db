#include "serve/cli/markdown_tree.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>

#include <md4c.h>

#include "serve/cli/markdown.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

using Block = MarkdownBlock;
using Kind = MarkdownBlock::Kind;

constexpr unsigned kFlags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS |
                            MD_FLAG_PERMISSIVEURLAUTOLINKS | MD_FLAG_PERMISSIVEWWWAUTOLINKS |
                            MD_FLAG_LATEXMATHSPANS | MD_FLAG_NOHTML;
constexpr std::size_t kMaxDepth = 32;
constexpr int kCodeColour = 36;
constexpr int kLinkColour = 34;

// CommonMark asks for a space or punctuation around "**" that touches punctuation, which Chinese
// does not write: "**注意：**请看" would stay as it is. So punctuation beside asterisks goes
// through the parser as letters of a private area and comes back as itself.
constexpr std::u32string_view kEastAsianMarks =
    U"，。、；：？！（）【】《》「」『』〈〉〔〕“”‘’…—～·％";
constexpr std::u32string_view kAsciiMarks = U":.,!?\"'%";  // only where a Chinese character follows
constexpr char32_t kPrivate = 0x10F000;
constexpr char32_t kFirstEastAsian = 0x2E80;

std::optional<char32_t> disguise(char32_t mark, char32_t other_side) {
  if (const auto at = kEastAsianMarks.find(mark); at != std::u32string_view::npos)
    return kPrivate + static_cast<char32_t>(at);
  const auto at = kAsciiMarks.find(mark);
  if (at == std::u32string_view::npos || other_side < kFirstEastAsian) return std::nullopt;
  return kPrivate + static_cast<char32_t>(kEastAsianMarks.size() + at);
}

char32_t undisguise(char32_t character) {
  if (character < kPrivate) return character;
  const std::size_t at = character - kPrivate;
  if (at < kEastAsianMarks.size()) return kEastAsianMarks[at];
  if (at < kEastAsianMarks.size() + kAsciiMarks.size())
    return kAsciiMarks[at - kEastAsianMarks.size()];
  return character;
}

std::u32string decode(std::string_view text) {
  std::u32string characters;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    characters.push_back(length == 0 ? U'\uFFFD' : first_character(text));
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return characters;
}

std::string disguised(std::string_view source) {
  std::u32string text = decode(source);
  for (std::size_t begin = text.find(U'*'); begin != text.npos;) {
    const std::size_t end = std::min(text.find_first_not_of(U'*', begin), text.size());
    const char32_t before = begin == 0 ? U'\n' : undisguise(text[begin - 1]);
    const char32_t after = end == text.size() ? U'\n' : text[end];
    if (begin > 0) text[begin - 1] = disguise(before, after).value_or(text[begin - 1]);
    if (end < text.size()) text[end] = disguise(after, before).value_or(after);
    begin = text.find(U'*', end);
  }
  std::string out;
  out.reserve(source.size() + 16);
  for (const char32_t character : text) append_utf8(out, character);
  return out;
}

// Back again; tabs become spaces.
std::string shown(std::string_view text) {
  std::string out;
  for (const char32_t character : decode(text))
    append_utf8(out, character == U'\t' ? U' ' : undisguise(character));
  return out;
}

// "&amp;", "&#38;" and "&#x26;". What is no character to show becomes U+FFFD, an unknown name
// stays.
std::string entity(std::string_view text) {
  struct Named {
    std::string_view name;
    std::string_view character;
  };
  constexpr Named kNamed[] = {
      {"&amp;", "&"},    {"&lt;", "<"},        {"&gt;", ">"},     {"&quot;", "\""},
      {"&apos;", "'"},   {"&nbsp;", "\u00A0"}, {"&copy;", "©"},   {"&deg;", "°"},
      {"&times;", "×"},  {"&divide;", "÷"},    {"&plusmn;", "±"}, {"&le;", "≤"},
      {"&ge;", "≥"},     {"&ne;", "≠"},        {"&larr;", "←"},   {"&rarr;", "→"},
      {"&middot;", "·"}, {"&hellip;", "…"},    {"&ndash;", "–"},  {"&mdash;", "—"}};
  for (const Named& named : kNamed)
    if (named.name == text) return std::string(named.character);
  if (!text.starts_with("&#")) return std::string(text);
  const bool is_hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const std::string_view digits = text.substr(is_hex ? 3 : 2);
  std::uint32_t code = 0;
  const auto parsed =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, is_hex ? 16 : 10);
  if (parsed.ec != std::errc{}) code = 0;
  if (code == '\n' || code == '\t') return " ";
  const bool is_character = code != 0 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  std::string out;
  append_utf8(out, is_character ? static_cast<char32_t>(code) : U'\uFFFD');
  return without_control_characters(out);
}

struct Link {
  std::string address;
  std::string text;  // as far as it has come
};

// md4c's callbacks. It is C: nothing is thrown through it but std::bad_alloc, which ends the
// program anyhow.
class TreeBuilder {
 public:
  std::unique_ptr<Block> build(std::string_view source) {
    root_ = std::make_unique<Block>();
    open_ = {root_.get()};
    const MD_PARSER parser = {.abi_version = 0,
                              .flags = kFlags,
                              .enter_block = &TreeBuilder::on_enter_block,
                              .leave_block = &TreeBuilder::on_leave_block,
                              .enter_span = &TreeBuilder::on_enter_span,
                              .leave_span = &TreeBuilder::on_leave_span,
                              .text = &TreeBuilder::on_text,
                              .debug_log = nullptr,
                              .syntax = nullptr};
    const std::string prepared = disguised(source);
    md_parse(prepared.data(), static_cast<MD_SIZE>(prepared.size()), &parser, this);
    return std::move(root_);
  }

 private:
  static TreeBuilder& self(void* data) { return *static_cast<TreeBuilder*>(data); }
  static int on_enter_block(MD_BLOCKTYPE type, void* detail, void* data) {
    self(data).enter_block(type, detail);
    return 0;
  }
  static int on_leave_block(MD_BLOCKTYPE type, void*, void* data) {
    self(data).leave_block(type);
    return 0;
  }
  static int on_enter_span(MD_SPANTYPE type, void* detail, void* data) {
    self(data).enter_span(type, detail);
    return 0;
  }
  static int on_leave_span(MD_SPANTYPE type, void*, void* data) {
    self(data).leave_span(type);
    return 0;
  }
  static int on_text(MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size, void* data) {
    self(data).add_text(type, {text, size});
    return 0;
  }

  void enter_block(MD_BLOCKTYPE type, void* detail) {
    if (type == MD_BLOCK_DOC || type == MD_BLOCK_TBODY) return;
    if (type == MD_BLOCK_THEAD) {
      in_header_ = true;
      return;
    }
    if (open_.size() > kMaxDepth) {
      ++num_flattened_;
      return;
    }
    auto block = std::make_unique<Block>();
    describe(type, detail, *block);
    Block* const added = block.get();
    open_.back()->children.push_back(std::move(block));
    open_.push_back(added);
  }

  void describe(MD_BLOCKTYPE type, void* detail, Block& block) const {
    switch (type) {
      case MD_BLOCK_QUOTE:
        block.kind = Kind::quote;
        break;
      case MD_BLOCK_UL:
        block.kind = Kind::bullet_list;
        block.tight = static_cast<MD_BLOCK_UL_DETAIL*>(detail)->is_tight != 0;
        break;
      case MD_BLOCK_OL:
        block.kind = Kind::ordered_list;
        block.tight = static_cast<MD_BLOCK_OL_DETAIL*>(detail)->is_tight != 0;
        block.number = static_cast<MD_BLOCK_OL_DETAIL*>(detail)->start;
        break;
      case MD_BLOCK_LI: {
        const auto& item = *static_cast<MD_BLOCK_LI_DETAIL*>(detail);
        block.kind = Kind::item;
        if (item.is_task != 0) block.task = item.task_mark == ' ' ? "[ ] " : "[x] ";
        break;
      }
      case MD_BLOCK_HR:
        block.kind = Kind::rule;
        break;
      case MD_BLOCK_H:
        block.kind = Kind::heading;
        block.number = static_cast<MD_BLOCK_H_DETAIL*>(detail)->level;
        break;
      case MD_BLOCK_CODE: {
        const MD_ATTRIBUTE& language = static_cast<MD_BLOCK_CODE_DETAIL*>(detail)->lang;
        block.kind = Kind::code;
        if (language.text != nullptr) block.language = shown({language.text, language.size});
        break;
      }
      case MD_BLOCK_TABLE:
        block.kind = Kind::table;
        break;
      case MD_BLOCK_TR:
        block.kind = Kind::row;
        block.in_header = in_header_;
        break;
      case MD_BLOCK_TH:
      case MD_BLOCK_TD: {
        const MD_ALIGN align = static_cast<MD_BLOCK_TD_DETAIL*>(detail)->align;
        block.kind = Kind::cell;
        if (align == MD_ALIGN_CENTER) block.align = Block::Align::centre;
        if (align == MD_ALIGN_RIGHT) block.align = Block::Align::right;
        break;
      }
      default:
        block.kind = Kind::paragraph;
    }
  }

  void leave_block(MD_BLOCKTYPE type) {
    if (type == MD_BLOCK_THEAD) in_header_ = false;
    if (type == MD_BLOCK_DOC || type == MD_BLOCK_THEAD || type == MD_BLOCK_TBODY) return;
    if (num_flattened_ > 0)
      --num_flattened_;
    else
      open_.pop_back();
  }

  void enter_span(MD_SPANTYPE type, void* detail) {
    switch (type) {
      case MD_SPAN_EM:
        ++emphasis_;
        break;
      case MD_SPAN_STRONG:
        ++strong_;
        break;
      case MD_SPAN_DEL:
        ++deleted_;
        break;
      case MD_SPAN_CODE:
        ++code_;
        break;
      case MD_SPAN_LATEXMATH:
      case MD_SPAN_LATEXMATH_DISPLAY:
        add(type == MD_SPAN_LATEXMATH ? "$" : "$$");
        break;
      case MD_SPAN_A:
      case MD_SPAN_IMG: {
        const MD_ATTRIBUTE& address = type == MD_SPAN_A
                                          ? static_cast<MD_SPAN_A_DETAIL*>(detail)->href
                                          : static_cast<MD_SPAN_IMG_DETAIL*>(detail)->src;
        links_.push_back({shown({address.text, address.size}), ""});
        break;
      }
      default:
        break;
    }
  }

  void leave_span(MD_SPANTYPE type) {
    switch (type) {
      case MD_SPAN_EM:
        --emphasis_;
        break;
      case MD_SPAN_STRONG:
        --strong_;
        break;
      case MD_SPAN_DEL:
        --deleted_;
        break;
      case MD_SPAN_CODE:
        --code_;
        break;
      case MD_SPAN_LATEXMATH:
      case MD_SPAN_LATEXMATH_DISPLAY:
        add(type == MD_SPAN_LATEXMATH ? "$" : "$$");
        break;
      case MD_SPAN_A:
      case MD_SPAN_IMG: {
        const Link link = std::move(links_.back());
        links_.pop_back();
        // An address that stands there already ("https://…" alone, "www.…") is not said twice.
        if (!link.address.ends_with(link.text) || link.text.empty())
          append(
              target().text, (link.text.empty() ? "(" : " (") + link.address + ")", {.dim = true});
        break;
      }
      default:
        break;
    }
  }

  void add_text(MD_TEXTTYPE type, std::string_view text) {
    switch (type) {
      case MD_TEXT_BR:
      case MD_TEXT_SOFTBR:
        add("\n");
        break;
      case MD_TEXT_NULLCHAR:
        add("\uFFFD");
        break;
      case MD_TEXT_ENTITY:
        add(entity(text));
        break;
      default:
        add(shown(text));
    }
  }

  void add(std::string_view text) {
    for (Link& link : links_) link.text += text;
    append(target().text, text, style());
  }

  TextStyle style() const {
    TextStyle style{.bold = strong_ > 0,
                    .italic = emphasis_ > 0,
                    .underline = !links_.empty(),
                    .strike = deleted_ > 0};
    if (!links_.empty()) style.colour = kLinkColour;
    if (code_ > 0) style.colour = kCodeColour;
    return style;
  }

  // Where text goes: the open block, or a paragraph in it.
  Block& target() {
    Block& top = *open_.back();
    if (top.kind == Kind::paragraph || top.kind == Kind::heading || top.kind == Kind::code ||
        top.kind == Kind::cell)
      return top;
    if (top.children.empty() || !top.children.back()->implicit) {
      top.children.push_back(std::make_unique<Block>());
      top.children.back()->kind = Kind::paragraph;
      top.children.back()->implicit = true;
    }
    return *top.children.back();
  }

  std::unique_ptr<Block> root_;
  std::vector<Block*> open_;
  std::size_t num_flattened_ = 0;
  bool in_header_ = false;
  int emphasis_ = 0;
  int strong_ = 0;
  int deleted_ = 0;
  int code_ = 0;
  std::vector<Link> links_;
};

struct BlockCount {
  int depth = 0;
  int num_blocks = 0;
};

}  // namespace

std::unique_ptr<MarkdownBlock> parse_markdown(std::string_view source) {
  return TreeBuilder().build(source);
}

int count_markdown_blocks(std::string_view source) {
  BlockCount count;
  const MD_PARSER parser = {.abi_version = 0,
                            .flags = kFlags,
                            .enter_block =
                                [](MD_BLOCKTYPE, void*, void* data) {
                                  auto& blocks = *static_cast<BlockCount*>(data);
                                  if (blocks.depth++ == 1)
                                    ++blocks.num_blocks;  // the document is 0
                                  return 0;
                                },
                            .leave_block =
                                [](MD_BLOCKTYPE, void*, void* data) {
                                  --static_cast<BlockCount*>(data)->depth;
                                  return 0;
                                },
                            .enter_span = [](MD_SPANTYPE, void*, void*) { return 0; },
                            .leave_span = [](MD_SPANTYPE, void*, void*) { return 0; },
                            .text = [](MD_TEXTTYPE, const MD_CHAR*, MD_SIZE, void*) { return 0; },
                            .debug_log = nullptr,
                            .syntax = nullptr};
  md_parse(source.data(), static_cast<MD_SIZE>(source.size()), &parser, &count);
  return count.num_blocks;
}

}  // namespace fastchat::serve
