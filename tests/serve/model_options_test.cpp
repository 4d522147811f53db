// Flags of a model and its devices, as typed on a command line.
#include "serve/model_options.h"

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "serve/command_line.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

struct Parsed {
  ModelOptions options;
  int status = 0;  // 0: parsed
  std::string errors;
  std::string help;
};

Parsed parse(std::vector<std::string> arguments) {
  Parsed parsed;
  CLI::App app("", "fastchat test");
  add_model_options(app, parsed.options);
  arguments.insert(arguments.begin(), "fastchat test");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  parsed.status = parse_command_line(app, static_cast<int>(argv.size()), argv.data()).value_or(0);
  parsed.help = testing::internal::GetCapturedStdout();
  parsed.errors = testing::internal::GetCapturedStderr();
  return parsed;
}

/// Parsing fails with exit status 2, and the message holds `part`.
void expect_refused(const std::vector<std::string>& arguments, const std::string& part) {
  const Parsed parsed = parse(arguments);
  SCOPED_TRACE(testing::PrintToString(arguments));
  EXPECT_EQ(parsed.status, 2);
  EXPECT_NE(parsed.errors.find(part), std::string::npos) << parsed.errors;
}

TEST(ModelOptions, DefaultsAreThoseOfTheStruct) {
  const ModelOptions options = parse({}).options;
  EXPECT_EQ(options.device, "auto");
  EXPECT_EQ(options.num_gpus, 0);
  EXPECT_EQ(options.dtype, "auto");
  EXPECT_DOUBLE_EQ(options.gpu_memory_utilization, 0.9);
  EXPECT_EQ(options.max_num_batched_tokens, 0);
  EXPECT_FALSE(options.kv_cache_bytes.has_value());
}

TEST(ModelOptions, ReadsEveryFlag) {
  const Parsed parsed = parse({"--model-path",
                               "/models/a",
                               "--device",
                               "cpu",
                               "--num-gpus",
                               "2",
                               "--gpus",
                               "2,0",
                               "--max-gpu-memory",
                               "8GiB,13Gib",
                               "--gpu-memory-utilization",
                               "0.5",
                               "--kv-cache-bytes",
                               "2GiB",
                               "--max-model-len",
                               "4096",
                               "--max-num-batched-tokens",
                               "256",
                               "--max-num-seqs",
                               "4",
                               "--dtype",
                               "bfloat16",
                               "--load-format",
                               "dummy",
                               "--safetensors-load-strategy",
                               "eager",
                               "--revision",
                               "v2"});
  ASSERT_EQ(parsed.status, 0) << parsed.errors;
  const ModelOptions& options = parsed.options;
  EXPECT_EQ(options.model_path, "/models/a");
  EXPECT_EQ(options.device, "cpu");
  EXPECT_EQ(options.num_gpus, 2);
  EXPECT_EQ(options.gpus, (std::vector<int>{2, 0}));
  EXPECT_EQ(options.max_gpu_memory, (std::vector<std::uint64_t>{8 * kGiB, 13 * kGiB}));
  EXPECT_DOUBLE_EQ(options.gpu_memory_utilization, 0.5);
  EXPECT_EQ(options.kv_cache_bytes, 2 * kGiB);
  EXPECT_EQ(options.max_model_len, 4096);
  EXPECT_EQ(options.max_num_batched_tokens, 256);
  EXPECT_EQ(options.max_num_seqs, 4);
  EXPECT_EQ(options.dtype, "bfloat16");
  EXPECT_EQ(options.load_format, LoadFormat::dummy);
  EXPECT_EQ(options.load_strategy, model::LoadStrategy::eager);
  EXPECT_EQ(options.revision, "v2");
}

TEST(ModelOptions, UnderscoresAndAbbreviationsAreAccepted) {
  EXPECT_EQ(parse({"--model_path", "a"}).options.model_path, "a");
  EXPECT_EQ(parse({"--model", "a"}).options.model_path, "a");
  EXPECT_EQ(parse({"--max_gpu_memory=1GiB"}).options.max_gpu_memory.size(), 1u);
  EXPECT_EQ(parse({"--num-g", "3"}).options.num_gpus, 3);
  EXPECT_EQ(parse({"--max", "3"}).status, 2);  // several flags begin so
}

TEST(ModelOptions, FewerGpusThanAskedIsRefusedAsInFastChat) {
  expect_refused({"--gpus", "0", "--num-gpus", "2"}, "Larger --num-gpus (2) than --gpus 0!");
  EXPECT_EQ(parse({"--gpus", "0,1,2", "--num-gpus", "2"}).status, 0);
}

