#include "model/decoder_stage.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/model/files_and_messages.h"
#include "tests/model/goldens.h"
#include "tests/model/tiny_model.h"

namespace fastchat::model {
namespace {

using device::DType;

const Golden& golden(std::string_view name) {
  for (const Golden& golden : goldens().cases)
    if (golden.name == name) return golden;
  throw Failure("no golden of that name");
}

// Dummy weights that are counted, and of which one may be missing.
class CountedWeights : public WeightSource {
 public:
  explicit CountedWeights(DType dtype, std::string missing = "")
      : source_(dummy_weights(dtype)), dtype_(dtype), missing_(std::move(missing)) {}

  bool has(std::string_view name) const override { return name != missing_; }
  ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) override {
    check(has(name), "tensor {} is missing", name);
    const ops::WeightSlice slice = source_->get(name, shape);
    held_.insert(std::string(name));
    max_held_ = std::max(max_held_, held_.size());
    bytes_[std::string(name)] =
        static_cast<std::uint64_t>(slice.rows * slice.columns) * device::size_of(dtype_);
    return slice;
  }
  void release(std::string_view name) override {
    const auto found = held_.find(std::string(name));
    ASSERT_NE(found, held_.end()) << name << " was not held";
    held_.erase(found);
    source_->release(name);
  }
  std::uint64_t total_bytes() const override {
    std::uint64_t total = 0;
    for (const auto& [name, bytes] : bytes_) total += bytes;
    return total;
  }
  std::size_t num_held() const { return held_.size(); }
  std::size_t max_held() const { return max_held_; }

