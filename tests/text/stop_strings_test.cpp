#include "text/stop_strings.h"

#include <gtest/gtest.h>

#include "tests/text/random_texts.h"

namespace fastchat::text {
namespace {

TEST(StopStrings, FindsAStopStringAcrossPieces) {
  StopStrings stops({"</s>", "END"});
  EXPECT_EQ(stops.push("one <").text, "one ");
  EXPECT_EQ(stops.push("/").text, "");
  const StopStrings::Step step = stops.push("s> two");
  EXPECT_EQ(step.text, "");
  EXPECT_EQ(step.matched, 0u);
  EXPECT_TRUE(stops.matched());
  EXPECT_EQ(stops.push("more").text, "");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, HoldsBackOnlyWhatMayBecomeAStopString) {
  StopStrings stops({"aab"});
  EXPECT_EQ(stops.push("xaa").text, "x");
  EXPECT_EQ(stops.push("a").text, "a");
  EXPECT_EQ(stops.push("c").text, "aac");
  EXPECT_EQ(stops.push("a").text, "");
  EXPECT_EQ(stops.finish(), "a");
}

TEST(StopStrings, TheOneCompleteFirstWins) {
  EXPECT_EQ(StopStrings({"abcd", "bc"}).push("xabcd").matched, 1u);
  EXPECT_EQ(StopStrings({"abcd", "bc"}).push("xabcd").text, "xa");
  EXPECT_EQ(StopStrings({"c", "abc"}).push("xabc").matched, 1u)
      << "the longest of those that end together";
}

TEST(StopStrings, WithoutStopStringsEverythingPasses) {
  StopStrings none({});
  EXPECT_EQ(none.push("text").text, "text");
  StopStrings empty({""});
  const StopStrings::Step step = empty.push("text");
  EXPECT_EQ(step.text, "text");
  EXPECT_FALSE(step.matched);
}

/// The same question asked of the whole text.
StopStrings::Step reference(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    StopStrings::Step step;
    std::size_t size = 0;
    for (std::size_t i = 0; i < stops.size(); ++i) {
      const std::string& stop = stops[i];
      if (stop.size() > size && stop.size() <= end &&
          text.compare(end - stop.size(), stop.size(), stop) == 0) {
        size = stop.size();
        step = {text.substr(0, end - size), i};
      }
    }
    if (step.matched) return step;
  }
  return {text, std::nullopt};
}

TEST(StopStrings, RandomPiecesGiveWhatTheWholeTextGives) {
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    Hash h(seed);
    const auto random = [&](std::uint32_t size) {
      std::string text;
      for (std::uint32_t i = 0; i < size; ++i) text += "abc"[h.next(3)];
      return text;
    };
    std::vector<std::string> stops(1 + h.next(3));
    for (std::string& stop : stops) stop = random(1 + h.next(5));
    const std::string text = random(h.next(25));
    const StopStrings::Step expected = reference(text, stops);

    StopStrings streaming(stops);
    std::string shown;
    std::optional<std::size_t> matched;
    for (std::size_t at = 0; at < text.size() && !matched;) {
      const std::size_t size = 1 + h.next(4);
      StopStrings::Step step = streaming.push(std::string_view(text).substr(at, size));
      shown += step.text;
      matched = step.matched;
      at += size;
      ASSERT_TRUE(expected.text.starts_with(shown)) << "seed " << seed;
    }
    shown += streaming.finish();
    ASSERT_EQ(shown, expected.text) << "seed " << seed << " text " << text;
    ASSERT_EQ(matched.has_value(), expected.matched.has_value()) << "seed " << seed;
    if (matched) {
      ASSERT_EQ(stops[*matched], stops[*expected.matched]);
    }
  }
}

}  // namespace
}  // namespace fastchat::text
