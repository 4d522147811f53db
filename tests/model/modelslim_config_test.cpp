// What the description of an msModelSlim checkpoint makes of a model's configuration.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/model_config.h"
#include "model/modelslim.h"
#include "tests/model/files_and_messages.h"

namespace fastchat::model {
namespace {

using nlohmann::json;

json llama() {
  return json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 160,
    "vocab_size": 320, "max_position_embeddings": 256})");
}

/// All linear layers of `type`, as the savers write it.
json description(const std::string& type) {
  json out = {{"version", "1.0.0"},
              {"model_quant_type", type},
              {"metadata", json::object()},
              {"group_size", 0},
              {"optional", json::object()},
              {"model.embed_tokens.weight", "FLOAT"},
              {"model.norm.weight", "FLOAT"},
              {"lm_head.weight", "FLOAT"}};
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    for (const std::string norm : {"input_layernorm", "post_attention_layernorm"})
      out[layer + norm + ".weight"] = "FLOAT";
    for (const std::string linear : {"self_attn.q_proj",
                                     "self_attn.k_proj",
                                     "self_attn.v_proj",
                                     "self_attn.o_proj",
                                     "mlp.gate_proj",
                                     "mlp.up_proj",
                                     "mlp.down_proj"})
      out[layer + linear + ".weight"] = type;
  }
  return out;
}

class ModelSlimConfig : public testing::Test {
 protected:
  ModelConfig read() const {
    folder_.write("config.json", config_.dump());
    return read_model_config(folder_.path());
  }
  std::string error() const {
    return failure_of([&] { read(); });
  }
  void describe(const json& json, const std::string& name = "quant_model_description.json") const {
    folder_.write(name, json.dump());
  }

  TemporaryFolder folder_;
  json config_ = llama();
};

void expect_all(const ModelConfig& config, Quantization quantization) {
  ASSERT_EQ(config.layer_quantization.size(), 2u);
  for (const LayerQuantization& layer : config.layer_quantization) {
    EXPECT_EQ(layer.qkv, quantization);
    EXPECT_EQ(layer.attention_output, quantization);
    EXPECT_EQ(layer.gate_up, quantization);
    EXPECT_EQ(layer.down, quantization);
  }
}

TEST_F(ModelSlimConfig, TypesOfLinearLayersAreTheirFormats) {
  EXPECT_TRUE(read().layer_quantization.empty());
  const std::pair<std::string, Quantization> types[] = {{"FLOAT", Quantization::none},
                                                        {"W8A16", Quantization::w8a16},
                                                        {"W8A8_DYNAMIC", Quantization::w8a8},
                                                        {"W8A8", Quantization::w8a8},
                                                        {"W8A8S", Quantization::w8a8},
                                                        {"W8A8_MIX", Quantization::w8a8}};
  for (const auto& [type, quantization] : types) {
    SCOPED_TRACE(type);
    describe(description(type));
    const ModelConfig config = read();
    expect_all(config, quantization);
    EXPECT_EQ(config.head_quantization, Quantization::none);
    EXPECT_FALSE(config.qkv_bias || config.attention_output_bias || config.mlp_bias);
  }
}

TEST_F(ModelSlimConfig, PartsOfOneMatrixAreIn8BitsTogetherOrNotAtAll) {
  json types = description("W8A8_DYNAMIC");
  types["model.layers.0.self_attn.k_proj.weight"] = "FLOAT";
  types["model.layers.1.mlp.gate_proj.weight"] = "W8A16";
  types["model.layers.1.self_attn.v_proj.weight"] = "W8A8";  // the same format here
  types["model.layers.1.mlp.down_proj.weight"] = "FLOAT";
  types["lm_head.weight"] = "W8A16";
  describe(types);
  const ModelConfig config = read();
  ASSERT_EQ(config.layer_quantization.size(), 2u);
  EXPECT_EQ(config.layer_quantization[0].qkv, Quantization::none);
  EXPECT_EQ(config.layer_quantization[0].gate_up, Quantization::w8a8);
  EXPECT_EQ(config.layer_quantization[1].qkv, Quantization::w8a8);
  EXPECT_EQ(config.layer_quantization[1].gate_up, Quantization::none);
  EXPECT_EQ(config.layer_quantization[1].down, Quantization::none);
  EXPECT_EQ(config.head_quantization, Quantization::w8a16);
}

TEST_F(ModelSlimConfig, TiedHeadsStayAsTheEmbeddingIs) {
  json types = description("W8A8");
  types.erase("lm_head.weight");
  config_["tie_word_embeddings"] = true;
  describe(types);
  EXPECT_EQ(read().head_quantization, Quantization::none);
}

TEST_F(ModelSlimConfig, BiasesThatOutlierSuppressionAddsAreTheModels) {
  json types = description("W8A8_DYNAMIC");
  types["model.layers.1.self_attn.v_proj.bias"] = "FLOAT";
  types["model.layers.0.mlp.up_proj.bias"] = "FLOAT";
  describe(types);
  const ModelConfig config = read();
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.attention_output_bias);
  EXPECT_TRUE(config.mlp_bias);
}

