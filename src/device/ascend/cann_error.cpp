#include "device/ascend/cann_error.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "device/ascend/cann.h"
#include "device/ascend/cann_library.h"

namespace fastchat::device::ascend {
namespace {

struct Known {
  int status;
  std::string_view name;
  std::string_view advice;
};

constexpr std::string_view kResetAdvice =
    "the card's context is lost; restart the program, and look at the card with npu-smi info";

constexpr auto kKnown = std::to_array<Known>({
    {ACL_ERROR_INVALID_PARAM, "ACL_ERROR_INVALID_PARAM", ""},
    {ACL_ERROR_UNINITIALIZE, "ACL_ERROR_UNINITIALIZE", ""},
    {ACL_ERROR_COMPILING_STUB_MODE,
     "ACL_ERROR_COMPILING_STUB_MODE",
     "the stub libraries for linking were loaded; remove …/stub or …/devlib from LD_LIBRARY_PATH"},
    {ACL_ERROR_INVALID_OPP_PATH,
     "ACL_ERROR_INVALID_OPP_PATH",
     "ASCEND_OPP_PATH names no folder of operators; source CANN's set_env.sh"},
    {ACL_ERROR_BAD_ALLOC, "ACL_ERROR_BAD_ALLOC", "the host has no memory left"},
    {ACL_ERROR_API_NOT_SUPPORT, "ACL_ERROR_API_NOT_SUPPORT", ""},
    {ACL_ERROR_INTERNAL_ERROR, "ACL_ERROR_INTERNAL_ERROR", ""},
    {ACL_ERROR_FAILURE, "ACL_ERROR_FAILURE", ""},
    {ACL_ERROR_RT_FAILURE, "ACL_ERROR_RT_FAILURE", ""},
    {ACL_ERROR_DRV_FAILURE,
     "ACL_ERROR_DRV_FAILURE",
     "the driver failed; is it as new as this CANN needs? See npu-smi info"},
    {ACL_ERROR_RT_PARAM_INVALID, "ACL_ERROR_RT_PARAM_INVALID", ""},
    {ACL_ERROR_RT_INVALID_DEVICEID,
     "ACL_ERROR_RT_INVALID_DEVICEID",
     "the card does not exist, or ASCEND_RT_VISIBLE_DEVICES leaves it out"},
    {ACL_ERROR_RT_CONTEXT_NULL, "ACL_ERROR_RT_CONTEXT_NULL", ""},
    {ACL_ERROR_RT_STREAM_CONTEXT, "ACL_ERROR_RT_STREAM_CONTEXT", ""},
    {ACL_ERROR_RT_INVALID_HANDLE, "ACL_ERROR_RT_INVALID_HANDLE", ""},
    {ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "ACL_ERROR_RT_FEATURE_NOT_SUPPORT", ""},
    {ACL_ERROR_RT_MEMORY_ALLOCATION,
     "ACL_ERROR_RT_MEMORY_ALLOCATION",
     "the card has no memory left; see who holds it with npu-smi info"},
    {ACL_ERROR_RT_NO_DEVICE,
     "ACL_ERROR_RT_NO_DEVICE",
     "no card is visible: look at ASCEND_RT_VISIBLE_DEVICES (ascending numbers, single commas), at "
     "npu-smi info, and, in a container, whether /dev/davinci* are passed in"},
    {ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "ACL_ERROR_RT_RESOURCE_ALLOC_FAIL", ""},
    {ACL_ERROR_RT_NO_PERMISSION,
     "ACL_ERROR_RT_NO_PERMISSION",
     "this user may not open /dev/davinci*: join the group that owns them (HwHiAiUser), and pass "
     "them into the container"},
    {ACL_ERROR_RT_NO_EVENT_RESOURCE, "ACL_ERROR_RT_NO_EVENT_RESOURCE", ""},
    {ACL_ERROR_RT_NO_STREAM_RESOURCE,
     "ACL_ERROR_RT_NO_STREAM_RESOURCE",
     "the card's streams are used up, by other programs or by too many captured graphs"},
    {ACL_ERROR_RT_DEVICE_OOM, "ACL_ERROR_RT_DEVICE_OOM", "the card has no memory left"},
    {ACL_ERROR_RT_LOST_HEARTBEAT, "ACL_ERROR_RT_LOST_HEARTBEAT", kResetAdvice},
    {ACL_ERROR_RT_AICORE_TIMEOUT, "ACL_ERROR_RT_AICORE_TIMEOUT", kResetAdvice},
    {ACL_ERROR_RT_AICORE_EXCEPTION, "ACL_ERROR_RT_AICORE_EXCEPTION", kResetAdvice},
    {ACL_ERROR_RT_VECTOR_CORE_EXCEPTION, "ACL_ERROR_RT_VECTOR_CORE_EXCEPTION", kResetAdvice},
    {ACL_ERROR_RT_SOC_VERSION,
     "ACL_ERROR_RT_SOC_VERSION",
     "the kernels package is for another kind of card"},
    {ACLNN_ERR_PARAM_NULLPTR, "ACLNN_ERR_PARAM_NULLPTR", ""},
    {ACLNN_ERR_PARAM_INVALID, "ACLNN_ERR_PARAM_INVALID", ""},
    {ACLNN_ERR_RUNTIME_ERROR, "ACLNN_ERR_RUNTIME_ERROR", ""},
    {ACLNN_ERR_INNER_TILING_ERROR, "ACLNN_ERR_INNER_TILING_ERROR", ""},
    {ACLNN_ERR_INNER_FIND_KERNEL_ERROR,
     "ACLNN_ERR_INNER_FIND_KERNEL_ERROR",
     "CANN has no kernel for this on this card: is the kernels package of its version installed?"},
    {ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND,
     "ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND",
     "ASCEND_OPP_PATH is not set; source CANN's set_env.sh"},
    {ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND,
     "ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND",
     "the kernels package (Ascend-cann-kernels-…, from 8.5 …-ops) is not installed"},
});

/// CANN's own words end in a newline, and may be nothing else.
std::string_view without_blanks_at_the_end(std::string_view message) {
  return message.substr(0, message.find_last_not_of(" \t\r\n") + 1);
}

const Known* find(int status) {
  const auto* const found = std::find_if(
      kKnown.begin(), kKnown.end(), [&](const Known& known) { return known.status == status; });
  return found == kKnown.end() ? nullptr : found;
}

}  // namespace

std::string_view status_name(int status) {
  const Known* const known = find(status);
  return known == nullptr ? std::string_view() : known->name;
}

std::string_view status_advice(int status) {
  const Known* const known = find(status);
  return known == nullptr ? std::string_view() : known->advice;
}

std::string recent_words() {
  const char* const message = FASTCHAT_CANN(aclGetRecentErrMsg)();
  return message == nullptr ? std::string() : std::string(without_blanks_at_the_end(message));
}

std::string describe_failure(int status, std::string_view call, std::string_view arguments) {
  std::string text(call);
  if (!arguments.empty()) text += fmt::format("({})", arguments);
  text += fmt::format(" failed with {}", status);
  if (const std::string_view name = status_name(status); !name.empty())
    text += fmt::format(" ({})", name);
  if (const std::string words = recent_words(); !words.empty()) text += fmt::format(": {}", words);
  if (const std::string_view advice = status_advice(status); !advice.empty())
    text += fmt::format("; {}", advice);
  return text;
}

void check_status(int status, std::string_view call, std::string_view arguments) {
  if (status != ACL_SUCCESS) throw Failure(describe_failure(status, call, arguments));
}

}  // namespace fastchat::device::ascend
