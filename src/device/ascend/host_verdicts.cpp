#include "device/ascend/host_verdicts.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "device/ascend/driver_version.h"
#include "device/ascend/visible_cards.h"

namespace fastchat::device::ascend {
namespace {

/// More of a card than this in other hands is worth a word; what the system itself holds is less:
/// 3.4 of 64 GiB have been seen on idle cards.
constexpr std::uint64_t kHeldShare = 8;

class Judge {
 public:
  Judge(const HostFacts& facts, const RuntimeState& runtime, ChooseText choose)
      : facts_(facts), runtime_(runtime), choose_(choose) {}

  std::vector<Finding> run() {
    if (runtime_.cards.empty()) {
      if (is_loaded()) judge_mask_of_none();  // then the runtime has read it
      judge_installation();
      judge_nodes();
      judge_permission();
      if (!is_loaded()) judge_mask_of_none();
      judge_driver(true);
      judge_kernels(true);
      if (findings_.empty())
        add("runtime_failed", true, "CANN sees no card: {}", "CANN 看不到卡：{}", runtime_.failure);
      judge_places();
      return std::move(findings_);
    }
    const bool some_fail = std::any_of(runtime_.cards.begin(),
                                       runtime_.cards.end(),
                                       [](const CardState& card) { return !card.failure.empty(); });
    if (some_fail) {
      judge_permission();
      judge_cards();
    }
    judge_mask_of_some();
    judge_driver(some_fail);
    judge_kernels(false);
    judge_memory();
    judge_places();
    return std::move(findings_);
  }

 private:
  template <typename... Args>
  void add(std::string code,
           bool blocks,
           std::string_view english,
           std::string_view chinese,
           const Args&... args) {
    findings_.push_back(
        {std::move(code), blocks, fmt::format(fmt::runtime(choose_(english, chinese)), args...)});
  }

  bool is_loaded() const { return !runtime_.cann_path.empty(); }
  bool has_cann() const { return facts_.cann.has_value() || is_loaded(); }
  /// CANN does not load without it, wherever it may be.
  bool has_driver_library() const { return facts_.has_driver_library || is_loaded(); }
  bool has_nodes() const {
    return !facts_.card_nodes.empty() ||
           std::any_of(facts_.shared_nodes.begin(),
                       facts_.shared_nodes.end(),
                       [](const DeviceNode& node) { return node.exists; });
  }

  /// "ASCEND_HOME_PATH=/opt/cann: there is no such folder; "; empty where none is wrong.
  std::string wrong_places() const {
    std::string all;
    for (const WrongPlace& place : facts_.wrong_places) {
      const std::string_view what = place.exists
                                        ? choose_("no CANN in it (lib64/libascendcl.so)",
                                                  "其中没有 CANN（lib64/libascendcl.so）")
                                        : choose_("there is no such folder", "没有这个文件夹");
      all += fmt::format(fmt::runtime(choose_("{}={}: {}; ", "{}={}：{}；")),
                         place.variable,
                         place.path.string(),
                         what);
    }
    return all;
  }

  /// CANN was found all the same, perhaps another one than was meant.
  void judge_places() {
    if (!has_cann() || facts_.wrong_places.empty()) return;
    const std::string used =
        is_loaded() || !facts_.cann ? runtime_.cann_path : facts_.cann->path.string();
    add("cann_path_wrong",
        false,
        "{}CANN in {} is used instead",
        "{}改用 {} 中的 CANN",
        wrong_places(),
        used);
  }

