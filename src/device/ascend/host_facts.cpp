#include "device/ascend/host_facts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "device/ascend/visible_cards.h"

namespace fastchat::device::ascend {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSharedNodes[] = {"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"};
constexpr const char* kDriverFolder = "/usr/local/Ascend/driver";

std::string read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::string> list_folder(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

bool exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// The name in /etc/group; empty when there is none. Not through the system's name service, which
/// may ask servers: the installer adds the group to this file.
std::string group_name(const std::string& root, gid_t group) {
  std::ifstream file(root + "/etc/group");
  for (std::string line; std::getline(file, line);) {  // name:password:number:members
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    const std::size_t third = line.find(':', second + 1);
    if (first == std::string::npos || second == std::string::npos || third == std::string::npos)
      continue;
    if (line.substr(second + 1, third - second - 1) == std::to_string(group))
      return line.substr(0, first);
  }
  return {};
}

bool may_use(const struct stat& node, const Identity& identity) {
  if (identity.user == 0) return true;
  const auto has = [&](mode_t both) { return (node.st_mode & both) == both; };
  if (node.st_uid == identity.user) return has(S_IRUSR | S_IWUSR);
  if (std::find(identity.groups.begin(), identity.groups.end(), node.st_gid) !=
      identity.groups.end())
    return has(S_IRGRP | S_IWGRP);
  return has(S_IROTH | S_IWOTH);
}

DeviceNode read_node(const HostView& view, const std::string& path) {
  DeviceNode node{.path = path};
  struct stat status {};
  if (stat((view.root + path).c_str(), &status) != 0) return node;
  node.exists = true;
  node.is_usable = may_use(status, view.identity);
  node.group_helps = (status.st_mode & (S_IRGRP | S_IWGRP)) == (S_IRGRP | S_IWGRP);
  node.group = group_name(view.root, status.st_gid);
  node.group_has_name = !node.group.empty();
  if (!node.group_has_name) node.group = std::to_string(status.st_gid);
  return node;
}

std::vector<int> find_cards(const std::string& root) {
  constexpr std::string_view kPrefix = "davinci";
  std::vector<int> cards;
  for (const std::string& name : list_folder(root + "/dev")) {
    if (!name.starts_with(kPrefix)) continue;
    int card = 0;
    const char* const begin = name.data() + kPrefix.size();
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(begin, end, card);
    if (error == std::errc() && stop == end) cards.push_back(card);
  }
  std::sort(cards.begin(), cards.end());
  return cards;
}

int count_pci_cards(const std::string& root) {
  const fs::path devices = root + "/sys/bus/pci/devices";
  int count = 0;
  for (const std::string& address : list_folder(devices)) {
    const bool is_huawei = read_line(devices / address / "vendor") == "0x19e5";
    const bool is_accelerator = read_line(devices / address / "class").starts_with("0x1200");
    count += is_huawei && is_accelerator ? 1 : 0;
  }
  return count;
}

bool find_driver_library(const std::string& root) {
  const std::string folder = root + kDriverFolder + "/lib64";
  for (const char* below : {"/driver", "/common", ""})
    if (exists(folder + below + "/libascend_hal.so")) return true;
  return false;
}

/// "Version=25.2.0"; a line package_version, where there is one, is the number of the release.
std::string read_driver_version(const std::string& root) {
  std::ifstream file(root + kDriverFolder + "/version.info");
  std::string version;
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kPackage = "package_version=";
    constexpr std::string_view kVersion = "Version=";
    if (line.starts_with(kPackage)) return line.substr(kPackage.size());
    if (line.starts_with(kVersion)) version = line.substr(kVersion.size());
  }
  return version;
}

bool is_container(const std::string& root) {
  if (exists(root + "/.dockerenv") || exists(root + "/run/.containerenv")) return true;
  std::ifstream file(root + "/proc/1/cgroup");
  for (std::string line; std::getline(file, line);)
    for (const char* runtime : {"docker", "kubepods", "containerd", "libpod", "lxc"})
      if (line.find(runtime) != std::string::npos) return true;
  return false;
}

/// Kinds of cards that the kernels package of this CANN is for. The toolkit alone leaves the folder
/// of a kind with nothing but ops_oam in it.
std::vector<std::string> find_kernel_kinds(const CannRoot& cann) {
  const fs::path folder = cann.opp() / "built-in" / "op_impl" / "ai_core" / "tbe" / "kernel";
  std::vector<std::string> kinds;
  for (const std::string& kind : list_folder(folder)) {
    if (!kind.starts_with("ascend")) continue;
    const std::vector<std::string> operators = list_folder(folder / kind);
    if (std::any_of(operators.begin(), operators.end(), [](const std::string& name) {
          return name != "ops_oam";
        }))
      kinds.push_back(kind);
  }
  return kinds;
}

}  // namespace

Identity this_process() {
  Identity identity{.user = geteuid(), .groups = {getegid()}};
  const int count = getgroups(0, nullptr);
  if (count <= 0) return identity;
  std::vector<gid_t> more(static_cast<std::size_t>(count));
  const int got = getgroups(count, more.data());
  identity.groups.insert(identity.groups.end(), more.begin(), more.begin() + std::max(got, 0));
  return identity;
}

HostView this_host() {
  HostView view{.identity = this_process(),
                .wrong_places = find_wrong_places(),
                .visible_mask = visible_cards_mask()};
  if (std::vector<CannRoot> roots = find_cann_roots(); !roots.empty()) view.cann = roots.front();
  return view;
}

HostFacts read_host_facts(const HostView& view) {
  HostFacts facts{.num_pci_cards = count_pci_cards(view.root),
                  .has_driver_library = find_driver_library(view.root),
                  .driver_version = read_driver_version(view.root),
                  .in_container = is_container(view.root),
                  .cann = view.cann,
                  .wrong_places = view.wrong_places,
                  .visible_mask = view.visible_mask};
  for (const char* path : kSharedNodes) facts.shared_nodes.push_back(read_node(view, path));
  for (const int card : find_cards(view.root))
    facts.card_nodes.push_back(read_node(view, fmt::format("/dev/davinci{}", card)));
  if (view.cann) facts.kernel_kinds = find_kernel_kinds(*view.cann);
  return facts;
}

std::string kernel_kind(const std::string& soc) {
  std::string lower = soc;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* kind : {"ascend910b", "ascend910_93", "ascend310p"})
    if (lower.starts_with(kind)) return kind;
  return {};
}

}  // namespace fastchat::device::ascend
