#include "device/ascend/cann_library.h"

#include <iterator>
#include <memory>
#include <mutex>

#include <dlfcn.h>

#include "base/check.h"
#include "base/log.h"
#include "device/ascend/cann_error.h"

namespace fastchat::device::ascend {
namespace {

struct FeatureRow {
  Feature feature;
  int since;
  const char* symbol;
};
constexpr FeatureRow kFeatures[] = {
    {Feature::packed_prefill, 830, "aclnnFusedInferAttentionScoreV3GetWorkspaceSize"},
    {Feature::scatter_kv, 830, "aclnnScatterPaKvCacheGetWorkspaceSize"},
    {Feature::attention_v3, 810, "aclnnFusedInferAttentionScoreV3GetWorkspaceSize"},
    {Feature::quant_matmul_v5, 830, "aclnnQuantMatmulV5GetWorkspaceSize"},
    {Feature::graphs, 810, "aclmdlRICaptureBegin"},
    {Feature::graph_updates, 810, "aclmdlRICaptureTaskUpdateBegin"},
    {Feature::collectives_on_vector_cores, 810, "HcclCommInitRootInfoConfig"},
};
static_assert(std::size(kFeatures) == kNumFeatures);

const CannLibrary* the_library = nullptr;

/// Written by load() alone.
std::string& why_not_loaded() {
  static std::string reason;
  return reason;
}

}  // namespace

const CannLibrary* CannLibrary::load() {
  static std::once_flag once;
  std::call_once(once, [] {
    static std::unique_ptr<CannLibrary> kept;  // never destroyed before its users: they are gone
    std::string& reason = why_not_loaded();
    std::vector<CannRoot> roots = find_cann_roots();
    roots.push_back({});  // by name, as the dynamic linker is configured
    for (const CannRoot& root : roots) {
      std::unique_ptr<CannLibrary> library(new CannLibrary);
      std::string failure;
      if (!library->open(root, failure)) {
        if (!root.path.empty()) reason = failure;
        continue;
      }
      library->read_version(root);
      library->find_features();
      kept = std::move(library);
      the_library = kept.get();
      if (failure = kept->initialise(); failure.empty()) {
        reason.clear();
        log::info("npu: CANN {} in {}", kept->version_text_, kept->path_);
      } else {
        reason = failure;
        the_library = nullptr;
      }
      return;
    }
    if (reason.empty()) reason = "no CANN found (libascendcl.so)";
  });
  return the_library;
}

const std::string& CannLibrary::why_not() { return why_not_loaded(); }

bool CannLibrary::open(const CannRoot& root, std::string& why_not) {
  // Lazily: libraries of one CANN may name symbols that another package of it brings.
  const auto open_one = [&](const char* name) {
    const std::string file = root.path.empty() ? name : (root.lib64() / name).string();
    void* const handle = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) {
      why_not = fmt::format("cannot load {}", dlerror());
      return false;
    }
    handles_.push_back(handle);
    return true;
  };
  path_ = root.path.empty() ? "the linker's path" : root.path.string();
  if (!open_one("libacl_rt.so") && !open_one("libascendcl.so")) return false;
  if (!open_one("libnnopbase.so")) return false;
  // From 8.5 on the operators come in parts, which must not be mixed with the old whole.
  if (open_one("libopapi_nn.so")) {
    if (!open_one("libopapi_math.so") || !open_one("libopapi_transformer.so")) return false;
  } else if (!open_one("libopapi.so")) {
    return false;
  }
  // Collectives are needed by groups of cards only; from 8.5 on in two libraries.
  const std::string before = why_not;
  if (open_one("libhccl.so")) open_one("libhcomm.so");
  why_not = before;
  return true;
}

void CannLibrary::read_version(const CannRoot& root) {
  version_text_ = root.version_text;
  if (void* const get = find("aclsysGetCANNVersion")) {
    const auto ask = [&](aclCANNPackageName package) {
      aclCANNPackageVersion version{};
      const auto get_version = reinterpret_cast<decltype(&aclsysGetCANNVersion)>(get);
      if (get_version(package, &version) != ACL_SUCCESS) return std::string();
      version.version[sizeof version.version - 1] = '\0';
      return std::string(version.version);
    };
    std::string told = ask(ACL_PKG_NAME_CANN);
    if (told.empty()) told = ask(ACL_PKG_NAME_RUNTIME);
    if (!told.empty()) version_text_ = told;
    driver_version_text_ = ask(ACL_PKG_NAME_DRIVER);
  }
  version_ = parse_cann_version(version_text_);
}

std::string CannLibrary::initialise() const {
  const aclError status = reinterpret_cast<decltype(&aclInit)>(require("aclInit"))(nullptr);
  if (status == ACL_SUCCESS || status == ACL_ERROR_REPEAT_INITIALIZE) return {};
  return describe_failure(status, "aclInit");
}

void CannLibrary::find_features() {
  const int version = is_preview(version_text_) ? version_ - 1 : version_;
  for (const FeatureRow& row : kFeatures)
    features_[static_cast<std::size_t>(row.feature)] =
        version >= row.since && find(row.symbol) != nullptr;
}

void* CannLibrary::find(const char* name) const {
  for (void* const handle : handles_)
    if (void* const symbol = dlsym(handle, name)) return symbol;
  return nullptr;
}

void* CannLibrary::require(const char* name) const {
  void* const symbol = find(name);
  check(symbol != nullptr,
        "CANN {} in {} has no function {}: a newer CANN is needed, or a package of it is missing",
        version_text_,
        path_,
        name);
  return symbol;
}

const CannLibrary& cann() {
  FASTCHAT_ASSERT(the_library != nullptr, "{}", "CANN is used before it is loaded");
  return *the_library;
}

}  // namespace fastchat::device::ascend
