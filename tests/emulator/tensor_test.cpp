// Tensors and the other objects that operators take.
#include <memory>

#include "tests/emulator/client.h"

namespace client {
namespace {

class TensorTest : public CannTest {};

std::vector<int64_t> taken(int64_t* values, uint64_t count) {
  const std::unique_ptr<int64_t[]> owner(values);  // the caller deletes []
  return {values, values + count};
}

TEST_F(TensorTest, TellsWhatItWasMadeOf) {
  const std::vector<int64_t> dims{3, 4};
  const std::vector<int64_t> strides{1, 3};
  const std::vector<int64_t> storage{100};
  int dummy = 0;
  aclTensor* tensor = CANN(aclCreateTensor)(dims.data(),
                                            2,
                                            ACL_BF16,
                                            strides.data(),
                                            7,
                                            ACL_FORMAT_FRACTAL_NZ,
                                            storage.data(),
                                            1,
                                            &dummy);
  ASSERT_NE(tensor, nullptr);
  int64_t* values = nullptr;
  uint64_t count = 0;
  OK(CANN(aclGetViewShape)(tensor, &values, &count));
  EXPECT_EQ(taken(values, count), dims);
  OK(CANN(aclGetViewStrides)(tensor, &values, &count));
  EXPECT_EQ(taken(values, count), strides);
  OK(CANN(aclGetStorageShape)(tensor, &values, &count));
  EXPECT_EQ(taken(values, count), storage);
  int64_t offset = 0;
  OK(CANN(aclGetViewOffset)(tensor, &offset));
  EXPECT_EQ(offset, 7);
  aclFormat format = ACL_FORMAT_ND;
  OK(CANN(aclGetFormat)(tensor, &format));
  EXPECT_EQ(format, ACL_FORMAT_FRACTAL_NZ);
  aclDataType dtype = ACL_FLOAT;
  OK(CANN(aclGetDataType)(tensor, &dtype));
  EXPECT_EQ(dtype, ACL_BF16);
  void* data = nullptr;
  OK(CANN(aclGetRawTensorAddr)(tensor, &data));
  EXPECT_EQ(data, &dummy);
  OK(CANN(aclSetRawTensorAddr)(tensor, nullptr));
  OK(CANN(aclGetRawTensorAddr)(tensor, &data));
  EXPECT_EQ(data, nullptr);
  OK(CANN(aclDestroyTensor)(tensor));
}

TEST_F(TensorTest, NullStridesMeanContiguous) {
  const std::vector<int64_t> dims{2, 3, 4};
  aclTensor* tensor = float_tensor(dims, nullptr);
  int64_t* values = nullptr;
  uint64_t count = 0;
  OK(CANN(aclGetViewStrides)(tensor, &values, &count));
  EXPECT_EQ(taken(values, count), (std::vector<int64_t>{12, 4, 1}));
  OK(CANN(aclInitTensor)(
      tensor, dims.data(), 1, ACL_INT8, nullptr, 0, ACL_FORMAT_ND, dims.data(), 1, nullptr));
  OK(CANN(aclGetViewStrides)(tensor, &values, &count));
  EXPECT_EQ(taken(values, count), (std::vector<int64_t>{1}));
  OK(CANN(aclDestroyTensor)(tensor));
}

TEST_F(TensorTest, ScalarsOfNoDimensionAndEmptyArraysAreFine) {
  aclTensor* tensor =
      CANN(aclCreateTensor)(nullptr, 0, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, nullptr, 0, nullptr);
  EXPECT_NE(tensor, nullptr);
  OK(CANN(aclDestroyTensor)(tensor));
  aclIntArray* array = CANN(aclCreateIntArray)(nullptr, 0);
  ASSERT_NE(array, nullptr);
  uint64_t count = 1;
  OK(CANN(aclGetIntArraySize)(array, &count));
  EXPECT_EQ(count, 0u);
  OK(CANN(aclDestroyIntArray)(array));
}

TEST_F(TensorTest, NullDimsGiveNoTensor) {
  EXPECT_EQ(
      CANN(aclCreateTensor)(nullptr, 2, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, nullptr, 2, nullptr),
      nullptr);
}

TEST_F(TensorTest, AListOwnsItsTensors) {
  const aclTensor* members[] = {float_tensor({2}, nullptr), float_tensor({3}, nullptr)};
  aclTensorList* list = CANN(aclCreateTensorList)(members, 2);
  uint64_t count = 0;
  OK(CANN(aclGetTensorListSize)(list, &count));
  EXPECT_EQ(count, 2u);
  OK(CANN(aclDestroyTensorList)(list));
  EXPECT_NE(CANN(aclDestroyTensor)(members[0]), 0) << "gone with the list";
}

TEST_F(TensorTest, DestroyTakesNullAndRefusesWhatIsGone) {
  EXPECT_EQ(CANN(aclDestroyTensor)(nullptr), 0);
  EXPECT_EQ(CANN(aclDestroyScalar)(nullptr), 0);
  EXPECT_EQ(CANN(aclDestroyTensorList)(nullptr), 0);
  aclTensor* tensor = float_tensor({2}, nullptr);
  OK(CANN(aclDestroyTensor)(tensor));
  EXPECT_EQ(CANN(aclDestroyTensor)(tensor), ACLNN_ERR_PARAM_INVALID);
  int64_t offset = 0;
  EXPECT_EQ(CANN(aclGetViewOffset)(tensor, &offset), ACLNN_ERR_PARAM_INVALID);
}

TEST_F(TensorTest, ElementSizes) {
  EXPECT_EQ(CANN(aclDataTypeSize)(ACL_BF16), 2u);
  EXPECT_EQ(CANN(aclDataTypeSize)(ACL_INT64), 8u);
  EXPECT_EQ(CANN(aclDataTypeSize)(ACL_INT4), 0u);
}

}  // namespace
}  // namespace client
