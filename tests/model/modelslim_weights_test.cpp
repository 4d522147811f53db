// What the int8 weights of msModelSlim checkpoints become, against the vendor's formulas.
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/model_config.h"
#include "model/weight_source.h"
#include "tests/model/modelslim_checkpoint.h"
#include "tests/model/tiny_model.h"

namespace fastchat::model {
namespace {

const std::string kQ = "model.layers.0.self_attn.q_proj";
const std::string kK = "model.layers.0.self_attn.k_proj";
const std::string kV = "model.layers.0.self_attn.v_proj";
const std::string kO = "model.layers.0.self_attn.o_proj";
const std::string kGate = "model.layers.0.mlp.gate_proj";
const std::string kUp = "model.layers.0.mlp.up_proj";
const std::string kDown = "model.layers.0.mlp.down_proj";
const std::string kAttentionNorm = "model.layers.0.input_layernorm";

/// A checkpoint that is being read.
struct Reader {
  explicit Reader(const ModelSlimCheckpoint& checkpoint, const SafetensorsOptions& options = {})
      : config(read_model_config(checkpoint.folder.path())),
        source(open_checkpoint(checkpoint.folder.path(), config, options)) {}

  ops::WeightSlice weight(const QuantizedLinear& linear, const std::string& name) const {
    return source->get(name + ".weight", std::array{linear.rows, linear.columns});
  }
  std::vector<float> vector(const std::string& name, std::int64_t count) const {
    const ops::WeightSlice slice = source->get(name, std::array{count});
    EXPECT_EQ(slice.dtype, device::DType::f32);
    const auto* data = static_cast<const float*>(slice.data);
    std::vector<float> out(data, data + slice.rows);
    source->release(name);
    return out;
  }
  std::vector<float> bias(const QuantizedLinear& linear, const std::string& name) const {
    return vector(name + ".bias", linear.rows);
  }

