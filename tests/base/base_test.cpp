// Result, byte counts, log sink, assertions.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "base/result.h"

namespace fastchat {
namespace {

Result<int> half_of(int number) {
  if (number % 2 != 0) return Error{ErrorCode::invalid_request, fmt::format("{} is odd", number)};
  return number / 2;
}

Result<std::unique_ptr<int>> boxed(int number) {
  if (number < 0) return Error{ErrorCode::invalid_request, "negative"};
  return std::make_unique<int>(number);
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half_of(8);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 4);
  EXPECT_EQ(good.value_or(7), 4);
  const Result<int> bad = half_of(9);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, ErrorCode::invalid_request);
  EXPECT_EQ(bad.error().message, "9 is odd");
  EXPECT_EQ(bad.value_or(7), 7);
}

TEST(Result, MovesOutWhatCannotBeCopied) {
  const std::unique_ptr<int> number = boxed(5).value();
  EXPECT_EQ(*number, 5);
}

TEST(Result, VoidIsGoodUnlessGivenAnError) {
  EXPECT_TRUE(Result<void>());
  const Result<void> bad = Error{ErrorCode::overloaded, "full"};
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().message, "full");
}

TEST(ResultDeathTest, ReadingTheWrongSideStopsTheRun) {
  log::set_sink([](log::Level, std::string_view message) {  // another test may have silenced it
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  });
  const Result<int> good = 1;
  EXPECT_DEATH(static_cast<void>(good.error()), "holds a value");
  const Result<int> bad = Error{ErrorCode::internal, "the reason"};
  EXPECT_DEATH(static_cast<void>(bad.value()), "the reason");
}

TEST(ErrorCode, HasANameEach) {
  EXPECT_EQ(to_string(ErrorCode::context_too_long), "context_too_long");
  EXPECT_EQ(to_string(ErrorCode::device_failed), "device_failed");
}

TEST(Check, ThrowsTheFormattedMessage) {
  EXPECT_NO_THROW(check(true, "unused"));
  try {
    check(false, "expected {}, got {}", 1, 2);
    FAIL() << "did not throw";
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(), "expected 1, got 2");
  }
}

TEST(Bytes, FormatUsesTheLargestUnitBelow) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(13 * kGiB), "13.00 GiB");
  EXPECT_EQ(format_bytes(5000 * kGiB), "4.88 TiB");
}

TEST(Bytes, ParseReadsWhatPeopleWrite) {
  const std::vector<std::pair<std::string, std::uint64_t>> cases = {
      {"4096", 4096},
      {"4096B", 4096},
      {"0", 0},
      {"13GiB", 13 * kGiB},
      {"13Gib", 13 * kGiB},
      {"13gib", 13 * kGiB},
      {"13G", 13 * kGiB},
      {"500MB", 500'000'000},
      {"500 MiB", 500 * kMiB},
      {"1.5 GiB", 3 * kGiB / 2},
      {" 2k ", 2048},
      {"1TB", 1'000'000'000'000},
      {"1KB", 1000},
  };
  for (const auto& [text, expected] : cases) {
    const Result<std::uint64_t> bytes = parse_bytes(text);
    ASSERT_TRUE(bytes) << text << ": " << bytes.error().message;
    EXPECT_EQ(*bytes, expected) << text;
  }
}

TEST(Bytes, ParseRefusesEverythingElseAndSaysWhy) {
  for (const std::string text : {"",
                                 "  ",
                                 "GiB",
                                 "-1GiB",
                                 "12 parsecs",
                                 "1e3",
                                 "1GiBs",
                                 "nan",
                                 "inf",
                                 "1..5G",
                                 "99999999T"}) {
    const Result<std::uint64_t> bytes = parse_bytes(text);
    ASSERT_FALSE(bytes) << text << " gave " << *bytes;
    EXPECT_EQ(bytes.error().code, ErrorCode::invalid_request);
    EXPECT_NE(bytes.error().message.find("'" + text + "'"), std::string::npos);
  }
}

TEST(Log, GoesToTheBoundSinkWithItsLevel) {
  std::vector<std::pair<log::Level, std::string>> lines;
  log::set_sink([&](log::Level level, std::string_view message) {
    lines.emplace_back(level, std::string(message));
  });
  log::info("{} devices", 2);
  log::error("no {}", "card");
  log::set_sink([](log::Level, std::string_view) {});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], std::pair(log::Level::info, std::string("2 devices")));
  EXPECT_EQ(lines[1], std::pair(log::Level::error, std::string("no card")));
}

}  // namespace
}  // namespace fastchat