  void judge_installation() {
    const bool has_driver = has_driver_library() || has_nodes();
    if (!has_cann() && !has_driver) {
      const std::string seen =
          facts_.num_pci_cards == 0
              ? std::string()
              : fmt::format(fmt::runtime(choose_("{} Ascend cards are plugged in, but ",
                                                 "本机插有 {} 张昇腾卡，但")),
                            facts_.num_pci_cards);
      add("nothing_installed",
          true,
          "{}{}there is neither an Ascend driver nor CANN: install from hiascend.com the cards' "
          "driver and firmware, then the CANN toolkit (8.0 or newer) and its kernels package (from "
          "8.5 on: ops); in a container, CANN goes into the image and the driver is the host's, "
          "passed in with its device nodes",
          "{}{}没有昇腾驱动，也没有 CANN：请从 hiascend.com 安装该卡的驱动与固件，再安装 CANN "
          "toolkit（8.0 或更新）及其 kernels 包（8.5 起名为 ops）；在容器中，CANN "
          "装在镜像里，驱动用主机的，连同设备节点一起传入容器",
          wrong_places(),
          seen);
    } else if (!has_cann()) {
      add("cann_missing",
          true,
          "{}the Ascend driver is there, CANN is not: install the CANN toolkit (8.0 or newer) and "
          "its "
          "kernels package (from 8.5 on: ops) from hiascend.com; where it is in an unusual place, "
          "set ASCEND_HOME_PATH",
          "{}有昇腾驱动，但没有 CANN：请从 hiascend.com 安装 CANN toolkit（8.0 或更新）及其 "
          "kernels "
          "包（8.5 起名为 ops）；装在非默认位置时，请设置 ASCEND_HOME_PATH",
          wrong_places());
    } else if (!has_driver) {
      if (facts_.in_container)
        add("driver_missing",
            true,
            "CANN is in this container, but neither the host's driver nor its device nodes: start "
            "the container with -v /usr/local/Ascend/driver:/usr/local/Ascend/driver and --device "
            "for /dev/davinci0 …, /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc",
            "容器里有 CANN，但没有主机的驱动和设备节点：启动容器时请加上 -v "
            "/usr/local/Ascend/driver:/usr/local/Ascend/driver，以及对 /dev/davinci0 "
            "…、/dev/davinci_manager、/dev/devmm_svm、/dev/hisi_hdc 的 --device");
      else
        add("driver_missing",
            true,
            "CANN is there, the Ascend driver is not: install the cards' driver and firmware from "
            "hiascend.com, and reboot",
            "有 CANN，但没有昇腾驱动：请从 hiascend.com 安装该卡的驱动与固件，然后重启");
    }
  }

  /// One of nodes and library without the other.
  void judge_nodes() {
    if (has_nodes() && !has_driver_library()) {
      if (facts_.in_container)
        add("driver_not_mounted",
            true,
            "the device nodes are in this container, the driver's libraries (libascend_hal.so) are "
            "not: start it with -v /usr/local/Ascend/driver:/usr/local/Ascend/driver",
            "容器里有设备节点，但没有驱动库（libascend_hal.so）：启动容器时请加上 -v "
            "/usr/local/Ascend/driver:/usr/local/Ascend/driver");
      else
        add("driver_not_mounted",
            true,
            "the device nodes are there, the driver's libraries (libascend_hal.so in "
            "/usr/local/Ascend/driver/lib64) are not: install the driver again",
            "有设备节点，但没有驱动库（/usr/local/Ascend/driver/lib64 中的 "
            "libascend_hal.so）：请重新安装驱动");
      return;
    }
    if (!has_driver_library()) return;
    std::string missing;
    for (const DeviceNode& node : facts_.shared_nodes)
      if (!node.exists) missing += (missing.empty() ? "" : ", ") + node.path;
    if (facts_.card_nodes.empty())
      missing += missing.empty() ? "/dev/davinci0 …" : ", /dev/davinci0 …";
    if (missing.empty()) return;
    if (facts_.in_container)
      add("nodes_missing",
          true,
          "the driver is in this container, but not {}: start it with --device for each of them",
          "容器里有驱动，但没有 {}：启动容器时请为它们逐一加上 --device",
          missing);
    else
      add("nodes_missing",
          true,
          "the driver is installed, but {} is not there: its kernel modules are not loaded; reboot "
          "after installing it, then look at npu-smi info and dmesg",
          "驱动已安装，但没有 {}：内核模块没有加载；安装驱动后请重启，再看 npu-smi info 和 dmesg",
          missing);
  }

