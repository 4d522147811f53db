// Facts of CANN's C interface, part 4: collectives (libhccl.so; communicators from 8.5 in
// libhcomm.so). Counts are elements. Included through cann.h.
#pragma once
// NOLINTBEGIN(readability-identifier-naming): the vendor's names are the interface.

#include "device/ascend/cann_types.h"

enum HcclResult : int {
  HCCL_SUCCESS = 0,
  HCCL_E_PARA = 1,
  HCCL_E_PTR = 2,
  HCCL_E_MEMORY = 3,
  HCCL_E_INTERNAL = 4,
  HCCL_E_NOT_SUPPORT = 5,
  HCCL_E_NOT_FOUND = 6,
  HCCL_E_UNAVAIL = 7,
  HCCL_E_SYSCALL = 8,
  HCCL_E_TIMEOUT = 9,
  HCCL_E_OPEN_FILE_FAILURE = 10,
  HCCL_E_TCP_CONNECT = 11,
  HCCL_E_ROCE_CONNECT = 12,
  HCCL_E_TCP_TRANSFER = 13,
  HCCL_E_ROCE_TRANSFER = 14,
  HCCL_E_RUNTIME = 15,
  HCCL_E_DRV = 16,
  HCCL_E_PROFILING = 17,
  HCCL_E_CCE = 18,
  HCCL_E_NETWORK = 19,
  HCCL_E_AGAIN = 20,
  HCCL_E_REMOTE = 21,
  HCCL_E_SUSPENDING = 22,
};

// Not the numbers of aclDataType.
enum HcclDataType : int {
  HCCL_DATA_TYPE_INT8 = 0,
  HCCL_DATA_TYPE_INT16 = 1,
  HCCL_DATA_TYPE_INT32 = 2,
  HCCL_DATA_TYPE_FP16 = 3,
  HCCL_DATA_TYPE_FP32 = 4,
  HCCL_DATA_TYPE_INT64 = 5,
  HCCL_DATA_TYPE_UINT64 = 6,
  HCCL_DATA_TYPE_UINT8 = 7,
  HCCL_DATA_TYPE_UINT16 = 8,
  HCCL_DATA_TYPE_UINT32 = 9,
  HCCL_DATA_TYPE_FP64 = 10,
  HCCL_DATA_TYPE_BFP16 = 11,
  HCCL_DATA_TYPE_INT128 = 12,
};

enum HcclReduceOp : int {
  HCCL_REDUCE_SUM = 0,
  HCCL_REDUCE_PROD = 1,
  HCCL_REDUCE_MAX = 2,
  HCCL_REDUCE_MIN = 3,
};

enum HcclConfig : int { HCCL_DETERMINISTIC = 0 };
union HcclConfigValue {
  int32_t value;
};

inline constexpr uint32_t HCCL_ROOT_INFO_BYTES = 4108;
struct HcclRootInfo {
  char internal[HCCL_ROOT_INFO_BYTES];
};
static_assert(sizeof(HcclRootInfo) == 4108);

// The library goes by `size` and `version`, so one shape serves all releases that know it: version
// 2 ends after the name (160 bytes, CANN 8.0), version 5 is what stands here (CANN 8.1); later
// releases append fields and take this one too.
inline constexpr uint32_t HCCL_COMM_CONFIG_MAGIC_WORD = 0xf0f0f0f0;
inline constexpr uint32_t CANN_HCCL_CONFIG_NOT_SET = 0xffffffff;
inline constexpr size_t CANN_HCCL_CONFIG_V2_BYTES = 160;
inline constexpr size_t CANN_HCCL_CONFIG_V5_BYTES = 300;
struct CannHcclConfigHeader {
  size_t size;  // bytes of the whole HcclCommConfig
  uint32_t magic;
  uint32_t version;
  uint64_t reserved;
};
static_assert(sizeof(CannHcclConfigHeader) == 24);
struct HcclCommConfig {
  char reserved[sizeof(CannHcclConfigHeader)];  // holds a CannHcclConfigHeader, unaligned
  uint32_t hcclBufferSize;                      // MB
  uint32_t hcclDeterministic;
  char hcclCommName[128];
  char hcclUdi[128];             // from here on not in version 2
  uint32_t hcclOpExpansionMode;  // 0 default, 1 host, 2 AI CPU, 3 vector cores
  uint32_t hcclRdmaTrafficClass;
  uint32_t hcclRdmaServiceLevel;
};
static_assert(sizeof(HcclCommConfig) == CANN_HCCL_CONFIG_V5_BYTES);
static_assert(offsetof(HcclCommConfig, hcclCommName) == 32);
static_assert(offsetof(HcclCommConfig, hcclUdi) == CANN_HCCL_CONFIG_V2_BYTES);

