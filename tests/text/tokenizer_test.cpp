#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <sstream>
#include <thread>

#include "tests/text/fixtures.h"
#include "tests/text/random_texts.h"
#include "text/ffi.h"

namespace fastchat::text {
namespace {

using Ids = std::vector<std::int32_t>;

const Tokenizer& qwen2() {
  static const Tokenizer tokenizer = Tokenizer::from_folder(qwen2_folder()).value();
  return tokenizer;
}

std::vector<std::uint64_t> read_hashes(const Json& text) {
  std::istringstream stream(text.get<std::string>());
  std::vector<std::uint64_t> hashes;
  for (std::uint64_t hash; stream >> std::hex >> hash;) hashes.push_back(hash);
  return hashes;
}

std::uint64_t hash_of(const Ids& ids) {
  return fnv({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(ids[0])});
}

TEST(Tokenizer, Qwen2GivesTheIdsOfTheVocabularyCases) {
  FASTCHAT_SKIP_WITHOUT_QWEN2();
  const std::string inputs = read_all(qwen2_folder() / "cases.inp");
  std::istringstream expected_lines(read_all(qwen2_folder() / "cases.out"));
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::size_t start = 0, num_cases = 0;
  for (std::string line; std::getline(expected_lines, line); ++num_cases) {
    std::size_t end = inputs.find(kSeparator, start);
    if (end == std::string::npos) end = inputs.size();
    const std::string text = inputs.substr(start, end - start);
    start = std::min(inputs.size(), end + kSeparator.size());
    Ids expected;
    std::istringstream numbers(line);
    for (std::int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(qwen2().encode(text, false).value(), expected) << "text: " << text;
  }
  EXPECT_GE(num_cases, 40u);
}

TEST(Tokenizer, Qwen2EncodesAndDecodesRandomTextsAsTheReference) {
  FASTCHAT_SKIP_WITHOUT_QWEN2();
  const Json golden = Json::parse(read_all(tests_folder() / "goldens" / "qwen2_tokenizer.json"));
  const std::vector<std::uint64_t> hashes = read_hashes(golden["texts"]);
  ASSERT_EQ(hashes.size(), 10000u);
  int failures = 0;
  for (std::size_t i = 0; i < hashes.size() && failures < 5; ++i) {
    const std::string text = random_text(i);
    const Ids ids = qwen2().encode(text, true).value();
    const std::string decoded = qwen2().decode(ids, false).value();
    if (fnv(decoded, hash_of(ids)) != hashes[i]) {
      ++failures;
      ADD_FAILURE() << "text " << i << ": " << text << "\ndecoded: " << decoded;
    }
  }
}

TEST(Tokenizer, Qwen2DecodesRandomIdsAsTheReference) {
  FASTCHAT_SKIP_WITHOUT_QWEN2();
  const Json golden = Json::parse(read_all(tests_folder() / "goldens" / "qwen2_tokenizer.json"));
  const std::vector<std::uint64_t> hashes = read_hashes(golden["id_lists"]);
  ASSERT_EQ(hashes.size(), 1000u);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    const std::string decoded = qwen2().decode(random_ids(1'000'000 + i), i % 2 == 1).value();
    ASSERT_EQ(fnv(decoded), hashes[i]) << "list " << i << ": " << decoded;
  }
}

TEST(Tokenizer, Qwen2KnowsItsSpecialTokens) {
  FASTCHAT_SKIP_WITHOUT_QWEN2();
  EXPECT_EQ(qwen2().vocab_size(), 151646);
  EXPECT_EQ(qwen2().token_to_id("<|im_end|>"), 151645);
  EXPECT_EQ(qwen2().id_to_token(151643), "<|endoftext|>");
  EXPECT_TRUE(qwen2().is_special(151644));
  EXPECT_FALSE(qwen2().is_special(42));
  EXPECT_EQ(qwen2().encode("<|im_end|>", false).value(), Ids{151645});
  EXPECT_GT(qwen2().encode("<|im_end|>", false, /*parse_special=*/false)->size(), 1u);
}

TEST(Tokenizer, LongRunsOfBlanksAreStillCutByThePattern) {
  FASTCHAT_SKIP_WITHOUT_QWEN2();
  const std::string text = "a" + std::string(300'000, ' ') + "b don't";
  const Ids ids = qwen2().encode(text, false).value();
  EXPECT_EQ(qwen2().decode(ids, false).value(), text);
  const Ids tail = qwen2().encode(" b don't", false).value();
  EXPECT_TRUE(std::equal(tail.rbegin(), tail.rend(), ids.rbegin()));
}

TEST(Tokenizer, IsBuiltFromVocabularyAndMerges) {
  const TempFolder folder;
  write_byte_level_model(folder);
  const Tokenizer tokenizer = Tokenizer::from_folder(folder.path()).value();
  EXPECT_EQ(tokenizer.vocab_size(), 261);
  EXPECT_EQ(tokenizer.encode("hello", true).value(), (Ids{258, 'o'}));
  EXPECT_EQ(tokenizer.encode("<s>x<think>", true).value(), (Ids{259, 'x', 260}));
  EXPECT_EQ(tokenizer.encode("<s><think>", true, false).value(), (Ids{'<', 's', '>', 260}));
  EXPECT_EQ(tokenizer.decode(Ids{259, 258, 260, 0xC3}, true).value(), "hell<think>\uFFFD");
  EXPECT_EQ(tokenizer.encode("e\u0301", false).value(), (Ids{0xC3, 0xA9})) << "NFC";
  EXPECT_TRUE(tokenizer.is_special(259));
  EXPECT_FALSE(tokenizer.is_special(260));
}

TEST(Tokenizer, TextsMayContainNul) {
  const TempFolder folder;
  write_byte_level_model(folder);
  const Tokenizer tokenizer = Tokenizer::from_folder(folder.path()).value();
  const std::string text("a\0b", 3);
  EXPECT_EQ(tokenizer.encode(text, false).value(), (Ids{'a', 0, 'b'}));
  EXPECT_EQ(tokenizer.decode(Ids{'a', 0, 'b'}, false).value(), text);
}

TEST(Tokenizer, IdsWithoutATokenAreNothing) {
  const TempFolder folder;
  write_byte_level_model(folder);
  const Tokenizer tokenizer = Tokenizer::from_folder(folder.path()).value();
  EXPECT_EQ(tokenizer.id_to_token(-1), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(1 << 30), std::nullopt);
  EXPECT_EQ(tokenizer.decode(Ids{-1, 'a', 1 << 30}, false).value(), "a");
  EXPECT_EQ(tokenizer.decode(Ids{}, false).value(), "");
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.token_to_id("\xFF"), std::nullopt);
}

TEST(Tokenizer, ReadsTokenizerJson) {
  const TempFolder folder;
  folder.write("tokenizer.json", sentencepiece_json(sentencepiece_decoder()));
  const Tokenizer tokenizer = Tokenizer::from_folder(folder.path()).value();
  const Ids ids = tokenizer.encode(" b你\n", false).value();
  EXPECT_EQ(tokenizer.decode(ids, true).value(), "b你\n");
  EXPECT_FALSE(tokenizer.byte_decoding());
}

TEST(Tokenizer, FolderWithoutTokenizerSaysWhatIsExpected) {
  const TempFolder folder;
  const Error error = Tokenizer::from_folder(folder.path()).error();
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_NE(
      error.message.find("expected tokenizer.json, vocab.json with merges.txt, or tokenizer.model"),
      std::string::npos);
  EXPECT_EQ(Tokenizer::from_folder("/no/such/folder").error().code, ErrorCode::not_found);
}

TEST(Tokenizer, OtherFamiliesNeedATokenizerJson) {
  const TempFolder folder;
  write_byte_level_model(folder);
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "BloomTokenizer"})");
  const Error error = Tokenizer::from_folder(folder.path()).error();
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_NE(error.message.find("BloomTokenizer"), std::string::npos);
}