  ModelConfig config;
  std::unique_ptr<WeightSource> source;
};

std::vector<double> numbers(const ops::WeightSlice& slice) {
  std::vector<double> out;
  for (std::int64_t row = 0; row < slice.rows; ++row)
    for (std::int64_t i = 0; i < slice.columns; ++i) {
      const std::int64_t at = row * slice.row_stride + i;
      out.push_back(slice.dtype == device::DType::i8
                        ? static_cast<const std::int8_t*>(slice.data)[at] *
                              double{slice.row_scales[row]}
                        : static_cast<const float*>(slice.data)[at]);
    }
  return out;
}

/// weight . input + bias
std::vector<double> product(const ops::WeightSlice& weight,
                            const std::vector<double>& input,
                            const std::vector<float>& bias) {
  const std::vector<double> w = numbers(weight);
  std::vector<double> out;
  for (std::size_t row = 0; row < static_cast<std::size_t>(weight.rows); ++row) {
    double sum = bias.empty() ? 0.0 : bias[row];
    for (std::size_t i = 0; i < input.size(); ++i) sum += w[row * input.size() + i] * input[i];
    out.push_back(sum);
  }
  return out;
}

void expect_near(const std::vector<double>& found,
                 const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

std::vector<double> to_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

const std::vector<int> kInput{3, -77, 127, -128, 0, 45, -9, 100};

/// What a static layer makes of whole numbers is what ours makes of the inputs they stand for.
void expect_static_output(const Reader& reader,
                          const QuantizedLinear& linear,
                          const std::string& name,
                          const std::vector<float>& bias,
                          double tolerance) {
  std::vector<double> input;
  for (const int whole : kInput)
    input.push_back((whole - linear.input_offset) * linear.input_scale);
  for (std::size_t i = 0; i < linear.shift.size(); ++i) input[i] -= linear.shift[i];
  const ops::WeightSlice weight = reader.weight(linear, name);
  EXPECT_EQ(weight.dtype, device::DType::i8);
  expect_near(product(weight, input, bias), linear.static_output(kInput), tolerance);
  reader.source->release(name + ".weight");
}

TEST(ModelSlimWeights, DynamicAndW8A16KeepTheirNumbersScalesAndBiases) {
  for (const std::string type : {"W8A16", "W8A8_DYNAMIC"})
    for (const bool scales_are_flat : {false, true}) {
      SCOPED_TRACE(type);
      ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
      checkpoint.scales_are_flat = scales_are_flat;
      checkpoint.write(type);
      const Reader reader(checkpoint);
      for (const auto& [name, linear] : checkpoint.linears) {
        const ops::WeightSlice weight = reader.weight(linear, name);
        ASSERT_EQ(weight.dtype, device::DType::i8);
        EXPECT_EQ(weight.row_stride, linear.columns);
        const auto* whole = static_cast<const std::int8_t*>(weight.data);
        EXPECT_TRUE(std::equal(linear.weight.begin(), linear.weight.end(), whole)) << name;
        EXPECT_TRUE(std::equal(linear.scale.begin(), linear.scale.end(), weight.row_scales));
        reader.source->release(name + ".weight");
      }
      EXPECT_EQ(reader.bias(checkpoint.linears[kQ], kQ), checkpoint.linears[kQ].bias);
      EXPECT_FALSE(reader.config.attention_output_bias);
    }
}

TEST(ModelSlimWeights, StaticLayersBecomeScalesAndBiases) {
  for (const std::string type : {"W8A8", "W8A8_MIX"})
    for (const bool is_f16 : {false, true}) {
      SCOPED_TRACE(type);
      ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
      checkpoint.is_f16 = is_f16;
      checkpoint.write(type);
      const Reader reader(checkpoint);
      for (const std::string& name : {kQ, kK, kV}) {
        const QuantizedLinear& linear = checkpoint.linears[name];
        const std::vector<float> bias = reader.bias(linear, name);
        // quant_bias is a whole number of deq_scales.
        for (std::size_t i = 0; i < bias.size(); ++i)
          EXPECT_NEAR(bias[i], linear.bias[i], 0.51 * linear.deq_scale[i]);
        expect_static_output(reader, linear, name, bias, 1e-5);
      }
      for (const std::string& name : {kO, kGate, kUp})
        expect_static_output(reader, checkpoint.linears[name], name, {}, 1e-4);
    }
}

TEST(ModelSlimWeights, BiasesOfStaticLayersNeedNoTensorOfTheirOwn) {
  ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
  checkpoint.write("W8A8");
  checkpoint.tensors.erase(kQ + ".bias");  // older files have quant_bias only
  checkpoint.description.erase(kQ + ".bias");
  checkpoint.write_files();
  const Reader reader(checkpoint);
  const QuantizedLinear& linear = checkpoint.linears[kQ];
  expect_static_output(reader, linear, kQ, reader.bias(linear, kQ), 1e-5);
}

TEST(ModelSlimWeights, ABiasThatTheModelHasNotIsRefused) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.add_linear(kO, "W8A8", std::vector<float>(8, 0.5f));
  checkpoint.write("W8A8");
  EXPECT_TRUE(Reader(checkpoint).config.attention_output_bias);  // its tensor tells
  checkpoint.description.erase(kO + ".bias");
  checkpoint.write_files();
  const Reader reader(checkpoint);
  EXPECT_TRUE(says(failure_of([&] { reader.weight(checkpoint.linears[kO], kO); }),
                   {"\"" + kO + "\"", "has a bias of 0.", "the model has none"}));
}

TEST(ModelSlimWeights, ShiftsOfNormsAreTakenOffAgain) {
  for (const std::string type : {"FLOAT", "W8A8_DYNAMIC", "W8A8"}) {
    SCOPED_TRACE(type);
    ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
    const std::vector<float> shift = checkpoint.random(8, 2.0f);
    checkpoint.add(kAttentionNorm + ".bias", "FLOAT", "F32", {8}, shift);
    const std::vector<float> bias = checkpoint.random(8, 1.0f);
    checkpoint.add_linear(kQ, type, bias, shift);
    checkpoint.add_linear(kK, type, checkpoint.random(4, 1.0f), shift);
    checkpoint.add_linear(kV, "FLOAT", checkpoint.random(4, 1.0f), shift);  // left as it was
    checkpoint.write(type);
    const Reader reader(checkpoint);
    for (const std::string& name : {kQ, kK, kV}) {
      const QuantizedLinear& linear = checkpoint.linears[name];
      const std::vector<float> found = reader.bias(linear, name);
      expect_near(to_double(found), to_double(linear.bias), linear.deq_scale.empty() ? 1e-5 : 1e-4);
      if (type == "W8A8" && name != kV) expect_static_output(reader, linear, name, found, 1e-5);
    }
    EXPECT_EQ(reader.vector(kAttentionNorm + ".weight", 8).size(), 8u);
  }
}

TEST(ModelSlimWeights, FamiliesWithoutBiasesGetThoseThatTheFilesAdd) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  const std::vector<float> shift = checkpoint.random(8, 2.0f);
  const std::string norm = "model.layers.0.post_attention_layernorm";
  checkpoint.add(norm + ".bias", "FLOAT", "F32", {8}, shift);
  checkpoint.add_linear(kGate, "W8A8_DYNAMIC", {}, shift);
  checkpoint.add_linear(kUp, "W8A8_DYNAMIC", {}, shift);
  checkpoint.write("W8A8_DYNAMIC");
  const Reader reader(checkpoint);
  ASSERT_TRUE(reader.config.mlp_bias);
  EXPECT_FALSE(reader.config.qkv_bias);
  const std::vector<double> zeros(12, 0.0);
  expect_near(to_double(reader.bias(checkpoint.linears[kGate], kGate)), zeros, 1e-5);
  expect_near(to_double(reader.bias(checkpoint.linears[kUp], kUp)), zeros, 1e-5);
  EXPECT_EQ(reader.bias(checkpoint.linears[kDown], kDown), std::vector<float>(8, 0.0f));
}

TEST(ModelSlimWeights, OlderFilesHaveTheNormOfQuantizedLayersUnderModule) {
  const std::vector<float> own(8, 1.0f);
  const std::vector<float> scaled(8, 2.0f);
  const auto write =
      [&](ModelSlimCheckpoint& checkpoint, const std::string& type, const std::string& of_v) {
        checkpoint.add(kAttentionNorm + ".weight", "FLOAT", "F32", {8}, own);
        checkpoint.add(kAttentionNorm + ".module.weight", "W8A8", "F32", {8}, scaled);
        checkpoint.add(
            kAttentionNorm + ".module.bias", "W8A8", "F32", {8}, std::vector<float>(8, 0.5f));
        const std::vector<float> shift =
            type == "FLOAT" ? std::vector<float>() : std::vector<float>(8, 0.5f);
        checkpoint.add_linear(kQ, type, std::vector<float>(8, 3.0f), shift);
        checkpoint.add_linear(kK, type, std::vector<float>(4, 3.0f), shift);
        checkpoint.add_linear(kV, of_v, std::vector<float>(4, 3.0f), shift);
        checkpoint.write(type);
      };
  ModelSlimCheckpoint quantized("Qwen2ForCausalLM");
  write(quantized, "W8A8", "W8A8");
  EXPECT_EQ(Reader(quantized).vector(kAttentionNorm + ".weight", 8), scaled);
  expect_near(to_double(Reader(quantized).bias(quantized.linears[kV], kV)),
              std::vector<double>(4, 3.0),
              1e-4);

  ModelSlimCheckpoint plain("Qwen2ForCausalLM");
  write(plain, "FLOAT", "FLOAT");
  EXPECT_EQ(Reader(plain).vector(kAttentionNorm + ".weight", 8), own);
  expect_near(
      to_double(Reader(plain).bias(plain.linears[kV], kV)), std::vector<double>(4, 3.0), 0.0);

  ModelSlimCheckpoint mixed("Qwen2ForCausalLM");
  write(mixed, "W8A8", "FLOAT");
  EXPECT_TRUE(says(failure_of([&] { Reader(mixed).vector(kAttentionNorm + ".weight", 8); }),
                   {kAttentionNorm + ".module.weight", "differ", "q, k and v"}));
}

TEST(ModelSlimWeights, ShiftsThatNoLinearLayerTakesOffAreRefused) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.add("model.norm.bias", "FLOAT", "F32", {8}, std::vector<float>(8, 0.0f));
  checkpoint.write("W8A8");
  EXPECT_EQ(Reader(checkpoint).vector("model.norm.weight", 8).size(), 8u);
  ModelSlimCheckpoint shifted("LlamaForCausalLM");
  shifted.add("model.norm.bias", "FLOAT", "F32", {8}, std::vector<float>(8, 0.1f));
  shifted.write("W8A8");
  EXPECT_TRUE(says(failure_of([&] { Reader(shifted).vector("model.norm.weight", 8); }),
                   {"\"model.norm.bias\"", "expected zeros"}));
}