TEST(ModelOptions, OneMemoryLimitOrOnePerDevice) {
  EXPECT_EQ(parse({"--num-gpus", "3", "--max-gpu-memory", "1GiB"}).status, 0);
  EXPECT_EQ(parse({"--gpus", "0,1", "--max-gpu-memory", "1GiB,2GiB"}).status, 0);
  expect_refused({"--num-gpus", "3", "--max-gpu-memory", "1GiB,2GiB"}, "2 values for 3 device(s)");
  expect_refused({"--max-gpu-memory", "1GiB,"}, "not a size");
  expect_refused({"--max-gpu-memory", "lots"}, "not a size");
  expect_refused({"--max-gpu-memory", "0"}, "above 0");
  expect_refused({"--max-gpu-memory", "8"}, "'8' has no unit; write for example 8GiB");
  expect_refused({"--num-gpus", "2", "--max-gpu-memory", "8GiB,16"}, "'16' has no unit");
  EXPECT_EQ(parse({"--max-gpu-memory", "4096B"}).options.max_gpu_memory.front(), 4096u);
}

TEST(ModelOptions, NonsenseIsRefusedWithTheFlagsName) {
  expect_refused({"--gpus", "0,x"}, "--gpus");
  expect_refused({"--gpus", "-1"}, "--gpus");
  expect_refused({"--gpus", "1,1"}, "named twice");
  expect_refused({"--num-gpus", "0"}, "--num-gpus");
  expect_refused({"--num-gpus", "1000000"}, "--num-gpus");
  expect_refused({"--dtype", "int3"}, "int3");
  expect_refused({"--gpu-memory-utilization", "1.5"}, "above 0 and at most 1");
  expect_refused({"--gpu-memory-utilization", "0"}, "above 0 and at most 1");
  expect_refused({"--max-model-len", "0"}, "--max-model-len");
  expect_refused({"--max-num-seqs", "-3"}, "--max-num-seqs");
  expect_refused({"--shape", "gpt-5"}, "qwen2-0.5b");
  expect_refused({"--shape", "qwen2-7b", "--model-path", "a"}, "--model-path");
  expect_refused({"--load-format", "pickle"}, "--load-format");
}

TEST(ModelOptions, NumbersMayBeNamedAsInOtherPrograms) {
  for (const char* name : {"fp16", "half", "float16"}) {
    const Parsed parsed = parse({"--dtype", name});
    EXPECT_EQ(parsed.status, 0) << parsed.errors;
    EXPECT_EQ(resolve_dtype(parsed.options, {}, device::DeviceKind::npu), device::DType::f16);
  }
}

TEST(ModelOptions, AnUnknownKindOfDeviceIsToldThoseThatExist) {
  expect_refused({"--device", "gpu"},
                 "'gpu' is none of auto, npu, cpu, cuda (cuda is not built yet)\n");
}

TEST(ModelOptions, FlagsOfFastChatThatComeLaterSaySo) {
  for (const char* flag : {"--cpu-offloading",
                           "--gptq-act-order",
                           "--enable-exllama",
                           "--exllama-cache-8bit",
                           "--enable-xft"})
    expect_refused({flag}, flag);
  for (const char* flag : {"--gptq-ckpt",
                           "--gptq-wbits",
                           "--gptq-groupsize",
                           "--awq-ckpt",
                           "--awq-wbits",
                           "--awq-groupsize",
                           "--exllama-max-seq-len",
                           "--exllama-gpu-split",
                           "--xft-max-seq-len",
                           "--xft-dtype"})
    expect_refused({flag, "4"}, flag);
  expect_refused({"--awq_ckpt", "x"}, "later version");
  expect_refused({"--exllama-gpu-split", "20,7,7"}, "--max-gpu-memory");
}

TEST(ModelOptions, WeightsInEightBits) {
  using model::Quantization;
  EXPECT_EQ(parse({}).options.quantization, Quantization::none);
  EXPECT_EQ(parse({"--load-8bit"}).options.quantization, Quantization::w8a16);
  EXPECT_EQ(parse({"--load_8bit", "--num-gpus", "4"}).options.quantization, Quantization::w8a16);
  EXPECT_EQ(parse({"--quantization", "w8a8"}).options.quantization, Quantization::w8a8);
  EXPECT_EQ(parse({"--quantization", "w8a16", "--load-8bit"}).options.quantization,
            Quantization::w8a16);
  expect_refused({"--quantization", "w4a16"}, "w8a16");
}

TEST(ModelOptions, TwoFlagsThatDisagreeOnTheWeightsAreRefused) {
  expect_refused({"--load-8bit", "--quantization", "w8a8"}, "--quantization w8a8 is given too");
  expect_refused({"--quantization", "w8a8", "--load-8bit"}, "--quantization w8a8 is given too");
  expect_refused({"--quantization", "none", "--load-8bit"}, "--quantization none is given too");
}

TEST(ModelOptions, HelpShowsGroupsButNotWhatComesLater) {
  const Parsed parsed = parse({"--help"});
  EXPECT_NE(parsed.help.find("Devices"), std::string::npos);
  EXPECT_NE(parsed.help.find("--max-gpu-memory"), std::string::npos);
  EXPECT_EQ(parsed.help.find("--awq-ckpt"), std::string::npos);
}

TEST(ModelOptions, AMisspeltFlagGetsASuggestion) {
  expect_refused({"--modle-path", "x"},
                 "there is no flag --modle-path; did you mean --model-path?");
  expect_refused({"--max", "3"}, "it could be --max-gpu-memory, --max-model-len");
  expect_refused({"--xyzzy-plugh"}, "there is no flag --xyzzy-plugh\n");
  expect_refused({"stray"}, "unexpected argument 'stray'");
}