 private:
  std::unique_ptr<WeightSource> source_;
  DType dtype_;
  std::string missing_;
  std::multiset<std::string> held_;
  std::size_t max_held_ = 0;
  std::map<std::string, std::uint64_t> bytes_;
};

TEST(DecoderStage, AllocatesWhatModelSizesCounts) {
  for (const Golden& golden : goldens().cases) {
    for (const auto& [dtype, num_stages] : {std::pair(DType::f32, 1), std::pair(DType::bf16, 3)}) {
      TinyModelOptions options;
      options.dtype = dtype;
      options.num_stages = num_stages;
      options.limits = {.max_num_tokens = 61, .max_num_seqs = 3, .max_logits_rows = 5};
      TinyModel model(golden.config, options);
      const ops::OpsTraits& traits = model.ops().traits();
      const parallel::ModelSizes sizes = model_sizes(golden.config, dtype, traits);
      ASSERT_EQ(sizes.layer_weight_bytes.size(),
                static_cast<std::size_t>(golden.config.num_layers));
      EXPECT_EQ(sizes.tied_embedding, golden.config.tie_word_embeddings);
      for (std::size_t i = 0; i < model.stages().size(); ++i) {
        const DecoderStage& stage = *model.stages()[i];
        const parallel::StagePlacement& placement = model.placements()[i];
        std::uint64_t weights = 0;
        if (placement.has_embedding) weights += sizes.embedding_bytes;
        if (placement.has_head) weights += sizes.head_bytes;
        const int end = placement.first_layer + placement.num_layers;
        for (int layer = placement.first_layer; layer < end; ++layer)
          weights += sizes.layer_weight_bytes[static_cast<std::size_t>(layer)];
        EXPECT_EQ(stage.weight_bytes(), weights) << golden.name << " stage " << i;

        std::uint64_t workspace =
            61 * sizes.activation_bytes_per_token + sizes.fixed_bytes - traits.scratch_bytes;
        // Later stages work in the f32 hidden states they are given.
        if (!placement.has_embedding)
          workspace -= 61 * static_cast<std::uint64_t>(golden.config.hidden_size) * sizeof(float);
        if (placement.has_head) workspace += 5 * sizes.logits_bytes_per_row;
        EXPECT_EQ(stage.workspace_bytes(), workspace) << golden.name << " stage " << i;
      }
    }
  }
}

TEST(DecoderStage, HoldsNoOtherDeviceMemoryAndForwardAllocatesNone) {
  const Golden& tiny = golden("llama_biases_own_head_dim");
  const std::unique_ptr<device::Platform> platform = device::create_cpu_platform({});
  const std::unique_ptr<device::Device> device = platform->open(0);
  const std::unique_ptr<ops::Ops> ops = ops::create_ops(*device);
  const std::unique_ptr<device::Stream> stream = device->create_stream();
  const std::unique_ptr<WeightSource> weights = dummy_weights(DType::f32);
  {
    const DecoderStage stage(tiny.config,
                             split_layers(tiny.config.num_layers, 1).front(),
                             DType::f32,
                             {.max_num_tokens = 8, .max_num_seqs = 2, .max_logits_rows = 2},
                             128,
                             *ops,
                             *stream,
                             *weights,
                             {});
    EXPECT_EQ(device->memory().allocated_bytes, stage.weight_bytes() + stage.workspace_bytes());
  }
  EXPECT_EQ(device->memory().allocated_bytes, 0u);

  TinyModel model(tiny.config, {});
  const std::uint64_t before = model.device().memory().allocated_bytes;
  model.greedy(0, tiny.prompt, 8);
  EXPECT_EQ(model.device().memory().allocated_bytes, before);
}

TEST(DecoderStage, LoadsLayerByLayerAndReportsEveryByteOnce) {
  for (const std::string_view name :
       {"qwen2_tied_gqa", "llama_biases_own_head_dim", "qwen3_untied_biases_window"}) {
    const Golden& tiny = golden(name);
    for (const int num_stages : {1, 2}) {
      CountedWeights weights(DType::bf16);
      std::uint64_t reported = 0;
      TinyModelOptions options;
      options.dtype = DType::bf16;
      options.num_stages = num_stages;
      options.weights = &weights;
      options.progress = [&](std::uint64_t bytes) { reported += bytes; };
      const TinyModel model(tiny.config, options);
      EXPECT_EQ(reported, weights.total_bytes()) << name << " over " << num_stages;
      EXPECT_EQ(weights.num_held(), 0u);
      // Weights and biases of 7 projections and 4 norms.
      EXPECT_LE(weights.max_held(), 18u);
    }
  }
}

TEST(DecoderStage, MissingTensorEndsTheLoadCleanly) {
  const Golden& tiny = golden("qwen2_tied_gqa");
  for (const std::string missing : {"model.layers.1.mlp.up_proj.weight",
                                    "model.layers.2.self_attn.k_proj.bias",
                                    "model.norm.weight",
                                    "model.embed_tokens.weight"}) {
    CountedWeights weights(DType::f32, missing);
    TinyModelOptions options;
    options.weights = &weights;
    EXPECT_TRUE(says(failure_of([&] { const TinyModel model(tiny.config, options); }), {missing}));
    EXPECT_EQ(weights.num_held(), 0u);
  }
}

TEST(DecoderStage, StepWithoutLogitsFillsTheCache) {
  const Golden& tiny = golden("llama3_gqa");
  TinyModel model(tiny.config, {});
  const std::vector<std::int32_t> prompt(tiny.prompt.begin(), tiny.prompt.end() - 1);
  EXPECT_TRUE(model.step({{.tokens = prompt}}).empty());
  const std::vector<float> after = model.step({{.tokens = {tiny.prompt.back()}, .logits_of = {0}}});
  TinyModel whole(tiny.config, {});
  EXPECT_EQ(after, whole.step({{.tokens = tiny.prompt, .logits_of = {39}}}));
}

TEST(ModelSizes, PublishedShapesWeighWhatTheyShould) {
  const ops::OpsTraits plain{};
  const ModelConfig config = shape_by_name("qwen2-7b").value();
  const parallel::ModelSizes sizes = model_sizes(config, DType::bf16, plain);
  // 2 bytes per element; norms and biases are kept in f32.
  const std::uint64_t layer = 2ull * (3584 * (3584 + 2 * 512) + 3584 * 3584 + 3 * 3584 * 18944) +
                              4ull * (2 * 3584 + 3584 + 2 * 512);
  EXPECT_EQ(sizes.layer_weight_bytes.front(), layer);
  EXPECT_EQ(sizes.embedding_bytes, 2ull * 152064 * 3584);
  EXPECT_EQ(sizes.head_bytes, 2ull * 152064 * 3584 + 4 * 3584);
  EXPECT_EQ(sizes.layer_kv_bytes_per_block.front(), 2ull * 16 * 4 * 128 * 2);
  EXPECT_EQ(sizes.layer_weight_bytes.size(), 28u);
  EXPECT_FALSE(sizes.tied_embedding);
}

}  // namespace
}  // namespace fastchat::model
