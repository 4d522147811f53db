// The first byte chooses: a tokenizer.json to load and use, or a text and ids for two tokenizers:
// one made here and a SentencePiece model. What is encoded decodes, streamed text equals decoded
// text, and nothing crashes.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "text/detokenizer.h"
#include "text/files.h"
#include "text/tokenizer.h"

namespace {

using fastchat::ErrorCode;
using fastchat::Result;
using fastchat::text::IncrementalDetokenizer;
using fastchat::text::Json;
using fastchat::text::Tokenizer;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Byte-level, without merges: the id of a byte's character is its place in the alphabet.
Tokenizer byte_tokenizer() {
  Json vocab = Json::object();
  int unprintable = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    const int code = printable ? byte : unprintable++;
    const std::string character = code < 0x80
                                      ? std::string(1, static_cast<char>(code))
                                      : std::string{static_cast<char>(0xC0 | code >> 6),
                                                    static_cast<char>(0x80 | (code & 0x3F))};
    vocab[character] = byte;
  }
  const Json json{{"version", "1.0"},
                  {"added_tokens",
                   Json::array({{{"id", 256},
                                 {"content", "<s>"},
                                 {"special", true},
                                 {"normalized", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"single_word", false}}})},
                  {"normalizer", nullptr},
                  {"pre_tokenizer",
                   {{"type", "ByteLevel"},
                    {"add_prefix_space", false},
                    {"trim_offsets", true},
                    {"use_regex", true}}},
                  {"post_processor", nullptr},
                  {"decoder",
                   {{"type", "ByteLevel"},
                    {"add_prefix_space", false},
                    {"trim_offsets", true},
                    {"use_regex", true}}},
                  {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
  return Tokenizer::from_json(json.dump()).value();
}

/// Whether the text, if it is UTF-8, is encoded and its ids are decoded.
bool can_use(const Tokenizer& tokenizer, std::string_view text) {
  const Result<std::vector<std::int32_t>> ids = tokenizer.encode(text, true, text.size() % 2 == 0);
  if (!ids) return ids.error().code == ErrorCode::invalid_request;
  return tokenizer.decode(*ids, false).has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == '{') {
    const Result<Tokenizer> tokenizer =
        Tokenizer::from_json({reinterpret_cast<const char*>(data), size});
    // Files that contradict themselves make the library panic, which must come back as an error.
    if (tokenizer) (void)can_use(*tokenizer, "Hello wörld <s> 你好\n\n 123");
    return 0;
  }

  static const Tokenizer kBytes = byte_tokenizer();
  static const Tokenizer kPieces =
      Tokenizer::from_folder(FASTCHAT_SOURCE_DIR "/tests/text/goldens").value();
  const bool skip_special = data[0] % 2 == 0;
  std::vector<std::int32_t> ids;
  for (const char byte : input) ids.push_back(byte == '~' ? 256 : static_cast<unsigned char>(byte));
  for (const Tokenizer* tokenizer : {&kBytes, &kPieces}) {
    require(can_use(*tokenizer, input));
    IncrementalDetokenizer detokenizer(*tokenizer, skip_special);
    std::string streamed;
    for (const std::int32_t id : ids) streamed += detokenizer.push(id);
    streamed += detokenizer.finish();
    require(streamed == tokenizer->decode(ids, skip_special).value());
  }
  return 0;
}
