// Which library exports what, in which CANN.
#include <dlfcn.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/emulator/client.h"

namespace client {
namespace {

struct Row {
  std::string library;
  int since;
  std::string name;
};

std::vector<Row> rows() {
  std::vector<Row> read;
  for (const char* file : {"/emulator/symbols.txt", "/emulator/ops/symbols.txt"}) {
    std::ifstream lines(std::string(FASTCHAT_SOURCE_DIR) + file);
    EXPECT_TRUE(lines) << file;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      Row row;
      if (!line.empty() && line[0] != '#' && fields >> row.library >> row.since >> row.name)
        read.push_back(row);
    }
  }
  return read;
}

bool exists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0;
}

// Where a name is looked up first, and the library that must hold it.
std::string home(const std::string& tag) {
  if (tag == "acl") return version() < 850 ? "libascendcl.so" : "libacl_rt.so";
  if (tag == "nnopbase") return "libnnopbase.so";
  if (tag == "dcmi") return "libdcmi.so";
  if (tag == "hccl") return "libhccl.so";
  if (tag == "hcomm") return version() < 850 ? "libhccl.so" : "libhcomm.so";
  return version() < 850 ? "libopapi.so" : "libopapi_" + tag + ".so";
}

TEST(Exports, EveryNameIsInItsLibraryFromItsVersionOn) {
  find("aclInit");  // sets the environment
  const std::vector<Row> table = rows();
  ASSERT_GT(table.size(), 150u);
  std::map<std::string, void*> handles;
  for (const Row& row : table) {
    const std::string path = root() + "/lib64/" + home(row.library);
    void*& handle = handles[path];
    if (handle == nullptr) handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    ASSERT_NE(handle, nullptr) << dlerror();
    void* symbol = dlsym(handle, row.name.c_str());
    if (row.since > version()) {
      EXPECT_EQ(symbol, nullptr) << row.name << " is too new for this CANN";
      continue;
    }
    ASSERT_NE(symbol, nullptr) << row.name;
    Dl_info info{};
    ASSERT_NE(dladdr(symbol, &info), 0);
    EXPECT_STREQ(info.dli_fname, path.c_str()) << row.name;
  }
}

// The header of facts and the tables of exports name the same functions.
TEST(Exports, EveryFunctionOfTheHeaderHasARow) {
  std::set<std::string> declared;
  const std::regex function(R"((CANN_OPERATOR\()?\b((?:acl|Hccl|dcmi_)[A-Za-z0-9_]+)(\(|,))");
  for (const char* name :
       {"cann_runtime.h", "cann_nnopbase.h", "cann_hccl.h", "cann_ops.h", "dcmi.h"}) {
    std::ifstream lines(std::string(FASTCHAT_SOURCE_DIR) + "/src/device/ascend/" + name);
    ASSERT_TRUE(lines) << name;
    for (std::string line; std::getline(lines, line);) {
      line.erase(std::min(line.find("//"), line.size()));
      std::smatch match;
      if (!std::regex_search(line, match, function)) continue;
      const bool is_operator = match[1].matched;
      if (is_operator == (match[3] == ",")) declared.insert(match[2]);
      if (is_operator) declared.insert(match[2].str() + "GetWorkspaceSize");
    }
  }
  std::set<std::string> exported;
  for (const Row& row : rows())
    EXPECT_TRUE(exported.insert(row.name).second) << row.name << " twice";
  EXPECT_EQ(declared, exported);
}

TEST(Exports, TheSplitLibrariesAreThereFrom85On) {
  const bool split = version() >= 850;
  for (const char* name : {"libacl_rt.so",
                           "libhcomm.so",
                           "libopapi_math.so",
                           "libopapi_nn.so",
                           "libopapi_transformer.so"}) {
    EXPECT_EQ(exists(root() + "/lib64/" + name), split) << name;
  }
  for (const char* name : {"libascendcl.so", "libnnopbase.so", "libopapi.so", "libhccl.so"}) {
    EXPECT_TRUE(exists(root() + "/lib64/" + name)) << name;
  }
}

TEST(Exports, OneLibraryFindsTheOthers) {
  find("aclInit");
  const auto look = [](const char* library, const char* name) {
    return dlsym(dlopen((root() + "/lib64/" + library).c_str(), RTLD_LAZY | RTLD_LOCAL), name);
  };
  EXPECT_NE(look("libopapi.so", "aclCreateTensor"), nullptr)
      << "clients take tensors through the operators' handle";
  EXPECT_NE(look("libhccl.so", "HcclGetRootInfo"), nullptr) << "libhccl.so pulls in libhcomm.so";
}

TEST(Exports, TheFolderLooksLikeAnInstalledCann) {
  EXPECT_TRUE(exists(root() + "/opp/built-in/op_impl/ai_core/tbe/kernel"));
  std::string version_line;
  for (const char* arch : {"x86_64", "aarch64"}) {
    std::ifstream file(root() + "/" + arch + "-linux/ascend_toolkit_install.info");
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("version=", 0) == 0) version_line = line;
    }
  }
  EXPECT_EQ(
      version_line.substr(0, 11),
      "version=" + std::to_string(version() / 100) + "." + std::to_string(version() / 10 % 10));
}

}  // namespace
}  // namespace client
