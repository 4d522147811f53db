// The report at exit: who did what, and who was left alone.
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/emulator/client.h"

namespace client {
namespace {

TEST(ReportProcess, TellsWhichCardsWereUsed) {
  const std::string path =
      ::testing::TempDir() + "emulator_report_" + std::to_string(version()) + ".json";
  std::remove(path.c_str());
  in_own_process({{"FASTCHAT_EMULATOR_REPORT", path}, {"ASCEND_RT_VISIBLE_DEVICES", "2,3"}}, [] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    StreamHandle stream;
    DeviceBytes untouched(64 << 20);
    DeviceBytes used(1 << 20);
    OK(CANN(aclrtMemset)(used.get(), used.size(), 0, used.size()));
    for (int i = 0; i < 3; ++i) OK(add(used.get(), used.get(), used.get(), 16, stream.get()));
    OK(stream.synchronize());
  });
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  const auto report = nlohmann::json::parse(file);
  EXPECT_EQ(report["cann"], version());
  ASSERT_EQ(report["cards"].size(), 4u);
  for (const auto& card : report["cards"]) {
    const bool was_used = card["card"] == 2;
    EXPECT_EQ(card["peak_bytes"] > 64 << 20, was_used) << card;
    EXPECT_EQ(card["touched_bytes"], was_used ? 1 << 20 : 0) << card;
    EXPECT_EQ(card["streams_created"], was_used ? 1 : 0) << card;
    EXPECT_EQ(card["operations_run"], was_used ? 3 : 0) << card;
  }
}

}  // namespace
}  // namespace client
