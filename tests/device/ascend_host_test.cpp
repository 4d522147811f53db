// What is said about Ascend cards that do not work; on described hosts rather than on this one.
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "device/ascend/driver_version.h"
#include "device/ascend/host_facts.h"
#include "device/ascend/host_verdicts.h"
#include "device/ascend/visible_cards.h"
#include "tests/device/fake_system.h"

namespace fastchat::device::ascend {
namespace {

using test::FakeSystem;

std::string_view in_chinese(std::string_view /*english*/, std::string_view chinese) {
  return chinese;
}

/// A host where everything is as it should be; tests take something away.
class Host {
 public:
  explicit Host(int num_cards = 8) {
    add_driver("25.3.rc1");
    for (const char* node : {"davinci_manager", "devmm_svm", "hisi_hdc"}) add_node(node);
    for (int card = 0; card < num_cards; ++card) add_node(fmt::format("davinci{}", card));
    system_.write("/etc/group", fmt::format("users:x:100:\nHwHiAiUser:x:{}:\n", group_));
    add_cann("8.3.RC1");
    add_kernels("ascend910b");
    view_.identity = {.user = kUser, .groups = {kUser, getgid()}};
  }

  void add_driver(const std::string& version) {
    system_.write(
        "/usr/local/Ascend/driver/version.info",
        fmt::format("Version={0}\nascendhal_version=7.35.23\npackage_version={0}\n", version));
    system_.write("/usr/local/Ascend/driver/lib64/driver/libascend_hal.so", "");
  }
  void add_node(const std::string& name, mode_t mode = 0660) {
    system_.write("/dev/" + name, "");
    EXPECT_EQ(chmod((view_root() + "/dev/" + name).c_str(), mode), 0);
  }
  void add_cann(const std::string& version) {
    view_.cann = CannRoot{.path = view_root() + "/usr/local/Ascend/ascend-toolkit/latest",
                          .version_text = version};
    runtime.cann_version_text = version;
    runtime.cann_path = view_.cann->path.string();
  }
  void add_kernels(const std::string& kind, const std::string& package = "ops_nn") {
    std::filesystem::create_directories(kernels() / kind / package);
  }
  std::filesystem::path kernels() const {
    return view_.cann->opp() / "built-in/op_impl/ai_core/tbe/kernel";
  }
  void remove(const std::string& path) { std::filesystem::remove_all(view_root() + path); }
  /// Without the driver's libraries CANN does not load.
  void remove_driver_libraries() {
    remove("/usr/local/Ascend/driver/lib64");
    runtime = {.failure = "cannot load libascend_hal.so"};
  }
  void remove_driver() {
    remove_driver_libraries();
    remove("/usr/local/Ascend/driver");
  }
  void remove_nodes() { remove("/dev"); }
  void remove_cann() {
    remove("/usr/local/Ascend/ascend-toolkit");
    view_.cann.reset();
    runtime = {.failure = "no CANN found"};
  }
  void into_container() { system_.write("/.dockerenv", ""); }
  void set_mask(const std::string& mask) { view_.visible_mask = mask; }
  HostView& view() { return view_; }
  FakeSystem& system() { return system_; }

  void show_cards(int count) {
    runtime.soc = "Ascend910B3";
    for (int card = 0; card < count; ++card)
      runtime.cards.push_back(
          {.physical_index = card, .total_bytes = 64 << 20, .free_bytes = 62 << 20});
  }

  HostFacts facts() {
    view_.root = view_root();
    return read_host_facts(view_);
  }
  std::vector<Finding> findings(ChooseText choose = in_english) {
    return judge(facts(), runtime, choose);
  }
  /// "code code", blocking ones with an exclamation mark.
  std::string codes() {
    std::string all;
    for (const Finding& finding : findings())
      all += (all.empty() ? "" : " ") + finding.code + (finding.blocks ? "!" : "");
    return all;
  }
  std::string first_text(ChooseText choose = in_english) {
    const std::vector<Finding> all = findings(choose);
    return all.empty() ? std::string() : all.front().text;
  }

