// The two phases of operators: what the executor keeps, and how often it serves.
#include <cstdlib>

#include "tests/emulator/client.h"

namespace client {
namespace {

struct Prepared {
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
};

class ExecutorTest : public CannTest {
 protected:
  // Phase 1 of out = a + b; `a` is left alive for address patching.
  static int prepare(void* a, void* b, void* out, Prepared* prepared, aclTensor** first = nullptr) {
    aclTensor* x = float_tensor({16}, a);
    aclTensor* y = float_tensor({16}, b);
    aclTensor* z = float_tensor({16}, out);
    float one = 1;
    aclScalar* alpha = CANN(aclCreateScalar)(&one, ACL_FLOAT);
    const int status =
        CANN(aclnnAddGetWorkspaceSize)(x, y, alpha, z, &prepared->bytes, &prepared->executor);
    CANN(aclDestroyScalar)(alpha);
    for (aclTensor* tensor : {y, z}) CANN(aclDestroyTensor)(tensor);
    if (first == nullptr) {
      CANN(aclDestroyTensor)(x);
    } else {
      *first = x;
    }
    return status;
  }
  static int run(const Prepared& prepared, aclrtStream stream) {
    return CANN(aclnnAdd)(nullptr, prepared.bytes, prepared.executor, stream);
  }
};
using ExecutorProcess = OwnProcess<ExecutorTest>;
using ExecutorDeathTest = ExecutorTest;

TEST_F(ExecutorTest, ObjectsMayGoRightAfterPhaseTwo) {
  StreamHandle stream;
  Gate gate;
  DeviceBytes a(64);
  DeviceBytes b(64);
  upload(a, std::vector<float>(16, 1.5f));
  upload(b, std::vector<float>(16, 2.0f));
  gate.close(stream.get());
  OK(add(a.get(),
         b.get(),
         b.get(),
         16,
         stream.get()));  // destroys tensors and scalar before the work runs
  gate.open();
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(b, 16)[15], 3.5f);
}

TEST_F(ExecutorDeathTest, AnExecutorServesOnce) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  StreamHandle stream;
  DeviceBytes a(64);
  Prepared prepared;
  OK(prepare(a.get(), a.get(), a.get(), &prepared));
  OK(run(prepared, stream.get()));
  EXPECT_DEATH(run(prepared, stream.get()), "spent");
}

TEST_F(ExecutorTest, ARepeatableExecutorTakesNewAddresses) {
  StreamHandle stream;
  DeviceBytes a(64);
  DeviceBytes b(64);
  DeviceBytes sum(64);
  DeviceBytes other_sum(64);
  upload(a, std::vector<float>(16, 1.0f));
  upload(b, std::vector<float>(16, 5.0f));
  Prepared prepared;
  aclTensor* tensor = nullptr;
  OK(prepare(a.get(), a.get(), sum.get(), &prepared, &tensor));
  EXPECT_EQ(CANN(aclSetInputTensorAddr)(prepared.executor, 0, tensor, b.get()),
            ACLNN_ERR_PARAM_INVALID)
      << "not repeatable yet";
  OK(CANN(aclSetAclOpExecutorRepeatable)(prepared.executor));
  OK(run(prepared, stream.get()));
  OK(CANN(aclSetInputTensorAddr)(prepared.executor, 1, tensor, b.get()));
  OK(CANN(aclSetOutputTensorAddr)(prepared.executor, 0, tensor, other_sum.get()));
  OK(run(prepared, stream.get()));
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(sum, 1)[0], 2.0f);
  EXPECT_EQ(download<float>(other_sum, 1)[0], 6.0f);
  OK(CANN(aclSetTensorAddr)(
      prepared.executor, 2, tensor, sum.get()));  // inputs first, then outputs
  OK(run(prepared, stream.get()));
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(sum, 1)[0], 6.0f);
  EXPECT_EQ(CANN(aclSetTensorAddr)(prepared.executor, 3, tensor, sum.get()),
            ACLNN_ERR_PARAM_INVALID);
  EXPECT_EQ(CANN(aclSetTensorAddr)(nullptr, 0, tensor, sum.get()), ACLNN_ERR_INNER_NULLPTR);
  OK(CANN(aclDestroyAclOpExecutor)(prepared.executor));
  OK(CANN(aclDestroyTensor)(tensor));
}

