// Folders and tokenizers that the tests of src/text share.
#pragma once

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "text/files.h"
#include "text/tokenizer.h"

namespace fastchat::text {

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline std::filesystem::path tests_folder() {
  return std::filesystem::path(FASTCHAT_SOURCE_DIR) / "tests" / "text";
}

/// Qwen2's vocabulary beside the project; empty where it is absent.
inline std::filesystem::path qwen2_folder() {
  const std::filesystem::path folder =
      std::filesystem::path(FASTCHAT_SOURCE_DIR) / ".." / "shared" / "data" / "qwen2-tokenizer";
  return std::filesystem::exists(folder / "vocab.json") ? folder : std::filesystem::path();
}

#define FASTCHAT_SKIP_WITHOUT_QWEN2()                                                     \
  if (qwen2_folder().empty()) {                                                           \
    GTEST_SKIP() << "Qwen2's vocabulary is not at ../shared/data/qwen2-tokenizer beside " \
                    "the project";                                                        \
  }

// A folder that is gone at the end of the test.
class TempFolder {
 public:
  TempFolder() {
    static std::atomic<int> counter = 0;
    path_ = std::filesystem::temp_directory_path() /
            fmt::format("fastchat-text-{}-{}", ::getpid(), counter++);
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

/// The character that stands for a byte in a byte-level vocabulary.
inline std::string byte_character(int byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 0x100;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

/// Writes a byte-level vocabulary without merges except "hell" in steps: token id = byte, then 256
/// he, 257 hel, 258 hell, then the added tokens <s> 259 (special) and <think> 260 (not special).
inline void write_byte_level_model(const TempFolder& folder) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[byte_character(byte)] = byte;
  vocab["he"] = 256;
  vocab["hel"] = 257;
  vocab["hell"] = 258;
  folder.write("vocab.json", vocab.dump());
  folder.write("merges.txt", "#version: 0.2\nh e\nhe l\nhel l\n");
  folder.write(
      "tokenizer_config.json",
      R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<s>", "added_tokens_decoder": {
                    "260": {"content": "<think>", "special": false, "normalized": false},
                    "259": {"content": "<s>", "special": true}}})");
}

/// A tokenizer.json in the manner of SentencePiece models: "▁" for blanks, single bytes for what is
/// not in the vocabulary. `decoder` replaces the decoder.
inline std::string sentencepiece_json(const Json& decoder) {
  Json vocab{{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int byte = 0; byte < 256; ++byte) vocab[fmt::format("<0x{:02X}>", byte)] = 3 + byte;
  for (const char* token : {"▁", "▁a", "b", "▁hello", "!", "你", "▁▁", "\uFFFD", "##x", "n't"}) {
    vocab[token] = static_cast<int>(vocab.size());
  }
  const Json special = Json::array({{{"id", 1},
                                     {"content", "<s>"},
                                     {"special", true},
                                     {"normalized", false},
                                     {"lstrip", false},
                                     {"rstrip", false},
                                     {"single_word", false}}});
  return Json{
      {"version", "1.0"},
      {"added_tokens", special},
      {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}},
      {"pre_tokenizer", nullptr},
      {"post_processor", nullptr},
      {"decoder", decoder},
      {"model",
       {{"type", "BPE"},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", vocab},
        {"merges", Json::array()}}}}
      .dump();
}

inline Json sentencepiece_decoder() {
  return Json{{"type", "Sequence"},
              {"decoders",
               Json::array({{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                            {{"type", "ByteFallback"}},
                            {{"type", "Fuse"}},
                            {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}})}};
}

}  // namespace fastchat::text