TEST(Tokenizer, AddedTokenWithAnotherIdIsAnError) {
  const TempFolder folder;
  write_byte_level_model(folder);
  folder.write("tokenizer_config.json",
               R"({"added_tokens_decoder": {"300": {"content": "<x>", "special": true}}})");
  const Error error = Tokenizer::from_folder(folder.path()).error();
  EXPECT_EQ(error.code, ErrorCode::invalid_request);
  EXPECT_NE(error.message.find("<x>"), std::string::npos);
}

TEST(Tokenizer, MalformedFilesAreErrorsThatNameTheFile) {
  const std::string nested = std::string(100000, '[') + std::string(100000, ']');
  const struct {
    const char* file;
    std::string text;
  } cases[] = {
      {"vocab.json", ""},
      {"vocab.json", "{"},
      {"vocab.json", "[1, 2]"},
      {"vocab.json", R"({"a": "b"})"},
      {"vocab.json", R"({"a": -1})"},
      {"vocab.json", nested},
      {"vocab.json", "\xFF\xFE"},
      {"merges.txt", "#version: 0.2\nab\n"},
      {"merges.txt", "h e l\n"},
      {"merges.txt", "h nosuchtoken\n"},
      {"merges.txt", "\xFF \xFF\n"},
      {"tokenizer_config.json", "{"},
      {"tokenizer_config.json", "3"},
      {"tokenizer_config.json", nested},
      {"tokenizer_config.json", R"({"added_tokens_decoder": [1]})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"259": {"content": 5}}})"},
      {"tokenizer.json", ""},
      {"tokenizer.json", "{}"},
      {"tokenizer.json", R"({"version": "1.0", "model": {"type": "BPE", "vocab": 1}})"},
      {"tokenizer.json", nested},
      {"tokenizer.json", "\xFF"},
  };
  for (const auto& [file, text] : cases) {
    const TempFolder folder;
    write_byte_level_model(folder);
    folder.write(file, text);
    const Result<Tokenizer> tokenizer = Tokenizer::from_folder(folder.path());
    ASSERT_FALSE(tokenizer) << file << ": " << text.substr(0, 80);
    EXPECT_EQ(tokenizer.error().code, ErrorCode::invalid_request);
    EXPECT_NE(tokenizer.error().message.find(file), std::string::npos) << tokenizer.error().message;
  }
}

