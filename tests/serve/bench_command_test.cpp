// `fastchat bench` as typed.
#include <cstdio>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fastchat::serve {
namespace {

using nlohmann::json;

struct Ran {
  int status = -1;
  std::string output;  // standard output only
};

Ran fastchat(const std::string& arguments, const std::string& environment = "") {
  // Before the arguments, which may redirect again.
  const std::string command =
      "2>/dev/null </dev/null env LC_ALL=C " + environment + " '" FASTCHAT_BINARY "' " + arguments;
  std::FILE* const pipe = popen(command.c_str(), "r");
  Ran ran;
  char bytes[4096];
  while (const std::size_t count = std::fread(bytes, 1, sizeof bytes, pipe))
    ran.output.append(bytes, count);
  ran.status = WEXITSTATUS(pclose(pipe));
  return ran;
}

Ran bench(const std::string& arguments) { return fastchat("bench " + arguments); }

TEST(BenchLimits, AreAllMeasured) {
  const Ran ran = bench("limits --repetitions 1 --json");
  ASSERT_EQ(ran.status, 0);
  const json limits = json::parse(ran.output);
  for (const char* key : {"read_gb_s", "f32_gflop_s", "bf16_gflop_s", "int8_gop_s"})
    EXPECT_GT(limits.at(key).get<double>(), 0.0) << key;
}

TEST(BenchModel, ReportsEveryCaseBesideTheLimitsAndAPeer) {
  const Ran ran = bench("model --model-path " FASTCHAT_SOURCE_DIR
                        "/models/demo --prompt-len 40 --gen-len 6 --batch 1,3 --context 0,33 "
                        "--repetitions 2 --peer-decode 'echo pp 3 tg 50.5 t/s' --json");
  ASSERT_EQ(ran.status, 0);
  const json report = json::parse(ran.output);
  EXPECT_GT(report.at("limits").at("read_gb_s").get<double>(), 0.0);
  const json& results = report.at("results");
  ASSERT_EQ(results.size(), 5u);
  EXPECT_EQ(results[0].at("phase"), "prefill");
  EXPECT_EQ(results[0].at("context"), 40);
  EXPECT_FALSE(results[0].contains("ratio_to_peer"));
  EXPECT_EQ(results[4].at("phase"), "decode");
  EXPECT_EQ(results[4].at("batch"), 3);
  EXPECT_EQ(results[4].at("context"), 33);
  for (const json& result : results) {
    EXPECT_EQ(result.at("format"), "bf16");
    EXPECT_GT(result.at("tokens_per_s").get<double>(), 0.0);
    EXPECT_GT(result.at("fraction_of_limit").get<double>(), 0.0);
  }
  EXPECT_DOUBLE_EQ(results[1].at("peer_tokens_per_s").get<double>(), 50.5);
  EXPECT_DOUBLE_EQ(results[1].at("ratio_to_peer").get<double>(),
                   results[1].at("tokens_per_s").get<double>() / 50.5);
}

TEST(BenchModel, QuotesSpeedsByTheClockOfSimulatedDevicesToo) {
  const std::string arguments = "bench model --model-path " FASTCHAT_SOURCE_DIR
                                "/models/demo --prompt-len 0 --gen-len 4 --repetitions 1 ";
  const Ran ran = fastchat(arguments + "--json", "FASTCHAT_CLOCK_DILATION=20");
  ASSERT_EQ(ran.status, 0);
  const json report = json::parse(ran.output);
  const json& result = report.at("results").at(0);
  EXPECT_DOUBLE_EQ(result.at("simulated_tokens_per_s").get<double>(),
                   20 * result.at("tokens_per_s").get<double>());
  EXPECT_FALSE(result.contains("fraction_of_limit")) << "this machine's limits are not theirs";
  EXPECT_FALSE(report.contains("limits"));
  EXPECT_EQ(report.at("clock_dilation"), 20.0);
  const Ran table = fastchat(arguments, "FASTCHAT_CLOCK_DILATION=20");
  EXPECT_NE(table.output.find("simulated"), std::string::npos);
  EXPECT_EQ(table.output.find("of limit"), std::string::npos);
  EXPECT_EQ(fastchat(arguments, "FASTCHAT_CLOCK_DILATION=fast").status, 2);
}

TEST(BenchModel, QuotesNoSpeedOfSimulatedDevicesWhoseWorkTakesNoTime) {
  const std::string arguments = "bench model --model-path " FASTCHAT_SOURCE_DIR
                                "/models/demo --prompt-len 0 --gen-len 4 --repetitions 1 ";
  const Ran ran = fastchat(arguments + "--json", "FASTCHAT_CLOCK_DILATION=0");
  ASSERT_EQ(ran.status, 0);
  const json report = json::parse(ran.output);
  EXPECT_EQ(report.at("clock_dilation"), 0.0);
  EXPECT_FALSE(report.contains("limits"));
  EXPECT_FALSE(report.at("results").at(0).contains("simulated_tokens_per_s"));
  EXPECT_FALSE(report.at("results").at(0).contains("fraction_of_limit"));
  const Ran table = fastchat(arguments, "FASTCHAT_CLOCK_DILATION=0");
  EXPECT_NE(table.output.find("at dilation 0: nothing is computed"), std::string::npos)
      << table.output;
  EXPECT_EQ(table.output.find("of limit"), std::string::npos) << table.output;
}

TEST(BenchModel, QuotesTheBoundThatPlanPrintsForTheSameSplit) {
  const std::string both = " --model-path " FASTCHAT_SOURCE_DIR
                           "/models/demo --num-gpus 2 --parallel pipeline --prompt-len 24 "
                           "--gen-len 0 --max-num-batched-tokens 24 --json ";
  const Ran ran = bench("model --prefill-batch 9 --repetitions 1" + both);
  ASSERT_EQ(ran.status, 0);
  const Ran planned = fastchat("plan --max-model-len 25 --num-streams 9" + both);
  ASSERT_EQ(planned.status, 0);
  const json bound = json::parse(ran.output).at("plan");
  EXPECT_EQ(bound.at("mode"), "pipeline");
  EXPECT_EQ(bound.at("pipeline_size"), 2);
  EXPECT_GT(bound.at("prefill_speedup").get<double>(), 1.0);
  EXPECT_TRUE(bound.at("decode_speedup").is_null());  // nothing is decoded
  EXPECT_EQ(bound.at("prefill_speedup"),
            json::parse(planned.output).at("speed").at("prefill_speedup"));

  const Ran alone = bench("model --model-path " FASTCHAT_SOURCE_DIR
                          "/models/demo --prompt-len 8 --gen-len 0 --repetitions 1 --json");
  ASSERT_EQ(alone.status, 0);
  EXPECT_TRUE(json::parse(alone.output).at("plan").is_null());
}

TEST(BenchModel, TheNumberOfSequencesThatIsAskedForIsKept) {
  const std::string arguments = "bench model --model-path " FASTCHAT_SOURCE_DIR
                                "/models/demo --prompt-len 0 --gen-len 4 --repetitions 1 ";
  // The report has the KV of that many sequences of 13 positions, in blocks of 32.
  const std::string load = arguments + "--load 8x8+4 2>&1 ";
  EXPECT_NE(fastchat(load).output.find("cache for 512\n"), std::string::npos) << "16 sequences";
  const Ran two = fastchat(load + "--max-num-seqs 2");
  EXPECT_EQ(two.status, 0);
  EXPECT_NE(two.output.find("cache for 64\n"), std::string::npos) << two.output;
  const Ran batch = fastchat(arguments + "--batch 4 --max-num-seqs 2 2>&1");
  EXPECT_EQ(batch.status, 2);
  EXPECT_NE(batch.output.find("--max-num-seqs 2: a batch of 4"), std::string::npos) << batch.output;
}

TEST(BenchModel, APeerThatFailsIsAnError) {
  const std::string model = "model --model-path " FASTCHAT_SOURCE_DIR
                            "/models/demo --prompt-len 8 --gen-len 0 --repetitions 1 ";
  EXPECT_EQ(bench(model + "--peer-prefill false").status, 1);
  EXPECT_EQ(bench(model + "--peer-prefill 'echo none'").status, 1);
  const Ran failed = bench(model + "--peer-prefill 'exit 7' 2>&1");
  EXPECT_NE(failed.output.find("status 7"), std::string::npos) << failed.output;
}

TEST(BenchModel, WhatCannotBeMeasuredIsRefusedBeforeLoading) {
  // The folder does not exist: an answer about the flag shows that nothing was opened first.
  const std::string command = "env LC_ALL=C '" FASTCHAT_BINARY
                              "' bench model --model-path /no/such/folder --gen-len 1 2>&1";
  std::FILE* const pipe = popen(command.c_str(), "r");
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  EXPECT_NE(pclose(pipe), 0);
  EXPECT_NE(output.find("--gen-len 1"), std::string::npos) << output;
}

TEST(Bench, WithoutAKindSaysWhichThereAre) {
  EXPECT_EQ(bench("").status, 0);
  EXPECT_NE(bench("").output.find("bench limits"), std::string::npos);
  EXPECT_EQ(bench("--lang zh").status, 0);
  EXPECT_EQ(bench("everything").status, 2);
  EXPECT_NE(bench("everything 2>&1").output.find("no 'everything'"), std::string::npos);
}

}  // namespace
}  // namespace fastchat::serve
