// Facts of CANN's C interface, part 1: handles, enumerations, structures and status codes. Written
// in our own words from public documents; tests/emulator/check_cann_headers.py holds it against the
// headers of an installed CANN. Included through cann.h.
#pragma once
// NOLINTBEGIN(readability-identifier-naming): the vendor's names are the interface.

#include <cstddef>
#include <cstdint>

// ---- handles ----------------------------------------------------------------------------------

using aclError = int;
using aclnnStatus = int32_t;
using aclFloat16 = uint16_t;

using aclrtContext = void*;
using aclrtStream = void*;
using aclrtEvent = void*;
using aclrtDrvMemHandle = void*;
using aclrtTaskGrp = void*;  // operators recorded between TaskGrpBegin and TaskGrpEnd
using aclmdlRI = void*;      // a captured graph
using HcclComm = void*;

// A stream and a context are both `void*` to CANN; these are the types that it does tell apart.
struct aclTensor;
struct aclTensorList;
struct aclScalar;
struct aclScalarList;
struct aclIntArray;
struct aclFloatArray;
struct aclBoolArray;
struct aclOpExecutor;

using aclrtCallback = void (*)(void* user_data);
using aclrtHostFunc = void (*)(void* args);

// ---- element types and layouts ----------------------------------------------------------------

enum aclDataType : int {
  ACL_DT_UNDEFINED = -1,
  ACL_FLOAT = 0,
  ACL_FLOAT16 = 1,
  ACL_INT8 = 2,
  ACL_INT32 = 3,
  ACL_UINT8 = 4,
  ACL_INT16 = 6,
  ACL_UINT16 = 7,
  ACL_UINT32 = 8,
  ACL_INT64 = 9,
  ACL_UINT64 = 10,
  ACL_DOUBLE = 11,
  ACL_BOOL = 12,
  ACL_STRING = 13,
  ACL_COMPLEX64 = 16,
  ACL_COMPLEX128 = 17,
  ACL_BF16 = 27,
  ACL_INT4 = 29,
  ACL_UINT1 = 30,
  ACL_COMPLEX32 = 33,
};

enum aclFormat : int {
  ACL_FORMAT_UNDEFINED = -1,
  ACL_FORMAT_NCHW = 0,
  ACL_FORMAT_NHWC = 1,
  ACL_FORMAT_ND = 2,
  ACL_FORMAT_NC1HWC0 = 3,
  ACL_FORMAT_FRACTAL_Z = 4,
  ACL_FORMAT_NC1HWC0_C04 = 12,
  ACL_FORMAT_HWCN = 16,
  ACL_FORMAT_NDHWC = 27,
  ACL_FORMAT_FRACTAL_NZ = 29,
  ACL_FORMAT_NCDHW = 30,
  ACL_FORMAT_NDC1HWC0 = 32,
  ACL_FRACTAL_Z_3D = 33,
  ACL_FORMAT_NC = 35,
  ACL_FORMAT_NCL = 47,
};

// ---- enumerations of the runtime --------------------------------------------------------------

enum aclrtRunMode : int { ACL_DEVICE = 0, ACL_HOST = 1 };

enum aclrtDeviceStatus : int {
  ACL_RT_DEVICE_STATUS_NORMAL = 0,
  ACL_RT_DEVICE_STATUS_ABNORMAL = 1,
  ACL_RT_DEVICE_STATUS_END = 0xFFFF,
};

enum aclDeviceInfo : int {
  ACL_DEVICE_INFO_UNDEFINED = -1,
  ACL_DEVICE_INFO_AI_CORE_NUM = 0,
  ACL_DEVICE_INFO_VECTOR_CORE_NUM = 1,
  ACL_DEVICE_INFO_L2_SIZE = 2,
};

enum aclrtDevAttr : int {
  ACL_DEV_ATTR_AICORE_CORE_NUM = 101,
  ACL_DEV_ATTR_CUBE_CORE_NUM = 102,
  ACL_DEV_ATTR_VECTOR_CORE_NUM = 201,
  ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE = 301,  // bytes
  ACL_DEV_ATTR_L2_CACHE_SIZE = 302,          // bytes
  ACL_DEV_ATTR_PHY_CHIP_ID = 402,
};

