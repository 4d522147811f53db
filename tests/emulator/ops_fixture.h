// What tests of operators need of a client: tensors, both phases in one call. Expectations are
// computed in the tests, in double, on the very values that the tensors hold; nothing of the
// emulator's arithmetic is used.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "device/ascend/cann.h"

namespace emulator_test {

using Dims = std::vector<int64_t>;

/// `value` as a tensor of `dtype` stores it: to the nearest, ties to even; whole numbers truncated.
double stored(aclDataType dtype, double value);
/// Distance between neighbours around `value` in a floating dtype.
double spacing(aclDataType dtype, double value);
/// `count` values of a normal distribution, as stored in `dtype`.
std::vector<double> random_values(aclDataType dtype,
                                  int64_t count,
                                  unsigned seed,
                                  double sigma = 1);
int64_t count_of(const Dims& dims);

/// The CANN under test, card 0 set, with one stream. One per process, for one thread.
class Cann {
 public:
  static Cann& get();

  /// 830 for CANN 8.3.
  int version() const;
  /// Null where this version does not export the name.
  void* symbol(const std::string& name) const;
  template <typename Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }
  /// Text of the last refusal of this thread.
  std::string message() const;
  /// Enqueues, waits and frees: phase 2 of an operator after its phase 1.
  aclnnStatus finish(void* phase_2, uint64_t workspace_size, aclOpExecutor* executor) const;

 private:
  Cann();

  aclrtStream stream_ = nullptr;
};

#define CANN_CALL(cann, name) (*(cann).function<decltype(name)>(#name))

/// Ends a test that calls `name` where this CANN does not have it.
#define NEEDS(cann, name) \
  if ((cann).symbol(#name) == nullptr) GTEST_SKIP() << #name " is not in this CANN"

/// A tensor in card memory. Values are given and read as double; INT64 beyond 2^53 is not for this.
class Tensor {
 public:
  /// Contiguous.
  Tensor(Cann& cann, aclDataType dtype, Dims dims, const std::vector<double>& values);
  /// Contiguous, not initialised.
  Tensor(Cann& cann, aclDataType dtype, Dims dims);
  Tensor(Tensor&& other) noexcept;
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  Tensor& operator=(Tensor&&) = delete;
  ~Tensor();

  /// The same memory seen otherwise. Valid while this tensor is.
  Tensor view(Dims dims,
              Dims strides,
              int64_t offset = 0,
              aclFormat format = ACL_FORMAT_ND,
              const Dims& storage_dims = {}) const;
  /// Rows and columns of the last two dims swapped.
  Tensor transposed() const;

  aclTensor* get() const { return tensor_; }
  operator aclTensor*() const { return tensor_; }
  void* address() const { return memory_; }
  aclDataType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  const Dims& strides() const { return strides_; }
  int64_t offset() const { return offset_; }
  /// The view's elements in row-major order.
  std::vector<double> read() const;
  /// The memory from its start, `count` elements of the dtype.
  std::vector<double> read_storage(int64_t count) const;

 private:
  Tensor() = default;
  void create(aclFormat format, const Dims& storage_dims);

  Cann* cann_ = nullptr;
  aclDataType dtype_ = ACL_FLOAT;
  Dims dims_, strides_;
  int64_t offset_ = 0;
  int64_t capacity_ = 0;  // elements in memory
  void* memory_ = nullptr;
  bool owns_ = false;
  aclTensor* tensor_ = nullptr;
};

/// Host objects, destroyed with the test.
class Ints {
 public:
  Ints(Cann& cann, const std::vector<int64_t>& values);
  ~Ints();
  Ints(const Ints&) = delete;
  Ints& operator=(const Ints&) = delete;
  operator aclIntArray*() const { return array_; }

 private:
  Cann& cann_;
  aclIntArray* array_;
};

class Number {
 public:
  Number(Cann& cann, float value);
  Number(Cann& cann, int64_t value);
  ~Number();
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  operator aclScalar*() const { return scalar_; }

 private:
  Cann& cann_;
  aclScalar* scalar_;
};

/// Owns the list, not the tensors' memory. Views are made so that destroying the list is right.
class TensorList {
 public:
  TensorList(Cann& cann, const std::vector<const Tensor*>& tensors);
  ~TensorList();
  TensorList(const TensorList&) = delete;
  TensorList& operator=(const TensorList&) = delete;
  operator aclTensorList*() const { return list_; }

 private:
  Cann& cann_;
  aclTensorList* list_;
};

/// Both phases by name; the arguments are the vendor's.
template <typename Phase1, typename... Args>
aclnnStatus run_operator(Cann& cann, const char* name, const Args&... args) {
  const std::string phase_1 = std::string(name) + "GetWorkspaceSize";
  auto* plan = cann.function<Phase1>(phase_1.c_str());
  if (plan == nullptr) return -1;
  uint64_t workspace = 0;
  aclOpExecutor* executor = nullptr;
  const aclnnStatus status = plan(args..., &workspace, &executor);
  if (status != 0) return status;
  return cann.finish(cann.symbol(name), workspace, executor);
}

/// RUN(cann, aclnnMm, a, b, out, 0): plans, enqueues and waits; 0, phase 1's refusal, or what the
/// stream reports.
#define RUN(cann, name, ...) \
  emulator_test::run_operator<decltype(name##GetWorkspaceSize)>(cann, #name, __VA_ARGS__)

/// Phase 1 alone; the executor is destroyed.
template <typename Phase1, typename... Args>
aclnnStatus plan_operator(Cann& cann, const char* phase_1, const Args&... args) {
  auto* plan = cann.function<Phase1>(phase_1);
  if (plan == nullptr) return -1;
  uint64_t workspace = 0;
  aclOpExecutor* executor = nullptr;
  const aclnnStatus status = plan(args..., &workspace, &executor);
  if (status == 0) CANN_CALL(cann, aclDestroyAclOpExecutor)(executor);
  return status;
}

#define PLAN(cann, name, ...)                                     \
  emulator_test::plan_operator<decltype(name##GetWorkspaceSize)>( \
      cann, #name "GetWorkspaceSize", __VA_ARGS__)

/// Compares element by element: within `spacings` neighbours of the dtype around the expected
/// value, plus `absolute`. NaN equals NaN.
void expect_near(const std::vector<double>& actual,
                 const std::vector<double>& expected,
                 aclDataType dtype,
                 double spacings,
                 double absolute = 0);

}  // namespace emulator_test