TEST_F(ModelSlimConfig, DescriptionsOfOlderFormsAreFound) {
  // MindIE's: the type in the file's name and in config.json, with settings that do not matter.
  config_["quantize"] = "w8a8";
  config_["quantization_config"] = {
      {"group_size", 0}, {"kv_quant_type", nullptr}, {"fa_quant_type", nullptr}, {"w_bit", 8}};
  describe(description("W8A8"), "quant_model_description_w8a8.json");
  expect_all(read(), Quantization::w8a8);
  describe(description("W8A16"), "quant_model_description_w8a16.json");
  expect_all(read(), Quantization::w8a8);
  config_["quantize"] = "w8a16";
  expect_all(read(), Quantization::w8a16);
  config_.erase("quantize");
  config_.erase("quantization_config");
  EXPECT_TRUE(says(error(), {"expected one quant_model_description*.json", "_w8a8.json"}));
  // The newer name comes first.
  describe(description("FLOAT"));
  expect_all(read(), Quantization::none);
}

TEST_F(ModelSlimConfig, DescriptionInsideConfigJson) {
  config_["quantization_config"] = description("W8A16");
  expect_all(read(), Quantization::w8a16);
  config_["quantization_config"]["quant_method"] = "ascend";
  expect_all(read(), Quantization::w8a16);
  // A file is more than what config.json says.
  describe(description("W8A8_DYNAMIC"));
  expect_all(read(), Quantization::w8a8);
}

TEST_F(ModelSlimConfig, StatedButMissingDescriptionIsNamed) {
  config_["quantize"] = "w8a8";
  EXPECT_TRUE(says(error(), {"config.json", "expected quant_model_description.json"}));
  config_["quantization_config"] = {{"group_size", 0}};
  EXPECT_TRUE(says(error(), {"expected quant_model_description.json"}));
  config_["quantize"] = "";
  config_.erase("quantization_config");
  EXPECT_TRUE(read().layer_quantization.empty());
  config_["quantize"] = "../w8a8";
  EXPECT_TRUE(says(error(), {"expected quant_model_description.json"}));
}

TEST_F(ModelSlimConfig, OtherQuantizersAreNamed) {
  config_["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}};
  EXPECT_TRUE(says(error(), {"config.json", "msModelSlim", "found quant_method \"gptq\""}));
  config_["quantize"] = "w8a8";
  EXPECT_TRUE(says(error(), {"found quant_method \"gptq\""}));
  config_.erase("quantize");
  config_["quantization_config"] = {{"bits", 4}};
  EXPECT_TRUE(says(error(), {"found quant_method \"unknown\""}));
  config_["quantization_config"] = "w8a8";
  EXPECT_TRUE(says(error(), {"\"quantization_config\" to be a JSON object"}));
}

TEST_F(ModelSlimConfig, WhatIsNotSupportedIsNamed) {
  const auto error_with = [&](const std::string& key, const json& value) {
    json types = description("W8A8");
    if (value.is_null())
      types.erase(key);
    else
      types[key] = value;
    describe(types);
    return error();
  };
  EXPECT_TRUE(says(error_with("model.layers.1.mlp.down_proj.weight", "W4A8_DYNAMIC"),
                   {"quant_model_description.json",
                    "\"model.layers.1.mlp.down_proj.weight\"",
                    "\"W4A8_DYNAMIC\" is not supported",
                    "W8A8_DYNAMIC"}));
  EXPECT_TRUE(says(error_with("model.layers.0.self_attn.q_proj.weight", nullptr),
                   {"\"model.layers.0.self_attn.q_proj.weight\"", "found nothing"}));
  EXPECT_TRUE(says(error_with("model.layers.0.self_attn.q_proj.weight", 8), {"found nothing"}));
  EXPECT_TRUE(says(error_with("model.embed_tokens.weight", "W8A16"),
                   {"\"model.embed_tokens.weight\"", "expected FLOAT"}));
  EXPECT_TRUE(says(error_with("metadata", {{"quarot", {{"heads_rotation", "x"}}}}),
                   {"\"metadata.quarot\"", "rotations"}));
  folder_.write("quant_model_description.json", "[]");
  EXPECT_TRUE(says(error(), {"expected the file to be a JSON object"}));
  folder_.write("quant_model_description.json", "{");
  EXPECT_TRUE(says(error(), {"quant_model_description.json", "expected JSON"}));
}

TEST_F(ModelSlimConfig, Int8ScalesOfTheKvCacheAreHarmless) {
  json types = description("W8A8");
  types["kv_cache_type"] = "C8";
  types["model.layers.0.self_attn.k_proj.kv_cache_scale"] = "W8A8";
  describe(types);
  expect_all(read(), Quantization::w8a8);
}

}  // namespace
}  // namespace fastchat::model
