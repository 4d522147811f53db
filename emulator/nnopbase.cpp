// Tensors, scalars, arrays and lists, as clients make them, and how operators look into them.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "emulator/errors.h"
#include "emulator/handles.h"
#include "emulator/op.h"
#include "emulator/ops/half.h"

namespace emulator {
namespace {

constexpr uint64_t kMaxDims = 64;  // beyond which the count is taken for rubbish

struct TensorList {
  std::vector<const aclTensor*> members;
  std::vector<TensorMeta> metas;
};
struct ScalarList {
  std::vector<const aclScalar*> members;
};

// One table a kind; they outlive every thread.
template <typename T, uint64_t Kind>
HandleTable<T, Kind>& table() {
  static HandleTable<T, Kind>& objects = *new HandleTable<T, Kind>();
  return objects;
}
auto& tensors() { return table<TensorMeta, 16>(); }
auto& scalars() { return table<ScalarValue, 17>(); }
auto& int_arrays() { return table<std::vector<int64_t>, 18>(); }
auto& float_arrays() { return table<std::vector<float>, 19>(); }
auto& bool_arrays() { return table<std::vector<bool>, 20>(); }
auto& tensor_lists() { return table<TensorList, 21>(); }
auto& scalar_lists() { return table<ScalarList, 22>(); }

template <typename T, uint64_t Kind>
const T* look(HandleTable<T, Kind>& objects, const void* handle, const char* kind) {
  if (handle == nullptr) return nullptr;
  const auto found = objects.find(handle);
  if (!found) remember_error(kind, ACLNN_ERR_PARAM_NULLPTR, fmt::format("{} is not alive", handle));
  return found.get();
}

template <typename T, uint64_t Kind>
std::shared_ptr<T> require(HandleTable<T, Kind>& objects, const void* handle, const void* out) {
  if (handle == nullptr || out == nullptr)
    refuse_call(ACLNN_ERR_PARAM_NULLPTR, "a pointer is null");
  auto found = objects.find(handle);
  if (!found) refuse_call(ACLNN_ERR_PARAM_INVALID, fmt::format("{} is not alive", handle));
  return found;
}

template <typename T, uint64_t Kind>
aclnnStatus destroy(const char* call, HandleTable<T, Kind>& objects, const void* handle) {
  return guarded(call, [&] {
    if (handle == nullptr) return;
    if (!objects.remove(handle))
      refuse_call(ACLNN_ERR_PARAM_INVALID, fmt::format("{} is not alive", handle));
  });
}

std::optional<TensorMeta> describe(const int64_t* view_dims,
                                   uint64_t num_view_dims,
                                   aclDataType dtype,
                                   const int64_t* strides,
                                   int64_t offset,
                                   aclFormat format,
                                   const int64_t* storage_dims,
                                   uint64_t num_storage_dims,
                                   void* data) {
  if (num_view_dims > kMaxDims || num_storage_dims > kMaxDims) return std::nullopt;
  if ((view_dims == nullptr && num_view_dims > 0) ||
      (storage_dims == nullptr && num_storage_dims > 0))
    return std::nullopt;
  TensorMeta tensor{.dtype = dtype, .format = format, .offset = offset, .address = data};
  tensor.dims.assign(view_dims, view_dims + num_view_dims);
  tensor.storage_dims.assign(storage_dims, storage_dims + num_storage_dims);
  if (strides != nullptr) {
    tensor.strides.assign(strides, strides + num_view_dims);
  } else {
    tensor.strides.resize(num_view_dims);
    int64_t stride = 1;
    for (size_t i = num_view_dims; i-- > 0;) {
      tensor.strides[i] = stride;
      stride *= tensor.dims[i];
    }
  }
  return tensor;
}

template <typename T>
T load(const void* value) {
  T loaded;
  std::memcpy(&loaded, value, sizeof loaded);
  return loaded;
}

std::optional<ScalarValue> load_scalar(const void* value, aclDataType dtype) {
  const auto real = [&](double number) {
    // Out of range stays out of the integer: the cast would be undefined.
    const bool fits = number > -9.2e18 && number < 9.2e18;
    return ScalarValue{dtype, number, fits ? static_cast<int64_t>(number) : 0};
  };
  const auto whole = [&](auto number) {
    return ScalarValue{dtype, static_cast<double>(number), static_cast<int64_t>(number)};
  };
  switch (dtype) {
    case ACL_FLOAT:
      return real(load<float>(value));
    case ACL_DOUBLE:
      return real(load<double>(value));
    case ACL_FLOAT16:
      return real(widen(Half{load<uint16_t>(value)}));
    case ACL_BF16:
      return real(widen(Brain{load<uint16_t>(value)}));
    case ACL_INT8:
      return whole(load<int8_t>(value));
    case ACL_INT16:
      return whole(load<int16_t>(value));
    case ACL_INT32:
      return whole(load<int32_t>(value));
    case ACL_INT64:
      return whole(load<int64_t>(value));
    case ACL_UINT8:
      return whole(load<uint8_t>(value));
    case ACL_UINT16:
      return whole(load<uint16_t>(value));
    case ACL_UINT32:
      return whole(load<uint32_t>(value));
    case ACL_UINT64:
      return whole(load<uint64_t>(value));
    case ACL_BOOL:
      return whole(load<uint8_t>(value) != 0 ? 1 : 0);
    default:
      return std::nullopt;
  }
}

// An array that the client deletes with delete[], as the vendor has it.
int64_t* copy_for_client(const std::vector<int64_t>& values) {
  auto* copy = new int64_t[std::max<size_t>(values.size(), 1)];
  std::copy(values.begin(), values.end(), copy);
  return copy;
}

template <typename T, uint64_t Kind, typename Value>
T* create_array(HandleTable<std::vector<Value>, Kind>& objects,
                const Value* values,
                uint64_t count) {
  if (values == nullptr && count > 0) return nullptr;
  return static_cast<T*>(objects.add(std::make_shared<std::vector<Value>>(values, values + count)));
}

template <typename T, uint64_t Kind, typename Size>
aclnnStatus give_size(const char* call,
                      HandleTable<T, Kind>& objects,
                      const void* handle,
                      uint64_t* count,
                      const Size& size) {
  return guarded(call, [&] { *count = size(*require(objects, handle, count)); });
}

}  // namespace

const TensorMeta* meta(const aclTensor* tensor) { return look(tensors(), tensor, "aclTensor"); }
const std::vector<TensorMeta>* metas(const aclTensorList* list) {
  const TensorList* found = look(tensor_lists(), list, "aclTensorList");
  return found == nullptr ? nullptr : &found->metas;
}
const std::vector<int64_t>* ints(const aclIntArray* array) {
  return look(int_arrays(), array, "aclIntArray");
}
const std::vector<float>* floats(const aclFloatArray* array) {
  return look(float_arrays(), array, "aclFloatArray");
}
const std::vector<bool>* bools(const aclBoolArray* array) {
  return look(bool_arrays(), array, "aclBoolArray");
}
std::optional<ScalarValue> scalar(const aclScalar* scalar) {
  const ScalarValue* found = look(scalars(), scalar, "aclScalar");
  return found == nullptr ? std::nullopt : std::optional(*found);
}

}  // namespace emulator

