#include "device/ascend/cann_root.h"

#include <cstdlib>
#include <fstream>
#include <string_view>
#include <system_error>

#include <unistd.h>

#include "base/log.h"

namespace fastchat::device::ascend {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEntered = "FASTCHAT_CANN_ENTERED";
constexpr const char* kPlaces[] = {"FASTCHAT_CANN_PATH", "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"};

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool has_libraries(const fs::path& root) {
  std::error_code ignored;
  return fs::exists(root / "lib64" / "libascendcl.so", ignored) ||
         fs::exists(root / "lib64" / "libacl_rt.so", ignored);
}

/// The line "version=…" of the file that the installer leaves.
std::string installed_version(const fs::path& root) {
#if defined(__aarch64__)
  constexpr std::string_view kFolder = "aarch64-linux";
#else
  constexpr std::string_view kFolder = "x86_64-linux";
#endif
  std::ifstream file(root / kFolder / "ascend_toolkit_install.info");
  constexpr std::string_view kKey = "version=";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(kKey)) return line.substr(kKey.size());
  return {};
}

bool contains_entry(const std::string& list, const std::string& wanted) {
  std::size_t begin = 0;
  while (begin <= list.size()) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    if (list.compare(begin, end - begin, wanted) == 0) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

int parse_cann_version(const std::string& text) {
  char* end = nullptr;
  const long major = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str() || *end != '.') return 0;
  const char* const minor_text = end + 1;
  const long minor = std::strtol(minor_text, &end, 10);
  if (end == minor_text || major < 1 || major > 99 || minor < 0 || minor > 9) return 0;
  return static_cast<int>(major * 100 + minor * 10);
}

bool is_preview(const std::string& version_text) {
  return version_text.find("alpha") != std::string::npos ||
         version_text.find("beta") != std::string::npos;
}

std::vector<WrongPlace> find_wrong_places() {
  std::vector<WrongPlace> wrong;
  for (const char* name : kPlaces) {
    const fs::path place = variable(name);
    std::error_code ignored;
    if (!place.empty() && !has_libraries(place))
      wrong.push_back({name, place, fs::is_directory(place, ignored)});
  }
  return wrong;
}

std::vector<CannRoot> find_cann_roots() {
  std::vector<fs::path> places;
  for (const char* name : kPlaces)
    if (const std::string value = variable(name); !value.empty()) places.emplace_back(value);
  places.emplace_back("/usr/local/Ascend/cann");
  places.emplace_back("/usr/local/Ascend/ascend-toolkit/latest");
  if (const std::string home = variable("HOME"); !home.empty())
    places.push_back(fs::path(home) / "Ascend" / "ascend-toolkit" / "latest");
  std::vector<CannRoot> roots;
  for (const fs::path& place : places)
    if (has_libraries(place)) roots.push_back({place, installed_version(place)});
  return roots;
}

void enter_cann_environment(char** argv) {
  if (!variable(kEntered).empty()) return;
  const std::vector<CannRoot> roots = find_cann_roots();
  if (roots.empty()) return;
  const CannRoot& root = roots.front();
  const std::string old_path = variable("LD_LIBRARY_PATH");
  const std::string lib64 = root.lib64().string();
  if (!variable("ASCEND_OPP_PATH").empty() && contains_entry(old_path, lib64)) return;
  std::string path;
  for (const fs::path& folder : {root.lib64(),
                                 root.lib64() / "plugin" / "opskernel",
                                 root.lib64() / "plugin" / "nnengine",
                                 fs::path("/usr/local/Ascend/driver/lib64"),
                                 fs::path("/usr/local/Ascend/driver/lib64/common"),
                                 fs::path("/usr/local/Ascend/driver/lib64/driver")})
    path += (path.empty() ? "" : ":") + folder.string();
  if (!old_path.empty()) path += ":" + old_path;
  setenv("LD_LIBRARY_PATH", path.c_str(), 1);
  setenv("ASCEND_HOME_PATH", root.path.c_str(), 0);
  setenv("ASCEND_OPP_PATH", root.opp().c_str(), 0);
  setenv("ASCEND_AICPU_PATH", root.path.c_str(), 0);
  setenv(kEntered, "1", 1);
  execv("/proc/self/exe", argv);
  log::warn("npu: cannot run again with the environment of {}; source its set_env.sh first",
            root.path.string());
}

}  // namespace fastchat::device::ascend