TEST(Tokenizer, TruncatedTokenizerJsonIsAnErrorEverywhere) {
  const std::string json = sentencepiece_json(sentencepiece_decoder());
  for (std::size_t size = 0; size < json.size(); size += 37) {
    EXPECT_FALSE(Tokenizer::from_json(json.substr(0, size))) << size;
  }
}

TEST(Tokenizer, TextThatIsNotUtf8IsAnError) {
  const TempFolder folder;
  write_byte_level_model(folder);
  const Tokenizer tokenizer = Tokenizer::from_folder(folder.path()).value();
  const Error error = tokenizer.encode("ab\xFF", false).error();
  EXPECT_EQ(error.code, ErrorCode::invalid_request);
  EXPECT_NE(error.message.find("not UTF-8 at byte 2"), std::string::npos) << error.message;
}

TEST(Tokenizer, ThreadsShareOneTokenizer) {
  const TempFolder folder;
  write_byte_level_model(folder);
  const Tokenizer tokenizer = Tokenizer::from_folder(folder.path()).value();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&tokenizer, t] {
      for (std::uint64_t i = 0; i < 50; ++i) {
        const std::string text = random_text(i);
        const Ids ids = tokenizer.encode(text, true, t % 2 == 0).value();
        EXPECT_EQ(tokenizer.encode(text, true, t % 2 == 0).value(), ids);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Tokenizer, PanicsInTheCrateComeBackAsErrors) {
  fct_buffer message{};
  const fct_status status = fct_test_panic(&message);
  const Error error = take_error(status, message);
  EXPECT_EQ(error.code, ErrorCode::internal);
  EXPECT_NE(error.message.find("on purpose"), std::string::npos);
}

}  // namespace
}  // namespace fastchat::text
