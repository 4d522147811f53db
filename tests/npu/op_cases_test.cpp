// The case table on an emulated card, beside the reference.
#include <cstdio>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "device/ascend/npu_device.h"
#include "device/cpu/cpu_device.h"
#include "ops/ascend/npu_ops.h"
#include "ops/cases/op_case.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {
namespace {

/// Operators round their results to the dtype of the case even where the catalogue asks for f32:
/// two such roundings, one of a composed operation's first part.
double npu_tolerance(const cases::OpCase& op_case) {
  const double step = op_case.dtype == DType::bf16 ? 0x1.0p-7 : 0x1.0p-10;
  return std::max(op_case.tolerance, 2 * step);
}

/// Soft caps, windows, heads of odd sizes and f32 are not there; see docs/ascend.md.
bool may_lack(const cases::OpCase& op_case) { return op_case.op == "paged_attention"; }

TEST(NpuOps, AgreeWithTheReference) {
  const auto cpu = device::create_cpu_platform({.memory_limits_bytes = {std::uint64_t{1} << 30}});
  const auto cpu_device = cpu->open(0);
  const std::unique_ptr<Ops> reference = create_reference_ops(*cpu_device);
  const auto platform = device::create_npu_platform({});
  ASSERT_GT(platform->num_devices(), 0) << platform->unavailable_reason();
  const auto card = platform->open(0);
  const std::unique_ptr<Ops> npu = create_npu_ops(*card);
  cases::Matrix matrix;
  for (cases::OpCase op_case : cases::all_cases()) {
    if (op_case.dtype == DType::f32 && op_case.op == "linear") continue;  // models are 16-bit there
    op_case.tolerance = npu_tolerance(op_case);
    const std::vector<float> expected = cases::expected_of(op_case, *reference, npu->traits());
    const cases::CaseResult result = cases::run_case(op_case, *npu, expected);
    matrix.add(op_case, result);
    const bool passed = result.outcome == cases::Outcome::passed ||
                        (result.outcome == cases::Outcome::unsupported && may_lack(op_case));
    EXPECT_TRUE(passed) << op_case.op << ": " << op_case.name << ", "
                        << device::to_string(op_case.dtype) << ": error " << result.error << " of "
                        << op_case.tolerance << "; " << result.message;
  }
  std::printf("%s\n", matrix.to_text().c_str());
}

}  // namespace
}  // namespace fastchat::ops
