#include "model/model_config.h"

#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/bilingual_failure.h"
#include "base/bytes.h"
#include "base/check.h"
#include "model/config_reader.h"
#include "model/models.h"
#include "model/modelslim.h"
#include "model/rope.h"

namespace fastchat::model {
namespace {

// Bounds that no published model comes near. They keep every byte count of a model far below 2^63
// and refuse a hostile file before anything is allocated for it.
constexpr std::int64_t kMaxVocab = std::int64_t{1} << 24;
constexpr std::int64_t kMaxHidden = std::int64_t{1} << 18;
constexpr std::int64_t kMaxIntermediate = std::int64_t{1} << 21;
constexpr std::int64_t kMaxLayers = std::int64_t{1} << 12;
constexpr std::int64_t kMaxHeads = std::int64_t{1} << 12;
constexpr std::int64_t kMaxHeadDim = std::int64_t{1} << 12;
constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;
constexpr std::uint64_t kMaxConfigBytes = 16 * kMiB;

constexpr std::array<std::pair<std::string_view, ops::Activation>, 5> kActivations{{
    {"silu", ops::Activation::silu},
    {"swish", ops::Activation::silu},
    {"gelu", ops::Activation::gelu},
    {"gelu_new", ops::Activation::gelu_tanh},
    {"gelu_pytorch_tanh", ops::Activation::gelu_tanh},
}};

ops::Activation parse_activation(const ConfigReader& reader) {
  const std::string name = reader.text("hidden_act").value_or("silu");
  for (const auto& [known, activation] : kActivations)
    if (known == name) return activation;
  std::string expected = "one of";
  for (const auto& [known, activation] : kActivations) expected.append(" ").append(known);
  reader.reject("hidden_act", expected);
}

device::DType parse_checkpoint_dtype(const ConfigReader& reader) {
  const std::string_view key = reader.has("torch_dtype") ? "torch_dtype" : "dtype";
  const std::optional<std::string> name = reader.text(key);
  if (!name) return device::DType::f32;  // transformers' default
  const Result<device::DType> dtype = device::parse_float_dtype(*name);
  if (!dtype) reader.reject(key, "float32, float16 or bfloat16");
  return *dtype;
}

std::string parse_architecture(const ConfigReader& reader) {
  const auto names = reader.texts("architectures", 16);
  if (!names || names->empty())
    reader.reject("architectures", "an array that names the model's architecture");
  return names->front();
}

[[noreturn]] void reject_quantization(const ConfigReader& quantization) {
  const std::string method = quantization.text("quant_method").value_or("unknown");
  fail(
      "{}: quantization_config: expected msModelSlim's W8A8 or W8A16, found quant_method {}: "
      "checkpoints of other quantizers are not supported; the original model runs in 8 bits with "
      "--load-8bit",
      quantization.origin(),
      in_quotes(method));
}

// What all decoders of the list have in common.
void read_decoder_config(const ConfigReader& reader, const Family& family, ModelConfig& config) {
  if (reader.has("quantization_config") && !states_modelslim(reader))
    reject_quantization(*reader.object("quantization_config"));
  config.vocab_size = reader.size("vocab_size", kMaxVocab);
  config.hidden_size = reader.size("hidden_size", kMaxHidden);
  config.intermediate_size = reader.size("intermediate_size", kMaxIntermediate);
  config.num_layers = reader.size("num_hidden_layers", kMaxLayers);
  config.num_heads = reader.size("num_attention_heads", kMaxHeads);
  config.num_kv_heads = reader.size("num_key_value_heads", kMaxHeads, config.num_heads);
  if (config.num_heads % config.num_kv_heads != 0)
    reader.reject("num_key_value_heads",
                  fmt::format("a divisor of the {} attention heads", config.num_heads));
  const bool has_head_dim = reader.has("head_dim") || family.default_head_dim > 0;
  if (!has_head_dim && config.hidden_size % config.num_heads != 0)
    reader.reject("hidden_size",
                  fmt::format("a multiple of the {} attention heads", config.num_heads));
  const std::string_view head_dim_key = has_head_dim ? "head_dim" : "hidden_size";
  config.head_dim =
      reader.size("head_dim",
                  kMaxHeadDim,
                  family.default_head_dim > 0 ? family.default_head_dim
                                              : config.hidden_size / config.num_heads);
  if (config.head_dim % 2 != 0 || config.head_dim > kMaxHeadDim)
    reader.reject(
        head_dim_key,
        fmt::format("heads of an even size up to {}, here {}", kMaxHeadDim, config.head_dim));
  config.norm_eps = static_cast<float>(reader.positive("rms_norm_eps", config.norm_eps));
  config.activation = parse_activation(reader);
  config.tie_word_embeddings = reader.flag("tie_word_embeddings", false);
  config.layer_window.assign(static_cast<std::size_t>(config.num_layers), 0);
  config.checkpoint_dtype = parse_checkpoint_dtype(reader);

  const std::int64_t positions = reader.size("max_position_embeddings", kMaxPositions);
  config.rope = parse_rope(reader, config.head_dim, positions);
  config.max_position_embeddings = context_length(config.rope, positions);
  if (config.max_position_embeddings < 1 || config.max_position_embeddings >= kMaxPositions)
    reader.reject("max_position_embeddings",
                  fmt::format("a context below {} once scaled, here {}",
                              kMaxPositions,
                              config.max_position_embeddings));
}

void read_token_ids(const ConfigReader& reader, ModelConfig& config) {
  if (const std::vector<std::int32_t> ids = reader.token_ids("bos_token_id"); !ids.empty())
    config.bos_token_id = ids.front();
  if (std::vector<std::int32_t> ids = reader.token_ids("eos_token_id"); !ids.empty())
    config.eos_token_ids = std::move(ids);
}

}  // namespace

ModelConfig parse_model_config(const nlohmann::json& config, const std::string& origin) {
  const ConfigReader reader(config, origin);
  ModelConfig out;
  out.architecture = parse_architecture(reader);
  const Family& family = family_of(out.architecture, origin);
  read_decoder_config(reader, family, out);
  family.parse(reader, out);
  read_token_ids(reader, out);
  return out;
}

ModelConfig read_model_config(const std::filesystem::path& folder) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(folder, error);
  check_in_both(is_folder || !std::filesystem::exists(folder, error),
                "{}: expected a model folder in Hugging Face format, found a file",
                "{}：应为 Hugging Face 格式的模型文件夹，却是文件",
                folder.string());
  check_in_both(is_folder,
                "{}: expected a model folder in Hugging Face format, found nothing",
                "{}：没有这个模型文件夹",
                folder.string());
  const std::filesystem::path file = folder / "config.json";
  const nlohmann::json json = read_json_file(file, kMaxConfigBytes);
  ModelConfig config = parse_model_config(json, file.string());
  if (const auto description = read_modelslim_description(folder, json))
    apply_modelslim(*description, config);
  // What the model's makers want generation to do overrides what the architecture's file says.
  const std::filesystem::path generation = folder / "generation_config.json";
  if (std::filesystem::exists(generation, error)) {
    const nlohmann::json overrides = read_json_file(generation, kMaxConfigBytes);
    read_token_ids(ConfigReader(overrides, generation.string()), config);
  }
  return config;
}

