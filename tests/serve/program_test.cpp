// `fastchat` as typed: verbs, help, version, and what start-up failures look like.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

namespace fastchat::serve {
namespace {

struct Ran {
  int status = -1;
  std::string output;  // standard output and error
};

Ran fastchat(const std::string& arguments, const std::string& environment = "LC_ALL=C") {
  // Before the arguments, which may redirect again.
  const std::string command =
      "2>&1 </dev/null env " + environment + " '" FASTCHAT_BINARY "' " + arguments;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  Ran ran;
  std::array<char, 4096> bytes;
  for (std::size_t count = 0; (count = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0;)
    ran.output.append(bytes.data(), count);
  const int status = pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

#define EXPECT_SAYS(ran, text) EXPECT_NE((ran).output.find(text), std::string::npos) << (ran).output

TEST(Program, AloneItListsItsVerbsAndOnlyThose) {
  for (const char* arguments : {"", "--help", "-h"}) {
    const Ran ran = fastchat(arguments);
    EXPECT_EQ(ran.status, 0);
    for (const char* verb : {"cli ", "serve ", "devices ", "plan ", "bench "})
      EXPECT_SAYS(ran, verb);
    EXPECT_EQ(ran.output.find("worker"), std::string::npos) << ran.output;
  }
}

TEST(Program, SpeaksChinese) {
  EXPECT_SAYS(fastchat("", "LC_ALL=zh_CN.UTF-8"), "用法");
  EXPECT_SAYS(fastchat("--lang zh"), "用法");
  EXPECT_SAYS(fastchat("cli --lang zh --help"), "示例");
}

TEST(Program, TheLanguageComesFromTheEnvironmentAndTheConfigurationFileToo) {
  EXPECT_SAYS(fastchat("", "LC_ALL=C FASTCHAT_LANG=zh"), "用法");
  EXPECT_SAYS(fastchat("cli --help", "LC_ALL=C FASTCHAT_LANG=zh"), "示例");
  EXPECT_SAYS(fastchat("cli --help --lang en", "LC_ALL=C FASTCHAT_LANG=zh"), "Examples");
  std::string pattern = (std::filesystem::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  std::ofstream(folder / "flags") << "lang=zh\nnum-gpus=1\n";
  const std::string config = " --config " + (folder / "flags").string();
  EXPECT_SAYS(fastchat("plan" + config), "请指定模型");
  EXPECT_SAYS(fastchat("plan" + config, "LC_ALL=C FASTCHAT_LANG=en"), "请指定模型");
  EXPECT_SAYS(fastchat("plan --lang en" + config), "which model?");
  EXPECT_SAYS(fastchat("plan --config /no/such/file"), "cannot read /no/such/file");
  std::filesystem::remove_all(folder);
}

TEST(Program, ErrorsAndHeadingsAreChineseUnderZh) {
  const std::string zh = "LC_ALL=zh_CN.UTF-8";
  EXPECT_SAYS(fastchat("plan --shape qwen2-7b --cards 4xAscend", zh), "不是已知的卡");
  EXPECT_SAYS(fastchat("plan --shape qwen2-7b --cards Ascend910B1 --num-gpus 2", zh),
              "不能同时给出");
  EXPECT_SAYS(fastchat("plan --shape qwen2-7b --cards 3xAscend910B1 --tensor-parallel-size 2", zh),
              "为 2 的倍数，现有 3 个");
  EXPECT_SAYS(fastchat("devices --num-gpus 1", zh), "核心 ");
  EXPECT_SAYS(fastchat("devices --num-gpus 1024", zh), "个设备共用");
  EXPECT_SAYS(fastchat("bench limits --help", zh), "选项：");
  EXPECT_SAYS(fastchat("cli --help", zh), "模型：\n");
  EXPECT_EQ(fastchat("cli --help", zh).output.find("用法:"), std::string::npos);
  const Ran bench = fastchat("bench model --model-path '" FASTCHAT_SOURCE_DIR
                             "/models/demo' --prompt-len 8 --gen-len 0 --repetitions 1",
                             zh);
  EXPECT_SAYS(bench, "占极限");
  EXPECT_SAYS(bench, "预填充 ");
}

// On machines without Ascend cards, which is where these tests run.
TEST(Program, WithoutAscendSoftwareItSaysWhatToInstallAndEndsAtOnce) {
  const auto start = std::chrono::steady_clock::now();
  const Ran devices = fastchat("devices --device npu");
  const Ran cli = fastchat("cli --device npu --model-path '" FASTCHAT_SOURCE_DIR "/models/demo'");
  // Two runs, with sanitizers, perhaps beside other tests; one takes some 30 ms.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
  EXPECT_EQ(devices.status, 1);
  EXPECT_TRUE(devices.output.starts_with("npu   not available. there is neither"))
      << devices.output;
  EXPECT_SAYS(devices, "driver and firmware");
  EXPECT_EQ(devices.output.find("--device npu:"), std::string::npos) << devices.output;
  EXPECT_EQ(cli.status, 1);
  EXPECT_SAYS(cli, "--device npu: there is neither an Ascend driver nor CANN");
  EXPECT_EQ(cli.output.find("--device npu:"), cli.output.rfind("--device npu:")) << cli.output;
  const std::string zh = "LC_ALL=zh_CN.UTF-8";
  EXPECT_SAYS(fastchat("devices --device npu", zh), "没有昇腾驱动，也没有 CANN");
  EXPECT_SAYS(fastchat("devices --json --device npu", zh), "\"code\": \"nothing_installed\"");
  EXPECT_SAYS(fastchat("devices --json --device npu", zh), "neither an Ascend driver nor CANN");
}

TEST(Program, AMistypedPlaceOfCannIsMentioned) {
  EXPECT_SAYS(fastchat("devices --device npu", "LC_ALL=C ASCEND_HOME_PATH=/no/such/cann"),
              "ASCEND_HOME_PATH=/no/such/cann: there is no such folder");
  EXPECT_SAYS(fastchat("cli --device npu --model-path '" FASTCHAT_SOURCE_DIR "/models/demo'",
                       "LC_ALL=zh_CN.UTF-8 ASCEND_HOME_PATH=/usr"),
              "ASCEND_HOME_PATH=/usr：其中没有 CANN");
}

TEST(Program, BenchsFormatMustAgreeWithTheOtherFlagsOfTheWeights) {
  const std::string bench = "bench model --model-path '" FASTCHAT_SOURCE_DIR
                            "/models/demo' --prompt-len 0 --gen-len 2 --repetitions 1 ";
  for (const auto& [flags, message] :
       {std::pair{"--format bf16 --load-8bit", "--format bf16 contradicts --load-8bit"},
        {"--format w8a8 --load-8bit", "--format w8a8 contradicts --load-8bit"},
        {"--format w8a16 --quantization none", "contradicts --quantization none"},
        {"--format f32 --quantization w8a8", "contradicts --quantization w8a8"},
        {"--format bf16 --dtype float16", "contradicts --dtype float16"}}) {
    const Ran ran = fastchat(bench + flags);
    EXPECT_EQ(ran.status, 2) << flags;
    EXPECT_SAYS(ran, message);
  }
  EXPECT_SAYS(fastchat(bench + "--format bf16 --load-8bit", "LC_ALL=zh_CN.UTF-8"),
              "--format bf16 与 --load-8bit 矛盾");
  EXPECT_EQ(fastchat(bench + "--format f32 --dtype float32").status, 0);
  EXPECT_EQ(fastchat(bench + "--format w8a16 --load-8bit --dtype float32").status, 0);
}

TEST(Program, NumbersThatADeviceDoesNotHaveAreWrongUsage) {
  const Ran ran = fastchat("plan --shape qwen2-7b --cards Ascend910B1 --dtype float32");
  EXPECT_EQ(ran.status, 2);
  EXPECT_SAYS(ran, "--dtype float32: Ascend's attention takes 16-bit numbers");
}

/// A file of settings for --config.
class ConfigurationFile : public testing::Test {
 protected:
  ConfigurationFile() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "fastchat-test-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ConfigurationFile() override { std::filesystem::remove_all(folder_); }
  Ran plan_with(const std::string& lines, const std::string& more = "") {
    std::ofstream(folder_ / "flags") << lines;
    return fastchat("plan --config " + (folder_ / "flags").string() + " " + more);
  }
  std::filesystem::path folder_;
};

TEST_F(ConfigurationFile, ListsNeedNoQuotes) {
  for (const char* list : {"800MiB,6GiB", "800MiB, 6GiB", "\"800MiB,6GiB\"", "[800MiB, '6GiB']"}) {
    const Ran ran = plan_with(
        "# two devices\nshape = qwen2-0.5b\nnum_gpus=2\nload-8bit\n"
        "max-model-len=512\nmax-gpu-memory = " +
        std::string(list) + "\n");
    EXPECT_EQ(ran.status, 0) << list;
    EXPECT_SAYS(ran, "w8a16");
    EXPECT_SAYS(ran, "over 2 of 2 devices");
  }
}

TEST_F(ConfigurationFile, WhatIsWrongIsNamedWithFileAndLine) {
  for (const auto& [lines, message] :
       {std::pair{"shape=qwen2-7b\n\nnum-gpu=2\n",
                  "flags:3: there is no setting 'num-gpu'; did you mean num-gpus?"},
        {"shape=qwen2-7b\nnum-gpus\n", "flags:2: 'num-gpus' has no value; expected num-gpus=N"},
        {"[model]\nshape=qwen2-7b\n", "flags:1: '[model]' is no setting; expected a line such as"},
        {"shape qwen2-7b\n", "flags:1: 'shape qwen2-7b' is no setting"},
        {"shape=qwen2-7b\nnum-gpus=x\n", "--num-gpus: 'x' is not a number ("},
        {"shape=qwen2-7b\nnum-gpus=x\n", "flags, line 2)"},
        {"num-gpus=3\nmax-gpu-memory=1GiB,2GiB\n", "flags, line 2)"}}) {
    const Ran ran = plan_with(lines);
    EXPECT_EQ(ran.status, 2) << lines;
    EXPECT_SAYS(ran, message);
  }
  // The command line's values win, and are to blame for themselves.
  const Ran ran = plan_with("shape=qwen2-7b\nnum-gpus=2\n", "--num-gpus x");
  EXPECT_EQ(ran.output.find("line 2"), std::string::npos) << ran.output;
}

TEST(Program, MisspeltVariablesOfTheEnvironmentAreSaidToBeIgnored) {
  const std::string plan = "plan --shape qwen2-0.5b --max-gpu-memory 8GiB";
  EXPECT_SAYS(fastchat(plan, "LC_ALL=C FASTCHAT_NUM_GPU=2"),
              "FASTCHAT_NUM_GPU is no setting and is ignored; did you mean FASTCHAT_NUM_GPUS?");
  EXPECT_SAYS(fastchat(plan, "LC_ALL=C FASTCHAT_GRAPH_LENGTH=exact"),
              "did you mean FASTCHAT_GRAPH_LENGTHS?");
  EXPECT_SAYS(fastchat(plan, "LC_ALL=C FASTCHAT_CLOCK_DILLATION=20"),
              "did you mean FASTCHAT_CLOCK_DILATION?");
  EXPECT_SAYS(fastchat(plan, "LC_ALL=zh_CN.UTF-8 FASTCHAT_SHAP=2"), "是不是 FASTCHAT_SHAPE？");
  for (const char* other : {"FASTCHAT_SLOW_TESTS=1",
                            "FASTCHAT_CLOCK_DILATION=2",
                            "FASTCHAT_LAUNCH_BLOCKING=1",
                            "FASTCHAT_GRAPH_LENGTHS=exact",
                            "FASTCHAT_CARD_POOL=0",
                            "FASTCHAT_CPU_OPS=reference",
                            "FASTCHAT_EMULATOR_CARDS=2",
                            "FASTCHAT_LOG=warn",
                            "FASTCHAT_CPU_ISA=generic",
                            "FASTCHAT_TEMPERATURE=0",
                            "FASTCHAT_NUM_GPUS=1"}) {
    const Ran ran = fastchat(plan, "LC_ALL=C " + std::string(other));
    EXPECT_EQ(ran.status, 0) << other;
    EXPECT_EQ(ran.output.find("is no setting"), std::string::npos) << ran.output;
  }
}

TEST(Program, WhatIsWrongWithAModelsFilesIsChineseUnderZh) {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  for (const fs::directory_entry& file : fs::directory_iterator(FASTCHAT_SOURCE_DIR "/models/demo"))
    if (file.is_regular_file()) fs::copy_file(file.path(), folder / file.path().filename());
  const auto cli = [&](const std::string& environment) {
    Ran ran = fastchat("cli --device cpu -m hi --model-path " + folder.string(), environment);
    EXPECT_EQ(ran.status, 1) << ran.output;
    return ran;
  };
  const std::string zh = "LC_ALL=zh_CN.UTF-8";
  fs::resize_file(folder / "model.safetensors", fs::file_size(folder / "model.safetensors") - 100);
  EXPECT_SAYS(cli(zh), "文件不完整");
  EXPECT_SAYS(cli("LC_ALL=C"), "it is truncated");
  fs::remove(folder / "model.safetensors");
  EXPECT_SAYS(cli(zh), "既没有 model.safetensors");
  std::ofstream(folder / "config.json") << "{\"architectures\": [\"Strange\"]}";
  EXPECT_SAYS(cli(zh), "不支持模型结构 \"Strange\"");
  std::ofstream(folder / "config.json") << "{";
  EXPECT_SAYS(cli(zh), "应为 JSON");
  fs::remove_all(folder);
}

TEST(Program, WhatTakesSecondsIsAnnounced) {
  EXPECT_TRUE(fastchat("bench limits --repetitions 1").output.starts_with("measuring what"));
  const Ran plan = fastchat("plan --shape qwen2-0.5b --parallel layer --cards 65xAscend910B1");
  EXPECT_TRUE(plan.output.starts_with("planning for 65 devices")) << plan.output;
}

TEST(Program, TellsItsVersion) {
  const Ran ran = fastchat("--version");
  EXPECT_EQ(ran.status, 0);
  EXPECT_TRUE(ran.output.starts_with("fastchat ")) << ran.output;
}

TEST(Program, VerbsThatComeLaterAreNamedAsSuch) {
  const Ran ran = fastchat("worker --port 8000");
  EXPECT_EQ(ran.status, 2);
  EXPECT_SAYS(ran, "later version");
}

TEST(Program, UnknownVerbsGetTheNearest) {
  const Ran ran = fastchat("device");
  EXPECT_EQ(ran.status, 2);
  EXPECT_SAYS(ran, "Did you mean 'devices'?");
}

TEST(Program, CliHelpTeaches) {
  const Ran ran = fastchat("cli --help");
  EXPECT_EQ(ran.status, 0);
  for (const char* part : {"Examples:",
                           "--model-path",
                           "--temperature",
                           "0.7",
                           "--repetition-penalty",
                           "--max-new-tokens",
                           "512",
                           "--stop",
                           "--seed",
                           "Sampling",
                           "Conversation",
                           "-m,"})
    EXPECT_SAYS(ran, part);
  EXPECT_SAYS(ran, "\n" + std::string(36, ' ') + "programmatic: messages");  // a second line
}

TEST(Program, WrongUsageIsOneLineAndAHint) {
  const Ran unknown = fastchat("cli --no-such-flag");
  EXPECT_EQ(unknown.status, 2);
  EXPECT_SAYS(unknown, "--no-such-flag");
  EXPECT_SAYS(unknown, "--help");
  EXPECT_EQ(fastchat("cli --top-p 1.5").status, 2);
  EXPECT_EQ(fastchat("cli --style fancy").status, 2);
}

TEST(Program, FlagsTakeUnderscoresAndAbbreviations) {
  // Refused for the folder, so all flags before were understood.
  const Ran ran = fastchat(
      "cli --model no-such-folder --repetition_penalty 1.1 --max_new_tokens=5 --presence-penalty "
      "-1.5 --style rich");
  EXPECT_EQ(ran.status, 1);
  EXPECT_SAYS(ran, "no-such-folder");
}

TEST(Program, FlagsComeFromTheEnvironmentToo) {
  EXPECT_SAYS(fastchat("cli --model x", "LC_ALL=C FASTCHAT_STYLE=fancy"), "fancy");
}

TEST(Program, AModelWithoutAChatTemplateIsRefusedBeforeLoading) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  const Ran empty = fastchat("cli --model-path " + folder.string());
  EXPECT_SAYS(empty, "no config.json");
  std::ofstream(folder / "config.json") << "{}";
  std::ofstream(folder / "tokenizer_config.json") << "{}";
  EXPECT_SAYS(fastchat("cli --model-path " + (folder / "config.json").string()), "a file");
  const Ran ran = fastchat("cli --model-path " + folder.string());
  EXPECT_EQ(ran.status, 1);
  EXPECT_SAYS(ran, "no chat template");
  EXPECT_SAYS(ran, "instruct");
  std::filesystem::remove_all(folder);
}

TEST(Program, ConversationTemplatesAreChosenByName) {
  const std::string demo =
      "cli --model-path '" FASTCHAT_SOURCE_DIR "/models/demo' --temperature 0 ";
  const Ran asked =
      fastchat(demo + "--conv-template qwen-7b-chat -m 'What is the capital of Japan?'");
  EXPECT_EQ(asked.status, 0);
  EXPECT_SAYS(asked, "Tokyo");
  const Ran unknown = fastchat(demo + "--conv-template vicunna");
  EXPECT_EQ(unknown.status, 2);
  EXPECT_LT(unknown.output.find("vicuna_v1.1"), unknown.output.find("chatml")) << unknown.output;
  const Ran list = fastchat("cli --conv-template list");
  EXPECT_EQ(list.status, 0);
  EXPECT_EQ(std::count(list.output.begin(), list.output.end(), '\n'), 102) << list.output;
  const Ran without_prompt = fastchat(demo + "--conv-template yandexgpt");
  EXPECT_EQ(without_prompt.status, 2);
  EXPECT_SAYS(without_prompt, "API");
}

// As FastChat's tests/test_cli.py drives it. End of input ends the program.
TEST(Program, ProgrammaticStyleSpeaksFastChatsProtocol) {
  const std::string command =
      "printf 'Who are\\nyou? __END_OF_A_MESSAGE_47582648__\\n"
      "What is 1 + 1? __END_OF_A_MESSAGE_47582648__\\n' | env LC_ALL=zh_CN.UTF-8 '" FASTCHAT_BINARY
      "' cli --model-path '" FASTCHAT_SOURCE_DIR
      "/models/demo' --temperature 0 --style programmatic --conv-template qwen-7b-chat 2>/dev/null";
  std::FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_TRUE(
      output.starts_with("[!OP:<|im_start|>user]: Who are\nyou?\n"
                         "[!OP:<|im_start|>assistant]: "))
      << output;
  EXPECT_NE(output.find("\n[!OP:<|im_start|>user]: What is 1 + 1?\n"
                        "[!OP:<|im_start|>assistant]: 1 + 1 = 2\n"),
            std::string::npos)
      << output;
}

TEST(Program, ExitStatusesAreThoseOfEveryVerb) {
  const std::string demo = " --model-path '" FASTCHAT_SOURCE_DIR "/models/demo' ";
  for (const std::string verb : {"cli", "plan", "bench model"}) {
    EXPECT_EQ(fastchat(verb).status, 2) << verb;
    EXPECT_EQ(fastchat(verb + " --model-path /no/such/folder").status, 1) << verb;
    const Ran too_large = fastchat(verb + demo + "--max-gpu-memory 1MiB");
    EXPECT_EQ(too_large.status, 3) << verb << too_large.output;
  }
}

TEST(Program, TheChatSaysWhatItLoaded) {
  const std::string demo = "cli --model-path '" FASTCHAT_SOURCE_DIR "/models/demo' --num-gpus 2 ";
  const Ran english = fastchat(demo);
  for (const char* part : {"demo (Qwen2ForCausalLM, ",
                           " parameters, ",
                           "cpu:0",
                           "cpu:1",
                           "embedding",
                           "tokens per conversation, cache for",
                           "Ctrl-D or !!exit leaves"})
    EXPECT_SAYS(english, part);
  const Ran chinese = fastchat(demo + "--lang zh");
  for (const char* part : {"模型", "参数", "设备", "词嵌入", "每个对话", "!!exit 退出"})
    EXPECT_SAYS(chinese, part);
}

TEST(Program, HowDevicesWorkTogetherIsSaidWithItsReason) {
  const std::string demo = " --model-path '" FASTCHAT_SOURCE_DIR "/models/demo' --num-gpus 2 ";
  const Ran chosen = fastchat("cli" + demo);
  EXPECT_SAYS(chosen, "--parallel auto: ");
  EXPECT_SAYS(chosen, "layer: ");  // beside what
  const Ran tensor = fastchat("cli" + demo + "--parallel tensor");
  EXPECT_SAYS(tensor, "tensor, as asked");
  EXPECT_SAYS(tensor, "part 1 of 2");
  EXPECT_SAYS(tensor, "part 2 of 2");
  const std::string zh = "LC_ALL=zh_CN.UTF-8";
  EXPECT_SAYS(fastchat("cli" + demo, zh), "--parallel auto：选择 ");
  EXPECT_SAYS(fastchat("cli" + demo + "--parallel tensor", zh), "第 2/2 份");

  const std::string bench = "bench model" + demo + "--prompt-len 0 --gen-len 2 --repetitions 1 ";
  EXPECT_SAYS(fastchat(bench + "--parallel pipeline 2>/dev/null"), ", 2 devices: pipeline\n");
  EXPECT_SAYS(fastchat(bench + "--data-parallel-size 2 2>/dev/null"), ", 2 devices: 2 copies");
}

TEST(Program, AnswersOfSimulatedDevicesAreSaidToMeanNothing) {
  const std::string chat = "cli --model-path '" FASTCHAT_SOURCE_DIR "/models/demo' -m Hello";
  EXPECT_SAYS(fastchat(chat, "LC_ALL=C FASTCHAT_CLOCK_DILATION=20"), "answers mean nothing");
  EXPECT_EQ(fastchat(chat).output.find("answers mean nothing"), std::string::npos);
}

// With a tensor that nothing loads, as older checkpoints have.
TEST(Program, LoadingEndsAtItsTotal) {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "fastchat-test-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  const fs::path demo = FASTCHAT_SOURCE_DIR "/models/demo";
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(demo / name, folder / name);
  std::ifstream in(demo / "model.safetensors", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  nlohmann::json header = nlohmann::json::parse(bytes.substr(8, header_bytes));
  const std::uint64_t data_bytes = bytes.size() - 8 - header_bytes;
  constexpr std::uint64_t kExtra = 1 << 20;
  header["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
      {"dtype", "F32"},
      {"shape", {kExtra / 4}},
      {"data_offsets", {data_bytes, data_bytes + kExtra}}};
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  header_bytes = text.size();
  std::ofstream(folder / "model.safetensors", std::ios::binary)
      << std::string(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes) << text
      << bytes.substr(bytes.size() - data_bytes) << std::string(kExtra, '\0');
  const Ran ran = fastchat("cli --model-path " + folder.string());
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_SAYS(ran, "loading 3.68 MiB / 3.68 MiB, ");
  fs::remove_all(folder);
}

TEST(Program, OutputThatCannotBeWrittenIsAFailure) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  const std::string plan = "plan --shape qwen2-0.5b --max-gpu-memory 4GiB ";
  for (const std::string& command : {plan,
                                     plan + "--json ",
                                     std::string("devices "),
                                     std::string("bench --help "),
                                     std::string("cli --help ")}) {
    const Ran ran = fastchat(command + ">/dev/full");
    EXPECT_EQ(ran.status, 1) << command;
    EXPECT_SAYS(ran, "cannot write to standard output: No space left");
  }
}

TEST(Program, AMissingModelIsOneLine) {
  const Ran ran = fastchat("cli --model-path /no/such/folder");
  EXPECT_EQ(ran.status, 1);
  EXPECT_SAYS(ran, "/no/such/folder");
  EXPECT_EQ(std::count(ran.output.begin(), ran.output.end(), '\n'), 1) << ran.output;
}

}  // namespace
}  // namespace fastchat::serve
