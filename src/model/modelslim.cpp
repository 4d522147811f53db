#include "model/modelslim.h"

#include <array>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "model/models.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kMaxDescriptionBytes = 64 * kMiB;
constexpr std::string_view kDescription = "quant_model_description";

constexpr std::array<std::pair<std::string_view, ModelSlimType>, 6> kTypes{{
    {"FLOAT", ModelSlimType::none},
    {"W8A16", ModelSlimType::w8a16},
    {"W8A8_DYNAMIC", ModelSlimType::dynamic},
    {"W8A8", ModelSlimType::fixed},
    {"W8A8S", ModelSlimType::fixed},
    {"W8A8_MIX", ModelSlimType::fixed},
}};

Quantization quantization_of(ModelSlimType type) {
  switch (type) {
    case ModelSlimType::none:
      return Quantization::none;
    case ModelSlimType::w8a16:
      return Quantization::w8a16;
    case ModelSlimType::dynamic:
    case ModelSlimType::fixed:
      return Quantization::w8a8;
  }
  return Quantization::none;
}

/// How config.json says its weights are quantized, "w8a8"; empty: not at all.
std::string stated_type(const ConfigReader& config) {
  const std::string type = config.text("quantize").value_or("");
  return type == "float" ? "" : type;
}

/// The description's file among those of the folder; empty: there is none.
std::filesystem::path find_description(const std::filesystem::path& folder,
                                       const std::string& stated_type) {
  std::error_code error;
  std::filesystem::path plain = folder / fmt::format("{}.json", kDescription);
  if (std::filesystem::exists(plain, error)) return plain;
  // A type from the file is a stranger's text: it is compared, never made part of a path.
  const std::string wanted = fmt::format("{}_{}.json", kDescription, stated_type);
  std::vector<std::filesystem::path> found;
  for (const auto& file : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = file.path().filename().string();
    if (name == wanted) return file.path();
    if (name.starts_with(fmt::format("{}_", kDescription)) && name.ends_with(".json"))
      found.push_back(file.path());
  }
  check(found.size() < 2,
        "{}: expected one {}*.json, found {} and {}; \"quantize\" in config.json can name one",
        folder.string(),
        kDescription,
        in_quotes(found.empty() ? "" : found[0].filename().string()),
        in_quotes(found.size() < 2 ? "" : found[1].filename().string()));
  return found.empty() ? std::filesystem::path() : found.front();
}

}  // namespace

ModelSlimType ModelSlimDescription::type_of(std::string_view linear) const {
  const std::string tensor = fmt::format("{}.weight", linear);
  const auto found = types.find(tensor);
  check(found != types.end(),
        "{}: expected the quantization type of {}, found nothing: the description belongs to "
        "another model",
        origin,
        in_quotes(tensor));
  std::string known;
  for (const auto& [name, type] : kTypes) {
    if (name == found->second) return type;
    known.append(known.empty() ? "" : ", ").append(name);
  }
  fail("{}: {}: quantization type {} is not supported; known are {}",
       origin,
       in_quotes(tensor),
       in_quotes(found->second),
       known);
}

bool states_modelslim(const ConfigReader& config) {
  const std::optional<ConfigReader> inner = config.object("quantization_config");
  const std::string method = inner ? inner->text("quant_method").value_or("") : "";
  if (!method.empty()) return method == "ascend";
  return !stated_type(config).empty() || (inner && inner->has("model_quant_type"));
}

ModelSlimDescription parse_modelslim_description(const nlohmann::json& description,
                                                 const std::string& origin) {
  const ConfigReader reader(description, origin);
  // Rotations of activations while the model runs; those of weights beforehand cost nothing.
  if (const std::optional<ConfigReader> metadata = reader.object("metadata");
      metadata && metadata->has("quarot"))
    metadata->reject("quarot", "none: rotations of activations are not supported");
  ModelSlimDescription out{.origin = origin, .types = {}};
  for (const auto& [name, type] : description.items())
    if (const auto* text = type.get_ptr<const std::string*>()) out.types.emplace(name, *text);
  return out;
}

std::optional<ModelSlimDescription> read_modelslim_description(const std::filesystem::path& folder,
                                                               const nlohmann::json& config) {
  const std::string origin = (folder / "config.json").string();
  const ConfigReader reader(config, origin);
  const bool is_stated = states_modelslim(reader);
  const std::filesystem::path file = find_description(folder, stated_type(reader));
  if (!file.empty())
    return parse_modelslim_description(read_json_file(file, kMaxDescriptionBytes), file.string());
  if (!is_stated) return std::nullopt;
  if (reader.has("quantization_config")) {
    ModelSlimDescription inner = parse_modelslim_description(
        config["quantization_config"], fmt::format("{}: quantization_config", origin));
    for (const auto& [name, type] : inner.types)
      if (name.ends_with(".weight")) return inner;
  }
  fail("{}: says that the weights are quantized; expected {}.json beside it, found none",
       origin,
       kDescription);
}

void apply_modelslim(const ModelSlimDescription& description, ModelConfig& config) {
  const TensorNames& names = family_of(config.architecture, description.origin).names;
  config.layer_quantization.assign(static_cast<std::size_t>(config.num_layers), {});
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto group = [&](std::initializer_list<std::string_view> linears, bool& has_bias) {
      std::optional<Quantization> all;
      for (const std::string_view linear : linears) {
        const Quantization one =
            quantization_of(description.type_of(names.in_layer(layer, linear)));
        all = all.value_or(one) == one ? one : Quantization::none;
        // A shifted norm gives biases to layers whose family has none.
        has_bias = has_bias || description.names(names.in_layer(layer, linear, ".bias"));
      }
      return all.value_or(Quantization::none);
    };
    LayerQuantization& out = config.layer_quantization[static_cast<std::size_t>(layer)];
    out.qkv = group({names.q, names.k, names.v}, config.qkv_bias);
    out.attention_output = group({names.attention_output}, config.attention_output_bias);
    out.gate_up = group({names.gate, names.up}, config.mlp_bias);
    out.down = group({names.down}, config.mlp_bias);
  }
  const auto linear_of = [](std::string_view weight) {
    return weight.substr(0, weight.size() - std::string_view(".weight").size());
  };
  check(!description.names(names.embedding) ||
            description.type_of(linear_of(names.embedding)) == ModelSlimType::none,
        "{}: {}: expected FLOAT: quantized embeddings are not supported",
        description.origin,
        in_quotes(names.embedding));
  if (!config.tie_word_embeddings && description.names(names.head))
    config.head_quantization = quantization_of(description.type_of(linear_of(names.head)));
}

}  // namespace fastchat::model
