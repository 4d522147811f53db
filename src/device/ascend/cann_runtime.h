// Facts of CANN's C interface, part 2: the runtime (libascendcl.so, from 8.5 libacl_rt.so). A
// number in a comment is the CANN release that brought the function, where that is not 8.0 or
// earlier. Included through cann.h.
#pragma once
// NOLINTBEGIN(readability-identifier-naming): the vendor's names are the interface.

#include "device/ascend/cann_types.h"

extern "C" {
// ---- process ----------------------------------------------------------------------------------
aclError aclInit(const char* config_path);  // null: defaults. A second call gives 100002
aclError aclFinalize();
aclError aclFinalizeReference(uint64_t* reference_count);  // 8.5
const char* aclGetRecentErrMsg();  // this thread's; reading clears; null when there is none
aclError aclrtGetVersion(int32_t* major, int32_t* minor, int32_t* patch);  // of the interface
aclError aclsysGetCANNVersion(aclCANNPackageName package,
                              aclCANNPackageVersion* version);  // 8.1
aclError aclsysGetVersionStr(char* package, char* version);     // 8.5
aclError aclsysGetVersionNum(char* package, int32_t* version);  // 8.5
size_t aclDataTypeSize(aclDataType dtype);                      // bytes

// ---- devices and contexts ---------------------------------------------------------------------
aclError aclrtSetDevice(int32_t device);
aclError aclrtResetDevice(int32_t device);
aclError aclrtResetDeviceForce(int32_t device);
aclError aclrtGetDevice(int32_t* device);
aclError aclrtGetDeviceCount(uint32_t* count);
const char* aclrtGetSocName();
aclError aclrtGetRunMode(aclrtRunMode* mode);
aclError aclrtQueryDeviceStatus(int32_t device, aclrtDeviceStatus* status);
aclError aclrtGetDeviceUtilizationRate(int32_t device, aclrtUtilizationInfo* info);
aclError aclGetDeviceCapability(uint32_t device, aclDeviceInfo info, int64_t* value);
aclError aclrtGetDeviceInfo(uint32_t device, aclrtDevAttr attribute, int64_t* value);      // 8.5
aclError aclrtGetDevicesTopo(uint32_t device, uint32_t other, uint64_t* links);            // 8.3
aclError aclrtGetLogicDevIdByUserDevId(const int32_t user_device, int32_t* const device);  // 8.5
aclError aclrtDeviceGetPCIBusId(int32_t device, char* address, int32_t address_bytes);     // 9.2
aclError aclGetCannAttribute(aclCannAttr attribute, int32_t* value);
aclError aclGetCannAttributeList(const aclCannAttr** attributes, size_t* count);
aclError aclrtSynchronizeDevice();
aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout_ms);
aclError aclrtDeviceTaskAbort(int32_t device, uint32_t timeout_ms);
aclError aclrtCreateContext(aclrtContext* context, int32_t device);
aclError aclrtDestroyContext(aclrtContext context);
aclError aclrtSetCurrentContext(aclrtContext context);
aclError aclrtGetCurrentContext(aclrtContext* context);
aclError aclrtSetSysParamOpt(aclSysParamOpt option, int64_t value);
aclError aclrtGetSysParamOpt(aclSysParamOpt option, int64_t* value);
aclError aclrtCtxSetSysParamOpt(aclSysParamOpt option, int64_t value);
aclError aclrtCtxGetSysParamOpt(aclSysParamOpt option, int64_t* value);
aclError aclrtSetDeviceSatMode(aclrtFloatOverflowMode mode);
aclError aclrtGetDeviceSatMode(aclrtFloatOverflowMode* mode);
aclError aclrtGetLastError(aclrtLastErrLevel level);
aclError aclrtPeekAtLastError(aclrtLastErrLevel level);

// ---- streams; a null stream is the default stream of the current context ----------------------
aclError aclrtCreateStream(aclrtStream* stream);
aclError aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t priority, uint32_t flags);
aclError aclrtDestroyStream(aclrtStream stream);
aclError aclrtDestroyStreamForce(aclrtStream stream);
aclError aclrtSynchronizeStream(aclrtStream stream);
aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream,
                                           int32_t timeout_ms);  // -1: for ever
aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status);
aclError aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode);
aclError aclrtStreamAbort(aclrtStream stream);
aclError aclrtStreamGetId(aclrtStream stream, int32_t* id);

// ---- events -----------------------------------------------------------------------------------
aclError aclrtCreateEvent(aclrtEvent* event);
aclError aclrtCreateEventWithFlag(aclrtEvent* event,
                                  uint32_t flags);  // a flag in hardware: record, wait, reset
aclError aclrtCreateEventExWithFlag(aclrtEvent* event,
                                    uint32_t flags);  // may be recorded again and again
aclError aclrtDestroyEvent(aclrtEvent event);
aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event);
aclError aclrtSynchronizeEvent(aclrtEvent event);
aclError aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout_ms);
aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status);
aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus* status);
aclError aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus* status);
aclError aclrtEventElapsedTime(float* milliseconds, aclrtEvent start, aclrtEvent end);
aclError aclrtEventGetTimestamp(aclrtEvent event, uint64_t* microseconds);
aclError aclrtSetOpWaitTimeout(uint32_t seconds);

