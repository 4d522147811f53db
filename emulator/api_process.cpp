// Entry points of the process as a whole: start, end, versions, errors, facts about the machine.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <array>
#include <cstdio>
#include <cstring>
#include <utility>

#include "emulator/address_space.h"
#include "emulator/entry.h"
#include "emulator/memory.h"
#include "emulator/op.h"
#include "emulator/report.h"
#include "emulator/settings.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

// "8.3.RC1", as each release calls itself.
std::string version_name() {
  switch (cann_version()) {
    case 800:
      return "8.0.0";
    case 810:
      return "8.1.RC1";
    case 820:
      return "8.2.RC1";
    case 830:
      return "8.3.RC1";
    case 850:
      return "8.5.0";
    default:
      return "9.0.0";
  }
}

template <size_t N>
void put(char (&field)[N], const std::string& text) {
  std::snprintf(field, N, "%s", text.c_str());
}

void finalise(std::unique_lock<std::mutex>& lock) {
  Runtime& state = runtime();
  for (const auto& card : state.cards) {
    reset_card(lock, *card);
    lock.unlock();
    release_physical_memory(*card);
    lock.lock();
  }
  state.initialised = false;
  state.finalised = true;
  state.init_count = 0;
}

constexpr uint64_t kHccs = ACL_RT_DEVS_TOPOLOGY_HCCS;

}  // namespace

namespace emulator {

const std::string& soc_name() { return settings().soc.name; }

}  // namespace emulator

aclError aclInit(const char* config_path) {
  return guarded("aclInit", [&] {
    if (config_path != nullptr && *config_path != '\0') {
      std::FILE* file = std::fopen(config_path, "r");
      if (file == nullptr)
        refuse_call(ACL_ERROR_INVALID_FILE, fmt::format("{} cannot be read", config_path));
      std::fclose(file);
    }
    Runtime& state = runtime();
    const std::lock_guard lock(state.mutex);
    ++state.init_count;
    if (state.initialised) refuse_call(ACL_ERROR_REPEAT_INITIALIZE, "aclInit was called before");
    state.initialised = true;
  });
}

aclError aclFinalize() {
  return guarded("aclFinalize", [&] {
    Runtime& state = runtime();
    std::unique_lock lock(state.mutex);
    if (state.finalised) refuse_call(ACL_ERROR_REPEAT_FINALIZE, "aclFinalize was called before");
    if (!state.initialised) refuse_call(ACL_ERROR_UNINITIALIZE, "aclInit has not been called");
    lock.unlock();
    write_report();
    lock.lock();
    finalise(lock);
  });
}

aclError aclFinalizeReference(uint64_t* reference_count) {
  return guarded("aclFinalizeReference", [&] {
    Runtime& state = runtime();
    std::unique_lock lock(state.mutex);
    if (state.init_count == 0)
      refuse_call(ACL_ERROR_REPEAT_FINALIZE, "aclInit has not been called as often");
    --state.init_count;
    if (reference_count != nullptr) *reference_count = state.init_count;
    if (state.init_count == 0) finalise(lock);
  });
}

const char* aclGetRecentErrMsg() { return take_recent_errors(); }

aclError aclrtGetLastError(aclrtLastErrLevel /*level*/) { return last_error(true); }
aclError aclrtPeekAtLastError(aclrtLastErrLevel /*level*/) { return last_error(false); }

aclError aclrtGetVersion(int32_t* major, int32_t* minor, int32_t* patch) {
  return guarded("aclrtGetVersion", [&] {
    require_pointer(major, "major");
    require_pointer(minor, "minor");
    require_pointer(patch, "patch");
    // Of the interface: 1.13 in 8.1, 1.15 in 9.0; in between as far as is known.
    *major = 1;
    *minor = cann_version() >= 900   ? 15
             : cann_version() >= 850 ? 14
             : cann_version() >= 810 ? 13
                                     : 12;
    *patch = 0;
  });
}

aclError aclsysGetCANNVersion(aclCANNPackageName package, aclCANNPackageVersion* version) {
  return guarded("aclsysGetCANNVersion", [&] {
    require_pointer(version, "version");
    if (package < ACL_PKG_NAME_CANN || package > ACL_PKG_NAME_DRIVER) {
      refuse_call(ACL_ERROR_INVALID_PARAM, fmt::format("package {}", static_cast<int>(package)));
    }
    const std::string name = package == ACL_PKG_NAME_DRIVER ? "25.5.1" : version_name();
    const size_t first = name.find('.');
    const size_t second = name.find('.', first + 1);
    std::memset(version, 0, sizeof *version);
    put(version->version, name);
    put(version->majorVersion, name.substr(0, first));
    put(version->minorVersion, name.substr(first + 1, second - first - 1));
    put(version->releaseVersion, name.substr(second + 1));
  });
}

aclError aclsysGetVersionStr(char* package, char* version) {
  return guarded("aclsysGetVersionStr", [&] {
    require_pointer(package, "package");
    require_pointer(version, "version");
    std::strcpy(version, version_name().c_str());
  });
}

aclError aclsysGetVersionNum(char* package, int32_t* version) {
  return guarded("aclsysGetVersionNum", [&] {
    require_pointer(package, "package");
    require_pointer(version, "version");
    *version = cann_version() / 100 * 10000000 + cann_version() / 10 % 10 * 100000;
  });
}

// ---- facts about the machine ------------------------------------------------------------------

