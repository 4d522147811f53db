// `fastchat plan` and `fastchat devices` as commands: output, exit status, JSON against its
// document.
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "serve/command.h"
#include "serve/model_path.h"
#include "serve/prepare_plan.h"

namespace fastchat::serve {
namespace {

using nlohmann::json;

struct Ran {
  int status = -1;
  std::string out;
  std::string err;
  std::string thrown;
};

Ran run(int (*command)(int, char**), std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "fastchat verb");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  try {
    ran.status = command(static_cast<int>(argv.size()), argv.data());
  } catch (const Failure& failure) {  // as main does
    ran.status = 1;
    ran.thrown = failure.what();
  }
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

TEST(PlanCommand, DescribedDevicesNeedNotExist) {
  const Ran ran =
      run(run_plan, {"--shape", "qwen2-72b", "--num-gpus", "4", "--max-gpu-memory", "2000GiB"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("80 layers over 4 of 4"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("As described"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("Context promised: 32,768 tokens"), std::string::npos) << ran.out;
}

TEST(PlanCommand, CardsThatAreNotHereCanBeDescribed) {
  const Ran ran = run(
      run_plan,
      {"--shape", "qwen2-7b", "--device", "npu", "--num-gpus", "4", "--max-gpu-memory", "8GiB"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("f16"), std::string::npos) << ran.out;  // FastChat's default on cards
  EXPECT_NE(ran.out.find("npu:3"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("workspace is an estimate"), std::string::npos) << ran.out;
  EXPECT_NE(run(run_plan, {"--shape", "qwen2-7b", "--device", "npu"}).thrown, "");
}

TEST(PlanCommand, EightBitsHalveTheWeights) {
  const auto weights = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "--shape", "qwen2-7b", "--cards", "4xAscend910B4-32GiB", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = run(run_plan, arguments);
    EXPECT_EQ(ran.status, 0) << ran.err;
    const json result = json::parse(ran.out);
    double bytes = 0;
    for (const json& device : result["devices"]) bytes += device["weight_bytes"].get<double>();
    return std::pair(bytes, result["model"]["quantization"]);
  };
  const auto [in_16_bits, none] = weights({});
  EXPECT_EQ(none, json::array());
  const auto [in_8_bits, names] = weights({"--load-8bit"});
  EXPECT_EQ(names, json::array({"w8a16"}));
  // The embedding, a seventh of a gigabyte of numbers, stays in 16 bits; scales are small.
  constexpr double kEmbedding = 152064.0 * 3584 * 2;
  EXPECT_NEAR(in_8_bits, kEmbedding + (in_16_bits - kEmbedding) / 2, 0.002 * in_16_bits);
  const Ran text = run(
      run_plan, {"--shape", "qwen2-7b", "--cards", "Ascend910B4-32GiB", "--quantization", "w8a8"});
  EXPECT_NE(text.out.find("weights in 8 bits (w8a8)"), std::string::npos) << text.out;
}

TEST(PlanCommand, JsonHasTheModelAndTheNumbers) {
  const Ran ran = run(run_plan,
                      {"--shape",
                       "qwen2-7b",
                       "--num-gpus",
                       "2",
                       "--max-gpu-memory",
                       "1000GiB,3000GiB",
                       "--parallel",
                       "layer",
                       "--max-model-len",
                       "4096",
                       "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const json plan = json::parse(ran.out);
  EXPECT_TRUE(plan["fits"]);
  EXPECT_TRUE(plan["described"]);
  EXPECT_EQ(plan["bounds"]["max_model_len"], 4096);
  EXPECT_EQ(plan["model"]["name"], "qwen2-7b");
  EXPECT_EQ(plan["model"]["dtype"], "bf16");
  EXPECT_FALSE(plan["model"]["context_reduced"]);
  EXPECT_EQ(plan["devices"][0]["limit_bytes"], 1000 * kGiB);
  EXPECT_EQ(plan["devices"][1]["limit_bytes"], 3000 * kGiB);
  EXPECT_GT(plan["devices"][1]["num_layers"], plan["devices"][0]["num_layers"]);
  // 28 layers of 2 * 4 heads * 128 * 2 bytes.
  EXPECT_EQ(plan["totals"]["kv_bytes_per_token"], 28 * 2 * 4 * 128 * 2);
  // 7.6 billion parameters in two bytes; packing may round up.
  EXPECT_GT(plan["totals"]["weight_bytes"], 15'200'000'000);
  EXPECT_LT(plan["totals"]["weight_bytes"], 15'700'000'000);
}

// Cards of 64, 64, 32 and 32 GiB: counting bytes instead of layers leaves much more KV.
TEST(PlanCommand, UnequalCardsHoldMoreKvThanAnEvenSplit) {
  const Ran ran = run(run_plan,
                      {"--shape",
                       "qwen2-7b",
                       "--cards",
                       "2xAscend910B1-64GiB,2xAscend910B4-32GiB",
                       "--parallel",
                       "layer",
                       "--max-num-seqs",
                       "256",
                       "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const json plan = json::parse(ran.out);
  EXPECT_EQ(plan["kv"]["bound"], "memory");
  EXPECT_GE(plan["kv"]["num_tokens"].get<double>(),
            1.3 * plan["even_split"]["num_kv_tokens"].get<double>());
  EXPECT_GT(plan["kv"]["num_tokens"], plan["balanced_device_map"]["num_kv_tokens"]);
}

TEST(PlanCommand, CardsAreOfTheirOwnKindAndNumber) {
  const Ran ran = run(run_plan, {"--shape", "qwen2-7b", "--cards", "4xAscend910B4"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("npu:3 Ascend910B4"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("--parallel auto: tensor"), std::string::npos) << ran.out;
  EXPECT_EQ(run(run_plan, {"--shape", "qwen2-7b", "--cards", "4xAscend"}).status, 2);
  EXPECT_EQ(
      run(run_plan, {"--shape", "qwen2-7b", "--cards", "Ascend910B1", "--num-gpus", "2"}).status,
      2);
}

// Two ways 1 % apart: the list must not contradict the choice.
TEST(PlanCommand, ANearTieIsSaidToGoToTheSimplerWay) {
  std::vector<std::string> arguments = {"--shape",
                                        "qwen2-7b",
                                        "--cards",
                                        "2xAscend910B1-64GiB,2xAscend910B4-32GiB",
                                        "--max-model-len",
                                        "32768",
                                        "--num-streams",
                                        "4",
                                        "--prompt-len",
                                        "12000",
                                        "--gen-len",
                                        "0"};
  const Ran ran = run(run_plan, arguments);
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("--parallel auto: pipeline, among the fastest"), std::string::npos)
      << ran.out;
  EXPECT_NE(ran.out.find("pipeline 2 x tensor 2: 0.9"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("the simpler way is taken"), std::string::npos) << ran.out;
  // Nothing is generated: no bound of it.
  EXPECT_NE(ran.out.find("prefill"), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("decode"), std::string::npos) << ran.out;
  arguments.emplace_back("--json");
  const json speed = json::parse(run(run_plan, arguments).out).at("speed");
  EXPECT_GT(speed.at("prefill_tokens_per_s"), 0.0);
  EXPECT_TRUE(speed.at("decode_tokens_per_s").is_null());
  EXPECT_TRUE(speed.at("decode_speedup").is_null());

  const Ran clear = run(run_plan, {"--shape", "qwen2-7b", "--cards", "4xAscend910B4"});
  EXPECT_NE(clear.out.find("estimated fastest"), std::string::npos) << clear.out;
  EXPECT_EQ(clear.out.find("simpler"), std::string::npos) << clear.out;
}

TEST(PlanCommand, RemediesCanBeTypedAsPrinted) {
  const std::vector<std::string> asked = {
      "--shape", "qwen2-7b", "--num-gpus", "2", "--max-model-len", "2048"};
  const auto with_limits = [&](const std::string& limits) {
    std::vector<std::string> arguments = asked;
    arguments.insert(arguments.end(), {"--max-gpu-memory", limits});
    return run(run_plan, arguments);
  };
  const Ran refused = with_limits("6GiB");
  ASSERT_EQ(refused.status, 3);
  const auto limits_behind = [&](const std::string& words) {
    const std::string start = words + " (--max-gpu-memory ";
    const std::size_t at = refused.err.find(start);
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + start.size();
    return refused.err.substr(begin, refused.err.find(')', begin) - begin);
  };
  const std::string one = limits_behind("alone");
  EXPECT_NE(one.find(','), std::string::npos) << refused.err;
  EXPECT_NE(one.find("6GiB"), std::string::npos) << refused.err;
  EXPECT_EQ(with_limits(one).status, 0) << one;
  const std::string every = limits_behind("on every device");
  EXPECT_NE(every, "") << refused.err;
  EXPECT_EQ(with_limits(every).status, 0) << every;
}

TEST(PlanCommand, CopiesThatWereAskedForAreNotCalledAChoice) {
  const auto choice = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"--shape", "qwen2-7b", "--cards", "4xAscend910B1"});
    const std::string out = run(run_plan, more).out;
    return out.substr(std::min(out.size(), out.find("--parallel auto: ")));
  };
  const std::string asked = choice({"--data-parallel-size", "2"});
  EXPECT_TRUE(asked.starts_with("--parallel auto: tensor in each of the 2 copies asked for, "))
      << asked;
  EXPECT_EQ(asked.find("(--data-parallel-size 2)"), std::string::npos) << asked;
}

TEST(PlanCommand, StreamsThatWaitInLineAreMentioned) {
  const auto warnings = [](const char* max_num_seqs) {
    return run(run_plan,
               {"--shape",
                "qwen2-7b",
                "--cards",
                "Ascend910B1-64GiB",
                "--num-streams",
                "64",
                "--max-num-seqs",
                max_num_seqs})
        .err;
  };
  EXPECT_NE(warnings("16").find("--max-num-seqs 16 lets 16 run at once"), std::string::npos)
      << warnings("16");
  EXPECT_EQ(warnings("64"), "");
}

TEST(PlanCommand, ASingleCardHasItsSpeed) {
  const Ran ran =
      run(run_plan, {"--shape", "qwen2-7b", "--cards", "Ascend910B1-64GiB", "--prompt-len", "128"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("128 + 256 tokens by the card's figures: prefill "), std::string::npos)
      << ran.out;
  EXPECT_NE(ran.out.find(" tokens/s, decode "), std::string::npos) << ran.out;
}

// Their figures are nominal.
TEST(PlanCommand, CpuDevicesHaveNoTokensPerSecond) {
  const Ran two =
      run(run_plan, {"--shape", "qwen2-72b", "--num-gpus", "2", "--max-gpu-memory", "2000GiB"});
  ASSERT_EQ(two.status, 0) << two.err;
  EXPECT_NE(two.out.find("As described"), std::string::npos) << two.out;
  EXPECT_NE(two.out.find("Speed bound of this split"), std::string::npos) << two.out;
  EXPECT_EQ(two.out.find("tokens/s"), std::string::npos) << two.out;
}

TEST(PlanCommand, ModesThatTheSizesContradictAreRefused) {
  const auto status_of = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "--shape", "qwen2-0.5b", "--num-gpus", "2", "--max-gpu-memory", "4GiB"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = run(run_plan, arguments);
    if (ran.status != 0) {
      EXPECT_NE(ran.err.find("does not go with"), std::string::npos) << ran.err;
    }
    return ran.status;
  };
  EXPECT_EQ(status_of({"--parallel", "pipeline", "--tensor-parallel-size", "2"}), 2);
  EXPECT_EQ(status_of({"--parallel", "layer", "--tensor-parallel-size", "2"}), 2);
  EXPECT_EQ(status_of({"--parallel", "tensor", "--pipeline-parallel-size", "2"}), 2);
  EXPECT_EQ(status_of({"--parallel", "pipeline", "--pipeline-parallel-size", "2"}), 0);
  EXPECT_EQ(status_of({"--parallel", "tensor", "--tensor-parallel-size", "2"}), 0);
  EXPECT_EQ(status_of({"--tensor-parallel-size", "2"}), 0);
}

// What the sizes multiply to, copies included, beside what is there.
TEST(PlanCommand, SizesThatTakeMoreDevicesSayHowMany) {
  const auto refusal = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"--shape", "qwen2-0.5b", "--max-gpu-memory", "4GiB"});
    const Ran ran = run(run_plan, more);
    EXPECT_NE(ran.status, 0);
    return ran.err + ran.thrown;
  };
  const std::string both = refusal({"--num-gpus",
                                    "4",
                                    "--pipeline-parallel-size",
                                    "2",
                                    "--tensor-parallel-size",
                                    "2",
                                    "--data-parallel-size",
                                    "2"});
  EXPECT_NE(both.find("--pipeline-parallel-size 2 and --tensor-parallel-size 2 for each of 2 "
                      "copies take 8 devices, 4 given (--num-gpus 8 would do)"),
            std::string::npos)
      << both;
  const std::string tensor = refusal({"--tensor-parallel-size", "4"});
  EXPECT_NE(tensor.find("--tensor-parallel-size 4 takes a multiple of 4 devices, 1 given "
                        "(--num-gpus 4 would do)"),
            std::string::npos)
      << tensor;
  EXPECT_EQ(tensor.find("left out"), std::string::npos) << tensor;
  const std::string copies = refusal({"--data-parallel-size", "4"});
  EXPECT_NE(copies.find("--num-gpus 4"), std::string::npos) << copies;
  const std::string copies_of_two =
      refusal({"--data-parallel-size", "4", "--tensor-parallel-size", "2"});
  EXPECT_NE(copies_of_two.find("--num-gpus 8"), std::string::npos) << copies_of_two;
}

void touch(const std::filesystem::path& file) {
  const std::ofstream created(file);
  ASSERT_TRUE(created) << file;
}

TEST(PlanCommand, FoldersThatCannotBeLoadedAreSaidToBe) {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  fs::copy_file(fs::path(FASTCHAT_SOURCE_DIR) / "models" / "demo" / "config.json",
                folder / "config.json");
  const auto warnings = [&] {
    const Ran ran = run(run_plan, {"--model-path", folder.string()});
    EXPECT_EQ(ran.status, 0) << ran.err << ran.thrown;
    return ran.err;
  };
  std::string said = warnings();
  EXPECT_NE(said.find("neither model.safetensors"), std::string::npos) << said;
  EXPECT_NE(said.find("no tokenizer"), std::string::npos) << said;
  touch(folder / "quant_model_description.json");
  EXPECT_NE(missing_parts(folder).front().find("quant_model_weight*.safetensors"),
            std::string::npos);
  fs::remove(folder / "quant_model_description.json");
  touch(folder / "pytorch_model.bin");
  touch(folder / "tokenizer.json");
  said = warnings();
  EXPECT_NE(said.find("pytorch_model.bin"), std::string::npos) << said;
  EXPECT_EQ(said.find("no tokenizer"), std::string::npos) << said;
  touch(folder / "model.safetensors");
  EXPECT_EQ(warnings().find("not loaded"), std::string::npos);
  fs::remove(folder / "config.json");
  EXPECT_NE(run(run_plan, {"--model-path", folder.string()}).thrown.find("no config.json in it"),
            std::string::npos);
  fs::remove_all(folder);
}

TEST(PlanCommand, ModelKeysAreThoseDocumented) {
  const Ran ran = run(run_plan, {"--shape", "qwen2-0.5b", "--max-gpu-memory", "4GiB", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  std::set<std::string> keys;
  const json plan = json::parse(ran.out);
  for (const auto& [name, value] : plan["model"].items()) keys.insert(name);
  std::ifstream file(std::filesystem::path(FASTCHAT_SOURCE_DIR) / "docs" / "plan-json.md");
  std::set<std::string> documented;
  const std::string start = "| `model.";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(start))
      documented.insert(line.substr(start.size(), line.find('`', start.size()) - start.size()));
  EXPECT_EQ(keys, documented);
}

TEST(PlanCommand, WhatDoesNotFitHasItsOwnExitStatus) {
  const Ran ran = run(run_plan,
                      {"--shape",
                       "qwen2-7b",
                       "--num-gpus",
                       "2",
                       "--max-gpu-memory",
                       "9GiB",
                       "--max-model-len",
                       "131072",
                       "--json"});
  EXPECT_EQ(ran.status, 3);
  EXPECT_NE(ran.err.find("a context of 131072 tokens does not fit"), std::string::npos) << ran.err;
  const json refusal = json::parse(ran.out);
  EXPECT_FALSE(refusal["fits"]);
  EXPECT_EQ(refusal["reason"], "context");
  EXPECT_EQ(refusal["model"]["name"], "qwen2-7b");

  const std::int64_t largest = refusal["remedies"]["max_model_len"];
  ASSERT_GT(largest, 0);
  const auto status_of = [](std::int64_t max_model_len) {
    return run(run_plan,
               {"--shape",
                "qwen2-7b",
                "--num-gpus",
                "2",
                "--max-gpu-memory",
                "9GiB",
                "--max-model-len",
                std::to_string(max_model_len)})
        .status;
  };
  EXPECT_EQ(status_of(largest), 0);
  EXPECT_EQ(status_of(largest + 1), 3);
}

TEST(PlanCommand, WeightsThatDoNotFitAreSaidToBe) {
  const Ran ran = run(run_plan, {"--shape", "qwen2-7b", "--max-gpu-memory", "4GiB"});
  EXPECT_EQ(ran.status, 3);
  EXPECT_TRUE(ran.out.empty()) << ran.out;
  EXPECT_NE(ran.err.find("the weights alone do not fit"), std::string::npos) << ran.err;
}

TEST(PlanCommand, WeightsInEightBitsAreSuggestedWhereTheyWouldFit) {
  const auto refusal = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--shape");
    return run(run_plan, arguments).err;
  };
  EXPECT_NE(refusal({"qwen2-7b", "--max-gpu-memory", "12GiB"}).find("--load-8bit"),
            std::string::npos);
  EXPECT_EQ(refusal({"qwen2-7b", "--max-gpu-memory", "4GiB"}).find("--load-8bit"),
            std::string::npos);
  EXPECT_EQ(refusal({"qwen2-7b", "--max-gpu-memory", "4GiB", "--load-8bit"}).find("--load-8bit"),
            std::string::npos);
}

TEST(PlanCommand, NamedCardsAreAskedForNoMoreThanTheyHave) {
  const std::string one = run(run_plan, {"--shape", "qwen2-72b", "--cards", "Ascend910B1"}).err;
  EXPECT_NE(one.find("the weights alone do not fit"), std::string::npos) << one;
  EXPECT_EQ(one.find("on device 0 alone"), std::string::npos) << one;
  EXPECT_NE(one.find("(--cards 3x…)"), std::string::npos) << one;
  EXPECT_EQ(one.find("--num-gpus"), std::string::npos) << one;
  const std::string two = run(run_plan, {"--shape", "qwen2-72b", "--cards", "2xAscend910B1"}).err;
  EXPECT_EQ(two.find("on every device"), std::string::npos) << two;
  EXPECT_NE(two.find("--load-8bit"), std::string::npos) << two;
}

// Each copy has one card, which holds 72 billion weights in 8 bits no more than in 16.
TEST(PlanCommand, RemediesOfCopiesHoldForEveryCopy) {
  const auto plan = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--shape", "qwen2-72b", "--cards"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(run_plan, arguments);
  };
  const Ran refused = plan({"8xAscend910B1-64GiB", "--data-parallel-size", "8", "--json"});
  EXPECT_EQ(refused.status, 3);
  EXPECT_EQ(refused.err.find("--load-8bit"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("--cards 24x…"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("--data-parallel-size 2)"), std::string::npos) << refused.err;
  const json result = json::parse(refused.out);
  EXPECT_EQ(result["data_parallel_size"], 8);
  EXPECT_EQ(result["remedies"]["data_parallel_size"], 2);
  EXPECT_FALSE(result["remedies"]["load_8bit"]);
  EXPECT_EQ(plan({"8xAscend910B1-64GiB", "--data-parallel-size", "2"}).status, 0);
  EXPECT_EQ(plan({"24xAscend910B1-64GiB", "--data-parallel-size", "8"}).status, 0);
}

TEST(PlanCommand, WithoutLengthTheContextShrinksToWhatFits) {
  // Weights, the tied embedding counted twice, take 1.2 GiB; 32768 tokens would take 384 MiB more.
  const Ran ran = run(run_plan,
                      {"--shape",
                       "qwen2-0.5b",
                       "--max-gpu-memory",
                       "1400MiB",
                       "--max-num-batched-tokens",
                       "64",
                       "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const json plan = json::parse(ran.out);
  EXPECT_TRUE(plan["model"]["context_reduced"]);
  EXPECT_LT(plan["bounds"]["max_model_len"], 32768);
  EXPECT_GT(plan["bounds"]["max_model_len"], 16);
}

TEST(PlanCommand, WrongUsageIsTwo) {
  EXPECT_EQ(run(run_plan, {}).status, 2);
  EXPECT_EQ(run(run_plan, {"--shape", "nothing"}).status, 2);
  EXPECT_EQ(run(run_plan, {"--shape", "qwen2-7b", "--no-such-flag"}).status, 2);
}

TEST(PlanCommand, AFolderWithoutConfigIsAFailureThatNamesIt) {
  const Ran ran = run(run_plan, {"--model-path", "/no/such/folder"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.thrown.find("/no/such/folder"), std::string::npos) << ran.thrown;
}

TEST(PreparePlan, LimitsBeyondTheHostShareWhatIsThere) {
  ModelOptions options;
  options.shape = "qwen2-0.5b";
  options.num_gpus = 2;
  options.max_gpu_memory = {1000 * kGiB, 3000 * kGiB};
  const auto platform = open_platform(options);
  const PlannedModel present = prepare_plan(options, *platform);
  ASSERT_EQ(present.request.devices.size(), 2u);
  const std::uint64_t first = present.request.devices[0].free_bytes;
  const std::uint64_t second = present.request.devices[1].free_bytes;
  EXPECT_LT(first + second, 1000 * kGiB);
  EXPECT_NEAR(static_cast<double>(second) / static_cast<double>(first), 3.0, 0.01);
  EXPECT_FALSE(present.request.devices[0].described);
}

TEST(DevicesCommand, ListsCpuAndSaysWhyTheOthersAreMissing) {
  const Ran ran = run(run_devices, {"--num-gpus", "2"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.out.find("cpu   0"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("cpu   1"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("npu   not available"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("cuda  not available"), std::string::npos) << ran.out;
}

TEST(DevicesCommand, JsonHasEveryKind) {
  const Ran ran = run(run_devices, {"--json"});
  ASSERT_EQ(ran.status, 0);
  const json result = json::parse(ran.out);
  ASSERT_EQ(result["kinds"].size(), 3u);
  const json& cpu = result["kinds"][0];
  EXPECT_EQ(cpu["kind"], "cpu");
  EXPECT_TRUE(cpu["available"]);
  ASSERT_EQ(cpu["devices"].size(), 1u);
  for (const char* key :
       {"index", "physical_index", "name", "details", "total_bytes", "free_bytes"})
    EXPECT_TRUE(cpu["devices"][0].contains(key)) << key;
  EXPECT_GT(cpu["devices"][0]["total_bytes"], 0);
  EXPECT_FALSE(result["kinds"][1]["available"]);
  EXPECT_NE(result["kinds"][1]["reason"], "");
}

TEST(DevicesCommand, AKindThatIsNotThereIsExitStatusOne) {
  const Ran ran = run(run_devices, {"--device", "npu"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.out.find("npu   not available"), std::string::npos) << ran.out;
}

}  // namespace
}  // namespace fastchat::serve
