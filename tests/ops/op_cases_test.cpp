// The case table on every instruction set.
#include "tests/ops/cpu_fixture.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace fastchat::ops {
namespace {

TEST(OpCases, EveryInstructionSetAgreesWithTheReference) {
  const std::vector<const cpu::Kernels*> kernels = every_kernels();
  std::vector<std::unique_ptr<CpuFixture>> candidates;
  for (const cpu::Kernels* each : kernels)
    candidates.push_back(std::make_unique<CpuFixture>(*each));
  std::vector<cases::Matrix> matrices(kernels.size());
  const std::unique_ptr<Ops> reference = create_reference_ops(*candidates[0]->device);
  for (const cases::OpCase& op_case : cases::all_cases()) {
    const std::vector<float> expected =
        cases::expected_of(op_case, *reference, reference->traits());
    for (std::size_t i = 0; i < kernels.size(); ++i) {
      const cases::CaseResult result = cases::run_case(op_case, *candidates[i]->ops, expected);
      matrices[i].add(op_case, result);
      EXPECT_EQ(result.outcome, cases::Outcome::passed)
          << kernels[i]->name << ", " << op_case.op << ": " << op_case.name << ", "
          << device::to_string(op_case.dtype) << ": " << result.message;
    }
  }
  for (std::size_t i = 0; i < kernels.size(); ++i)
    std::printf(
        "%s\n%s\n", std::string(candidates[i]->ops->name()).c_str(), matrices[i].to_text().c_str());
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
                           LinearFormat format) override {
    return whole_.pack_linear(stream, slices, format);
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

cases::CaseResult run(const cases::OpCase& op_case, Ops& ops, Ops& reference) {
  return cases::run_case(op_case, ops, cases::expected_of(op_case, reference, ops.traits()));
}

TEST(OpCases, WrongResultsFailAndMissingOperationsAreUnsupported) {
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  YoungOps young(*reference);
  const cases::CaseResult wrong = run(cases::linear_cases()[1], young, *reference);
  EXPECT_EQ(wrong.outcome, cases::Outcome::failed);
  EXPECT_NE(wrong.message.find("element 0"), std::string::npos) << wrong.message;
  const cases::CaseResult missing = run(cases::norm_cases()[0], young, *reference);
  EXPECT_EQ(missing.outcome, cases::Outcome::unsupported);
  EXPECT_EQ(missing.message, "rms_norm: not available on cpu (young operations)");
}

}  // namespace
}  // namespace fastchat::ops
