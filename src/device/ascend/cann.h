// Facts of CANN's C interface, the one header that the npu device and the emulator share:
// prototypes of the runtime, of the tensor objects, of HCCL and (cann_ops.h) of the operators.
// `decltype(&aclrtMalloc)` types a symbol found at run time; nothing here is linked. Which CANN has
// which function: emulator/symbols.txt.
#pragma once

#include "device/ascend/cann_hccl.h"
#include "device/ascend/cann_nnopbase.h"
#include "device/ascend/cann_ops.h"
#include "device/ascend/cann_runtime.h"
#include "device/ascend/cann_types.h"