using namespace emulator;  // NOLINT(google-build-using-namespace)

aclnnStatus aclnnInit(const char* /*config_path*/) { return ACLNN_SUCCESS; }
aclnnStatus aclnnFinalize() { return ACLNN_SUCCESS; }

aclTensor* aclCreateTensor(const int64_t* view_dims,
                           uint64_t num_view_dims,
                           aclDataType dtype,
                           const int64_t* strides,
                           int64_t offset,
                           aclFormat format,
                           const int64_t* storage_dims,
                           uint64_t num_storage_dims,
                           void* data) {
  auto tensor = describe(view_dims,
                         num_view_dims,
                         dtype,
                         strides,
                         offset,
                         format,
                         storage_dims,
                         num_storage_dims,
                         data);
  if (!tensor) {
    remember_error(
        "aclCreateTensor", ACLNN_ERR_PARAM_NULLPTR, "dims are null, or there are too many");
    return nullptr;
  }
  return static_cast<aclTensor*>(tensors().add(std::make_shared<TensorMeta>(std::move(*tensor))));
}

aclnnStatus aclInitTensor(aclTensor* tensor,
                          const int64_t* view_dims,
                          uint64_t num_view_dims,
                          aclDataType dtype,
                          const int64_t* strides,
                          int64_t offset,
                          aclFormat format,
                          const int64_t* storage_dims,
                          uint64_t num_storage_dims,
                          void* data) {
  return guarded("aclInitTensor", [&] {
    const auto found = require(tensors(), tensor, tensor);
    auto made = describe(view_dims,
                         num_view_dims,
                         dtype,
                         strides,
                         offset,
                         format,
                         storage_dims,
                         num_storage_dims,
                         data);
    if (!made) refuse_call(ACLNN_ERR_PARAM_NULLPTR, "dims are null, or there are too many");
    *found = std::move(*made);
  });
}

