// SentencePiece's tokenizer.model against transformers' LlamaTokenizer; see
// record_sentencepiece_goldens.py.
#include <gtest/gtest.h>

#include "tests/text/fixtures.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace fastchat::text {
namespace {

using Ids = std::vector<std::int32_t>;

const Json& golden() {
  static const Json kGolden =
      Json::parse(read_all(tests_folder() / "goldens" / "sentencepiece.json"));
  return kGolden;
}

std::string model_file() { return read_all(tests_folder() / "goldens" / "tokenizer.model"); }

void write_model(const TempFolder& folder, const Json& files) {
  folder.write("tokenizer.model", model_file());
  for (const auto& [name, content] : files.items()) folder.write(name, content.dump());
}

Tokenizer tokenizer_of(std::string_view name) {
  const TempFolder folder;
  write_model(folder, golden()["cases"][name]["files"]);
  return Tokenizer::from_folder(folder.path()).value();
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  IncrementalDetokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const std::int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

class SentencePieceTest : public testing::TestWithParam<std::string> {};

TEST_P(SentencePieceTest, EncodesAsTheReference) {
  const Tokenizer tokenizer = tokenizer_of(GetParam());
  const Json& expected = golden()["cases"][GetParam()];
  EXPECT_EQ(tokenizer.vocab_size(), expected["size"].get<std::int32_t>());
  ASSERT_GE(expected["texts"].size(), 50u);
  for (const Json& entry : expected["texts"]) {
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, true).value(), entry["ids"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.encode(text, false).value(), entry["plain"].get<Ids>()) << text;
  }
}

TEST_P(SentencePieceTest, DecodesAsTheReferenceAtOnceAndStreamed) {
  const Tokenizer tokenizer = tokenizer_of(GetParam());
  for (const Json& entry : golden()["cases"][GetParam()]["texts"]) {
    const Ids ids = entry["plain"].get<Ids>();
    EXPECT_EQ(tokenizer.decode(ids, true).value(), entry["decoded"].get<std::string>())
        << entry["text"];
    for (const bool skip : {true, false})
      EXPECT_EQ(stream(tokenizer, ids, skip), tokenizer.decode(ids, skip).value()) << entry["text"];
  }
  ASSERT_EQ(golden()["cases"][GetParam()]["id_lists"].size(), 100u);
  for (const Json& entry : golden()["cases"][GetParam()]["id_lists"]) {
    const Ids ids = entry["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.decode(ids, true).value(), entry["decoded"].get<std::string>())
        << entry["ids"];
    for (const bool skip : {true, false})
      EXPECT_EQ(stream(tokenizer, ids, skip), tokenizer.decode(ids, skip).value()) << entry["ids"];
  }
}

INSTANTIATE_TEST_SUITE_P(
    Folders,
    SentencePieceTest,
    testing::Values("vicuna", "added_tokens_file", "not_legacy", "no_prefix_space", "no_files"),
    [](const auto& info) { return info.param; });

TEST(SentencePiece, SpecialTokensOfUntrustedTextStayText) {
  const Tokenizer tokenizer = tokenizer_of("not_legacy");
  const Ids ids = tokenizer.encode("Hi</s><think>", true, /*parse_special=*/false).value();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 0);
  EXPECT_EQ(ids.back(), tokenizer.token_to_id("<think>").value()) << "not a special token";
  EXPECT_EQ(tokenizer.decode(ids, true).value(), "Hi</s><think>");
}

TEST(SentencePiece, TokensHaveNamesAndIds) {
  const Tokenizer tokenizer = tokenizer_of("vicuna");
  EXPECT_EQ(tokenizer.token_to_id("<s>"), 1);
  EXPECT_EQ(tokenizer.token_to_id("<0x0A>"), 13);
  EXPECT_EQ(tokenizer.id_to_token(13), "<0x0A>");
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(-1), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(1 << 30), std::nullopt);
  EXPECT_EQ(tokenizer.decode(Ids{-1, 13, 1 << 30}, false).value(), "\n");
  EXPECT_TRUE(tokenizer.is_special(0));
  EXPECT_TRUE(tokenizer.is_special(2));
  EXPECT_FALSE(tokenizer.is_special(13));
  EXPECT_EQ(tokenizer.encode("\xFF", false).error().code, ErrorCode::invalid_request);
}

TEST(SentencePiece, TokenizerJsonIsPreferred) {
  const TempFolder folder;
  write_model(folder, Json::object());
  folder.write("tokenizer.json", sentencepiece_json(sentencepiece_decoder()));
  EXPECT_EQ(Tokenizer::from_folder(folder.path()).value().vocab_size(), 269);
}

TEST(SentencePiece, UnusableFilesAreErrorsThatSayWhy) {
  const struct {
    const char* file;
    std::string text;
    const char* message;
    ErrorCode code = ErrorCode::invalid_request;
  } cases[] = {
      {"tokenizer.model", "", "tokenizer.model"},
      {"tokenizer.model", "no model at all", "tokenizer.model"},
      {"tokenizer.model",
       "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 499723\n",
       "tokenizer.model"},
      {"tokenizer_config.json", "[]", "tokenizer_config.json"},
      {"special_tokens_map.json", "[]", "special_tokens_map.json"},
      {"added_tokens.json", R"({"a": "b"})", "added_tokens.json"},
      {"tokenizer_config.json",
       R"({"tokenizer_class": "T5Tokenizer"})",
       "T5Tokenizer",
       ErrorCode::unsupported},
  };
  for (const auto& [file, text, message, code] : cases) {
    const TempFolder folder;
    write_model(folder, Json::object());
    folder.write(file, text);
    const Result<Tokenizer> tokenizer = Tokenizer::from_folder(folder.path());
    ASSERT_FALSE(tokenizer) << file;
    EXPECT_EQ(tokenizer.error().code, code) << tokenizer.error().message;
    EXPECT_NE(tokenizer.error().message.find(message), std::string::npos)
        << tokenizer.error().message;
  }
}

}  // namespace
}  // namespace fastchat::text