TEST(ModelOptions, WhatIsWrongIsSaidInChinese) {
  set_language(Language::chinese);
  for (const auto& [arguments, message] :
       std::initializer_list<std::pair<std::vector<std::string>, std::string>>{
           {{"--modle-path", "x"}, "没有参数 --modle-path；是不是 --model-path？"},
           {{"--num-gpus", "x"}, "--num-gpus：'x' 不是数字"},
           {{"--num-gpus", "0"}, "--num-gpus：0 不在 1 到 1024 之间"},
           {{"--num-gpus"}, "--num-gpus 需要一个值"},
           {{"--load-format", "x"}, "--load-format：'x' 不是可选值；可选 auto, dummy"},
           {{"--shape", "x"}, "没有形状 'x'"},
           {{"--dtype", "x"}, "'x' 不是 auto"},
           {{"--max-gpu-memory", "x"}, "'x' 不是内存大小"},
           {{"--max-gpu-memory", "8"}, "'8' 没有单位"},
           {{"--config", "/no/such"}, "--config：无法读取 /no/such"},
           {{"--quantization", "w4a16"}, "--quantization：'w4a16' 不是可选值"},
           {{"--awq-ckpt", "x"}, "GPTQ 与 AWQ 权重"}})
    expect_refused(arguments, message);
  set_language(Language::english);
}

TEST(ModelOptions, HelpComesInChinese) {
  set_language(Language::chinese);
  const Parsed parsed = parse({"--help"});
  set_language(Language::english);
  EXPECT_NE(parsed.help.find("设备"), std::string::npos) << parsed.help;
}

TEST(OpenPlatform, AutoIsCpuAndOthersSayWhatIsMissing) {
  ModelOptions options;
  EXPECT_EQ(open_platform(options)->kind(), device::DeviceKind::cpu);
  for (const char* kind : {"npu", "cuda", "mps"}) {
    options.device = kind;
    try {
      open_platform(options);
      ADD_FAILURE() << kind << " opened";
    } catch (const Failure& failure) {
      EXPECT_NE(std::string(failure.what()).find(kind), std::string::npos);
      EXPECT_NE(std::string(failure.what()).find("--device cpu"), std::string::npos);
    }
  }
}

TEST(OpenPlatform, HasAsManyDevicesAsAskedFor) {
  ModelOptions options;
  options.num_gpus = 2;
  const auto two = open_platform(options);
  EXPECT_EQ(two->num_devices(), 2);
  EXPECT_EQ(device_indices(options, *two), (std::vector<int>{0, 1}));

  options.num_gpus = 0;
  options.gpus = {2, 0};
  const auto three = open_platform(options);
  EXPECT_EQ(three->num_devices(), 3);
  EXPECT_EQ(device_indices(options, *three), (std::vector<int>{2, 0}));

  options.num_gpus = 1;
  EXPECT_EQ(device_indices(options, *three), (std::vector<int>{2}));
  EXPECT_THROW(device_indices(options, *open_platform({})), Failure);
}

TEST(OpenPlatform, LimitsItsDevices) {
  ModelOptions options;
  options.max_gpu_memory = {64 * kMiB};
  EXPECT_LE(open_platform(options)->memory(0).free_bytes, 64 * kMiB);

  options.max_gpu_memory = {64 * kMiB, 32 * kMiB};  // of ranks 0 and 1
  options.gpus = {2, 0};
  EXPECT_EQ(open_platform(options)->memory(2).total_bytes, 64 * kMiB);
  EXPECT_EQ(open_platform(options)->memory(0).total_bytes, 32 * kMiB);
}

TEST(ResolveDtype, AutoIsTheCheckpointsTypeOnCpuAndHalfOnCards) {
  ModelOptions options;
  model::ModelConfig config;
  config.checkpoint_dtype = device::DType::bf16;
  EXPECT_EQ(resolve_dtype(options, config, device::DeviceKind::cpu), device::DType::bf16);
  EXPECT_EQ(resolve_dtype(options, config, device::DeviceKind::npu), device::DType::f16);
  options.dtype = "float32";
  EXPECT_EQ(resolve_dtype(options, config, device::DeviceKind::cpu), device::DType::f32);
  EXPECT_THROW(resolve_dtype(options, config, device::DeviceKind::npu), Failure);
}

class LanguageTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) unsetenv(name);
  }
};

TEST_F(LanguageTest, FlagThenLocaleThenEnglish) {
  EXPECT_EQ(detect_language(""), Language::english);
  setenv("LANG", "zh_CN.UTF-8", 1);
  EXPECT_EQ(detect_language(""), Language::chinese);
  setenv("LC_ALL", "C", 1);
  EXPECT_EQ(detect_language(""), Language::english);
  setenv("LC_ALL", "", 1);  // empty counts as unset
  EXPECT_EQ(detect_language(""), Language::chinese);
  EXPECT_EQ(detect_language("en"), Language::english);
  unsetenv("LANG");
  EXPECT_EQ(detect_language("zh"), Language::chinese);
}

}  // namespace
}  // namespace fastchat::serve