  void judge_permission() {
    std::string nodes;
    const DeviceNode* first = nullptr;
    for (const std::vector<DeviceNode>* some : {&facts_.shared_nodes, &facts_.card_nodes})
      for (const DeviceNode& node : *some) {
        if (!node.exists || node.is_usable) continue;
        nodes += (nodes.empty() ? "" : ", ") + node.path;
        if (first == nullptr) first = &node;
      }
    if (first == nullptr) return;
    if (!first->group_helps)
      add("no_permission",
          true,
          "this user may not use {}: only their owner may; run as that user, or install the driver "
          "for all users (--install-for-all)",
          "当前用户无权使用 {}：只有属主可以；请用该用户运行，或以 --install-for-all 安装驱动",
          nodes);
    else if (!first->group_has_name)
      add("no_permission",
          true,
          "this user may not use {}: they belong to group {}, which has no name here; start the "
          "container with --group-add {}",
          "当前用户无权使用 {}：它们属于组 {}，该组在此没有名字；启动容器时请加上 --group-add {}",
          nodes,
          first->group,
          first->group);
    else
      add("no_permission",
          true,
          "this user may not use {}: join the group {} (sudo usermod -aG {} $USER, then log in "
          "again)",
          "当前用户无权使用 {}：请加入组 {}（sudo usermod -aG {} $USER，然后重新登录）",
          nodes,
          first->group,
          first->group);
  }

  /// Cards of this machine, as far as they can be counted here: a container may have been given any
  /// of the host's, whose numbers say nothing then.
  int num_cards() const { return static_cast<int>(facts_.card_nodes.size()); }

  void judge_mask_of_none() {
    if (!facts_.visible_mask) return;
    const VisibleCards visible = parse_visible_cards(*facts_.visible_mask, num_cards());
    switch (visible.problem) {
      case MaskProblem::empty:
        add("mask_hides_all",
            true,
            "ASCEND_RT_VISIBLE_DEVICES is set and empty, which hides every card: unset it, or name "
            "cards (4,5)",
            "ASCEND_RT_VISIBLE_DEVICES 设成了空值，隐藏了所有卡：请取消设置，或写明卡号（4,5）");
        return;
      case MaskProblem::no_number:
        add("mask_hides_all",
            true,
            "ASCEND_RT_VISIBLE_DEVICES={}: CANN wants numbers and single commas, without blanks "
            "(4,5)",
            "ASCEND_RT_VISIBLE_DEVICES={}：CANN 只接受数字和单个逗号，不能有空格（4,5）",
            *facts_.visible_mask);
        return;
      case MaskProblem::not_ascending:
        add("mask_hides_all",
            true,
            "ASCEND_RT_VISIBLE_DEVICES={}: CANN wants ascending numbers, each once; {} is out of "
            "order, and all of the list is refused. The order of ranks is set by --gpus",
            "ASCEND_RT_VISIBLE_DEVICES={}：CANN 要求卡号递增且不重复；{} "
            "不合顺序，整个列表无效。rank 的顺序请用 --gpus 指定",
            *facts_.visible_mask,
            visible.wrong_card);
        return;
      case MaskProblem::no_such_card:
        if (visible.cards.empty())
          add("mask_names_no_card",
              true,
              "ASCEND_RT_VISIBLE_DEVICES={}: there is no card {}; there are {}, numbered from 0",
              "ASCEND_RT_VISIBLE_DEVICES={}：没有 {} 号卡；共有 {} 张，从 0 开始编号",
              *facts_.visible_mask,
              visible.wrong_card,
              num_cards());
        return;
      case MaskProblem::none:
      case MaskProblem::ends_early:
        // The runtime has read it and sees none, and no node says which cards there are.
        if (is_loaded() && num_cards() == 0)
          add("mask_names_no_card",
              true,
              "ASCEND_RT_VISIBLE_DEVICES={}: CANN sees none of the cards that it names: unset it, "
              "or name cards that are there",
              "ASCEND_RT_VISIBLE_DEVICES={}：CANN "
              "看不到其中的任何一张卡：请取消设置，或改用存在的卡号",
              *facts_.visible_mask);
        return;
    }
  }

