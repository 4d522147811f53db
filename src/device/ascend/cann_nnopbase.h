// Facts of CANN's C interface, part 3: tensors and the other objects that operators take
// (libnnopbase.so). Strides and offsets count elements. Included through cann.h.
#pragma once
// NOLINTBEGIN(readability-identifier-naming): the vendor's names are the interface.

#include "device/ascend/cann_types.h"

extern "C" {
aclnnStatus aclnnInit(const char* config_path);
aclnnStatus aclnnFinalize();

// Null strides: contiguous. `data` is the base of the storage, element 0 lies at data + offset.
aclTensor* aclCreateTensor(const int64_t* view_dims,
                           uint64_t num_view_dims,
                           aclDataType dtype,
                           const int64_t* strides,
                           int64_t offset,
                           aclFormat format,
                           const int64_t* storage_dims,
                           uint64_t num_storage_dims,
                           void* data);
aclnnStatus aclInitTensor(aclTensor* tensor,
                          const int64_t* view_dims,
                          uint64_t num_view_dims,
                          aclDataType dtype,
                          const int64_t* strides,
                          int64_t offset,
                          aclFormat format,
                          const int64_t* storage_dims,
                          uint64_t num_storage_dims,
                          void* data);
aclScalar* aclCreateScalar(void* value, aclDataType dtype);
aclIntArray* aclCreateIntArray(const int64_t* values, uint64_t count);
aclFloatArray* aclCreateFloatArray(const float* values, uint64_t count);
aclBoolArray* aclCreateBoolArray(const bool* values, uint64_t count);
aclTensorList* aclCreateTensorList(const aclTensor* const* tensors,
                                   uint64_t count);  // owns the tensors from then on
aclScalarList* aclCreateScalarList(const aclScalar* const* scalars, uint64_t count);  // likewise

aclnnStatus aclDestroyTensor(const aclTensor* tensor);
aclnnStatus aclDestroyScalar(const aclScalar* scalar);
aclnnStatus aclDestroyIntArray(const aclIntArray* array);
aclnnStatus aclDestroyFloatArray(const aclFloatArray* array);
aclnnStatus aclDestroyBoolArray(const aclBoolArray* array);
aclnnStatus aclDestroyTensorList(const aclTensorList* list);
aclnnStatus aclDestroyScalarList(const aclScalarList* list);

// The array comes from new[]; the caller deletes it.
aclnnStatus aclGetViewShape(const aclTensor* tensor, int64_t** dims, uint64_t* count);
aclnnStatus aclGetStorageShape(const aclTensor* tensor, int64_t** dims, uint64_t* count);
aclnnStatus aclGetViewStrides(const aclTensor* tensor, int64_t** strides, uint64_t* count);
aclnnStatus aclGetViewOffset(const aclTensor* tensor, int64_t* offset);
aclnnStatus aclGetFormat(const aclTensor* tensor, aclFormat* format);
aclnnStatus aclGetDataType(const aclTensor* tensor, aclDataType* dtype);
aclnnStatus aclGetIntArraySize(const aclIntArray* array, uint64_t* count);
aclnnStatus aclGetFloatArraySize(const aclFloatArray* array, uint64_t* count);
aclnnStatus aclGetBoolArraySize(const aclBoolArray* array, uint64_t* count);
aclnnStatus aclGetTensorListSize(const aclTensorList* list, uint64_t* count);
aclnnStatus aclGetScalarListSize(const aclScalarList* list, uint64_t* count);
aclnnStatus aclGetRawTensorAddr(const aclTensor* tensor, void** data);
aclnnStatus aclSetRawTensorAddr(aclTensor* tensor, void* data);

// An executor that may run again and again; later destroyed by hand.
aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor);
aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor);
// New addresses for a repeatable one. `index` counts inputs, then outputs, in the order of the
// signature.
aclnnStatus aclSetTensorAddr(aclOpExecutor* executor,
                             const size_t index,
                             aclTensor* tensor,
                             void* data);
aclnnStatus aclSetInputTensorAddr(aclOpExecutor* executor,
                                  const size_t index,
                                  aclTensor* tensor,
                                  void* data);
aclnnStatus aclSetOutputTensorAddr(aclOpExecutor* executor,
                                   const size_t index,
                                   aclTensor* tensor,
                                   void* data);
aclnnStatus aclSetDynamicTensorAddr(aclOpExecutor* executor,
                                    size_t index,
                                    const size_t relative_index,
                                    aclTensorList* list,
                                    void* data);
aclnnStatus aclSetDynamicInputTensorAddr(aclOpExecutor* executor,
                                         size_t index,
                                         const size_t relative_index,
                                         aclTensorList* list,
                                         void* data);
aclnnStatus aclSetDynamicOutputTensorAddr(aclOpExecutor* executor,
                                          size_t index,
                                          const size_t relative_index,
                                          aclTensorList* list,
                                          void* data);
}
// NOLINTEND(readability-identifier-naming)
