// The fixture of the tests that call operators with wrong arguments.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <utility>
#include <vector>

#include "tests/emulator/ops_fixture.h"

namespace emulator_test {

inline constexpr aclnnStatus kOk = 0;
inline constexpr aclnnStatus kNull = 161001;
inline constexpr aclnnStatus kInvalid = 161002;
inline constexpr aclnnStatus kTiling = 561002;
inline constexpr aclnnStatus kNoKernel = 561003;

class OpsRefusal : public testing::Test {
 public:
  /// A tensor that lives as long as the test; its values do not matter.
  const Tensor& t(aclDataType dtype, Dims dims) {
    return tensors_.emplace_back(cann, dtype, std::move(dims));
  }
  /// A view with other strides, format or storage.
  const Tensor& v(const Tensor& of,
                  Dims dims,
                  Dims strides,
                  aclFormat format = ACL_FORMAT_ND,
                  const Dims& storage = {}) {
    return tensors_.emplace_back(of.view(std::move(dims), std::move(strides), 0, format, storage));
  }
  const Tensor& transposed(const Tensor& of) { return tensors_.emplace_back(of.transposed()); }
  const aclIntArray* ints(const std::vector<int64_t>& values) {
    return arrays_.emplace_back(cann, values);
  }

  void rule(const char* what, aclnnStatus expected, aclnnStatus actual) {
    EXPECT_EQ(actual, expected) << what << "\n  message: " << cann.message();
  }

  Cann& cann = Cann::get();
  Number one{cann, 1.0f};
  Number half{cann, 0.5f};

 private:
  std::deque<Tensor> tensors_;
  std::deque<Ints> arrays_;
};

}  // namespace emulator_test