enum aclCannAttr : int {
  ACL_CANN_ATTR_UNDEFINED = -1,
  ACL_CANN_ATTR_INF_NAN = 0,
  ACL_CANN_ATTR_BF16 = 1,
  ACL_CANN_ATTR_JIT_COMPILE = 2,
};

enum aclSysParamOpt : int { ACL_OPT_DETERMINISTIC = 0, ACL_OPT_ENABLE_DEBUG_KERNEL = 1 };

enum aclrtFloatOverflowMode : int {
  ACL_RT_OVERFLOW_MODE_SATURATION = 0,
  ACL_RT_OVERFLOW_MODE_INFNAN = 1,
  ACL_RT_OVERFLOW_MODE_UNDEF = 2,
};

enum aclrtLastErrLevel : int { ACL_RT_THREAD_LEVEL = 0 };

enum aclrtStreamStatus : int {
  ACL_STREAM_STATUS_COMPLETE = 0,
  ACL_STREAM_STATUS_NOT_READY = 1,
  ACL_STREAM_STATUS_RESERVED = 0xFFFF,
};

enum aclrtEventRecordedStatus : int {
  ACL_EVENT_RECORDED_STATUS_NOT_READY = 0,
  ACL_EVENT_RECORDED_STATUS_COMPLETE = 1,
};

// Deprecated with aclrtQueryEvent: the values are the other way round.
enum aclrtEventStatus : int {
  ACL_EVENT_STATUS_COMPLETE = 0,
  ACL_EVENT_STATUS_NOT_READY = 1,
  ACL_EVENT_STATUS_RESERVED = 2,
};

enum aclrtEventWaitStatus : int {
  ACL_EVENT_WAIT_STATUS_COMPLETE = 0,
  ACL_EVENT_WAIT_STATUS_NOT_READY = 1,
  ACL_EVENT_WAIT_STATUS_RESERVED = 0xFFFF,
};

enum aclrtCallbackBlockType : int { ACL_CALLBACK_NO_BLOCK = 0, ACL_CALLBACK_BLOCK = 1 };

enum aclrtMemcpyKind : int {
  ACL_MEMCPY_HOST_TO_HOST = 0,
  ACL_MEMCPY_HOST_TO_DEVICE = 1,
  ACL_MEMCPY_DEVICE_TO_HOST = 2,
  ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
  // From CANN 8.5 on.
  ACL_MEMCPY_DEFAULT = 4,
  ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE = 5,
  ACL_MEMCPY_INNER_DEVICE_TO_DEVICE = 6,
  ACL_MEMCPY_INTER_DEVICE_TO_DEVICE = 7,
};

enum aclrtMemMallocPolicy : int {
  ACL_MEM_MALLOC_HUGE_FIRST = 0,  // 2 MiB pages; normal pages up to 1 MiB
  ACL_MEM_MALLOC_HUGE_ONLY = 1,
  ACL_MEM_MALLOC_NORMAL_ONLY = 2,
  ACL_MEM_MALLOC_HUGE_FIRST_P2P = 3,
  ACL_MEM_MALLOC_HUGE_ONLY_P2P = 4,
  ACL_MEM_MALLOC_NORMAL_ONLY_P2P = 5,
  ACL_MEM_MALLOC_HUGE1G_ONLY = 6,
  ACL_MEM_MALLOC_HUGE1G_ONLY_P2P = 7,
  ACL_MEM_TYPE_LOW_BAND_WIDTH = 0x100,
  ACL_MEM_TYPE_HIGH_BAND_WIDTH = 0x1000,
};

enum aclrtMemAttr : int {
  ACL_DDR_MEM = 0,
  ACL_HBM_MEM = 1,
  ACL_DDR_MEM_HUGE = 2,
  ACL_DDR_MEM_NORMAL = 3,
  ACL_HBM_MEM_HUGE = 4,
  ACL_HBM_MEM_NORMAL = 5,
  ACL_DDR_MEM_P2P_HUGE = 6,
  ACL_DDR_MEM_P2P_NORMAL = 7,
  ACL_HBM_MEM_P2P_HUGE = 8,
  ACL_HBM_MEM_P2P_NORMAL = 9,
  ACL_HBM_MEM_HUGE1G = 10,
  ACL_HBM_MEM_P2P_HUGE1G = 11,
};

