#include "model/model_config.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "tests/model/files_and_messages.h"

namespace fastchat::model {
namespace {

using nlohmann::json;

json qwen2() {
  return json::parse(R"({
    "architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 160,
    "vocab_size": 320, "max_position_embeddings": 256, "rms_norm_eps": 1e-6})");
}

json llama() {
  json config = qwen2();
  config["architectures"] = {"LlamaForCausalLM"};
  return config;
}

ModelConfig parse(const json& config) { return parse_model_config(config, "config.json"); }
std::string error_of(const json& config) {
  return failure_of([&] { parse(config); });
}

TEST(ModelConfig, Qwen2HasBiasesOnQueryKeyValueOnly) {
  const ModelConfig config = parse(qwen2());
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.attention_output_bias);
  EXPECT_FALSE(config.mlp_bias);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.max_position_embeddings, 256);
  EXPECT_EQ(config.rope.theta, 10000.0);
}

TEST(ModelConfig, Qwen3NormsHeadsThatHaveASizeOfTheirOwn) {
  json file = qwen2();
  EXPECT_FALSE(parse(file).qk_norm);
  file["architectures"] = {"Qwen3ForCausalLM"};
  file["head_dim"] = 24;
  ModelConfig config = parse(file);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_FALSE(config.attention_output_bias);
  EXPECT_EQ(config.head_dim, 24);
  EXPECT_EQ(config.rope.rotary_dim, 24);

  file.erase("head_dim");  // 128 by default, and no need of a hidden size that divides
  file["hidden_size"] = 65;
  file["attention_bias"] = true;
  config = parse(file);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.rope.rotary_dim, 128);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_TRUE(config.attention_output_bias);

  file["use_sliding_window"] = true;
  file["sliding_window"] = 32;
  file["max_window_layers"] = 3;
  EXPECT_EQ(parse(file).layer_window, (std::vector<std::int64_t>{0, 0, 0, 32}));
}

TEST(ModelConfig, LlamaBiasFlagsAndOwnHeadDim) {
  json file = llama();
  EXPECT_FALSE(parse(file).qkv_bias);
  file["attention_bias"] = true;
  file["mlp_bias"] = true;
  file["head_dim"] = 48;
  const ModelConfig config = parse(file);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_TRUE(config.attention_output_bias);
  EXPECT_TRUE(config.mlp_bias);
  EXPECT_EQ(config.head_dim, 48);
  EXPECT_EQ(config.rope.rotary_dim, 48);
}

TEST(ModelConfig, AbsentKvHeadsMeanAsManyAsHeads) {
  json file = llama();
  file.erase("num_key_value_heads");
  EXPECT_EQ(parse(file).num_kv_heads, 4);
  file["num_key_value_heads"] = nullptr;
  EXPECT_EQ(parse(file).num_kv_heads, 4);
}

TEST(ModelConfig, StatedButUnusedSlidingWindowIsFullAttention) {
  json file = qwen2();
  file["sliding_window"] = 32;
  file["max_window_layers"] = 0;
  EXPECT_EQ(parse(file).layer_window, (std::vector<std::int64_t>{0, 0, 0, 0}));
  file["use_sliding_window"] = true;
  file["sliding_window"] = nullptr;
  EXPECT_EQ(parse(file).layer_window, (std::vector<std::int64_t>{0, 0, 0, 0}));
}

TEST(ModelConfig, SlidingWindowStartsAtMaxWindowLayers) {
  json file = qwen2();
  file["use_sliding_window"] = true;
  file["sliding_window"] = 32;
  file["max_window_layers"] = 3;
  EXPECT_EQ(parse(file).layer_window, (std::vector<std::int64_t>{0, 0, 0, 32}));
  file.erase("max_window_layers");  // 28 by default
  EXPECT_EQ(parse(file).layer_window, (std::vector<std::int64_t>{0, 0, 0, 0}));
}