TEST(ModelSlimWeights, WeightsWithOffsetsAreGivenAsNumbers) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.has_offsets = true;
  checkpoint.write("W8A16");
  const Reader reader(checkpoint);
  const QuantizedLinear& linear = checkpoint.linears[kDown];
  const ops::WeightSlice weight = reader.weight(linear, kDown);
  EXPECT_EQ(weight.dtype, device::DType::f32);
  EXPECT_EQ(weight.row_scales, nullptr);
  std::vector<double> input(12);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = 0.25 * static_cast<double>(i) - 1.0;
  expect_near(product(weight, input, {}), linear.output(input), 1e-5);
  // Another rank's use keeps them.
  const ops::WeightSlice again = reader.weight(linear, kDown);
  EXPECT_EQ(again.data, weight.data);
  reader.source->release(kDown + ".weight");
  expect_near(product(weight, input, {}), linear.output(input), 1e-5);
  reader.source->release(kDown + ".weight");
}

TEST(ModelSlimWeights, Minus128BecomesMinus127) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.has_minimum = true;
  checkpoint.write("W8A8_DYNAMIC");
  const Reader reader(checkpoint);
  const QuantizedLinear& linear = checkpoint.linears[kO];
  const ops::WeightSlice weight = reader.weight(linear, kO);
  const auto* whole = static_cast<const std::int8_t*>(weight.data);
  std::vector<std::int8_t> expected = linear.weight;
  EXPECT_EQ(std::count(expected.begin(), expected.end(), -128), 1);
  std::replace(expected.begin(), expected.end(), std::int8_t{-128}, std::int8_t{-127});
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), whole));
  reader.source->release(kO + ".weight");
}