enum aclrtMemLocationType : int {
  ACL_MEM_LOCATION_TYPE_HOST = 0,
  ACL_MEM_LOCATION_TYPE_DEVICE = 1
};
enum aclrtMemAllocationType : int { ACL_MEM_ALLOCATION_TYPE_PINNED = 0 };
enum aclrtMemHandleType : int { ACL_MEM_HANDLE_TYPE_NONE = 0 };
enum aclrtMemGranularityOptions : int {
  ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM = 0,
  ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED = 1,
};
enum aclrtHostRegisterType : int { ACL_HOST_REGISTER_MAPPED = 0 };

enum aclmdlRICaptureMode : int {
  ACL_MODEL_RI_CAPTURE_MODE_GLOBAL = 0,
  ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL = 1,
  ACL_MODEL_RI_CAPTURE_MODE_RELAXED = 2,
};
enum aclmdlRICaptureStatus : int {
  ACL_MODEL_RI_CAPTURE_STATUS_NONE = 0,
  ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE = 1,
  ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED = 2,
};

enum aclCANNPackageName : int {
  ACL_PKG_NAME_CANN = 0,
  ACL_PKG_NAME_RUNTIME = 1,
  ACL_PKG_NAME_COMPILER = 2,
  ACL_PKG_NAME_HCCL = 3,
  ACL_PKG_NAME_TOOLKIT = 4,
  ACL_PKG_NAME_OPP = 5,
  ACL_PKG_NAME_OPP_KERNEL = 6,
  ACL_PKG_NAME_DRIVER = 7,
};

// ---- flags (macros in the vendor's headers) ---------------------------------------------------

// aclrtCreateEventWithFlag, aclrtCreateEventExWithFlag. EXTERNAL stands alone, the others may be
// or-ed.
inline constexpr uint32_t ACL_EVENT_SYNC = 0x1;
inline constexpr uint32_t ACL_EVENT_CAPTURE_STREAM_PROGRESS = 0x2;
inline constexpr uint32_t ACL_EVENT_TIME_LINE = 0x8;
inline constexpr uint32_t ACL_EVENT_EXTERNAL = 0x20;

// aclrtCreateStreamWithConfig.
inline constexpr uint32_t ACL_STREAM_FAST_LAUNCH = 0x1;
inline constexpr uint32_t ACL_STREAM_FAST_SYNC = 0x2;
inline constexpr uint32_t ACL_STREAM_PERSISTENT = 0x4;
inline constexpr uint32_t ACL_STREAM_HUGE = 0x8;
inline constexpr uint32_t ACL_STREAM_CPU_SCHEDULE = 0x10;
inline constexpr uint32_t ACL_STREAM_DEVICE_USE_ONLY = 0x20;

// aclrtSetStreamFailureMode.
inline constexpr uint64_t ACL_CONTINUE_ON_FAILURE = 0;
inline constexpr uint64_t ACL_STOP_ON_FAILURE = 1;

// aclrtValueWait: how the word in card memory is compared with the value.
inline constexpr uint32_t ACL_STREAM_WAIT_VALUE_GEQ = 0;
inline constexpr uint32_t ACL_STREAM_WAIT_VALUE_EQ = 1;
inline constexpr uint32_t ACL_STREAM_WAIT_VALUE_AND = 2;
inline constexpr uint32_t ACL_STREAM_WAIT_VALUE_NOR = 3;

// aclrtGetDevicesTopo: kinds of link.
inline constexpr uint64_t ACL_RT_DEVS_TOPOLOGY_HCCS = 0x1;
inline constexpr uint64_t ACL_RT_DEVS_TOPOLOGY_PIX = 0x2;  // same PCIe switch
inline constexpr uint64_t ACL_RT_DEVS_TOPOLOGY_PHB = 0x8;  // through the PCIe host bridge
inline constexpr uint64_t ACL_RT_DEVS_TOPOLOGY_SYS = 0x10;
inline constexpr uint64_t ACL_RT_DEVS_TOPOLOGY_SIO = 0x20;  // two dies of one package
inline constexpr uint64_t ACL_RT_DEVS_TOPOLOGY_HCCS_SW = 0x40;