  RuntimeState runtime{.failure = "aclrtGetDeviceCount failed with 507033"};

 private:
  static constexpr uid_t kUser = 4321;
  const gid_t group_ = getgid();  // of the files that this test makes
  const std::string& view_root() const { return system_.root(); }

  FakeSystem system_;
  HostView view_;
};

#define EXPECT_HAS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

TEST(AscendHost, AHealthyHostHasNothingToReport) {
  Host host;
  host.show_cards(8);
  EXPECT_EQ(host.codes(), "");
  const HostFacts facts = host.facts();
  EXPECT_EQ(facts.card_nodes.size(), 8u);
  EXPECT_EQ(facts.driver_version, "25.3.rc1");
  EXPECT_EQ(facts.kernel_kinds, std::vector<std::string>{"ascend910b"});
  EXPECT_FALSE(facts.in_container);
}

TEST(AscendHost, NothingInstalledSaysWhatToInstall) {
  Host host;
  host.remove_cann();
  host.remove_driver();
  host.remove_nodes();
  EXPECT_EQ(host.codes(), "nothing_installed!");
  for (const char* part :
       {"driver and firmware", "CANN toolkit", "kernels package", "hiascend.com"})
    EXPECT_HAS(host.first_text(), part);
  EXPECT_HAS(host.first_text(in_chinese), "驱动与固件");
  for (const char* address : {"0000:01:00.0", "0000:c1:00.0"}) {
    const std::string folder = std::string("/sys/bus/pci/devices/") + address;
    host.system().write(folder + "/vendor", "0x19e5\n");
    host.system().write(folder + "/class", "0x120000\n");
  }
  host.system().write("/sys/bus/pci/devices/0000:02:00.0/vendor", "0x19e5\n");  // a network card
  host.system().write("/sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n");
  EXPECT_TRUE(host.first_text().starts_with("2 Ascend cards are plugged in")) << host.first_text();
}

TEST(AscendHost, ADriverWithoutCann) {
  Host host;
  host.remove_cann();
  EXPECT_EQ(host.codes(), "cann_missing!");
  EXPECT_HAS(host.first_text(), "ASCEND_HOME_PATH");
}

TEST(AscendHost, CannWithoutADriverDependsOnBeingInAContainer) {
  Host host;
  host.remove_driver();
  host.remove_nodes();
  EXPECT_EQ(host.codes(), "driver_missing!");
  EXPECT_HAS(host.first_text(), "install the cards' driver");
  host.into_container();
  EXPECT_EQ(host.codes(), "driver_missing!");
  EXPECT_HAS(host.first_text(), "-v /usr/local/Ascend/driver:/usr/local/Ascend/driver");
  EXPECT_HAS(host.first_text(in_chinese), "--device");
}

TEST(AscendHost, NodesWithoutTheDriversLibraries) {
  Host host;
  host.remove_driver_libraries();
  EXPECT_EQ(host.codes(), "driver_not_mounted!");
  EXPECT_HAS(host.first_text(), "install the driver again");
  host.system().write("/proc/1/cgroup", "0::/kubepods.slice/pod1\n");
  EXPECT_HAS(host.first_text(), "-v /usr/local/Ascend/driver:/usr/local/Ascend/driver");
}

TEST(AscendHost, TheDriverWithoutNodes) {
  Host host;
  host.remove_nodes();
  EXPECT_EQ(host.codes(), "nodes_missing!");
  EXPECT_HAS(host.first_text(),
             "/dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc, /dev/davinci0");
  EXPECT_HAS(host.first_text(), "reboot");
  Host one_missing;
  one_missing.into_container();
  one_missing.remove("/dev/hisi_hdc");
  EXPECT_EQ(one_missing.codes(), "nodes_missing!");
  EXPECT_HAS(one_missing.first_text(), "not /dev/hisi_hdc: start it with --device");
}

TEST(AscendHost, NoPermissionNamesTheNodesAndTheirGroup) {
  Host host(2);
  host.view().identity.groups = {4321};
  EXPECT_EQ(host.codes(), "no_permission!");
  EXPECT_HAS(host.first_text(),
             "/dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc, /dev/davinci0");
  EXPECT_HAS(host.first_text(), "usermod -aG HwHiAiUser");
  EXPECT_HAS(host.first_text(in_chinese), "请加入组 HwHiAiUser");

  host.system().write("/etc/group", "nobody:x:65533:\n");
  EXPECT_HAS(host.first_text(), fmt::format("--group-add {}", getgid()));

  for (const char* node : {"davinci_manager", "devmm_svm", "hisi_hdc", "davinci0", "davinci1"})
    host.add_node(node, 0600);
  EXPECT_HAS(host.first_text(), "only their owner may");
  host.view().identity.user = 0;
  EXPECT_EQ(host.codes(), "runtime_failed!");
  host.view().identity.user = getuid();
  EXPECT_EQ(host.codes(), "runtime_failed!");
}

TEST(AscendHost, AnOldDriverBlocksOnlyWhereCardsFail) {
  Host host;
  host.add_driver("24.1.rc3");
  EXPECT_EQ(host.codes(), "driver_too_old!");
  EXPECT_HAS(host.first_text(), "driver 24.1.rc3 is older than CANN 8.3.RC1 needs");
  EXPECT_HAS(host.first_text(), "25.3.RC1");
  const RuntimeState loaded = host.runtime;
  host.runtime = {.failure = "aclInit failed with 500004"};  // then CANN has not told its version
  EXPECT_EQ(host.codes(), "driver_too_old!");
  host.runtime = loaded;
  host.show_cards(8);
  EXPECT_EQ(host.codes(), "driver_too_old");
  host.runtime.cards[3].failure = "aclrtSetDevice(3) failed with 507033";
  EXPECT_EQ(host.codes(), "card_fails! driver_too_old!");
  host.add_driver("25.5.1");
  EXPECT_EQ(host.codes(), "card_fails!");
  EXPECT_HAS(host.first_text(), "card 3 does not open: aclrtSetDevice(3) failed");
}

TEST(AscendHost, TheRuntimesWordOnTheDriverCountsWhereTheHostSaysNothing) {
  Host host;
  host.remove("/usr/local/Ascend/driver/version.info");
  EXPECT_EQ(host.codes(), "runtime_failed!");
  host.runtime.driver_version = "24.1.0";
  EXPECT_EQ(host.codes(), "driver_too_old!");
}

TEST(AscendHost, KernelsMustBeThereAndOfTheCardsKind) {
  Host host;
  host.show_cards(8);
  std::filesystem::remove_all(host.kernels());
  EXPECT_EQ(host.codes(), "kernels_missing");
  EXPECT_HAS(host.first_text(), "the kernels package of CANN 8.3.RC1 is not installed in ");
  EXPECT_HAS(host.first_text(in_chinese), "没有安装 CANN 8.3.RC1 的 kernels 包");
  host.add_kernels("ascend910b", "ops_oam");  // the toolkit's own
  EXPECT_EQ(host.codes(), "kernels_missing");
  host.add_kernels("ascend310p");
  EXPECT_EQ(host.codes(), "kernels_of_other_card");
  EXPECT_HAS(host.first_text(), "for ascend310p, these cards are Ascend910B3");
  host.add_kernels("ascend910b");
  EXPECT_EQ(host.codes(), "");
}

TEST(AscendHost, ACardHeldByOthersIsNamed) {
  Host host;
  host.show_cards(8);
  host.runtime.cards[5].free_bytes = 30 << 20;
  EXPECT_EQ(host.codes(), "memory_held");
  EXPECT_HAS(host.first_text(), "card 5: 34.00 MiB of 64.00 MiB");
  host.runtime.cards[5].allocated_bytes = 30 << 20;  // by this process
  EXPECT_EQ(host.codes(), "");
}

TEST(AscendHost, AMaskThatHidesEveryCardIsExplained) {
  Host host;
  host.set_mask("");
  EXPECT_EQ(host.codes(), "mask_hides_all!");
  EXPECT_HAS(host.first_text(), "unset it");
  host.set_mask("npu0");
  EXPECT_EQ(host.codes(), "mask_hides_all!");
  host.set_mask("5,4");
  EXPECT_EQ(host.codes(), "mask_hides_all!");
  EXPECT_HAS(host.first_text(), "4 is out of order");
  host.set_mask("8");
  EXPECT_EQ(host.codes(), "mask_names_no_card!");
  EXPECT_HAS(host.first_text(), "there is no card 8; there are 8");
  host.set_mask("");
  host.remove_nodes();
  EXPECT_EQ(host.codes(), "mask_hides_all! nodes_missing!");
  host.remove_driver();  // a mask that nothing reads yet comes last
  EXPECT_EQ(host.codes(), "driver_missing! mask_hides_all!");
}

// An emulator has none, and a container may have only some.
TEST(AscendHost, AMaskIsJudgedByWhatTheRuntimeSeesWhereThereAreNoNodes) {
  Host host;
  host.remove_nodes();
  host.set_mask("9");
  EXPECT_EQ(host.codes(), "mask_names_no_card! nodes_missing!");
  EXPECT_HAS(host.first_text(), "DEVICES=9: CANN sees none of the cards");
  host.set_mask("4,5,9");
  host.show_cards(2);
  EXPECT_EQ(host.codes(), "mask_cut");
  EXPECT_HAS(host.first_text(), "there is no card 9");
  host.set_mask("4,5");
  EXPECT_EQ(host.codes(), "");
}

TEST(AscendHost, ADriverElsewhereIsNotMissedWhereCannLoads) {
  Host host;
  host.remove("/usr/local/Ascend/driver");
  EXPECT_EQ(host.codes(), "runtime_failed!");
  EXPECT_HAS(host.first_text(), "507033");
}

TEST(AscendHost, AVariableThatNamesNoCannIsMentioned) {
  Host host;
  host.view().wrong_places = {{"ASCEND_HOME_PATH", "/opt/cannn", false}};
  host.show_cards(8);
  EXPECT_EQ(host.codes(), "cann_path_wrong");
  EXPECT_HAS(host.first_text(), "ASCEND_HOME_PATH=/opt/cannn: there is no such folder; CANN in");
  host.runtime.cards.clear();
  host.remove_cann();
  EXPECT_EQ(host.codes(), "cann_missing!");
  EXPECT_HAS(host.first_text(), "ASCEND_HOME_PATH=/opt/cannn: there is no such folder; the Ascend");
  host.view().wrong_places.front().exists = true;
  EXPECT_HAS(host.first_text(in_chinese), "ASCEND_HOME_PATH=/opt/cannn：其中没有 CANN");
  host.remove_driver();
  host.remove_nodes();
  host.runtime = {.failure = "no CANN found"};
  EXPECT_EQ(host.codes(), "nothing_installed!");
  EXPECT_HAS(host.first_text(), "no CANN in it (lib64/libascendcl.so); there is neither");
}

TEST(AscendHost, AMaskThatIsCutIsMentioned) {
  Host host;
  host.set_mask("6,7,8");
  host.show_cards(2);
  EXPECT_EQ(host.codes(), "mask_cut");
  EXPECT_HAS(host.first_text(), "no card 8");
  host.set_mask("6, 7");
  EXPECT_EQ(host.codes(), "mask_cut");
  EXPECT_HAS(host.first_text(), "after 1 cards");
  host.set_mask("6,7");
  EXPECT_EQ(host.codes(), "");
}

TEST(AscendHost, FactsAreListedForPeopleAndPrograms) {
  Host host(1);
  host.set_mask("0");
  host.show_cards(1);
  std::string all;
  for (const Fact& fact : list_facts(host.facts(), host.runtime, in_english))
    all += fact.key + "=" + fact.value + ";";
  EXPECT_HAS(all, "soc=Ascend910B3;driver_version=25.3.rc1;cann_version=8.3.RC1;cann_path=");
  EXPECT_HAS(all, "device_nodes=/dev/davinci0 /dev/davinci_manager");
  EXPECT_HAS(all, "visible_devices=0;");
  host.runtime = {.failure = "cannot load libascend_hal.so"};
  all.clear();
  for (const Fact& fact : list_facts(host.facts(), host.runtime, in_english))
    all += fact.key + "=" + fact.value + ";";
  EXPECT_HAS(all, "cann_version=8.3.RC1;");
  EXPECT_HAS(all, "cann_says=cannot load libascend_hal.so;");
}

TEST(VisibleCards, FollowTheRuntimesGrammar) {
  using Cards = std::vector<int>;
  const auto parse = [](const std::string& mask) { return parse_visible_cards(mask, 8); };
  EXPECT_EQ(parse("4,5,6,7").cards, (Cards{4, 5, 6, 7}));
  EXPECT_EQ(parse("4,5,6,7").problem, MaskProblem::none);
  EXPECT_EQ(parse("0,8,1").cards, (Cards{0}));
  EXPECT_EQ(parse("1,,2").cards, (Cards{1}));
  EXPECT_EQ(parse("1,,2").problem, MaskProblem::ends_early);
  EXPECT_EQ(parse("1,").problem, MaskProblem::ends_early);
  EXPECT_TRUE(parse("2,1").cards.empty());
  EXPECT_TRUE(parse("2,2").cards.empty());
  EXPECT_EQ(parse(" 1").problem, MaskProblem::no_number);
  EXPECT_EQ(parse("99999999999999999999").problem, MaskProblem::no_such_card);
  EXPECT_EQ(parse_visible_cards("40", 0).cards, (Cards{40}));
  std::string many = "0";
  for (int card = 1; card < 64; ++card) many += fmt::format(",{}", card);
  EXPECT_EQ(parse_visible_cards(many, 64).cards.size(), 46u);  // what 128 characters hold
  EXPECT_EQ(physical_card("4,5", 1), 5);
  EXPECT_EQ(physical_card(std::nullopt, 1), 1);
}

TEST(DriverVersion, CandidatesComeBeforeReleases) {
  const auto parse = [](const char* text) { return parse_driver_version(text).value(); };
  const char* ascending[] = {"23.0.6",
                             "24.1.rc1",
                             "24.1.RC3",
                             "24.1.0",
                             "24.1.0.3",
                             "25.0.rc1",
                             "25.0.rc1.1",
                             "25.2.0",
                             "25.5.1",
                             "26.0.RC1"};
  for (std::size_t i = 1; i < std::size(ascending); ++i)
    EXPECT_LT(parse(ascending[i - 1]), parse(ascending[i])) << ascending[i];
  EXPECT_EQ(parse("25.3.rc1"), parse("25.3.RC1"));
  for (const char* text : {"", "25", "V100R001C18", "25.x", "25.3.rc", "25..1"})
    EXPECT_FALSE(parse_driver_version(text).has_value()) << text;
  EXPECT_EQ(paired_driver(830), "25.3.RC1");
  EXPECT_EQ(paired_driver(840), "25.3.RC1");
  EXPECT_EQ(paired_driver(920), "25.5.1");
  EXPECT_EQ(paired_driver(700), "");
}

}  // namespace
}  // namespace fastchat::device::ascend