TEST(ModelSlimWeights, FilesOfAllNamesAreFound) {
  for (const std::string name : {"quant_model_weight_w8a8.safetensors",
                                 "quant_model_weights.safetensors",
                                 "model.safetensors"}) {
    ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
    checkpoint.weight_file = name;
    checkpoint.write("W8A8");
    EXPECT_TRUE(Reader(checkpoint).source->has(kQ + ".deq_scale")) << name;
  }
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.weight_file = "quant_model_weights-00001-of-00001.safetensors";
  checkpoint.write("W8A8");
  EXPECT_TRUE(Reader(checkpoint).source->has(kQ + ".deq_scale"));
  checkpoint.folder.write(
      "quant_model_weights.safetensors.index.json",
      R"({"weight_map":{"lm_head.weight":"quant_model_weights-2.safetensors"}})");
  EXPECT_TRUE(says(failure_of([&] { Reader reader(checkpoint); }),
                   {"quant_model_weights.safetensors.index.json", "incomplete"}));
  checkpoint.folder.write("quant_model_weight_w8a8.safetensors.index.json", "{}");
  EXPECT_TRUE(says(failure_of([&] { Reader reader(checkpoint); }), {"expected one index"}));
}

TEST(ModelSlimWeights, WithoutFilesOfWeightsTheirNameIsTold) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.write("W8A8");
  std::filesystem::remove(checkpoint.folder.path() / checkpoint.weight_file);
  EXPECT_TRUE(says(failure_of([&] { Reader reader(checkpoint); }),
                   {"quant_model_weight*.safetensors", "incomplete"}));
}

