// `fastchat bench` as typed, and the work that its fractions are made of.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/decoder_stage.h"
#include "model/forward_work.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

using nlohmann::json;

struct Ran {
  int status = -1;
  std::string output;  // standard output only
};

Ran bench(const std::string& arguments) {
  const std::string command =
      "env LC_ALL=C '" FASTCHAT_BINARY "' bench " + arguments + " </dev/null 2>/dev/null";
  std::FILE* const pipe = popen(command.c_str(), "r");
  Ran ran;
  char bytes[4096];
  while (const std::size_t count = std::fread(bytes, 1, sizeof bytes, pipe))
    ran.output.append(bytes, count);
  ran.status = WEXITSTATUS(pclose(pipe));
  return ran;
}

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

TEST(BenchModel, APeerThatFailsIsAnError) {
  const std::string model = "model --model-path " FASTCHAT_SOURCE_DIR
                            "/models/demo --prompt-len 8 --gen-len 0 --repetitions 1 ";
  EXPECT_EQ(bench(model + "--peer-prefill false").status, 1);
  EXPECT_EQ(bench(model + "--peer-prefill 'echo none'").status, 1);
}

TEST(Bench, WithoutAKindSaysWhichThereAre) {
  EXPECT_EQ(bench("").status, 0);
  EXPECT_NE(bench("").output.find("bench limits"), std::string::npos);
  EXPECT_EQ(bench("--lang zh").status, 0);
  EXPECT_EQ(bench("everything").status, 2);
}

// Counted by hand from Qwen2-0.5B's config.json: 24 layers, hidden 896, 14 heads and 2 KV heads of
// 64, intermediate 4864, vocabulary 151936.
TEST(ForwardWork, IsThatOfTheShape) {
  const model::ModelConfig config = model::shape_by_name("qwen2-0.5b").value();
  const ops::OpsTraits traits{.kv_block_size = 16};
  const parallel::ModelSizes sizes = model::model_sizes(config, device::DType::bf16, traits);
  const double layer = 896.0 * (896 + 2 * 128) + 896.0 * 896 + 3 * 896.0 * 4864;
  const double head = 896.0 * 151936;

  const model::ForwardWork decode = model::forward_work(config, sizes, 1, 99, 1);
  EXPECT_DOUBLE_EQ(decode.flops, 2 * (24 * layer + head) + 24 * 4.0 * 896 * 100);
  // Weights in bf16 and 100 positions of KV; biases and norms are a fraction of a percent.
  const double weights = 2 * (24 * layer + head);
  const double kv = 24 * 2 * 128 * 2.0 * 100;
  EXPECT_NEAR(decode.bytes, weights + kv, 0.005 * weights);

  const model::ForwardWork prefill = model::forward_work(config, sizes, 1, 0, 512);
  EXPECT_DOUBLE_EQ(prefill.flops,
                   2 * (512 * 24 * layer + head) + 24 * 4.0 * 896 * (512.0 * 513 / 2));

  model::ModelConfig windowed = config;
  windowed.layer_window.assign(24, 10);
  EXPECT_DOUBLE_EQ(model::forward_work(windowed, sizes, 1, 99, 1).flops,
                   2 * (24 * layer + head) + 24 * 4.0 * 896 * 10);
}

}  // namespace
}  // namespace fastchat::serve
