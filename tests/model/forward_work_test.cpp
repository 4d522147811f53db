// The work that speeds are fractions of.
#include "model/forward_work.h"

#include <gtest/gtest.h>

#include "model/decoder_stage.h"

namespace fastchat::model {
namespace {

// Counted by hand from Qwen2-0.5B's config.json: 24 layers, hidden 896, 14 heads and 2 KV heads of
// 64, intermediate 4864, vocabulary 151936.
TEST(ForwardWork, IsThatOfTheShape) {
  const ModelConfig config = shape_by_name("qwen2-0.5b").value();
  const ops::OpsTraits traits{.kv_block_size = 16};
  const parallel::ModelSizes sizes = model_sizes(config, device::DType::bf16, traits);
  const double layer = 896.0 * (896 + 2 * 128) + 896.0 * 896 + 3 * 896.0 * 4864;
  const double head = 896.0 * 151936;

  const ForwardWork decode = forward_work(config, sizes, 1, 99, 1);
  EXPECT_DOUBLE_EQ(decode.flops, 2 * (24 * layer + head) + 24 * 4.0 * 896 * 100);
  // Weights in bf16 and 100 positions of KV; biases and norms are a fraction of a percent.
  const double weights = 2 * (24 * layer + head);
  const double kv = 24 * 2 * 128 * 2.0 * 100;
  EXPECT_NEAR(decode.bytes, weights + kv, 0.005 * weights);

  const ForwardWork prefill = forward_work(config, sizes, 1, 0, 512);
  EXPECT_DOUBLE_EQ(prefill.flops,
                   2 * (512 * 24 * layer + head) + 24 * 4.0 * 896 * (512.0 * 513 / 2));

  ModelConfig windowed = config;
  windowed.layer_window.assign(24, 10);
  EXPECT_DOUBLE_EQ(forward_work(windowed, sizes, 1, 99, 1).flops,
                   2 * (24 * layer + head) + 24 * 4.0 * 896 * 10);
}

}  // namespace
}  // namespace fastchat::model