TEST(ModelSlimWeights, MissingTensorsAreNamedBeforeAnyIsLoaded) {
  const auto error_without = [](const std::string& type, const std::string& tensor) {
    ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
    checkpoint.write(type);
    checkpoint.tensors.erase(kQ + tensor);
    checkpoint.write_files();
    return failure_of([&] { Reader reader(checkpoint); });
  };
  for (const std::string tensor :
       {".weight", ".deq_scale", ".quant_bias", ".input_scale", ".input_offset"})
    EXPECT_TRUE(says(error_without("W8A8", tensor),
                     {"quant_model_description.json",
                      "is W8A8",
                      fmt::format("\"{}{}\"", kQ, tensor),
                      "found none of that name"}));
  EXPECT_TRUE(says(error_without("W8A16", ".weight_scale"), {"is W8A16", ".weight_scale\""}));
}

TEST(ModelSlimWeights, TensorsOfOtherShapesAndTypesAreNamed) {
  const auto error_with = [](const std::string& type, const auto& change) {
    ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
    checkpoint.write(type);
    change(checkpoint.tensors);
    checkpoint.write_files();
    return failure_of([&] {
      const Reader reader(checkpoint);
      reader.weight(checkpoint.linears[kQ], kQ);
      reader.bias(checkpoint.linears[kQ], kQ);
    });
  };
  using Writer = SafetensorsWriter;
  const std::vector<float> ones(16, 1.0f);
  EXPECT_TRUE(says(error_with("W8A16",
                              [&](Writer& w) {
                                w.add(kQ + ".weight_scale", "F32", {8, 2}, ones);
                              }),
                   {".weight_scale\"", "expected [8] or [8, 1], found [8, 2]", "groups"}));
  EXPECT_TRUE(
      says(error_with("W8A16", [&](Writer& w) { w.add(kQ + ".weight_scale", "F32", {16}, ones); }),
           {"expected [8] or [8, 1], found [16]"}));
  EXPECT_TRUE(says(error_with("W8A16",
                              [&](Writer& w) {
                                w.add(
                                    kQ + ".weight_scale", "F64", {8}, std::vector<double>(8, 1.0));
                              }),
                   {"expected F32, F16, BF16, I8 or I64, found F64"}));
  EXPECT_TRUE(says(
      error_with("W8A16",
                 [&](Writer& w) {
                   w.add(kQ + ".weight_scale", "F32", {8}, std::vector<float>(8, std::nanf("")));
                 }),
      {".weight_scale\"", "expected finite numbers"}));
  EXPECT_TRUE(says(error_with("W8A8_DYNAMIC",
                              [&](Writer& w) {
                                w.add(kQ + ".weight", "F32", {8, 8}, std::vector<float>(64));
                              }),
                   {kQ + ".weight\"", "expected I8[out, in]", "found F32[8, 8]"}));
  EXPECT_TRUE(says(error_with("W8A8_DYNAMIC",
                              [&](Writer& w) {
                                w.add(kQ + ".weight", "I8", {4, 16}, std::vector<std::int8_t>(64));
                              }),
                   {kQ + ".weight\"", "expected shape [8, 8], found [4, 16]"}));
  EXPECT_TRUE(says(
      error_with("W8A8",
                 [&](Writer& w) { w.add(kQ + ".quant_bias", "F32", {8}, std::vector<float>(8)); }),
      {".quant_bias\"", "expected I32, found F32"}));
  EXPECT_TRUE(says(error_with("W8A8",
                              [&](Writer& w) {
                                w.add(kQ + ".input_scale", "F32", {1}, std::vector<float>{0.0f});
                              }),
                   {".input_scale\"", "expected a number above 0, found 0"}));
  EXPECT_TRUE(says(error_with("W8A8",
                              [&](Writer& w) {
                                w.add(kQ + ".input_offset", "F32", {2}, std::vector<float>{0, 0});
                              }),
                   {".input_offset\"", "expected [1]"}));
}