  void judge_mask_of_some() {
    if (!facts_.visible_mask) return;
    VisibleCards visible = parse_visible_cards(*facts_.visible_mask, num_cards());
    // Where nodes do not tell the number of cards, what the runtime made of the mask does.
    if (const std::size_t num_seen = runtime_.cards.size();
        visible.problem == MaskProblem::none && num_seen < visible.cards.size()) {
      visible.problem = MaskProblem::no_such_card;
      visible.wrong_card = visible.cards[num_seen];
    }
    if (visible.problem == MaskProblem::no_such_card)
      add("mask_cut",
          false,
          "ASCEND_RT_VISIBLE_DEVICES={}: there is no card {}; CANN ignores it and what follows",
          "ASCEND_RT_VISIBLE_DEVICES={}：没有 {} 号卡；CANN 忽略它和其后的内容",
          *facts_.visible_mask,
          visible.wrong_card);
    else if (visible.problem == MaskProblem::ends_early)
      add("mask_cut",
          false,
          "ASCEND_RT_VISIBLE_DEVICES={}: CANN stops reading at the first character that is neither "
          "a digit nor a single comma, after {} cards",
          "ASCEND_RT_VISIBLE_DEVICES={}：CANN 读到数字和单个逗号以外的字符就停止，只取了 {} 张卡",
          *facts_.visible_mask,
          visible.cards.size());
  }

  void judge_driver(bool failed) {
    // A CANN that did not load has not told its version; its folder may.
    const std::string& cann = runtime_.cann_version_text.empty() && facts_.cann
                                  ? facts_.cann->version_text
                                  : runtime_.cann_version_text;
    const std::string& driver = driver_version(facts_, runtime_);
    const std::string_view needed = paired_driver(parse_cann_version(cann));
    const std::optional<DriverVersion> have = parse_driver_version(driver);
    const std::optional<DriverVersion> wanted = parse_driver_version(needed);
    if (!have || !wanted || *have >= *wanted) return;
    if (failed)
      add("driver_too_old",
          true,
          "driver {} is older than CANN {} needs: install driver and firmware {} or newer (on the "
          "host), or an older CANN",
          "驱动 {} 比 CANN {} 所需的旧：请（在主机上）安装 {} 或更新的驱动与固件，或换用较旧的 "
          "CANN",
          driver,
          cann,
          needed);
    else
      add("driver_too_old",
          false,
          "driver {} is older than those CANN {} is paired with; if calls fail, install driver and "
          "firmware {} or newer (on the host)",
          "驱动 {} 比 CANN {} 的配套版本旧；如果调用失败，请（在主机上）安装 {} 或更新的驱动与固件",
          driver,
          cann,
          needed);
  }