std::unique_ptr<WeightSource> open_checkpoint(const std::filesystem::path& folder,
                                              const ModelConfig& config,
                                              const SafetensorsOptions& options) {
  std::optional<ModelSlimDescription> description =
      read_modelslim_description(folder, read_json_file(folder / "config.json", kMaxConfigBytes));
  if (!description) return open_safetensors(folder, options);
  return open_modelslim(folder, std::move(*description), config, options);
}

void quantize(ModelConfig& config, Quantization quantization) {
  config.layer_quantization.assign(static_cast<std::size_t>(config.num_layers),
                                   {.qkv = quantization,
                                    .attention_output = quantization,
                                    .gate_up = quantization,
                                    .down = quantization});
  config.head_quantization = quantization;
}

LayerQuantization layer_quantization(const ModelConfig& config, std::int64_t layer) {
  if (config.layer_quantization.empty()) return {};
  return config.layer_quantization.at(static_cast<std::size_t>(layer));
}

ops::LinearFormat linear_format(Quantization quantization, device::DType dtype) {
  switch (quantization) {
    case Quantization::none:
      return dtype;
    case Quantization::w8a16:
      return {device::DType::i8, dtype};
    case Quantization::w8a8:
      return {device::DType::i8, device::DType::i8};
  }
  return dtype;
}

std::vector<Quantization> quantizations(const ModelConfig& config) {
  std::set<Quantization> found{config.head_quantization};
  for (const LayerQuantization& layer : config.layer_quantization)
    found.insert({layer.qkv, layer.attention_output, layer.gate_up, layer.down});
  found.erase(Quantization::none);
  return {found.begin(), found.end()};
}

std::string_view to_string(Quantization quantization) {
  switch (quantization) {
    case Quantization::none:
      return "none";
    case Quantization::w8a16:
      return "w8a16";
    case Quantization::w8a8:
      return "w8a8";
  }
  return {};
}

}  // namespace fastchat::model
