// Where CANN, Huawei's software for Ascend cards, is installed, and which version it is.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fastchat::device::ascend {

struct CannRoot {
  std::filesystem::path path;  // empty: found by name alone, as the dynamic linker finds it
  std::string version_text;    // "8.3.RC1"; empty where the install says nothing
  std::filesystem::path lib64() const { return path / "lib64"; }
  std::filesystem::path opp() const { return path / "opp"; }
};

/// "8.3.RC1.alpha003" gives 830, "9.0.0" gives 900; 0 where it is no version.
int parse_cann_version(const std::string& text);
/// Previews changed argument lists under unchanged names: "alpha" or "beta" in the version.
bool is_preview(const std::string& version_text);

/// A variable of the environment that names a place for CANN where none is.
struct WrongPlace {
  std::string variable;  // "ASCEND_HOME_PATH"
  std::filesystem::path path;
  bool exists = false;  // the folder is there, CANN's libraries (lib64/libascendcl.so) are not
};

/// Those of FASTCHAT_CANN_PATH, ASCEND_HOME_PATH and ASCEND_TOOLKIT_HOME.
std::vector<WrongPlace> find_wrong_places();

/// Places to look in, in order: FASTCHAT_CANN_PATH, ASCEND_HOME_PATH, ASCEND_TOOLKIT_HOME, then the
/// default places. Only those that have libraries.
std::vector<CannRoot> find_cann_roots();

/// The environment that the root's set_env.sh would set, for programs started without it: the
/// dynamic linker reads LD_LIBRARY_PATH when a process starts, so the program runs itself once
/// more. Returns when nothing is missing, no CANN is found, or this is the second run already.
/// Before any thread and before aclInit.
void enter_cann_environment(char** argv);

}  // namespace fastchat::device::ascend