// cubeMathType, the last argument of the matrix products.
inline constexpr int8_t CANN_CUBE_KEEP_DTYPE = 0;
inline constexpr int8_t CANN_CUBE_ALLOW_FP32_DOWN_PRECISION = 1;
inline constexpr int8_t CANN_CUBE_USE_FP16 = 2;
inline constexpr int8_t CANN_CUBE_USE_HF32 = 3;

// ---- structures -------------------------------------------------------------------------------

struct aclrtUtilizationExtendInfo;
// Per cent; -1 where it is not known.
struct aclrtUtilizationInfo {
  int32_t cubeUtilization;
  int32_t vectorUtilization;
  int32_t aicpuUtilization;
  int32_t memoryUtilization;
  aclrtUtilizationExtendInfo* utilizationExtend;
};
static_assert(sizeof(aclrtUtilizationInfo) == 24);
static_assert(offsetof(aclrtUtilizationInfo, utilizationExtend) == 16);

struct aclrtMemLocation {
  uint32_t id;
  aclrtMemLocationType type;
};
static_assert(sizeof(aclrtMemLocation) == 8);

struct aclrtPtrAttributes {  // 8.5
  aclrtMemLocation location;
  uint32_t pageSize;
  uint32_t rsv[4];
};
static_assert(sizeof(aclrtPtrAttributes) == 28);

struct aclrtPhysicalMemProp {
  aclrtMemHandleType handleType;
  aclrtMemAllocationType allocationType;
  aclrtMemAttr memAttr;
  aclrtMemLocation location;
  uint64_t reserve;
};
static_assert(sizeof(aclrtPhysicalMemProp) == 32);
static_assert(offsetof(aclrtPhysicalMemProp, location) == 12);
static_assert(offsetof(aclrtPhysicalMemProp, reserve) == 24);

struct aclCANNPackageVersion {
  char version[128];
  char majorVersion[64];
  char minorVersion[64];
  char releaseVersion[64];
  char patchVersion[64];
  char reserved[128];
};
static_assert(sizeof(aclCANNPackageVersion) == 512);
static_assert(offsetof(aclCANNPackageVersion, majorVersion) == 128);

// ---- status codes of the runtime: 1xxxxx the caller, 2xxxxx resources, 5xxxxx execution -------

inline constexpr aclError ACL_SUCCESS = 0;
inline constexpr aclError ACL_ERROR_INVALID_PARAM = 100000;
inline constexpr aclError ACL_ERROR_UNINITIALIZE = 100001;
inline constexpr aclError ACL_ERROR_REPEAT_INITIALIZE = 100002;
inline constexpr aclError ACL_ERROR_INVALID_FILE = 100003;
inline constexpr aclError ACL_ERROR_REPEAT_SUBSCRIBE = 100033;
inline constexpr aclError ACL_ERROR_STREAM_NOT_SUBSCRIBE = 100034;
inline constexpr aclError ACL_ERROR_THREAD_NOT_SUBSCRIBE = 100035;
inline constexpr aclError ACL_ERROR_WAIT_CALLBACK_TIMEOUT = 100036;
inline constexpr aclError ACL_ERROR_REPEAT_FINALIZE = 100037;
inline constexpr aclError ACL_ERROR_COMPILING_STUB_MODE = 100039;
inline constexpr aclError ACL_ERROR_INVALID_OPP_PATH = 148049;
inline constexpr aclError ACL_ERROR_BAD_ALLOC = 200000;
inline constexpr aclError ACL_ERROR_API_NOT_SUPPORT = 200001;
inline constexpr aclError ACL_ERROR_FEATURE_UNSUPPORTED = 200006;
inline constexpr aclError ACL_ERROR_STORAGE_OVER_LIMIT = 300000;
inline constexpr aclError ACL_ERROR_INTERNAL_ERROR = 500000;
inline constexpr aclError ACL_ERROR_FAILURE = 500001;
inline constexpr aclError ACL_ERROR_GE_FAILURE = 500002;
inline constexpr aclError ACL_ERROR_RT_FAILURE = 500003;
inline constexpr aclError ACL_ERROR_DRV_FAILURE = 500004;
inline constexpr aclError ACL_ERROR_PROFILING_FAILURE = 500005;