TEST(ModelConfig, LayerTypesOverrideMaxWindowLayers) {
  json file = qwen2();
  file["use_sliding_window"] = true;
  file["sliding_window"] = 32;
  file["max_window_layers"] = 0;
  file["layer_types"] = {"full_attention", "sliding_attention", "full_attention", "full_attention"};
  EXPECT_EQ(parse(file).layer_window, (std::vector<std::int64_t>{0, 32, 0, 0}));
  file["layer_types"] = {"full_attention"};
  EXPECT_TRUE(says(error_of(file), {"layer_types"}));
}

TEST(ModelConfig, ContextFollowsTheScalingAsInVllm) {
  const auto context = [](json scaling) {
    json file = llama();
    file["max_position_embeddings"] = 131072;
    file["rope_scaling"] = std::move(scaling);
    return parse(file).max_position_embeddings;
  };
  EXPECT_EQ(context(nullptr), 131072);
  EXPECT_EQ(context({{"type", "default"}}), 131072);
  EXPECT_EQ(context({{"type", "linear"}, {"factor", 4.0}}), 4 * 131072);
  EXPECT_EQ(context({{"type", "dynamic"}, {"factor", 2}}), 2 * 131072);
  // The length is part of the file already, or follows from it, or has no other source.
  EXPECT_EQ(
      context({{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}}),
      131072);
  EXPECT_EQ(
      context({{"type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 32768}}),
      65536);
  EXPECT_EQ(context({{"type", "yarn"}, {"factor", 2.0}}), 262144);
  // Llama 3.1's is not eight times too long.
  EXPECT_EQ(context({{"rope_type", "llama3"},
                     {"factor", 8.0},
                     {"low_freq_factor", 1.0},
                     {"high_freq_factor", 4.0},
                     {"original_max_position_embeddings", 8192}}),
            131072);
  EXPECT_EQ(context({{"type", "longrope"},
                     {"short_factor", std::vector<double>(8, 1.0)},
                     {"long_factor", std::vector<double>(8, 2.0)},
                     {"original_max_position_embeddings", 4096}}),
            131072);
}

TEST(ModelConfig, RopeParametersOfNewerFilesHoldThetaAndType) {
  json file = llama();
  file["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5000}};
  const ModelConfig config = parse(file);
  EXPECT_EQ(config.rope.kind, RopeKind::linear);
  EXPECT_EQ(config.rope.theta, 5000.0);
  EXPECT_EQ(config.max_position_embeddings, 512);
}

TEST(ModelConfig, GenerationConfigOverridesEndTokens) {
  const TemporaryFolder folder;
  json file = qwen2();
  file["bos_token_id"] = 5;
  file["eos_token_id"] = 6;
  file["torch_dtype"] = "bfloat16";
  folder.write("config.json", file.dump());
  const ModelConfig alone = read_model_config(folder.path());
  EXPECT_EQ(alone.eos_token_ids, (std::vector<std::int32_t>{6}));
  EXPECT_EQ(alone.bos_token_id, 5);
  EXPECT_EQ(alone.checkpoint_dtype, device::DType::bf16);

  folder.write("generation_config.json", R"({"eos_token_id": [7, 8], "temperature": 0.7})");
  const ModelConfig both = read_model_config(folder.path());
  EXPECT_EQ(both.eos_token_ids, (std::vector<std::int32_t>{7, 8}));
  EXPECT_EQ(both.bos_token_id, 5);
}

TEST(ModelConfig, MistralsWindowIsOffOnlyWhereTheFileSaysNull) {
  json file = qwen2();
  file["architectures"] = {"MistralForCausalLM"};
  file.erase("sliding_window");
  EXPECT_EQ(parse_model_config(file, "config.json").layer_window,
            (std::vector<std::int64_t>(4, 4096)));
  file["sliding_window"] = 100;
  EXPECT_EQ(parse_model_config(file, "config.json").layer_window,
            (std::vector<std::int64_t>(4, 100)));
  file["sliding_window"] = nullptr;
  const ModelConfig config = parse_model_config(file, "config.json");
  EXPECT_EQ(config.layer_window, (std::vector<std::int64_t>(4, 0)));
  EXPECT_FALSE(config.qkv_bias);
}

TEST(ModelConfig, UnknownArchitectureListsKnownOnes) {
  json file = qwen2();
  file["architectures"] = {"MambaForCausalLM"};
  EXPECT_TRUE(says(error_of(file),
                   {"config.json",
                    "\"MambaForCausalLM\"",
                    "Qwen2ForCausalLM (Qwen2, Qwen2.5)",
                    "LlamaForCausalLM"}));
  file.erase("architectures");
  EXPECT_TRUE(says(error_of(file), {"\"architectures\": expected"}));
}

TEST(ModelConfig, EveryDefectNamesFileKeyExpectedAndFound) {
  struct Defect {
    std::string key;
    json value;
    std::string message;
  };
  const std::vector<Defect> defects = {
      {"hidden_size",
       nullptr,
       "\"hidden_size\": expected an integer from 1 to 262144, found nothing"},
      {"hidden_size", "64", "found \"64\""},
      {"hidden_size", 64.5, "found 64.5"},
      {"hidden_size", -64, "found -64"},
      {"hidden_size", 65, "a multiple of the 4 attention heads"},
      {"hidden_size", std::uint64_t{1} << 63, "found 9223372036854775808"},
      {"num_hidden_layers", 1e9, "\"num_hidden_layers\""},
      {"num_hidden_layers", 1000000000, "found 1000000000"},
      {"num_attention_heads", 0, "found 0"},
      {"num_key_value_heads", 3, "a divisor of the 4 attention heads"},
      {"vocab_size", json::array({1, 2}), "found an array of 2 elements"},
      {"head_dim", 7, "heads of an even size"},
      {"rms_norm_eps", 0, "\"rms_norm_eps\": expected a number above 0, found 0"},
      {"max_position_embeddings", nullptr, "\"max_position_embeddings\""},
      {"tie_word_embeddings", 1, "expected true or false, found 1"},
      {"hidden_act", "relu", "expected one of silu"},
      {"torch_dtype", "float8_e4m3fn", "expected float32, float16 or bfloat16"},
      {"eos_token_id", "</s>", "a token id"},
      {"quantization_config", json{{"bits", 4}}, "found quant_method \"unknown\""},
      {"partial_rotary_factor", 0.5, "\"partial_rotary_factor\""},
      {"rope_theta", -1, "\"rope_theta\""},
      {"rope_scaling", "yarn", "\"rope_scaling\" to be a JSON object, found \"yarn\""},
      {"rope_scaling", json{{"type", "quadratic"}}, "\"rope_scaling.type\": expected one of"},
      {"rope_scaling", json{{"type", "linear"}}, "\"rope_scaling.factor\": expected"},
      {"rope_scaling", json{{"type", "linear"}, {"factor", 0.5}}, "found 0.5"},
      {"rope_scaling", json{{"type", "linear"}, {"factor", 1e300}}, "\"rope_scaling.factor\""},
      {"rope_scaling", json{{"rope_type", "llama3"}, {"factor", 8.0}}, "low_freq_factor"},
      {"rope_scaling",
       json{{"type", "longrope"}, {"long_factor", {1.0}}, {"short_factor", {1.0}}},
       "\"rope_scaling.short_factor\": expected an array of 8 numbers"},
  };
  for (const Defect& defect : defects) {
    json file = qwen2();
    file[defect.key] = defect.value;
    EXPECT_TRUE(says(error_of(file), {"config.json: ", defect.message}))
        << defect.key << " = " << defect.value;
  }
}

TEST(ModelConfig, FilesThatAreNotJsonAreNamed) {
  const TemporaryFolder folder;
  const auto error = [&] { return failure_of([&] { read_model_config(folder.path()); }); };
  EXPECT_TRUE(says(error(), {"config.json", "No such file"}));
  folder.write("config.json", "{\"hidden_size\": ");
  EXPECT_TRUE(says(error(), {"config.json", "expected JSON"}));
  folder.write("config.json", "[1, 2]");
  EXPECT_TRUE(says(error(), {"expected the file to be a JSON object"}));
  folder.write("config.json", std::string(100'000, '['));
  EXPECT_TRUE(says(error(), {"expected JSON"}));
  EXPECT_TRUE(
      says(failure_of([&] { read_model_config(folder.path() / "nowhere"); }), {"found nothing"}));
}

TEST(Shapes, PublishedNumbers) {
  struct Numbers {
    std::string_view name;
    std::int64_t hidden, layers, heads, kv_heads, intermediate, vocab;
    bool tied;
    double theta;
    std::int64_t parameters;
  };
  const std::vector<Numbers> published = {
      {"qwen2-0.5b", 896, 24, 14, 2, 4864, 151936, true, 1e6, 494'032'768},
      {"qwen2-1.5b", 1536, 28, 12, 2, 8960, 151936, true, 1e6, 1'543'714'304},
      {"qwen2-7b", 3584, 28, 28, 4, 18944, 152064, false, 1e6, 7'615'616'512},
      {"qwen2-72b", 8192, 80, 64, 8, 29568, 152064, false, 1e6, 72'706'203'648},
      {"qwen3-0.6b", 1024, 28, 16, 8, 3072, 151936, true, 1e6, 596'049'920},
      {"qwen3-1.7b", 2048, 28, 16, 8, 6144, 151936, true, 1e6, 1'720'574'976},
      {"qwen3-4b", 2560, 36, 32, 8, 9728, 151936, true, 1e6, 4'022'468'096},
      {"qwen3-8b", 4096, 36, 32, 8, 12288, 151936, false, 1e6, 8'190'735'360},
      {"qwen3-14b", 5120, 40, 40, 8, 17408, 151936, false, 1e6, 14'768'307'200},
      {"qwen3-32b", 5120, 64, 64, 8, 25600, 151936, false, 1e6, 32'762'123'264},
      {"llama3-8b", 4096, 32, 32, 8, 14336, 128256, false, 5e5, 8'030'261'248},
  };
  EXPECT_EQ(shape_names().size(), published.size());
  for (const Numbers& numbers : published) {
    const ModelConfig c = shape_by_name(numbers.name).value();
    EXPECT_EQ(c.hidden_size, numbers.hidden);
    EXPECT_EQ(c.num_layers, numbers.layers);
    EXPECT_EQ(c.num_heads, numbers.heads);
    EXPECT_EQ(c.num_kv_heads, numbers.kv_heads);
    EXPECT_EQ(c.intermediate_size, numbers.intermediate);
    EXPECT_EQ(c.vocab_size, numbers.vocab);
    EXPECT_EQ(c.tie_word_embeddings, numbers.tied);
    EXPECT_EQ(c.rope.theta, numbers.theta);
    EXPECT_EQ(c.checkpoint_dtype, device::DType::bf16);
    const std::int64_t heads = c.num_heads * c.head_dim;
    const std::int64_t kv = c.num_kv_heads * c.head_dim;
    const std::int64_t layer = 2 * heads * c.hidden_size + 2 * kv * c.hidden_size +
                               (c.qk_norm ? 2 * c.head_dim : 0) +
                               3 * c.intermediate_size * c.hidden_size + 2 * c.hidden_size +
                               (c.qkv_bias ? c.hidden_size + 2 * kv : 0);
    const std::int64_t embedding = c.vocab_size * c.hidden_size;
    EXPECT_EQ(c.num_layers * layer + embedding * (numbers.tied ? 1 : 2) + c.hidden_size,
              numbers.parameters)
        << numbers.name;
  }
  const Result<ModelConfig> unknown = shape_by_name("gpt-5");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_TRUE(says(unknown.error().message, {"gpt-5", "qwen2-72b"}));
}

}  // namespace
}  // namespace fastchat::model