  void judge_kernels(bool failed) {
    if (!facts_.cann) return;
    if (facts_.kernel_kinds.empty()) {
      add("kernels_missing",
          failed,
          "the kernels package of CANN {} is not installed in {}: no operator will run; install "
          "the one of your cards (Ascend-cann-kernels-…, from 8.5 on …-ops) of the same version",
          "{1} 中没有安装 CANN {0} 的 kernels 包：任何算子都无法运行；请安装对应型号、相同版本的 "
          "Ascend-cann-kernels-…（8.5 起为 …-ops）",
          facts_.cann->version_text,
          facts_.cann->path.string());
      return;
    }
    const std::string kind = kernel_kind(runtime_.soc);
    const std::vector<std::string>& kinds = facts_.kernel_kinds;
    if (!kind.empty() && std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      add("kernels_of_other_card",
          failed,
          "CANN's kernels are for {}, these cards are {} and need those for {}: install that "
          "kernels package",
          "CANN 的 kernels 包用于 {}，而这里的卡是 {}，需要 {} 的：请安装相应的 kernels 包",
          fmt::join(kinds, ", "),
          runtime_.soc,
          kind);
  }

  void judge_cards() {
    for (const CardState& card : runtime_.cards)
      if (!card.failure.empty())
        add("card_fails",
            true,
            "card {} does not open: {}; it may be held by another process or container, or be in a "
            "bad state: see npu-smi info, or leave it out with ASCEND_RT_VISIBLE_DEVICES",
            "{} 号卡无法打开：{}；可能被其他进程或容器占用，或者状态异常：请查看 npu-smi "
            "info，或用 "
            "ASCEND_RT_VISIBLE_DEVICES 避开它",
            card.physical_index,
            card.failure);
  }

  void judge_memory() {
    for (const CardState& card : runtime_.cards) {
      if (!card.failure.empty()) continue;
      const std::uint64_t known = card.free_bytes + card.allocated_bytes;
      const std::uint64_t held = card.total_bytes > known ? card.total_bytes - known : 0;
      if (held > card.total_bytes / kHeldShare)
        add("memory_held",
            false,
            "card {}: {} of {} are held by other processes, which npu-smi info names; the planner "
            "uses what is free, ASCEND_RT_VISIBLE_DEVICES chooses other cards",
            "{} 号卡：{}（共 {}）被其他进程占用，npu-smi info "
            "可列出它们；规划器只用空闲部分，也可用 "
            "ASCEND_RT_VISIBLE_DEVICES 换卡",
            card.physical_index,
            format_bytes(held),
            format_bytes(card.total_bytes));
    }
  }

  const HostFacts& facts_;
  const RuntimeState& runtime_;
  const ChooseText choose_;
  std::vector<Finding> findings_;
};

}  // namespace

const std::string& driver_version(const HostFacts& facts, const RuntimeState& runtime) {
  return facts.driver_version.empty() ? runtime.driver_version : facts.driver_version;
}

std::vector<Fact> list_facts(const HostFacts& facts,
                             const RuntimeState& runtime,
                             ChooseText choose) {
  std::vector<Fact> list;
  const auto add = [&](std::string key, std::string_view label, const std::string& value) {
    if (!value.empty()) list.push_back({std::move(key), std::string(label), value});
  };
  add("soc", choose("SoC", "SoC"), runtime.soc);
  add("driver_version", choose("driver", "驱动"), driver_version(facts, runtime));
  const bool only_found = runtime.cann_path.empty() && facts.cann.has_value();  // not loaded
  add("cann_version", "CANN", only_found ? facts.cann->version_text : runtime.cann_version_text);
  add("cann_path",
      choose("CANN is in", "CANN 位于"),
      only_found ? facts.cann->path.string() : runtime.cann_path);
  if (facts.cann) add("cann_says", choose("CANN says", "CANN 报告"), runtime.failure);
  add("kernels",
      choose("kernels for", "kernels 包"),
      fmt::format("{}", fmt::join(facts.kernel_kinds, ", ")));
  std::string nodes;
  for (const std::vector<DeviceNode>* some : {&facts.card_nodes, &facts.shared_nodes})
    for (const DeviceNode& node : *some)
      if (node.exists) nodes += (nodes.empty() ? "" : " ") + node.path;
  add("device_nodes", choose("device nodes", "设备节点"), nodes);
  if (facts.num_pci_cards > 0)
    add("pci_cards",
        choose("cards on the PCI bus", "PCI 总线上的卡"),
        std::to_string(facts.num_pci_cards));
  if (facts.visible_mask)
    list.push_back({"visible_devices", "ASCEND_RT_VISIBLE_DEVICES", *facts.visible_mask});
  return list;
}

std::vector<Finding> judge(const HostFacts& facts, const RuntimeState& runtime, ChooseText choose) {
  return Judge(facts, runtime, choose).run();
}

}  // namespace fastchat::device::ascend