aclScalar* aclCreateScalar(void* value, aclDataType dtype) {
  if (value == nullptr) return nullptr;
  const auto loaded = load_scalar(value, dtype);
  if (!loaded) {
    remember_error("aclCreateScalar",
                   ACLNN_ERR_PARAM_INVALID,
                   fmt::format("dtype {}", static_cast<int>(dtype)));
    return nullptr;
  }
  return static_cast<aclScalar*>(scalars().add(std::make_shared<ScalarValue>(*loaded)));
}

aclIntArray* aclCreateIntArray(const int64_t* values, uint64_t count) {
  return create_array<aclIntArray>(int_arrays(), values, count);
}
aclFloatArray* aclCreateFloatArray(const float* values, uint64_t count) {
  return create_array<aclFloatArray>(float_arrays(), values, count);
}
aclBoolArray* aclCreateBoolArray(const bool* values, uint64_t count) {
  return create_array<aclBoolArray>(bool_arrays(), values, count);
}

aclTensorList* aclCreateTensorList(const aclTensor* const* members, uint64_t count) {
  if (members == nullptr && count > 0) return nullptr;
  auto list = std::make_shared<TensorList>();
  for (uint64_t i = 0; i < count; ++i) {
    const TensorMeta* member = meta(members[i]);
    if (member == nullptr) return nullptr;
    list->members.push_back(members[i]);
    list->metas.push_back(*member);
  }
  return static_cast<aclTensorList*>(tensor_lists().add(std::move(list)));
}

aclScalarList* aclCreateScalarList(const aclScalar* const* members, uint64_t count) {
  if (members == nullptr && count > 0) return nullptr;
  auto list = std::make_shared<ScalarList>();
  list->members.assign(members, members + count);
  return static_cast<aclScalarList*>(scalar_lists().add(std::move(list)));
}

aclnnStatus aclDestroyTensor(const aclTensor* tensor) {
  return destroy("aclDestroyTensor", tensors(), tensor);
}
aclnnStatus aclDestroyScalar(const aclScalar* scalar) {
  return destroy("aclDestroyScalar", scalars(), scalar);
}
aclnnStatus aclDestroyIntArray(const aclIntArray* array) {
  return destroy("aclDestroyIntArray", int_arrays(), array);
}
aclnnStatus aclDestroyFloatArray(const aclFloatArray* array) {
  return destroy("aclDestroyFloatArray", float_arrays(), array);
}
aclnnStatus aclDestroyBoolArray(const aclBoolArray* array) {
  return destroy("aclDestroyBoolArray", bool_arrays(), array);
}

aclnnStatus aclDestroyTensorList(const aclTensorList* list) {
  return guarded("aclDestroyTensorList", [&] {
    if (list == nullptr) return;
    const auto found = tensor_lists().remove(list);
    if (!found)
      refuse_call(ACLNN_ERR_PARAM_INVALID, fmt::format("{} is not alive", fmt::ptr(list)));
    for (const aclTensor* member : found->members) {
      if (!tensors().remove(member)) {
        refuse_call(ACLNN_ERR_PARAM_INVALID,
                    "a tensor of the list was destroyed before; the list owns its tensors");
      }
    }
  });
}

aclnnStatus aclDestroyScalarList(const aclScalarList* list) {
  return guarded("aclDestroyScalarList", [&] {
    if (list == nullptr) return;
    const auto found = scalar_lists().remove(list);
    if (!found)
      refuse_call(ACLNN_ERR_PARAM_INVALID, fmt::format("{} is not alive", fmt::ptr(list)));
    for (const aclScalar* member : found->members) scalars().remove(member);
  });
}

