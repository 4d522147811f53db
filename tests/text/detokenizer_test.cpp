#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include "tests/text/fixtures.h"
#include "tests/text/random_texts.h"

namespace fastchat::text {
namespace {

using Ids = std::vector<std::int32_t>;

/// Pushes all ids; every piece must end at a character's border.
std::string stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  IncrementalDetokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const std::int32_t id : ids) {
    const std::string piece = detokenizer.push(id);
    EXPECT_TRUE(piece.empty() || (piece[0] & 0xC0) != 0x80) << "starts inside a character";
    EXPECT_NO_THROW((void)Json(piece).dump()) << "not UTF-8";
    text += piece;
  }
  return text + detokenizer.finish();
}

Tokenizer byte_level_tokenizer() {
  const TempFolder folder;
  write_byte_level_model(folder);
  return Tokenizer::from_folder(folder.path()).value();
}

TEST(IncrementalDetokenizer, HoldsTheBytesOfACharacterUntilItIsWhole) {
  IncrementalDetokenizer detokenizer(byte_level_tokenizer());
  EXPECT_EQ(detokenizer.push('a'), "a");
  EXPECT_EQ(detokenizer.push(0xF0), "");
  EXPECT_EQ(detokenizer.push(0x9F), "");
  EXPECT_EQ(detokenizer.push(0x99), "");
  EXPECT_EQ(detokenizer.push(0x82), "🙂");
  EXPECT_EQ(detokenizer.push(0xE4), "");
  EXPECT_EQ(detokenizer.push('b'), "\uFFFDb");
  EXPECT_EQ(detokenizer.push(0xE4), "");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
  EXPECT_EQ(detokenizer.push('c'), "c") << "ready for a new sequence";
}

TEST(IncrementalDetokenizer, ShowsOrSkipsSpecialTokens) {
  const Tokenizer tokenizer = byte_level_tokenizer();
  EXPECT_EQ(stream(tokenizer, {259, 'a', 260, 259}, true), "a<think>");
  EXPECT_EQ(stream(tokenizer, {259, 'a', 260, 259}, false), "<s>a<think><s>");
}

TEST(IncrementalDetokenizer, RandomBytesGiveWhatDecodeGives) {
  const Tokenizer tokenizer = byte_level_tokenizer();
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Hash h(seed);
    Ids ids(1 + h.next(30));
    for (std::int32_t& id : ids) {
      // Often bytes that begin or continue characters, so that nearly whole ones are common.
      constexpr int kBytes[] = {
          0xE0, 0xE4, 0xED, 0xF0, 0xF4, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC3};
      id = h.next(3) == 0 ? static_cast<int>(h.next(265)) : kBytes[h.next(12)];
    }
    const bool skip = seed % 2 == 0;
    ASSERT_EQ(stream(tokenizer, ids, skip), tokenizer.decode(ids, skip).value()) << seed;
  }
}

TEST(IncrementalDetokenizer, Qwen2TextsAndRandomIdsGiveWhatDecodeGives) {
  FASTCHAT_SKIP_WITHOUT_QWEN2();
  const Tokenizer tokenizer = Tokenizer::from_folder(qwen2_folder()).value();
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const Ids ids =
        seed % 2 == 0 ? tokenizer.encode(random_text(seed), false).value() : random_ids(seed);
    ASSERT_EQ(stream(tokenizer, ids, true), tokenizer.decode(ids, true).value()) << seed;
  }
}

TEST(IncrementalDetokenizer, DropsTheLeadingSpaceOnlyAtTheStart) {
  const Tokenizer tokenizer =
      Tokenizer::from_json(sentencepiece_json(sentencepiece_decoder())).value();
  const std::int32_t hello = tokenizer.token_to_id("▁hello").value();
  const std::int32_t blank = tokenizer.token_to_id("▁").value();
  IncrementalDetokenizer detokenizer(tokenizer);
  EXPECT_EQ(detokenizer.push(hello), "hello");
  EXPECT_EQ(detokenizer.push(hello), " hello");
  EXPECT_EQ(detokenizer.push(blank), " ");
  EXPECT_EQ(detokenizer.push(hello), " hello");
  EXPECT_EQ(detokenizer.finish(), "");
  EXPECT_EQ(detokenizer.push(blank), "");
  EXPECT_EQ(detokenizer.push(hello), " hello");
}

TEST(IncrementalDetokenizer, JoinsByteTokensToCharacters) {
  const Tokenizer tokenizer =
      Tokenizer::from_json(sentencepiece_json(sentencepiece_decoder())).value();
  IncrementalDetokenizer detokenizer(tokenizer);
  const auto byte = [](int value) { return 3 + value; };
  EXPECT_EQ(detokenizer.push(byte(0xF0)), "");
  EXPECT_EQ(detokenizer.push(byte(0x9F)), "");
  EXPECT_EQ(detokenizer.push(byte(0x99)), "");
  EXPECT_EQ(detokenizer.push(byte(0x82)), "🙂");
  EXPECT_EQ(detokenizer.push(byte(0xE4)), "");
  EXPECT_EQ(detokenizer.push(byte(0xBD)), "");
  EXPECT_EQ(detokenizer.push(byte(0xA0)), "你");
  EXPECT_EQ(detokenizer.push(byte(0xE4)), "");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
}

TEST(IncrementalDetokenizer, OtherDecodersGiveWhatDecodeGives) {
  const Json metaspace{
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}, {"split", true}};
  const Json pieces{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  const Json suffix{{"type", "BPEDecoder"}, {"suffix", "b"}};
  const Json decoders[] = {sentencepiece_decoder(), metaspace, pieces, suffix, nullptr};
  for (const Json& decoder : decoders) {
    const Tokenizer tokenizer = Tokenizer::from_json(sentencepiece_json(decoder)).value();
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
      Hash h(seed);
      Ids ids(1 + h.next(20));
      // Whole words and special tokens; bytes are the business of the tests above.
      for (std::int32_t& id : ids) {
        id = static_cast<std::int32_t>(h.next(4) == 0 ? h.next(3) : 259 + h.next(10));
      }
      ASSERT_EQ(stream(tokenizer, ids, seed % 2 == 0), tokenizer.decode(ids, seed % 2 == 0).value())
          << decoder << " seed " << seed;
    }
  }
}

TEST(IncrementalDetokenizer, LongSequencesCostTheSamePerToken) {
  // Never-ending half characters and blanks: the window must not grow.
  const Tokenizer tokenizer =
      Tokenizer::from_json(sentencepiece_json(sentencepiece_decoder())).value();
  for (const std::int32_t id : {3 + 0xE4,
                                3 + 0xBF,
                                tokenizer.token_to_id("\uFFFD").value(),
                                tokenizer.token_to_id("▁").value()}) {
    const Ids ids(5000, id);
    EXPECT_EQ(stream(tokenizer, ids, true), tokenizer.decode(ids, true).value());
  }
}

}  // namespace
}  // namespace fastchat::text