TEST(ModelSlimWeights, ModelsGiveTheLogitsOfTheFloatModel) {
  const auto logits_of = [](const std::string& type, bool is_shifted) {
    ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
    const std::vector<float> shift(is_shifted ? 8 : 0, 0.25f);
    for (const std::string& name : {kQ, kK, kV})
      checkpoint.add_linear(name, type, std::vector<float>(name == kQ ? 8 : 4, 0.5f), shift);
    if (is_shifted) checkpoint.add(kAttentionNorm + ".bias", "FLOAT", "F32", {8}, shift);
    checkpoint.write(type);
    const Reader reader(checkpoint);
    TinyModel model(reader.config, {.weights = reader.source.get()});
    return model.step({{.sequence = 0, .tokens = {3, 1, 4, 1, 5, 9}, .logits_of = {0, 2, 5}}});
  };
  const std::vector<float> expected = logits_of("FLOAT", false);
  double square = 0.0;
  for (const float logit : expected) square += double{logit} * logit;
  ASSERT_GT(square, 1.0);
  // Weights are the same numbers; activations in 8 bits are rounded to 1/127 of a token's largest.
  const std::pair<std::string, double> types[] = {
      {"FLOAT", 1e-5}, {"W8A16", 1e-5}, {"W8A8_DYNAMIC", 0.03}, {"W8A8", 0.03}, {"W8A8_MIX", 0.03}};
  for (const auto& [type, tolerance] : types)
    for (const bool is_shifted : {false, true}) {
      const std::vector<float> found = logits_of(type, is_shifted);
      ASSERT_EQ(found.size(), expected.size());
      double error = 0.0;
      for (std::size_t i = 0; i < found.size(); ++i)
        error += std::pow(double{found[i]} - expected[i], 2);
      EXPECT_LT(std::sqrt(error / square), tolerance) << type << (is_shifted ? ", shifted" : "");
    }
}

TEST(ModelSlimWeights, LoadedBytesAreAllBytes) {
  ModelSlimCheckpoint checkpoint("LlamaForCausalLM");
  checkpoint.write("W8A8");
  const Reader reader(checkpoint);
  // int8 weights, then norms, embedding and head in f32.
  const std::uint64_t weights = 2 * 8 * 8 + 2 * 4 * 8 + 3 * 8 * 12;
  EXPECT_EQ(reader.source->total_bytes(), weights + 4 * (3 * 8 + 2 * 16 * 8));
}

/// Counts what is read of a file.
class CountingReader : public FileReader {
 public:
  CountingReader(std::unique_ptr<FileReader> reader, std::uint64_t& bytes)
      : reader_(std::move(reader)), bytes_(bytes) {}
  std::uint64_t size_bytes() override { return reader_->size_bytes(); }
  std::size_t read(std::uint64_t offset, char* buffer, std::size_t count) override {
    const std::size_t got = reader_->read(offset, buffer, count);
    bytes_ += got;
    return got;
  }

 private:
  std::unique_ptr<FileReader> reader_;
  std::uint64_t& bytes_;
};

TEST(ModelSlimWeights, EagerFilesAreReadOnceByRanksThatLoadAtOnce) {
  ModelSlimCheckpoint checkpoint("Qwen2ForCausalLM");
  const std::vector<float> shift = checkpoint.random(8, 1.0f);
  checkpoint.add(kAttentionNorm + ".bias", "FLOAT", "F32", {8}, shift);
  for (const std::string& name : {kQ, kK, kV})
    checkpoint.add_linear(name, "W8A8", std::vector<float>(name == kQ ? 8 : 4, 1.0f), shift);
  checkpoint.write("W8A8");
  std::uint64_t bytes_read = 0;
  constexpr int kNumRanks = 4;
  SafetensorsOptions options;
  options.strategy = LoadStrategy::eager;
  options.num_uses = [](std::string_view) { return kNumRanks; };
  options.open = [&](const std::string& path) {
    return std::make_unique<CountingReader>(open_file(path), bytes_read);
  };
  const Reader reader(checkpoint, options);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < kNumRanks; ++rank)
    ranks.emplace_back([&] {
      for (const auto& [name, linear] : checkpoint.linears) {
        EXPECT_EQ(reader.weight(linear, name).dtype, device::DType::i8);
        if (!linear.bias.empty()) {
          expect_near(to_double(reader.bias(linear, name)), to_double(linear.bias), 1e-4);
        }
        reader.source->release(name + ".weight");
      }
      reader.vector(kAttentionNorm + ".weight", 8);
    });
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(bytes_read,
            std::filesystem::file_size(checkpoint.folder.path() / checkpoint.weight_file));
}

}  // namespace
}  // namespace fastchat::model
