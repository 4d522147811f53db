#include "text/sentencepiece_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "text/added_tokens.h"
#include "text/files.h"
#include "text/utf8.h"

namespace fastchat::text {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, a blank inside of pieces
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// Bytes of the blank (as Python's str.strip sees it) that `text` begins with, or 0.
std::size_t blank_size(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if ((lead >= 0x09 && lead <= 0x0D) || (lead >= 0x1C && lead <= 0x20)) return 1;
  static constexpr std::array<std::string_view, 19> kBlanks{"\xC2\x85",
                                                            "\xC2\xA0",
                                                            "\xE1\x9A\x80",
                                                            "\xE2\x80\x80",
                                                            "\xE2\x80\x81",
                                                            "\xE2\x80\x82",
                                                            "\xE2\x80\x83",
                                                            "\xE2\x80\x84",
                                                            "\xE2\x80\x85",
                                                            "\xE2\x80\x86",
                                                            "\xE2\x80\x87",
                                                            "\xE2\x80\x88",
                                                            "\xE2\x80\x89",
                                                            "\xE2\x80\x8A",
                                                            "\xE2\x80\xA8",
                                                            "\xE2\x80\xA9",
                                                            "\xE2\x80\xAF",
                                                            "\xE2\x81\x9F",
                                                            "\xE3\x80\x80"};
  for (const std::string_view blank : kBlanks)
    if (text.starts_with(blank)) return blank.size();
  return 0;
}

void strip_left(std::string& text) {
  std::string_view rest = text;
  while (const std::size_t size = blank_size(rest)) rest.remove_prefix(size);
  text.erase(0, text.size() - rest.size());
}

void strip_right(std::string& text) {
  std::size_t end = 0;  // of what is not blank
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = std::string_view(text).substr(at);
    const std::size_t blank = blank_size(rest);
    at += blank > 0 ? blank : first_utf8_unit(rest).size;
    if (blank == 0) end = at;
  }
  text.resize(end);
}

struct Settings {
  // The first version of transformers' LlamaTokenizer put a blank before every stretch of text
  // between special tokens; files that do not say "legacy": false mean that one.
  bool legacy = true;
  bool add_prefix_space = true;
  bool add_bos = true;
  bool add_eos = false;
  std::string bos = "<s>";
  std::string eos = "</s>";
  std::string unk = "<unk>";
};

class SentencePieceModel : public TokenizerModel {
 public:
  SentencePieceModel(std::unique_ptr<sentencepiece::SentencePieceProcessor> processor,
                     Settings settings,
                     const std::vector<std::string>& named_specials)
      : processor_(std::move(processor)),
        settings_(std::move(settings)),
        named_specials_(named_specials.begin(), named_specials.end()) {
    std::vector<std::string> pieces;
    if (processor_->Encode(settings_.unk, &pieces).ok()) num_unk_pieces_ = pieces.size();
  }

  /// An id below 0 is the piece's of that name, or the next free one.
  void add(AddedToken token) {
    if (token.id < 0) {
      token.id = piece_id(token.content).value_or(-1);
      if (token.id < 0) token.id = vocab_size();
    }
    const auto id = static_cast<std::int32_t>(token.id);
    if (piece_id(token.content) != id && !added_.contains(token.content)) ++num_beyond_pieces_;
    added_by_id_[id] = token;
    is_first_byte_[static_cast<unsigned char>(token.content[0])] = true;
    added_[token.content] = std::move(token);
  }
  bool has_added(std::string_view content) const { return added_.contains(content); }

  Result<std::vector<std::int32_t>> encode(std::string_view text,
                                           bool add_special_tokens,
                                           bool parse_special) const override {
    if (!is_utf8(text)) return Error{ErrorCode::invalid_request, "the text is not UTF-8"};
    std::string prepared(text);
    if (!settings_.legacy && !text.empty()) {
      replace_all(prepared, kSpace, " ");
      if (settings_.add_prefix_space) prepared.insert(0, kSpace);
    }
    std::vector<std::string> tokens;
    for (const Stretch& stretch : split(prepared, parse_special)) {
      if (stretch.text.empty()) continue;
      if (stretch.token != nullptr) {
        tokens.push_back(stretch.text);
      } else if (Result<void> status = append_pieces(stretch.text, tokens); !status) {
        return status.error();
      }
    }
    // The blank that was put before a special token belongs to no text. The reference means named
    // ones, not those that are merely marked as special.
    const bool drops_first = !settings_.legacy && tokens.size() > 1 && tokens[0] == kSpace &&
                             named_specials_.contains(tokens[1]);

    std::vector<std::int32_t> ids;
    if (add_special_tokens && settings_.add_bos) ids.push_back(token_to_id(settings_.bos).value());
    for (std::size_t i = drops_first ? 1 : 0; i < tokens.size(); ++i)
      ids.push_back(token_to_id(tokens[i]).value_or(processor_->unk_id()));
    if (add_special_tokens && settings_.add_eos) ids.push_back(token_to_id(settings_.eos).value());
    return ids;
  }

