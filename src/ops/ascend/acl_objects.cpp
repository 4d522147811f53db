#include "ops/ascend/acl_objects.h"

#include <array>

#include "base/check.h"
#include "device/ascend/cann_error.h"

namespace fastchat::ops::ascend {
namespace {

using device::DType;
using device::TensorView;

constexpr std::uintptr_t kBaseAlignment =
    32;  // of a tensor's storage; an offset may point anywhere

template <typename Handle>
Handle* require_created(Handle* handle, const char* call) {
  if (handle == nullptr)
    throw Failure(device::ascend::describe_failure(ACLNN_ERR_INNER_NULLPTR, call));
  return handle;
}

}  // namespace

aclDataType acl_dtype(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ACL_FLOAT;
    case DType::f16:
      return ACL_FLOAT16;
    case DType::bf16:
      return ACL_BF16;
    case DType::i8:
      return ACL_INT8;
    case DType::u8:
      return ACL_UINT8;
    case DType::i32:
      return ACL_INT32;
    case DType::i64:
      return ACL_INT64;
  }
  return ACL_DT_UNDEFINED;
}

AclTensor::AclTensor(const TensorView& view) {
  if (view.empty()) return;
  std::array<std::int64_t, TensorView::kMaxRank> dims{};
  std::array<std::int64_t, TensorView::kMaxRank> strides{};
  const auto rank = static_cast<std::size_t>(view.rank());
  std::int64_t stride = 1;
  for (std::size_t i = rank; i-- > 0;) {
    dims[i] = view.dim(static_cast<int>(i));
    strides[i] = i == 0 ? view.row_stride() : stride;
    stride *= dims[i];
  }
  if (rank == 1) strides[0] = 1;
  create(view.data(),
         acl_dtype(view.dtype()),
         size_of(view.dtype()),
         {dims.data(), rank},
         {strides.data(), rank});
}

AclTensor::AclTensor(void* data,
                     DType dtype,
                     std::initializer_list<std::int64_t> dims,
                     std::initializer_list<std::int64_t> strides) {
  create(data,
         acl_dtype(dtype),
         size_of(dtype),
         {dims.begin(), dims.size()},
         {strides.begin(), strides.size()});
}

AclTensor::AclTensor(void* data, DType dtype, std::initializer_list<std::int64_t> dims)
    : AclTensor(TensorView(data, dtype, dims)) {}

AclTensor::AclTensor(void* data, aclDataType dtype, std::span<const std::int64_t> dims) {
  std::vector<std::int64_t> strides(dims.size());
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  create(data, dtype, FASTCHAT_CANN(aclDataTypeSize)(dtype), dims, strides);
}

void AclTensor::create(void* data,
                       aclDataType dtype,
                       std::size_t element_bytes,
                       std::span<const std::int64_t> dims,
                       std::span<const std::int64_t> strides) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t base = address / kBaseAlignment * kBaseAlignment;
  const auto offset = static_cast<std::int64_t>((address - base) / element_bytes);
  std::int64_t last = offset;  // of the elements that the view reaches
  for (std::size_t i = 0; i < dims.size(); ++i)
    last += std::max<std::int64_t>(dims[i] - 1, 0) * strides[i];
  const std::int64_t storage = last + 1;
  handle_ =
      require_created(FASTCHAT_CANN(aclCreateTensor)(dims.data(),
                                                     dims.size(),
                                                     dtype,
                                                     strides.data(),
                                                     offset,
                                                     ACL_FORMAT_ND,
                                                     &storage,
                                                     1,
                                                     static_cast<char*>(data) - (address - base)),
                      "aclCreateTensor");
}

void AclTensor::reset() noexcept {
  if (handle_ != nullptr) FASTCHAT_CANN(aclDestroyTensor)(handle_);
  handle_ = nullptr;
}

AclTensorList::AclTensorList(AclTensor tensor) {
  const aclTensor* const members[] = {tensor.release()};
  handle_ = require_created(FASTCHAT_CANN(aclCreateTensorList)(members, 1), "aclCreateTensorList");
}
AclTensorList::~AclTensorList() { FASTCHAT_CANN(aclDestroyTensorList)(handle_); }

AclIntArray::AclIntArray(std::span<const std::int64_t> values)
    : handle_(require_created(FASTCHAT_CANN(aclCreateIntArray)(values.data(), values.size()),
                              "aclCreateIntArray")) {}
AclIntArray::~AclIntArray() { FASTCHAT_CANN(aclDestroyIntArray)(handle_); }

AclScalar::AclScalar(float value)
    : handle_(
          require_created(FASTCHAT_CANN(aclCreateScalar)(&value, ACL_FLOAT), "aclCreateScalar")) {}
AclScalar::AclScalar(std::int64_t value)
    : handle_(
          require_created(FASTCHAT_CANN(aclCreateScalar)(&value, ACL_INT64), "aclCreateScalar")) {}
AclScalar::~AclScalar() { FASTCHAT_CANN(aclDestroyScalar)(handle_); }

}  // namespace fastchat::ops::ascend
