// `fastchat devices` on emulated cards, as typed; and the thread of a card near its card.
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "device/ascend/cann_library.h"
#include "device/ascend/npu_device.h"
#include "device/cpu/cpu_topology.h"
#include "tests/device/fake_system.h"

namespace fastchat {
namespace {

using nlohmann::json;

struct Ran {
  int status = -1;
  std::string output;
};

Ran fastchat(const std::string& environment,
             const std::string& arguments,
             const std::string& input = {}) {
  // No search for leaks: the emulator's threads run until the end, as CANN's do.
  // Nor the ports that groups of this process have chosen for themselves.
  const std::string command = fmt::format(
      "printf '{}' | ASAN_OPTIONS=\"$ASAN_OPTIONS:detect_leaks=0\" "
      "env -u HCCL_IF_BASE_PORT {} '{}' {} 2>&1",
      input,
      environment,
      FASTCHAT_BINARY,
      arguments);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  Ran ran;
  std::array<char, 4096> bytes;
  for (std::size_t count = 0; (count = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0;)
    ran.output.append(bytes.data(), count);
  const int status = pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

Ran devices(const std::string& environment, const std::string& arguments) {
  return fastchat(environment, "devices --device npu " + arguments);
}

/// The npu's part of the JSON.
json devices_json(const std::string& environment) {
  const json all = json::parse(devices(environment, "--json").output, nullptr, false);
  if (!all.is_object()) return {};
  EXPECT_EQ(all["schema_version"], 1);
  return all["kinds"][0];
}

std::vector<std::string> codes(const json& kind) {
  std::vector<std::string> all;
  for (const json& finding : kind["findings"]) all.push_back(finding["code"]);
  return all;
}

const char* const kDemo = "cli --device npu --model-path '" FASTCHAT_SOURCE_DIR "/models/demo' ";

TEST(NpuDevices, ATensorGroupWithACardThatIsTooSmallGetsRemediesThatWork) {
  const std::string small = "FASTCHAT_EMULATOR_MEMORY=64GiB,64GiB,256MiB,64GiB ";
  const std::string cards = "FASTCHAT_EMULATOR_CARDS=4 " + small;
  const std::string tensor = std::string(kDemo) + "--parallel tensor ";
  const Ran refused = fastchat(cards, tensor + "--num-gpus 4");
  EXPECT_EQ(refused.status, 3);
  EXPECT_NE(refused.output.find("without device 2 npu:2 (--gpus 0,1,3)"), std::string::npos)
      << refused.output;
  const std::size_t at = refused.output.find("HCCL_BUFFSIZE=");
  ASSERT_NE(at, std::string::npos) << refused.output;
  const std::string size = refused.output.substr(at, refused.output.find(' ', at) - at);
  for (const Ran& remedied :
       {fastchat(cards + size, tensor + "--num-gpus 4"), fastchat(cards, tensor + "--gpus 0,1,3")})
    EXPECT_EQ(remedied.status, 0) << size << '\n' << remedied.output;

  const Ran chosen = fastchat(cards, std::string(kDemo) + "--num-gpus 4");
  EXPECT_EQ(chosen.status, 0);
  EXPECT_NE(chosen.output.find("unused    npu:2: "), std::string::npos) << chosen.output;
  const Ran copies = fastchat(cards, tensor + "--num-gpus 4 --data-parallel-size 2");
  EXPECT_NE(copies.output.find("device 2 npu:2"), std::string::npos) << copies.output;
}

TEST(NpuDevices, AMaskThatLeavesTooFewIsNamed) {
  const Ran cut = fastchat("ASCEND_RT_VISIBLE_DEVICES='4, 5'", std::string(kDemo) + "--num-gpus 2");
  EXPECT_EQ(cut.status, 1);
  EXPECT_NE(cut.output.find("--num-gpus: 2 npu devices asked for, 1 there"), std::string::npos)
      << cut.output;
  EXPECT_NE(cut.output.find("ASCEND_RT_VISIBLE_DEVICES is '4, 5'"), std::string::npos)
      << cut.output;
}

TEST(NpuDevices, SizesOfTheEmulatorAreWholeNumbers) {
  const Ran ran = devices("FASTCHAT_EMULATOR_CARDS=2 FASTCHAT_EMULATOR_TAKEN=0,63.9GiB", "");
  EXPECT_NE(ran.status, 0);
  EXPECT_NE(ran.output.find("whole numbers of KiB, MiB or GiB"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("got '63.9GiB'"), std::string::npos) << ran.output;
}

TEST(NpuDevices, ShowWhichCardsAreVisibleAndWhatIsInstalled) {
  const json npu = devices_json("FASTCHAT_EMULATOR_CARDS=8 ASCEND_RT_VISIBLE_DEVICES=4,6");
  ASSERT_TRUE(npu["available"]) << npu.dump(2);
  ASSERT_EQ(npu["devices"].size(), 2u);
  EXPECT_EQ(npu["devices"][1]["index"], 1);
  EXPECT_EQ(npu["devices"][1]["physical_index"], 6);
  EXPECT_TRUE(npu["devices"][1]["available"]);
  EXPECT_EQ(npu["facts"]["soc"], "Ascend910B1");
  EXPECT_EQ(npu["facts"]["visible_devices"], "4,6");
  EXPECT_NE(npu["facts"]["cann_version"], "");
  EXPECT_EQ(codes(npu), std::vector<std::string>{}) << npu.dump(2);
  const Ran ran = devices("ASCEND_RT_VISIBLE_DEVICES=4,6", "");
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.output.find("npu   1  Ascend910B1 (card 6, CANN "), std::string::npos)
      << ran.output;
}

TEST(NpuDevices, SpeakChineseUnderZh) {
  const Ran ran = devices("FASTCHAT_EMULATOR_CARDS=8 ASCEND_RT_VISIBLE_DEVICES=4,6", "--lang zh");
  EXPECT_NE(ran.output.find("npu   1  Ascend910B1（6 号卡，CANN "), std::string::npos)
      << ran.output;
}

TEST(NpuDevices, SayWhenOthersHoldACardsMemory) {
  const std::string environment =
      "FASTCHAT_EMULATOR_CARDS=2 FASTCHAT_EMULATOR_MEMORY=64GiB FASTCHAT_EMULATOR_TAKEN=1GiB,40GiB";
  const json npu = devices_json(environment);
  EXPECT_EQ(codes(npu), std::vector<std::string>{"memory_held"}) << npu.dump(2);
  EXPECT_NE(devices(environment, "").output.find("! card 1: 40.00 GiB of 64.00 GiB"),
            std::string::npos);
}

// The planner takes what each card has free now.
TEST(NpuDevices, PlansLeaveOthersWhatTheyHold) {
  const auto plan = [](const std::string& taken) {
    const Ran ran = fastchat(
        "FASTCHAT_EMULATOR_CARDS=2 FASTCHAT_EMULATOR_MEMORY=32GiB FASTCHAT_EMULATOR_TAKEN=" + taken,
        "plan --shape qwen2-7b --device npu --num-gpus 2 --parallel layer "
        "--max-model-len 8192 --json 2>/dev/null");
    EXPECT_EQ(ran.status, 0) << ran.output;
    return json::parse(ran.output, nullptr, false)["devices"];
  };
  const json alone = plan("0,0");
  const json beside = plan("0,26GiB");
  ASSERT_EQ(beside.size(), 2u);
  EXPECT_LT(beside[1]["num_layers"], alone[1]["num_layers"]);
  const double held = beside[1]["weight_bytes"].get<double>() +
                      beside[1]["kv_bytes"].get<double>() +
                      beside[1]["workspace_bytes"].get<double>();
  EXPECT_LE(held, 6.0 * (1 << 30));
}

TEST(NpuDevices, ARefusalSuggestsNothingThatTheCardsDoNotHave) {
  const auto refusal = [](const std::string& arguments) {
    const Ran ran =
        fastchat("FASTCHAT_EMULATOR_CARDS=2 FASTCHAT_EMULATOR_MEMORY=7GiB",
                 "plan --shape qwen2-7b --device npu --max-model-len 2048 " + arguments);
    EXPECT_EQ(ran.status, 3) << ran.output;
    return ran.output;
  };
  const std::string one = refusal("");
  EXPECT_EQ(one.find("--num-gpus"), std::string::npos) << one;  // of three
  EXPECT_EQ(one.find("alone ("), std::string::npos) << one;
  const std::string limited = refusal("--max-gpu-memory 6GiB --num-gpus 2");
  EXPECT_EQ(limited.find("on every device"), std::string::npos) << limited;
  EXPECT_NE(limited.find("--load-8bit"), std::string::npos) << limited;
}

TEST(NpuDevices, FiguresThatAreNotTheCardsAreSaidToBe) {
  const std::string cards = "FASTCHAT_EMULATOR_CARDS=2";
  const Ran plan = fastchat(cards, "plan --shape qwen2-0.5b --device npu --num-gpus 2");
  EXPECT_NE(plan.output.find("nominal figures"), std::string::npos) << plan.output;
  const Ran bench =
      fastchat(cards,
               "bench model --model-path " FASTCHAT_SOURCE_DIR
               "/models/demo --device npu --repetitions 1 --prompt-len 8 --gen-len 0");
  EXPECT_NE(bench.output.find("6 layers, f16)"), std::string::npos) << bench.output;
  EXPECT_NE(bench.output.find("Nominal figures of the cards at work, not measured"),
            std::string::npos)
      << bench.output;
}

// Neither is a lack of memory taken for an overflow, nor bf16 for something that every card has.
TEST(NpuDevices, ACardWithoutRoomOrBf16SaysThat) {
  const std::string model = "cli --model-path " FASTCHAT_SOURCE_DIR
                            "/models/demo --device npu --max-model-len 512 -m hi ";
  const Ran full = fastchat("FASTCHAT_EMULATOR_CARDS=1 FASTCHAT_EMULATOR_MEMORY=32MiB",
                            model + "--gpu-memory-utilization 1 --max-num-seqs 100");
  EXPECT_NE(full.status, 0) << full.output;
  EXPECT_EQ(full.output.find("bf16 is used instead"), std::string::npos) << full.output;
  const Ran chinese = fastchat("FASTCHAT_EMULATOR_CARDS=1 FASTCHAT_EMULATOR_MEMORY=32MiB",
                               model + "--gpu-memory-utilization 1 --max-num-seqs 100 --lang zh");
  EXPECT_NE(chinese.output.find("内存"), std::string::npos) << chinese.output;
  const Ran old_card = fastchat("FASTCHAT_EMULATOR_CARDS=1 FASTCHAT_EMULATOR_SOC=Ascend310P3",
                                model + "--dtype bfloat16");
  EXPECT_EQ(old_card.status, 1);
  EXPECT_NE(old_card.output.find("has no bf16; use --dtype float16"), std::string::npos)
      << old_card.output;
}

// Records of steps take streams of the card; without any left, steps are started as ever.
TEST(NpuDevices, ACardWithFewStreamsStillAnswers) {
  for (const char* const streams : {"1", "2", "3"}) {
    SCOPED_TRACE(streams);
    const Ran ran = fastchat(
        std::string("FASTCHAT_EMULATOR_CARDS=1 FASTCHAT_EMULATOR_STREAMS=") + streams,
        "cli --model-path " FASTCHAT_SOURCE_DIR
        "/models/demo --device npu --max-model-len 512 -m 'What is the capital of France?' ");
    EXPECT_EQ(ran.status, 0) << ran.output;
    EXPECT_NE(ran.output.find("Paris"), std::string::npos) << ran.output;
  }
}

// What a record gives is compared with the step itself before anybody is served.
TEST(NpuDevices, RecordsThatDoNotTakeTheirLengthsAreFoundAtTheStart) {
  const Ran ran = fastchat(
      "FASTCHAT_EMULATOR_CARDS=1 FASTCHAT_EMULATOR_IGNORE_UPDATES=1 FASTCHAT_GRAPH_LENGTHS=exact",
      "cli --model-path " FASTCHAT_SOURCE_DIR
      "/models/demo --device npu --max-model-len 512 -m 'What is the capital of France?' ");
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("Paris"), std::string::npos) << ran.output;
  // Before CANN 8.1 nothing is updated: attention is planned anew.
  const device::ascend::CannLibrary* const cann = device::ascend::CannLibrary::load();
  ASSERT_NE(cann, nullptr);
  if (cann->has(device::ascend::Feature::graphs))
    EXPECT_NE(ran.output.find("with padded lengths only: a recorded step gives"), std::string::npos)
        << ran.output;
}

/// Two cards from `first` on sum up what they compute.
Ran chat_on_two_cards(int first, const std::string& environment = {}) {
  return fastchat(fmt::format("ASCEND_RT_VISIBLE_DEVICES={},{} {}", first, first + 1, environment),
                  "cli --model-path " FASTCHAT_SOURCE_DIR
                  "/models/demo --device npu --num-gpus 2 --parallel tensor --max-model-len 512 "
                  "-m 'What is the capital of France?' ");
}

TEST(NpuDevices, TwoServicesOnOneHostDoNotMeet) {
  Ran first, second;
  std::thread other([&] { first = chat_on_two_cards(0); });
  second = chat_on_two_cards(2);
  other.join();
  for (const Ran& ran : {first, second}) {
    EXPECT_EQ(ran.status, 0) << ran.output;
    EXPECT_NE(ran.output.find("Paris"), std::string::npos) << ran.output;
  }
}

TEST(NpuDevices, PortsThatAreTakenAreNamed) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int port = ntohs(address.sin_port);
  const Ran ran = chat_on_two_cards(0, fmt::format("HCCL_IF_BASE_PORT={}", port - 3));
  close(listener);
  EXPECT_NE(ran.status, 0);
  EXPECT_NE(ran.output.find(fmt::format("port {} is in use", port)), std::string::npos)
      << ran.output;
}

// The operator's command: four cards work, and the others are left alone in every respect.
TEST(NpuDevices, CardsThatAreNotVisibleStayUntouched) {
  const std::string report =
      testing::TempDir() + "fastchat_report_" + std::to_string(::getpid()) + ".json";
  const Ran ran = fastchat(
      "FASTCHAT_EMULATOR_CARDS=8 ASCEND_RT_VISIBLE_DEVICES=4,5,6,7 "
      "FASTCHAT_EMULATOR_REPORT=" +
          report,
      "cli --model-path " FASTCHAT_SOURCE_DIR
      "/models/demo --num-gpus 4 --device npu --max-model-len 512",
      "What is the capital of France?\\n");
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("Paris"), std::string::npos) << ran.output;
  std::ifstream file(report);
  const json cards = json::parse(file, nullptr, false)["cards"];
  ASSERT_EQ(cards.size(), 8u) << ran.output;
  for (std::size_t card = 0; card < 8; ++card) {
    SCOPED_TRACE(cards[card].dump());
    for (const char* key : {"peak_bytes", "touched_bytes", "streams_created", "operations_run"})
      EXPECT_EQ(cards[card].at(key).get<double>() > 0, card >= 4) << key;
  }
  std::remove(report.c_str());
}

TEST(NpuDevices, SayWhatHidesEveryCard) {
  const Ran ran = devices("ASCEND_RT_VISIBLE_DEVICES=1,0", "");
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(
      ran.output.find("npu   not available. ASCEND_RT_VISIBLE_DEVICES=1,0: CANN wants ascending"),
      std::string::npos)
      << ran.output;
  EXPECT_NE(ran.output.find("CANN says: aclrtGetDeviceCount failed"), std::string::npos)
      << ran.output;
  EXPECT_EQ(ran.output.find("\n;"), std::string::npos) << ran.output;  // CANN's words end a line
  EXPECT_NE(devices("ASCEND_RT_VISIBLE_DEVICES=", "--lang zh").output.find("不可用。ASCEND_RT"),
            std::string::npos);
}

std::vector<int> cores_of_a_prepared_thread(device::Device& device) {
  std::vector<int> cores;
  std::thread([&] {
    device.prepare_thread();
    cores = device::affinity_cores();
  }).join();
  return cores;
}

TEST(NpuDevices, AThreadRunsOnTheNumaNodeOfItsCard) {
  const std::vector<int> allowed = device::affinity_cores();
  test::FakeSystem system;
  const auto open_card = [&] {
    return device::create_npu_platform({.system_root = system.root()})->open(0);
  };
  EXPECT_EQ(cores_of_a_prepared_thread(*open_card()), allowed) << "nothing is known";

  system.write("/sys/bus/pci/devices/0000:c1:00.0/numa_node", "3\n");
  system.write("/sys/devices/system/node/node3/cpulist",
               fmt::format("{},100000-100007\n", allowed.back()));
  EXPECT_EQ(cores_of_a_prepared_thread(*open_card()), std::vector<int>{allowed.back()});

  setenv("FASTCHAT_CPU_PIN", "0", 1);
  EXPECT_EQ(cores_of_a_prepared_thread(*open_card()), allowed);
  unsetenv("FASTCHAT_CPU_PIN");
}

}  // namespace
}  // namespace fastchat