// ---- memory -----------------------------------------------------------------------------------
aclError aclrtMalloc(void** address, size_t bytes, aclrtMemMallocPolicy policy);
aclError aclrtMallocAlign32(void** address, size_t bytes, aclrtMemMallocPolicy policy);
aclError aclrtMallocCached(void** address, size_t bytes, aclrtMemMallocPolicy policy);
aclError aclrtFree(void* address);
aclError aclrtFreeWithDevSync(void* address);  // 8.5
aclError aclrtGetMemInfo(aclrtMemAttr attribute, size_t* free, size_t* total);
aclError aclrtMallocHost(void** address, size_t bytes);
aclError aclrtFreeHost(void* address);
aclError aclrtHostRegister(void* address,
                           uint64_t bytes,
                           aclrtHostRegisterType type,
                           void** device_address);
aclError aclrtHostUnregister(void* address);
aclError aclrtPointerGetAttributes(const void* address, aclrtPtrAttributes* attributes);  // 8.5
aclError aclrtReserveMemAddress(
    void** address, size_t bytes, size_t alignment, void* expected, uint64_t flags);
aclError aclrtReleaseMemAddress(void* address);
aclError aclrtMallocPhysical(aclrtDrvMemHandle* handle,
                             size_t bytes,
                             const aclrtPhysicalMemProp* properties,
                             uint64_t flags);
aclError aclrtFreePhysical(aclrtDrvMemHandle handle);
aclError aclrtMapMem(
    void* address, size_t bytes, size_t offset, aclrtDrvMemHandle handle, uint64_t flags);
aclError aclrtUnmapMem(void* address);
aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp* properties,
                                          aclrtMemGranularityOptions option,
                                          size_t* bytes);

// ---- copies -----------------------------------------------------------------------------------
aclError aclrtMemcpy(
    void* to, size_t max_bytes, const void* from, size_t bytes, aclrtMemcpyKind kind);
aclError aclrtMemcpyAsync(void* to,
                          size_t max_bytes,
                          const void* from,
                          size_t bytes,
                          aclrtMemcpyKind kind,
                          aclrtStream stream);
aclError aclrtMemcpyAsyncWithCondition(  // 8.3
    void* to,
    size_t max_bytes,
    const void* from,
    size_t bytes,
    aclrtMemcpyKind kind,
    aclrtStream stream);
aclError aclrtMemcpy2d(void* to,
                       size_t to_pitch,
                       const void* from,
                       size_t from_pitch,
                       size_t width,
                       size_t height,
                       aclrtMemcpyKind kind);
aclError aclrtMemcpy2dAsync(void* to,
                            size_t to_pitch,
                            const void* from,
                            size_t from_pitch,
                            size_t width,
                            size_t height,
                            aclrtMemcpyKind kind,
                            aclrtStream stream);
aclError aclrtMemset(void* address, size_t max_bytes, int32_t value, size_t bytes);
aclError aclrtMemsetAsync(
    void* address, size_t max_bytes, int32_t value, size_t bytes, aclrtStream stream);
aclError aclrtDeviceCanAccessPeer(int32_t* can, int32_t device, int32_t peer);
aclError aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t flags);
aclError aclrtDeviceDisablePeerAccess(int32_t peer);
aclError aclrtValueWait(void* address,
                        uint64_t value,
                        uint32_t comparison,
                        aclrtStream stream);                                                  // 8.5
aclError aclrtValueWrite(void* address, uint64_t value, uint32_t flags, aclrtStream stream);  // 8.5

// ---- host functions in stream order -----------------------------------------------------------
aclError aclrtSubscribeReport(uint64_t thread, aclrtStream stream);
aclError aclrtUnSubscribeReport(uint64_t thread, aclrtStream stream);
aclError aclrtProcessReport(int32_t timeout_ms);
aclError aclrtLaunchCallback(aclrtCallback function,
                             void* user_data,
                             aclrtCallbackBlockType block,
                             aclrtStream stream);
aclError aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc function, void* args);  // 8.3

// ---- graph capture, 8.1 -----------------------------------------------------------------------
aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode);
aclError aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus* status, aclmdlRI* graph);
aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI* graph);
aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode* mode);
aclError aclmdlRIExecuteAsync(aclmdlRI graph, aclrtStream stream);
aclError aclmdlRIExecute(aclmdlRI graph, int32_t timeout_ms);  // 8.3
aclError aclmdlRIDestroy(aclmdlRI graph);
aclError aclmdlRIDebugPrint(aclmdlRI graph);
aclError aclmdlRICaptureTaskGrpBegin(aclrtStream stream);
aclError aclmdlRICaptureTaskGrpEnd(aclrtStream stream, aclrtTaskGrp* group);
aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream stream, aclrtTaskGrp group);
aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream stream);
}
// NOLINTEND(readability-identifier-naming)
