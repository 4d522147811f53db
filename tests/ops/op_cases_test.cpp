// The case table on every instruction set of this machine.
#include <cstdio>

#include <gtest/gtest.h>

#include "tests/ops/cpu_fixture.h"

namespace fastchat::ops {
namespace {

TEST(OpCases, EveryInstructionSetAgreesWithTheReference) {
  CpuFixture fixture(device::CpuIsa::generic);
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  const std::vector<cases::OpCase> all = cases::all_cases();
  for (const device::CpuIsa isa : device::supported_cpu_isas()) {
    CpuFixture candidate(isa);
    cases::Matrix matrix;
    for (const cases::OpCase& op_case : all) {
      const cases::CaseResult result = cases::run_case(op_case, *candidate.ops, *reference);
      matrix.add(op_case, result);
      EXPECT_EQ(result.outcome, cases::Outcome::passed)
          << candidate.ops->name() << ", " << op_case.op << ": " << op_case.name << ", "
          << device::to_string(op_case.dtype) << ": " << result.message;
    }
    std::printf("%s\n%s\n", std::string(candidate.ops->name()).c_str(), matrix.to_text().c_str());
  }
}

TEST(OpCases, ReferenceAgreesWithItself) {
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  for (const cases::OpCase& op_case : cases::norm_cases())
    EXPECT_EQ(cases::run_case(op_case, *reference, *reference).error, 0.0) << op_case.name;
}

/// A device that has linear only, and that only wrong by 1 %.
class YoungOps final : public Ops {
 public:
  explicit YoungOps(Ops& whole) : whole_(whole) {}
  Device& device() override { return whole_.device(); }
  const OpsTraits& traits() const override { return whole_.traits(); }
  std::string_view name() const override { return "young"; }
  PackedLinear pack_linear(Stream& stream,
                           std::span<const WeightSlice> slices,
                           DType dtype) override {
    return whole_.pack_linear(stream, slices, dtype);
  }
  void linear(Stream& stream,
              TensorView x,
              const PackedLinear& weight,
              TensorView bias,
              TensorView out) override {
    whole_.linear(stream, x, weight, bias, out);
    stream.synchronize();
    if (out.dtype() == DType::f32 && out.is_dense()) out.as<float>()[0] *= 1.01f;
  }

 private:
  Ops& whole_;
};

TEST(OpCases, WrongResultsFailAndMissingOperationsAreUnsupported) {
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  YoungOps young(*reference);
  const cases::CaseResult wrong = cases::run_case(cases::linear_cases()[1], young, *reference);
  EXPECT_EQ(wrong.outcome, cases::Outcome::failed);
  EXPECT_NE(wrong.message.find("element 0"), std::string::npos) << wrong.message;
  const cases::CaseResult missing = cases::run_case(cases::norm_cases()[0], young, *reference);
  EXPECT_EQ(missing.outcome, cases::Outcome::unsupported);
  EXPECT_EQ(missing.message, "rms_norm: not available on cpu (young operations)");
}

}  // namespace
}  // namespace fastchat::ops
