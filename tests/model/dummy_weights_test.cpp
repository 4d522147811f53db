#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include "base/check.h"
#include "model/weight_source.h"

namespace fastchat::model {
namespace {

std::vector<float> floats(WeightSource& source,
                          std::string_view name,
                          std::vector<std::int64_t> shape) {
  const ops::WeightSlice slice = source.get(name, shape);
  std::vector<float> out;
  for (std::int64_t i = 0; i < slice.rows * slice.columns; ++i) {
    if (slice.dtype == device::DType::f32)
      out.push_back(static_cast<const float*>(slice.data)[i]);
    else if (slice.dtype == device::DType::bf16)
      out.push_back(device::bf16_to_f32(static_cast<const std::uint16_t*>(slice.data)[i]));
    else
      out.push_back(device::f16_to_f32(static_cast<const std::uint16_t*>(slice.data)[i]));
  }
  source.release(name);
  return out;
}

// Values computed by record_goldens.py's dummy_weight(); a change here changes every golden.
TEST(DummyWeights, EqualsThePythonFormula) {
  const auto source = dummy_weights(device::DType::f32);
  EXPECT_EQ(floats(*source, "model.layers.0.self_attn.q_proj.weight", {3, 5}),
            (std::vector<float>{-0.0884009674f,
                                -0.354538739f,
                                -0.474392414f,
                                0.0213157553f,
                                0.39062202f,
                                0.00553938001f,
                                -0.0576733314f,
                                0.0835535005f,
                                0.289486587f,
                                0.454516202f,
                                0.447183728f,
                                -0.396109939f,
                                0.0571539849f,
                                0.197513133f,
                                -0.434919089f}));
  EXPECT_EQ(floats(*source, "model.layers.0.self_attn.q_proj.bias", {3}),
            (std::vector<float>{0.0454102606f, 0.0778560042f, 0.0191629827f}));
  EXPECT_EQ(floats(*source, "model.norm.weight", {3}),
            (std::vector<float>{0.774343908f, 0.923609495f, 0.818910003f}));
}

TEST(DummyWeights, SixteenBitValuesAreTheRoundedF32Ones) {
  const std::vector<float> exact =
      floats(*dummy_weights(device::DType::f32), "m.weight", {64, 1000});
  const std::vector<float> bf16 =
      floats(*dummy_weights(device::DType::bf16), "m.weight", {64, 1000});
  const std::vector<float> f16 = floats(*dummy_weights(device::DType::f16), "m.weight", {64, 1000});
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(bf16[i], device::bf16_to_f32(device::f32_to_bf16(exact[i])));
    ASSERT_EQ(f16[i], device::f16_to_f32(device::f32_to_f16(exact[i])));
  }
}

TEST(DummyWeights, RowsHaveEqualNormOnAverageAndDifferentTensorsDiffer) {
  const auto source = dummy_weights(device::DType::f32);
  const std::vector<float> a = floats(*source, "a.weight", {256, 300});
  const std::vector<float> b = floats(*source, "b.weight", {256, 300});
  double squares = 0.0;
  double product = 0.0;
  double mean = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    squares += a[i] * a[i];
    product += a[i] * b[i];
    mean += a[i];
  }
  EXPECT_NEAR(squares / 256, 0.5, 0.01);
  EXPECT_NEAR(product / 256, 0.0, 0.01);
  EXPECT_NEAR(mean / static_cast<double>(a.size()), 0.0, 0.001);
}

TEST(DummyWeights, TensorIsSharedUntilItsLastUserReleasesIt) {
  const auto source = dummy_weights(device::DType::f32);
  const std::vector<std::int64_t> shape{1000, 10};
  const ops::WeightSlice first = source->get("shared.weight", shape);
  std::vector<std::thread> users;
  for (int i = 0; i < 4; ++i)
    users.emplace_back([&] {
      const ops::WeightSlice slice = source->get("shared.weight", shape);
      EXPECT_EQ(slice.data, first.data);
      source->release("shared.weight");
    });
  for (std::thread& user : users) user.join();
  EXPECT_TRUE(std::isfinite(static_cast<const float*>(first.data)[9999]));
  source->release("shared.weight");
}

}  // namespace
}  // namespace fastchat::model
