#include "model/rope.h"

#include <gtest/gtest.h>

#include "tests/model/goldens.h"

namespace fastchat::model {
namespace {

void expect_close(const RotaryFrequencies& actual,
                  const std::vector<float>& frequencies,
                  float scale,
                  const std::string& name) {
  ASSERT_EQ(actual.inverse_frequencies.size(), frequencies.size()) << name;
  // Same f32 steps; pow and division of two libraries may differ in the last places, and yarn's and
  // llama3's blends add a few of those.
  constexpr float kRelative = 1e-6f;
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    EXPECT_NEAR(actual.inverse_frequencies[i], frequencies[i], kRelative * frequencies[i])
        << name << " at " << i;
  EXPECT_NEAR(actual.attention_scale, scale, 1e-6f) << name;
}

TEST(Rope, FrequenciesOfPublishedModelsEqualTransformers) {
  ASSERT_FALSE(goldens().rope.empty());
  for (const RopeGolden& golden : goldens().rope)
    expect_close(rotary_frequencies(golden.config.rope, golden.max_model_len),
                 golden.inverse_frequencies,
                 golden.attention_scale,
                 golden.name);
}

TEST(Rope, FrequenciesOfTinyModelsEqualTransformers) {
  for (const Golden& golden : goldens().cases)
    expect_close(rotary_frequencies(golden.config.rope, goldens().max_model_len),
                 golden.inverse_frequencies,
                 golden.attention_scale,
                 golden.name);
}

TEST(Rope, LongropeSwitchesWhereTheModelLengthPassesPretraining) {
  RopeConfig rope;
  rope.kind = RopeKind::longrope;
  rope.rotary_dim = 4;
  rope.original_max_position_embeddings = 100;
  rope.short_factor = {1.0, 1.0};
  rope.long_factor = {2.0, 4.0};
  EXPECT_EQ(rotary_frequencies(rope, 100).inverse_frequencies[0], 1.0f);
  EXPECT_EQ(rotary_frequencies(rope, 101).inverse_frequencies[0], 0.5f);
}

TEST(Rope, DynamicLeavesShortContextsAlone) {
  RopeConfig rope;
  rope.rotary_dim = 16;
  const std::vector<float> plain = rotary_frequencies(rope, 50).inverse_frequencies;
  rope.kind = RopeKind::dynamic;
  rope.factor = 4.0;
  rope.original_max_position_embeddings = 100;
  EXPECT_EQ(rotary_frequencies(rope, 50).inverse_frequencies, plain);
  EXPECT_EQ(rotary_frequencies(rope, 100).inverse_frequencies, plain);
  EXPECT_LT(rotary_frequencies(rope, 101).inverse_frequencies[1], plain[1]);
}

}  // namespace
}  // namespace fastchat::model