  Result<std::string> decode(std::span<const std::int32_t> ids,
                             bool skip_special_tokens) const override {
    std::string bytes;
    bool at_start = true;
    for (const std::int32_t id : ids) {
      if ((skip_special_tokens && is_special(id)) || !id_to_token(id)) continue;
      append_token_bytes(id, bytes);
      if (std::exchange(at_start, false) && settings_.add_prefix_space && bytes.starts_with(' '))
        bytes.erase(0, 1);
    }
    std::string text;
    for (std::string_view rest = bytes; !rest.empty();) {
      const Utf8Unit unit = first_utf8_unit(rest);
      if (unit.kind == Utf8Unit::character)
        text += rest.substr(0, unit.size);
      else
        for (std::size_t i = 0; i < unit.size; ++i) text += kReplacement;
      rest.remove_prefix(unit.size);
    }
    return text;
  }

  std::optional<std::string> id_to_token(std::int32_t id) const override {
    if (const auto added = added_by_id_.find(id); added != added_by_id_.end())
      return added->second.content;
    if (id < 0 || id >= processor_->GetPieceSize()) return std::nullopt;
    return processor_->IdToPiece(id);
  }

  std::optional<std::int32_t> token_to_id(std::string_view token) const override {
    if (const auto added = added_.find(token); added != added_.end())
      return static_cast<std::int32_t>(added->second.id);
    return piece_id(token);
  }

  std::int32_t vocab_size() const override {
    return processor_->GetPieceSize() + num_beyond_pieces_;
  }

  bool is_special(std::int32_t id) const override {
    if (const auto added = added_by_id_.find(id); added != added_by_id_.end())
      return added->second.special;
    return id >= 0 && id < processor_->GetPieceSize() && processor_->IsControl(id);
  }

  std::optional<ByteDecoding> byte_decoding() const override {
    return ByteDecoding{.strips_leading_space = settings_.add_prefix_space,
                        .replaces_every_byte = true};
  }

  void append_token_bytes(std::int32_t id, std::string& bytes) const override {
    std::optional<std::string> token = id_to_token(id);
    if (!token) return;
    if (!added_by_id_.contains(id)) {
      if (processor_->IsByte(id)) {  // "<0x0A>"
        unsigned value = 0;
        std::from_chars(token->data() + 3, token->data() + 5, value, 16);
        bytes.push_back(static_cast<char>(value));
        return;
      }
      replace_all(*token, kSpace, " ");
    }
    bytes += *token;
  }

 private:
  /// A part of the text: an added token, or what lies between two.
  struct Stretch {
    std::string text;
    const AddedToken* token = nullptr;
  };

  std::optional<std::int32_t> piece_id(std::string_view piece) const {
    const int id = processor_->PieceToId(piece);
    if (id == processor_->unk_id() && processor_->IdToPiece(id) != piece) return std::nullopt;
    return id;
  }

  /// The longest added token that `text` begins with.
  const AddedToken* match(std::string_view text, bool parse_special) const {
    if (!is_first_byte_[static_cast<unsigned char>(text[0])]) return nullptr;
    const AddedToken* longest = nullptr;
    for (auto at = added_.lower_bound(text.substr(0, 1));
         at != added_.end() && at->first[0] == text[0];
         ++at) {
      if (text.starts_with(at->first) && (parse_special || !at->second.special) &&
          (longest == nullptr || at->first.size() > longest->content.size()))
        longest = &at->second;
    }
    return longest;
  }

  std::vector<Stretch> split(std::string_view text, bool parse_special) const {
    std::vector<Stretch> stretches;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      const AddedToken* token = match(text.substr(at), parse_special);
      if (token == nullptr) {
        ++at;
        continue;
      }
      if (at > begin) stretches.push_back({std::string(text.substr(begin, at - begin))});
      stretches.push_back({token->content, token});
      begin = at += token->content.size();
    }
    if (begin < text.size()) stretches.push_back({std::string(text.substr(begin))});

    for (std::size_t i = 0; i < stretches.size(); ++i) {
      const AddedToken* token = stretches[i].token;
      if (token == nullptr) continue;
      Stretch* left = i > 0 ? &stretches[i - 1] : nullptr;
      Stretch* right = i + 1 < stretches.size() ? &stretches[i + 1] : nullptr;
      if (token->rstrip && right != nullptr && right->token == nullptr) strip_left(right->text);
      if (token->lstrip && left != nullptr && left->token == nullptr) strip_right(left->text);
      if (!token->single_word) continue;
      // Not a word of its own: ordinary text.
      if (left != nullptr && !left->text.empty() && left->text.back() != ' ') {
        left->text += stretches[i].text;
        stretches[i] = {};
      } else if (right != nullptr && !right->text.empty() && right->text.front() != ' ') {
        right->text.insert(0, stretches[i].text);
        stretches[i] = {};
      }
    }
    return stretches;
  }

  Result<void> append_pieces(const std::string& text, std::vector<std::string>& tokens) const {
    // The library drops blanks at the start of a text once it adds none there, so they are shown
    // to it behind the unknown token's name, whose pieces are left out again.
    const bool hides_start =
        !settings_.legacy && (text.starts_with(kSpace) || text.starts_with(' '));
    std::vector<std::string> pieces;
    const sentencepiece::util::Status status =
        processor_->Encode(hides_start ? settings_.unk + text : text, &pieces);
    if (!status.ok())
      return Error{ErrorCode::internal, fmt::format("SentencePiece: {}", status.ToString())};
    const std::size_t first = hides_start && pieces.size() >= num_unk_pieces_ ? num_unk_pieces_ : 0;
    std::move(pieces.begin() + static_cast<std::ptrdiff_t>(first),
              pieces.end(),
              std::back_inserter(tokens));
    return {};
  }

  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  Settings settings_;
  std::set<std::string, std::less<>> named_specials_;
  std::size_t num_unk_pieces_ = 0;
  std::map<std::string, AddedToken, std::less<>> added_;
  std::map<std::int32_t, AddedToken> added_by_id_;
  std::array<bool, 256> is_first_byte_{};
  std::int32_t num_beyond_pieces_ = 0;
};