inline constexpr aclError ACL_ERROR_RT_PARAM_INVALID = 107000;
inline constexpr aclError ACL_ERROR_RT_INVALID_DEVICEID = 107001;
inline constexpr aclError ACL_ERROR_RT_CONTEXT_NULL = 107002;
inline constexpr aclError ACL_ERROR_RT_STREAM_CONTEXT = 107003;
inline constexpr aclError ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID = 107006;
inline constexpr aclError ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL = 107007;
inline constexpr aclError ACL_ERROR_RT_ADDR_UNALIGNED = 107008;
inline constexpr aclError ACL_ERROR_RT_THREAD_SUBSCRIBE = 107012;
inline constexpr aclError ACL_ERROR_RT_STREAM_NO_CB_REG = 107015;
inline constexpr aclError ACL_ERROR_RT_INVALID_MEMORY_TYPE = 107016;
inline constexpr aclError ACL_ERROR_RT_INVALID_HANDLE = 107017;
inline constexpr aclError ACL_ERROR_RT_INVALID_MALLOC_TYPE = 107018;
inline constexpr aclError ACL_ERROR_RT_WAIT_TIMEOUT = 107019;
inline constexpr aclError ACL_ERROR_RT_TASK_TIMEOUT = 107020;
inline constexpr aclError ACL_ERROR_RT_DEVICE_TASK_ABORT = 107022;
inline constexpr aclError ACL_ERROR_RT_STREAM_ABORT = 107023;
inline constexpr aclError ACL_ERROR_RT_CAPTURE_DEPENDENCY = 107024;
inline constexpr aclError ACL_ERROR_RT_STREAM_UNJOINED = 107025;
inline constexpr aclError ACL_ERROR_RT_MODEL_CAPTURED = 107026;
inline constexpr aclError ACL_ERROR_RT_STREAM_CAPTURED = 107027;
inline constexpr aclError ACL_ERROR_RT_EVENT_CAPTURED = 107028;
inline constexpr aclError ACL_ERROR_RT_STREAM_NOT_CAPTURED = 107029;
inline constexpr aclError ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT = 107030;
inline constexpr aclError ACL_ERROR_RT_STREAM_CAPTURE_IMPLICIT = 107031;
inline constexpr aclError ACL_ERROR_STREAM_CAPTURE_CONFLICT = 107032;
inline constexpr aclError ACL_ERROR_STREAM_TASK_GROUP_STATUS = 107033;
inline constexpr aclError ACL_ERROR_STREAM_TASK_GROUP_INTR = 107034;
inline constexpr aclError ACL_ERROR_RT_STREAM_CAPTURE_UNMATCHED = 107036;
inline constexpr aclError ACL_ERROR_RT_MODEL_RUNNING = 107037;
inline constexpr aclError ACL_ERROR_RT_STREAM_CAPTURE_WRONG_THREAD = 107038;
inline constexpr aclError ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC = 107041;

inline constexpr aclError ACL_ERROR_RT_FEATURE_NOT_SUPPORT = 207000;
inline constexpr aclError ACL_ERROR_RT_MEMORY_ALLOCATION = 207001;
inline constexpr aclError ACL_ERROR_RT_MEMORY_FREE = 207002;
inline constexpr aclError ACL_ERROR_RT_NO_DEVICE = 207004;
inline constexpr aclError ACL_ERROR_RT_RESOURCE_ALLOC_FAIL = 207005;
inline constexpr aclError ACL_ERROR_RT_NO_PERMISSION = 207006;
inline constexpr aclError ACL_ERROR_RT_NO_EVENT_RESOURCE = 207007;
inline constexpr aclError ACL_ERROR_RT_NO_STREAM_RESOURCE = 207008;
inline constexpr aclError ACL_ERROR_RT_NO_MODEL_RESOURCE = 207010;
inline constexpr aclError ACL_ERROR_RT_OVER_LIMIT = 207012;
inline constexpr aclError ACL_ERROR_RT_DEVICE_OOM = 207018;
inline constexpr aclError ACL_ERROR_RT_FEATURE_NOT_SUPPORT_UPDATE_OP = 207019;

