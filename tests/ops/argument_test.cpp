// What wrong arguments lead to: a Failure that names the operation, what was expected and what
// came.
#include "tests/ops/cpu_fixture.h"

#include <gtest/gtest.h>

namespace fastchat::ops {
namespace {

using cases::Rig;

template <typename Action>
std::string failure_of(Action&& action) {
  try {
    action();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "nothing was thrown";
}

TEST(Arguments, WrongShapesAndDtypesAreNamed) {
  CpuFixture fixture;
  Rig rig(*fixture.ops);
  Ops& ops = *fixture.ops;
  const TensorView x = rig.blank(DType::f32, {2, 8});
  const TensorView weight = rig.blank(DType::f32, {7});
  EXPECT_EQ(failure_of([&] { ops.rms_norm(rig.stream(), x, weight, 1e-6f, x); }),
            "rms_norm: weight is f32[7], expected f32|f16|bf16[8]");
  const TensorView heads = rig.blank(DType::f32, {2, 3, 8});
  EXPECT_EQ(failure_of([&] { ops.rms_norm(rig.stream(), heads, weight, 1e-6f, heads); }),
            "rms_norm: weight is f32[7], expected f32|f16|bf16[8]");
  const TensorView width_of_head = rig.blank(DType::f32, {8});
  EXPECT_EQ(failure_of([&] { ops.rms_norm(rig.stream(), heads, width_of_head, 1e-6f, x); }),
            "rms_norm: out is f32[2, 8], expected f32|f16|bf16[2, 3, 8]");
  EXPECT_EQ(failure_of([&] { ops.embedding(rig.stream(), x, weight, x); }),
            "embedding: ids is f32[7], expected i32[any]");
  const PackedLinear& packed =
      rig.pack(cases::random_values(1, 24), DType::f32, {3}, 8, DType::f32);
  const TensorView out = rig.blank(DType::f32, {2, 4});
  EXPECT_EQ(failure_of([&] { ops.linear(rig.stream(), x, packed, {}, out); }),
            "linear: out is f32[2, 4], expected f32|f16|bf16[2, 3]");
  EXPECT_EQ(failure_of([&] { ops.linear(rig.stream(), x, {}, {}, out); }),
            "linear: the weight is empty");
  EXPECT_EQ(failure_of([&] { ops.rotary(rig.stream(), x, 3, x, x); }),
            "rotary: x is f32[2, 8] with heads of 3 and a table of f32[2, 8], expected whole heads "
            "and an even rotary_dim of at most a head");
  EXPECT_EQ(failure_of([&] { ops.pack_linear(rig.stream(), {}, DType::f32); }),
            "pack_linear: no slices");
}

TEST(Arguments, SamplingRangesMustLieInTheBatch) {
  CpuFixture fixture;
  Rig rig(*fixture.ops);
  const std::vector<SamplingRow> rows = {{.bias_begin = 0, .bias_end = 3}};
  const std::vector<LogitBias> biases = {{1, 1.0f}};
  EXPECT_EQ(failure_of([&] {
              rig.ops().sample(rig.stream(),
                               rig.blank(DType::f32, {1, 9}),
                               {.rows = rows, .biases = biases},
                               {.tokens = rig.blank(DType::i32, {1})});
            }),
            "sample: a row's biases [0, 3) and counts [0, 0) lie outside of the batch's 1 and 0");
}

TEST(Arguments, NoRowsAreNoWork) {
  CpuFixture fixture;
  Rig rig(*fixture.ops);
  const TensorView none = rig.blank(DType::bf16, {0, 8});
  const TensorView weight = rig.upload(cases::random_values(1, 8), DType::bf16, {8});
  rig.ops().rms_norm(rig.stream(), none, weight, 1e-6f, none);
  const PackedLinear& packed =
      rig.pack(cases::random_values(1, 64), DType::f32, {8}, 8, DType::bf16);
  rig.ops().linear(rig.stream(), none, packed, {}, none);
  rig.stream().synchronize();
}

TEST(Traits, BytesFollowFromThem) {
  const OpsTraits npu = traits(device::DeviceKind::npu);
  EXPECT_EQ(npu.kv_block_size, 128);
  EXPECT_EQ(packed_linear_bytes(npu, 17, 16, DType::bf16), 17u * 16u * 2u);
  EXPECT_EQ(kv_block_bytes(npu, {.num_kv_heads = 2, .head_dim = 64, .dtype = DType::f16}),
            2u * 128u * 2u * 64u * 2u);
  CpuFixture fixture;
  EXPECT_EQ(fixture.ops->traits().kv_block_size, traits(device::DeviceKind::cpu).kv_block_size);
}

TEST(Traits, ResidualHasRoomWhereF16HasNothingToSwitchTo) {
  EXPECT_EQ(traits(device::DeviceKind::npu, true).residual_dtype(DType::f16), DType::f16);
  EXPECT_EQ(traits(device::DeviceKind::npu, false).residual_dtype(DType::f16), DType::f32);
  EXPECT_EQ(traits(device::DeviceKind::cpu).residual_dtype(DType::bf16), DType::f32);
}

TEST(Traits, PackedBytesAreWhatIsAllocated) {
  CpuFixture fixture;
  Rig rig(*fixture.ops);
  const std::uint64_t before = fixture.device->memory().allocated_bytes;
  const PackedLinear& packed =
      rig.pack(cases::random_values(1, 33 * 5), DType::f32, {33}, 5, DType::bf16);
  EXPECT_EQ(packed.storage.size_bytes(),
            packed_linear_bytes(fixture.ops->traits(), 33, 5, DType::bf16));
  EXPECT_GE(fixture.device->memory().allocated_bytes - before, packed.storage.size_bytes());
}

TEST(Packing, PlainTensorsAreConvertedAndStacked) {
  CpuFixture fixture;
  const std::unique_ptr<Ops> reference = create_reference_ops(*fixture.device);
  const std::vector<float> values = cases::random_values(1, 3 * 11);
  for (Ops* ops : {fixture.ops.get(), reference.get()}) {
    Rig rig(*ops);
    // Two rows of ten, eleven apart; then one.
    const WeightSlice slices[] = {
        {.data = values.data(), .rows = 2, .columns = 10, .row_stride = 11},
        {.data = values.data() + 22, .rows = 1, .columns = 10, .row_stride = 10}};
    const Buffer packed = ops->pack_plain(rig.stream(), slices, DType::bf16);
    const std::vector<float> result = rig.download(packed.view(DType::bf16, {3, 10}));
    for (std::size_t row = 0; row < 3; ++row)
      for (std::size_t i = 0; i < 10; ++i)
        EXPECT_EQ(result[row * 10 + i],
                  device::bf16_to_f32(device::f32_to_bf16(values[row * 11 + i])));
  }
}

TEST(CreateOps, EnvironmentChoosesTheReference) {
  CpuFixture fixture;
  EXPECT_EQ(create_ops(*fixture.device)->name(), device::to_string(device::default_cpu_isa()));
  setenv("FASTCHAT_CPU_OPS", "reference", 1);
  EXPECT_EQ(create_ops(*fixture.device)->name(), "reference");
  setenv("FASTCHAT_CPU_OPS", "fast", 1);
  EXPECT_EQ(failure_of([&] { create_ops(*fixture.device); }),
            "FASTCHAT_CPU_OPS is 'fast', expected 'kernels' or 'reference'");
  unsetenv("FASTCHAT_CPU_OPS");
}

}  // namespace
}  // namespace fastchat::ops
