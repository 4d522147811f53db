// The functions of the CANN that is installed, found at run time: the program needs none to start.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "device/ascend/cann.h"
#include "device/ascend/cann_root.h"

namespace fastchat::device::ascend {

/// What CANN has from some version on, and what is done without it. A symbol alone is no proof:
/// previews had the name with other arguments.
enum class Feature {
  packed_prefill,   // attention over packed sequences of grouped heads (layout TND): 8.3
  scatter_kv,       // aclnnScatterPaKvCache: 8.3; else aclnnScatterNdUpdate, twice
  attention_v3,     // aclnnFusedInferAttentionScoreV3: 8.1; else V2
  quant_matmul_v5,  // aclnnQuantMatmulV5 for 8-bit activations: 8.3; else V4
  graphs,           // aclmdlRI*: 8.1; else executors are kept and run again
  graph_updates,    // operators of a graph get other arguments: 8.1, and a driver from 25.0 on
  collectives_on_vector_cores,  // HcclCommConfig has the field: 8.1; else as the environment says
};

inline constexpr std::size_t kNumFeatures = 7;

/// One per process, as CANN itself. Its libraries stay loaded: they have threads of their own.
class CannLibrary {
 public:
  /// Finds, loads and initialises at the first call. nullptr when there is none; why_not() then
  /// says why. Any thread.
  static const CannLibrary* load();
  /// One line: what is missing and how to get it. Empty after a successful load().
  static const std::string& why_not();

  /// 830 for 8.3.RC1; 0 = unknown.
  int version() const { return version_; }
  const std::string& version_text() const { return version_text_; }
  /// "25.2.0"; empty where this CANN does not say.
  const std::string& driver_version_text() const { return driver_version_text_; }
  const std::string& path() const { return path_; }
  bool has(Feature feature) const { return features_[static_cast<std::size_t>(feature)]; }

  /// nullptr where this CANN has no such function.
  void* find(const char* name) const;
  /// Throws Failure naming function and version.
  void* require(const char* name) const;

 private:
  CannLibrary() = default;
  bool open(const CannRoot& root, std::string& why_not);
  void read_version(const CannRoot& root);
  void find_features();
  std::string initialise() const;

  std::vector<void*> handles_;
  std::string path_;
  std::string version_text_;
  std::string driver_version_text_;
  int version_ = 0;
  std::array<bool, kNumFeatures> features_{};
};

/// The loaded one; only after CannLibrary::load() has given it.
const CannLibrary& cann();

}  // namespace fastchat::device::ascend

/// The function of this name in the loaded CANN; looked up once.
#define FASTCHAT_CANN(name)                                                       \
  reinterpret_cast<decltype(&::name)>([] {                                        \
    static void* const found = ::fastchat::device::ascend::cann().require(#name); \
    return found;                                                                 \
  }())
/// Calls it and throws Failure, naming it, unless it returns 0.
#define FASTCHAT_CANN_CALL(name, ...) \
  ::fastchat::device::ascend::check_status(FASTCHAT_CANN(name)(__VA_ARGS__), #name)