inline constexpr aclError ACL_ERROR_RT_INTERNAL_ERROR = 507000;
inline constexpr aclError ACL_ERROR_RT_TS_ERROR = 507001;
inline constexpr aclError ACL_ERROR_RT_STREAM_TASK_FULL = 507002;
inline constexpr aclError ACL_ERROR_RT_SOC_VERSION = 507008;
inline constexpr aclError ACL_ERROR_RT_TASK_TYPE_NOT_SUPPORT = 507009;
inline constexpr aclError ACL_ERROR_RT_LOST_HEARTBEAT = 507010;
inline constexpr aclError ACL_ERROR_RT_MODEL_EXECUTE = 507011;
inline constexpr aclError ACL_ERROR_RT_REPORT_TIMEOUT = 507012;
inline constexpr aclError ACL_ERROR_RT_SYS_DMA = 507013;
inline constexpr aclError ACL_ERROR_RT_AICORE_TIMEOUT = 507014;
inline constexpr aclError ACL_ERROR_RT_AICORE_EXCEPTION = 507015;
inline constexpr aclError ACL_ERROR_RT_AICORE_TRAP_EXCEPTION = 507016;
inline constexpr aclError ACL_ERROR_RT_AICPU_TIMEOUT = 507017;
inline constexpr aclError ACL_ERROR_RT_AICPU_EXCEPTION = 507018;
inline constexpr aclError ACL_ERROR_RT_DEV_SETUP_ERROR = 507033;
inline constexpr aclError ACL_ERROR_RT_VECTOR_CORE_TIMEOUT = 507034;
inline constexpr aclError ACL_ERROR_RT_VECTOR_CORE_EXCEPTION = 507035;
inline constexpr aclError ACL_ERROR_RT_STREAM_SYNC_TIMEOUT = 507046;
inline constexpr aclError ACL_ERROR_RT_EVENT_SYNC_TIMEOUT = 507047;
inline constexpr aclError ACL_ERROR_RT_DEVICE_MEM_ERROR = 507053;
inline constexpr aclError ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR = 507054;
inline constexpr aclError ACL_ERROR_RT_LINK_ERROR = 507056;
inline constexpr aclError ACL_ERROR_RT_DRV_INTERNAL_ERROR = 507899;
inline constexpr aclError ACL_ERROR_RT_AICPU_INTERNAL_ERROR = 507900;
inline constexpr aclError ACL_ERROR_RT_SOCKET_CLOSE = 507901;
inline constexpr aclError ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED = 507903;
inline constexpr aclError ACL_ERROR_RT_COMM_OP_RETRY_FAIL = 507904;

// ---- status codes of the two-phase operators --------------------------------------------------

inline constexpr aclnnStatus ACLNN_SUCCESS = 0;
inline constexpr aclnnStatus ACLNN_ERR_PARAM_NULLPTR = 161001;
inline constexpr aclnnStatus ACLNN_ERR_PARAM_INVALID = 161002;
inline constexpr aclnnStatus ACLNN_ERR_RUNTIME_ERROR = 361001;
inline constexpr aclnnStatus ACLNN_ERR_INNER = 561000;
inline constexpr aclnnStatus ACLNN_ERR_INNER_INFERSHAPE_ERROR = 561001;
inline constexpr aclnnStatus ACLNN_ERR_INNER_TILING_ERROR = 561002;
inline constexpr aclnnStatus ACLNN_ERR_INNER_FIND_KERNEL_ERROR = 561003;
inline constexpr aclnnStatus ACLNN_ERR_INNER_CREATE_EXECUTOR = 561101;
inline constexpr aclnnStatus ACLNN_ERR_INNER_NOT_TRANS_EXECUTOR = 561102;
inline constexpr aclnnStatus ACLNN_ERR_INNER_NULLPTR = 561103;
inline constexpr aclnnStatus ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND = 561107;
inline constexpr aclnnStatus ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND = 561112;

// NOLINTEND(readability-identifier-naming)
