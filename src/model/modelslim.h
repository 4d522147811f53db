// Checkpoints of msModelSlim, the quantizer of Ascend's makers, as MindIE and vllm-ascend read
// them: int8 weights with what belongs to them, and a description of which tensors those are.
//
// Linear layers are W8A16, W8A8_DYNAMIC, W8A8 (static, of the same form W8A8S) or W8A8_MIX (static
// and dynamic). Of layer X the files hold, with out rows:
//   all             X.weight         I8 [out, in]
//   W8A16, dynamic  X.weight_scale   float [out] or [out, 1]
//                   X.weight_offset  the same shape; weights are (weight - offset) * scale
//   static, mix     X.input_scale    float [1]
//                   X.input_offset   float or I8 [1]
//                   X.deq_scale      F32 [out], input_scale * weight_scale; or I64 [out], the F32's
//                                    bits in the lower half
//                   X.quant_bias     I32 [out], the bias / deq_scale - input_offset * sum(weight)
//   any             X.bias           float [out], where the layer has one
// A norm N before linear layers may have been shifted: N.bias is added to its output, and the
// layers' biases take that off again. Older files have the scaled and shifted norm as
// N.module.weight and N.module.bias beside the one for layers that were left as they are, N.weight.
// Sources: msModelSlim's "Quantization Weight Format", and its savers' code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "model/config_reader.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace fastchat::model {

enum class ModelSlimType : std::uint8_t { none, w8a16, dynamic, fixed };

/// Which tensors a checkpoint quantizes, and how.
struct ModelSlimDescription {
  std::string origin;                                     // the file, for messages
  std::map<std::string, std::string, std::less<>> types;  // tensor → "FLOAT", "W8A8", …

  bool names(std::string_view tensor) const { return types.contains(tensor); }
  /// Of the linear layer whose weight is `linear`.weight. Throws Failure when the description does
  /// not say, or says what is not supported.
  ModelSlimType type_of(std::string_view linear) const;
};

/// Whether a config.json says that its weights are msModelSlim's: "quantize": "w8a8", or
/// "quantization_config" with "quant_method": "ascend" or "model_quant_type".
bool states_modelslim(const ConfigReader& config);

/// The description of the checkpoint in `folder`, whose config.json is `config`:
/// quant_model_description.json, or …_w8a8.json and the like, or "quantization_config". nullopt:
/// there is none. Throws Failure when it is broken, or the config tells of one that is not there.
std::optional<ModelSlimDescription> read_modelslim_description(const std::filesystem::path& folder,
                                                               const nlohmann::json& config);
/// Throws Failure naming `origin` for what is no description.
ModelSlimDescription parse_modelslim_description(const nlohmann::json& description,
                                                 const std::string& origin);

/// Fills the quantization of layers and head, and which linear layers have biases. A group that is
/// one matrix here (q, k and v; gate and up) is in 8 bits if all of its parts are. Static layers
/// run as dynamic ones: the scales of their inputs are those of the tokens at hand. Throws Failure
/// as type_of().
void apply_modelslim(const ModelSlimDescription& description, ModelConfig& config);

/// The weights, as the layers of this program want them: int8 with scales per row, biases and norms
/// without shift. Throws Failure when tensors that the description tells of are missing or of
/// another type. `config` is what apply_modelslim() made of it.
std::unique_ptr<WeightSource> open_modelslim(const std::filesystem::path& folder,
                                             ModelSlimDescription description,
                                             const ModelConfig& config,
                                             const SafetensorsOptions& options);

}  // namespace fastchat::model