aclnnStatus aclGetViewShape(const aclTensor* tensor, int64_t** dims, uint64_t* count) {
  return guarded("aclGetViewShape", [&] {
    const auto found = require(tensors(), tensor, dims);
    if (count == nullptr) refuse_call(ACLNN_ERR_PARAM_NULLPTR, "a pointer is null");
    *dims = copy_for_client(found->dims);
    *count = found->dims.size();
  });
}

aclnnStatus aclGetStorageShape(const aclTensor* tensor, int64_t** dims, uint64_t* count) {
  return guarded("aclGetStorageShape", [&] {
    const auto found = require(tensors(), tensor, dims);
    if (count == nullptr) refuse_call(ACLNN_ERR_PARAM_NULLPTR, "a pointer is null");
    *dims = copy_for_client(found->storage_dims);
    *count = found->storage_dims.size();
  });
}

aclnnStatus aclGetViewStrides(const aclTensor* tensor, int64_t** strides, uint64_t* count) {
  return guarded("aclGetViewStrides", [&] {
    const auto found = require(tensors(), tensor, strides);
    if (count == nullptr) refuse_call(ACLNN_ERR_PARAM_NULLPTR, "a pointer is null");
    *strides = copy_for_client(found->strides);
    *count = found->strides.size();
  });
}

aclnnStatus aclGetViewOffset(const aclTensor* tensor, int64_t* offset) {
  return guarded("aclGetViewOffset", [&] { *offset = require(tensors(), tensor, offset)->offset; });
}
aclnnStatus aclGetFormat(const aclTensor* tensor, aclFormat* format) {
  return guarded("aclGetFormat", [&] { *format = require(tensors(), tensor, format)->format; });
}
aclnnStatus aclGetDataType(const aclTensor* tensor, aclDataType* dtype) {
  return guarded("aclGetDataType", [&] { *dtype = require(tensors(), tensor, dtype)->dtype; });
}
aclnnStatus aclGetRawTensorAddr(const aclTensor* tensor, void** data) {
  return guarded("aclGetRawTensorAddr", [&] { *data = require(tensors(), tensor, data)->address; });
}
aclnnStatus aclSetRawTensorAddr(aclTensor* tensor, void* data) {
  return guarded("aclSetRawTensorAddr",
                 [&] { require(tensors(), tensor, tensor)->address = data; });
}

aclnnStatus aclGetIntArraySize(const aclIntArray* array, uint64_t* count) {
  return give_size("aclGetIntArraySize", int_arrays(), array, count, [](const auto& values) {
    return values.size();
  });
}
aclnnStatus aclGetFloatArraySize(const aclFloatArray* array, uint64_t* count) {
  return give_size("aclGetFloatArraySize", float_arrays(), array, count, [](const auto& values) {
    return values.size();
  });
}
aclnnStatus aclGetBoolArraySize(const aclBoolArray* array, uint64_t* count) {
  return give_size("aclGetBoolArraySize", bool_arrays(), array, count, [](const auto& values) {
    return values.size();
  });
}
aclnnStatus aclGetTensorListSize(const aclTensorList* list, uint64_t* count) {
  return give_size(
      "aclGetTensorListSize", tensor_lists(), list, count, [](const TensorList& found) {
        return found.members.size();
      });
}
aclnnStatus aclGetScalarListSize(const aclScalarList* list, uint64_t* count) {
  return give_size(
      "aclGetScalarListSize", scalar_lists(), list, count, [](const ScalarList& found) {
        return found.members.size();
      });
}

size_t aclDataTypeSize(aclDataType dtype) {
  switch (dtype) {
    case ACL_INT8:
    case ACL_UINT8:
    case ACL_BOOL:
      return 1;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16:
      return 2;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32:
    case ACL_COMPLEX32:
      return 4;
    case ACL_DOUBLE:
    case ACL_INT64:
    case ACL_UINT64:
    case ACL_COMPLEX64:
      return 8;
    case ACL_COMPLEX128:
      return 16;
    default:
      return 0;
  }
}
// NOLINTEND(readability-identifier-naming)