TEST_F(ExecutorTest, PhaseTwoRunsOnTheCardOfPhaseOne) {
  DeviceBytes a(64);
  Prepared prepared;
  OK(prepare(a.get(), a.get(), a.get(), &prepared));
  in_thread([&] {
    OK(CANN(aclrtSetDevice)(1));
    StreamHandle elsewhere;
    EXPECT_EQ(run(prepared, elsewhere.get()), ACLNN_ERR_RUNTIME_ERROR);
  });
}

TEST_F(ExecutorTest, PhaseOneNeedsADevice) {
  in_thread([] {
    Prepared prepared;
    EXPECT_EQ(prepare(nullptr, nullptr, nullptr, &prepared), ACLNN_ERR_RUNTIME_ERROR);
    EXPECT_NE(message().find("107002"), std::string::npos);
  });
}

TEST_F(ExecutorTest, PhaseOneOnlyTellsTheWorkspaceWithoutAddresses) {
  Prepared prepared;
  OK(prepare(nullptr, nullptr, nullptr, &prepared));
  OK(CANN(aclDestroyAclOpExecutor)(prepared.executor));
  EXPECT_EQ(CANN(aclDestroyAclOpExecutor)(prepared.executor), ACLNN_ERR_INNER_NULLPTR);
}

TEST_F(ExecutorTest, OperandsLieAt32Bytes) {
  DeviceBytes a(256);
  Prepared prepared;
  EXPECT_EQ(prepare(static_cast<char*>(a.get()) + 4, a.get(), a.get(), &prepared),
            ACLNN_ERR_PARAM_INVALID);
  EXPECT_EQ(prepare(static_cast<char*>(a.get()) + 32, a.get(), a.get(), &prepared), 0);
}

// A product of matrices needs a workspace, and finds rubbish in it.
TEST_F(ExecutorTest, TheWorkspaceIsAskedForAndScribbledOn) {
  StreamHandle stream;
  DeviceBytes a(64);
  DeviceBytes out(64);
  upload(a, std::vector<float>{1, 2, 3, 4});
  aclTensor* x = float_tensor({2, 2}, a.get());
  aclTensor* y = float_tensor({2, 2}, out.get());
  const auto phase_one = [&](Prepared* prepared) {
    return CANN(aclnnMmGetWorkspaceSize)(
        x, x, y, CANN_CUBE_KEEP_DTYPE, &prepared->bytes, &prepared->executor);
  };
  Prepared prepared;
  OK(phase_one(&prepared));
  ASSERT_GT(prepared.bytes, 0u);
  DeviceBytes workspace(prepared.bytes);
  OK(CANN(aclrtMemset)(workspace.get(), prepared.bytes, 0, prepared.bytes));
  OK(CANN(aclnnMm)(workspace.get(), prepared.bytes, prepared.executor, stream.get()));
  OK(stream.synchronize());
  EXPECT_EQ(download<float>(out, 4), (std::vector<float>{7, 10, 15, 22}));
  const auto left = download<uint8_t>(workspace, prepared.bytes);
  EXPECT_NE(left.front(), 0);
  EXPECT_NE(left.back(), 0);

  OK(phase_one(&prepared));
  EXPECT_EQ(CANN(aclnnMm)(nullptr, prepared.bytes, prepared.executor, stream.get()),
            ACLNN_ERR_PARAM_NULLPTR);
  EXPECT_EQ(CANN(aclnnMm)(workspace.get(), prepared.bytes - 1, prepared.executor, stream.get()),
            ACLNN_ERR_PARAM_INVALID);
  EXPECT_EQ(CANN(aclnnAdd)(workspace.get(), prepared.bytes, prepared.executor, stream.get()),
            ACLNN_ERR_PARAM_INVALID)
      << "an executor of another operator";
  for (aclTensor* tensor : {x, y}) CANN(aclDestroyTensor)(tensor);
}

TEST_F(ExecutorProcess, OperatorsNeedTheirPackage) {
  for (const auto& [path, status] : std::vector<std::pair<std::string, int>>{
           {"", ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND},
           {"/nowhere/opp", ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND},
           {root() + "/lib64", ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND}}) {
    in_own_process({{"ASCEND_OPP_PATH", path}}, [expected = status] {
      OK(CANN(aclInit)(nullptr));
      OK(CANN(aclrtSetDevice)(0));
      Prepared prepared;
      EXPECT_EQ(prepare(nullptr, nullptr, nullptr, &prepared), expected);
    });
  }
}

}  // namespace
}  // namespace client
