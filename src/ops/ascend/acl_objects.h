// Owners of the objects that CANN's operators take.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "device/ascend/cann_library.h"
#include "device/tensor.h"

namespace fastchat::ops::ascend {

aclDataType acl_dtype(device::DType dtype);

/// A tensor that CANN may look at: any strides, in elements. It owns the object, not the memory.
class AclTensor {
 public:
  AclTensor() = default;
  /// nullptr data gives the null tensor.
  explicit AclTensor(const device::TensorView& view);
  AclTensor(void* data,
            device::DType dtype,
            std::initializer_list<std::int64_t> dims,
            std::initializer_list<std::int64_t> strides);
  /// Dense.
  AclTensor(void* data, device::DType dtype, std::initializer_list<std::int64_t> dims);
  AclTensor(void* data, aclDataType dtype, std::span<const std::int64_t> dims);
  ~AclTensor() { reset(); }
  AclTensor(AclTensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  AclTensor& operator=(AclTensor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  AclTensor(const AclTensor&) = delete;
  AclTensor& operator=(const AclTensor&) = delete;

  aclTensor* get() const { return handle_; }
  /// Gives the object away, to a list that owns it from then on.
  aclTensor* release() { return std::exchange(handle_, nullptr); }

 private:
  void create(void* data,
              aclDataType dtype,
              std::size_t element_bytes,
              std::span<const std::int64_t> dims,
              std::span<const std::int64_t> strides);
  void reset() noexcept;
  aclTensor* handle_ = nullptr;
};

/// A list of one tensor.
class AclTensorList {
 public:
  explicit AclTensorList(AclTensor tensor);
  ~AclTensorList();
  AclTensorList(const AclTensorList&) = delete;
  AclTensorList& operator=(const AclTensorList&) = delete;
  aclTensorList* get() const { return handle_; }

 private:
  aclTensorList* handle_ = nullptr;
};

class AclIntArray {
 public:
  explicit AclIntArray(std::span<const std::int64_t> values);
  ~AclIntArray();
  AclIntArray(const AclIntArray&) = delete;
  AclIntArray& operator=(const AclIntArray&) = delete;
  aclIntArray* get() const { return handle_; }

 private:
  aclIntArray* handle_ = nullptr;
};

class AclScalar {
 public:
  explicit AclScalar(float value);
  explicit AclScalar(std::int64_t value);
  ~AclScalar();
  AclScalar(const AclScalar&) = delete;
  AclScalar& operator=(const AclScalar&) = delete;
  aclScalar* get() const { return handle_; }

 private:
  aclScalar* handle_ = nullptr;
};

}  // namespace fastchat::ops::ascend