bool flag(const Json& config, const char* key, bool fallback) {
  const auto found = config.find(key);
  return found != config.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

std::string name_of_token(const Json& config, const char* key, std::string fallback) {
  const auto found = config.find(key);
  if (found == config.end()) return fallback;
  return token_content(*found).value_or(std::move(fallback));
}

Settings settings_of(const Json& config) {
  Settings out;
  out.legacy = flag(config, "legacy", out.legacy);
  // null, which newer versions write for "the default", means true as well.
  out.add_prefix_space = flag(config, "add_prefix_space", out.add_prefix_space);
  out.add_bos = flag(config, "add_bos_token", out.add_bos);
  out.add_eos = flag(config, "add_eos_token", out.add_eos);
  out.bos = name_of_token(config, "bos_token", out.bos);
  out.eos = name_of_token(config, "eos_token", out.eos);
  out.unk = name_of_token(config, "unk_token", out.unk);
  return out;
}

Result<void> check_class(const Json& config, const std::filesystem::path& folder) {
  const auto found = config.find("tokenizer_class");
  if (found == config.end() || !found->is_string()) return {};
  const auto name = found->get<std::string>();
  if (name == "LlamaTokenizer" || name == "LlamaTokenizerFast") return {};
  return Error{
      ErrorCode::unsupported,
      fmt::format("{}: a {} is read from tokenizer.json, which is missing; tokenizer.model "
                  "is read for LlamaTokenizer only",
                  folder.string(),
                  name)};
}

/// Named special tokens override those of tokenizer_config.json, unless that lists its added tokens
/// with all their properties.
Result<void> merge_special_tokens_map(const std::filesystem::path& folder, Json& config) {
  if (config.contains("added_tokens_decoder")) return {};
  const Result<Json> map = read_json_object(folder / "special_tokens_map.json");
  if (!map) return map.error();
  if (map->is_object())
    for (const auto& [key, value] : map->items()) config[key] = value;
  return {};
}

}  // namespace

Result<std::shared_ptr<const TokenizerModel>> read_sentencepiece_model(
    const std::filesystem::path& folder, std::string_view model) {
  Result<Json> config = read_json_object(folder / "tokenizer_config.json");
  if (!config) return config.error();
  if (config->is_null()) *config = Json::object();
  if (Result<void> status = check_class(*config, folder); !status) return status.error();
  if (Result<void> status = merge_special_tokens_map(folder, *config); !status)
    return status.error();
  const Result<Json> added_file = read_json_object(folder / "added_tokens.json");
  if (!added_file) return added_file.error();
  Result<std::vector<AddedToken>> listed = listed_tokens(*config, *added_file);
  if (!listed)
    return Error{listed.error().code,
                 fmt::format("{}: {}", folder.string(), listed.error().message)};
  Settings settings = settings_of(*config);

  std::string bytes(model);
  if (!settings.legacy) {
    // normalizer_spec { add_dummy_prefix: false }: fields of a message that comes again replace
    // those read before.
    constexpr std::string_view kNoDummyPrefix("\x1A\x02\x18\x00", 4);
    bytes += kNoDummyPrefix;
  }
  auto processor = std::make_unique<sentencepiece::SentencePieceProcessor>();
  if (const auto status = processor->LoadFromSerializedProto(bytes); !status.ok())
    return Error{ErrorCode::invalid_request,
                 fmt::format("{}: not a SentencePiece model: {}",
                             (folder / "tokenizer.model").string(),
                             status.ToString())};

  (*config)["bos_token"] = settings.bos;
  (*config)["eos_token"] = settings.eos;
  (*config)["unk_token"] = settings.unk;
  const std::vector<std::string> specials = named_special_tokens(*config);
  auto out =
      std::make_shared<SentencePieceModel>(std::move(processor), std::move(settings), specials);
  for (AddedToken& token : *listed) {
    if (std::find(specials.begin(), specials.end(), token.content) != specials.end())
      token.special = true;
    out->add(std::move(token));
  }
  for (const std::string& content : specials)
    if (!out->has_added(content)) out->add({.content = content, .special = true});
  return std::shared_ptr<const TokenizerModel>(std::move(out));
}

}  // namespace fastchat::text