aclError aclrtGetDeviceCount(uint32_t* count) {
  return guarded("aclrtGetDeviceCount", [&] {
    require_pointer(count, "count");
    require_initialised();
    if (runtime().visible.empty()) refuse_call(ACL_ERROR_RT_NO_DEVICE, "no card is visible");
    *count = static_cast<uint32_t>(runtime().visible.size());
  });
}

const char* aclrtGetSocName() { return runtime().cards.empty() ? nullptr : soc_name().c_str(); }

aclError aclrtGetRunMode(aclrtRunMode* mode) {
  return guarded("aclrtGetRunMode", [&] {
    require_pointer(mode, "mode");
    *mode = ACL_HOST;
  });
}

aclError aclrtQueryDeviceStatus(int32_t device, aclrtDeviceStatus* status) {
  return guarded("aclrtQueryDeviceStatus", [&] {
    require_pointer(status, "status");
    require_initialised();
    const Card& card = require_card(device);
    const std::lock_guard lock(runtime().mutex);
    *status =
        card.fault == ACL_SUCCESS ? ACL_RT_DEVICE_STATUS_NORMAL : ACL_RT_DEVICE_STATUS_ABNORMAL;
  });
}

aclError aclrtGetDeviceUtilizationRate(int32_t device, aclrtUtilizationInfo* info) {
  return guarded("aclrtGetDeviceUtilizationRate", [&] {
    require_pointer(info, "info");
    require_initialised();
    const Card& card = require_card(device);
    const std::lock_guard lock(runtime().mutex);
    const uint64_t held = card.used_bytes + card.taken_bytes;
    *info = {-1,
             -1,
             -1,
             static_cast<int32_t>(card.memory_bytes == 0 ? 0 : held * 100 / card.memory_bytes),
             nullptr};
  });
}

aclError aclGetDeviceCapability(uint32_t device, aclDeviceInfo info, int64_t* value) {
  return guarded("aclGetDeviceCapability", [&] {
    require_pointer(value, "value");
    require_initialised();
    require_card(device);
    const Soc& soc = settings().soc;
    switch (info) {
      case ACL_DEVICE_INFO_AI_CORE_NUM:
        *value = soc.cube_cores;
        return;
      case ACL_DEVICE_INFO_VECTOR_CORE_NUM:
        *value = soc.vector_cores;
        return;
      case ACL_DEVICE_INFO_L2_SIZE:
        *value = soc.l2_bytes;
        return;
      default:
        refuse_call(ACL_ERROR_INVALID_PARAM, fmt::format("info {}", static_cast<int>(info)));
    }
  });
}

aclError aclrtGetDeviceInfo(uint32_t device, aclrtDevAttr attribute, int64_t* value) {
  return guarded("aclrtGetDeviceInfo", [&] {
    require_pointer(value, "value");
    require_initialised();
    const Card& card = require_card(device);
    const Soc& soc = settings().soc;
    switch (attribute) {
      case ACL_DEV_ATTR_AICORE_CORE_NUM:
      case ACL_DEV_ATTR_CUBE_CORE_NUM:
        *value = soc.cube_cores;
        return;
      case ACL_DEV_ATTR_VECTOR_CORE_NUM:
        *value = soc.vector_cores;
        return;
      case ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE:
        *value = static_cast<int64_t>(card.memory_bytes);
        return;
      case ACL_DEV_ATTR_L2_CACHE_SIZE:
        *value = soc.l2_bytes;
        return;
      case ACL_DEV_ATTR_PHY_CHIP_ID:
        *value = card.id;
        return;
    }
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("attribute {}", static_cast<int>(attribute)));
  });
}

aclError aclrtGetDevicesTopo(uint32_t device, uint32_t other, uint64_t* links) {
  return guarded("aclrtGetDevicesTopo", [&] {
    require_pointer(links, "links");
    require_initialised();
    const Card& a = require_card(device);
    const Card& b = require_card(other);
    // Eight cards of a server form a full mesh; groups of eight meet on the host.
    *links = a.id / 8 == b.id / 8 ? kHccs : ACL_RT_DEVS_TOPOLOGY_SYS;
  });
}

aclError aclrtGetLogicDevIdByUserDevId(const int32_t user_device, int32_t* const device) {
  return guarded("aclrtGetLogicDevIdByUserDevId", [&] {
    require_pointer(device, "device");
    require_initialised();
    *device = require_card(user_device).id;
  });
}

aclError aclGetCannAttribute(aclCannAttr attribute, int32_t* value) {
  return guarded("aclGetCannAttribute", [&] {
    require_pointer(value, "value");
    switch (attribute) {
      case ACL_CANN_ATTR_INF_NAN:
      case ACL_CANN_ATTR_JIT_COMPILE:
        *value = 1;
        return;
      case ACL_CANN_ATTR_BF16:
        *value = settings().soc.has_bf16 ? 1 : 0;
        return;
      default:
        refuse_call(ACL_ERROR_INVALID_PARAM,
                    fmt::format("attribute {}", static_cast<int>(attribute)));
    }
  });
}

aclError aclGetCannAttributeList(const aclCannAttr** attributes, size_t* count) {
  return guarded("aclGetCannAttributeList", [&] {
    require_pointer(attributes, "attributes");
    require_pointer(count, "count");
    // BF16 last: a chip without it gives a shorter list.
    static constexpr std::array<aclCannAttr, 3> kAttributes{
        ACL_CANN_ATTR_INF_NAN, ACL_CANN_ATTR_JIT_COMPILE, ACL_CANN_ATTR_BF16};
    *attributes = kAttributes.data();
    *count = settings().soc.has_bf16 ? 3 : 2;
  });
}
// NOLINTEND(readability-identifier-naming)