enum HcclSendRecvType : int { HCCL_SEND = 0, HCCL_RECV = 1 };
struct HcclSendRecvItem {
  HcclSendRecvType sendRecvType;
  void* buf;
  uint64_t count;
  HcclDataType dataType;
  uint32_t remoteRank;
};
static_assert(sizeof(HcclSendRecvItem) == 32);
static_assert(offsetof(HcclSendRecvItem, dataType) == 24);

extern "C" {
// ---- communicators ----------------------------------------------------------------------------
HcclResult HcclGetRootInfo(HcclRootInfo* root);
HcclResult HcclCommInitRootInfo(uint32_t num_ranks,
                                const HcclRootInfo* root,
                                uint32_t rank,
                                HcclComm* comm);
HcclResult HcclCommInitRootInfoConfig(uint32_t num_ranks,
                                      const HcclRootInfo* root,
                                      uint32_t rank,
                                      const HcclCommConfig* config,
                                      HcclComm* comm);
HcclResult HcclCommInitAll(uint32_t num_devices, int32_t* devices, HcclComm* comms);
HcclResult HcclCreateSubCommConfig(HcclComm* parent,
                                   uint32_t num_ranks,
                                   uint32_t* ranks,
                                   uint64_t id,
                                   uint32_t rank,
                                   HcclCommConfig* config,
                                   HcclComm* comm);
HcclResult HcclCommDestroy(HcclComm comm);
HcclResult HcclGetRankSize(HcclComm comm, uint32_t* num_ranks);
HcclResult HcclGetRankId(HcclComm comm, uint32_t* rank);
HcclResult HcclGetCommName(HcclComm comm, char* name);  // 128 characters
HcclResult HcclGetCommAsyncError(HcclComm comm, HcclResult* error);
const char* HcclGetErrorString(HcclResult result);
uint32_t HcclGetCommConfigCapability();
HcclResult HcclSetConfig(HcclConfig config, HcclConfigValue value);
HcclResult HcclGetConfig(HcclConfig config, HcclConfigValue* value);

// ---- collectives ------------------------------------------------------------------------------
HcclResult HcclBarrier(HcclComm comm, aclrtStream stream);
HcclResult HcclAllReduce(void* send,
                         void* receive,
                         uint64_t count,
                         HcclDataType dtype,
                         HcclReduceOp op,
                         HcclComm comm,
                         aclrtStream stream);
HcclResult HcclReduce(void* send,
                      void* receive,
                      uint64_t count,
                      HcclDataType dtype,
                      HcclReduceOp op,
                      uint32_t root,
                      HcclComm comm,
                      aclrtStream stream);
HcclResult HcclBroadcast(void* buffer,
                         uint64_t count,
                         HcclDataType dtype,
                         uint32_t root,
                         HcclComm comm,
                         aclrtStream stream);
HcclResult HcclAllGather(void* send,
                         void* receive,
                         uint64_t send_count,
                         HcclDataType dtype,
                         HcclComm comm,
                         aclrtStream stream);
HcclResult HcclReduceScatter(void* send,
                             void* receive,
                             uint64_t receive_count,
                             HcclDataType dtype,
                             HcclReduceOp op,
                             HcclComm comm,
                             aclrtStream stream);
HcclResult HcclScatter(void* send,
                       void* receive,
                       uint64_t receive_count,
                       HcclDataType dtype,
                       uint32_t root,
                       HcclComm comm,
                       aclrtStream stream);
HcclResult HcclSend(void* buffer,
                    uint64_t count,
                    HcclDataType dtype,
                    uint32_t to_rank,
                    HcclComm comm,
                    aclrtStream stream);
HcclResult HcclRecv(void* buffer,
                    uint64_t count,
                    HcclDataType dtype,
                    uint32_t from_rank,
                    HcclComm comm,
                    aclrtStream stream);
HcclResult HcclBatchSendRecv(HcclSendRecvItem* items,
                             uint32_t count,
                             HcclComm comm,
                             aclrtStream stream);
// Counts are per peer.
HcclResult HcclAlltoAll(const void* send,
                        uint64_t send_count,
                        HcclDataType send_dtype,
                        const void* receive,
                        uint64_t receive_count,
                        HcclDataType receive_dtype,
                        HcclComm comm,
                        aclrtStream stream);
// Counts and displacements: uint64_t on the host, one per peer.
HcclResult HcclAlltoAllV(const void* send,
                         const void* send_counts,
                         const void* send_displacements,
                         HcclDataType send_dtype,
                         const void* receive,
                         const void* receive_counts,
                         const void* receive_displacements,
                         HcclDataType receive_dtype,
                         HcclComm comm,
                         aclrtStream stream);
}
// NOLINTEND(readability-identifier-naming)
