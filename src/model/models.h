// The explicit list of model families: one file each reads its config.json and names its tensors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/config_reader.h"
#include "model/model_config.h"

namespace fastchat::model {

/// Names of a decoder's tensors in its checkpoint. Those of a layer follow `layer_prefix` with its
/// number for {}. Projections are given without ".weight" and ".bias".
struct TensorNames {
  std::string_view embedding = "model.embed_tokens.weight";
  std::string_view final_norm = "model.norm.weight";
  std::string_view head = "lm_head.weight";
  std::string_view layer_prefix = "model.layers.{}.";
  std::string_view attention_norm = "input_layernorm.weight";
  std::string_view q = "self_attn.q_proj";
  std::string_view k = "self_attn.k_proj";
  std::string_view v = "self_attn.v_proj";
  std::string_view attention_output = "self_attn.o_proj";
  std::string_view mlp_norm = "post_attention_layernorm.weight";
  std::string_view gate = "mlp.gate_proj";
  std::string_view up = "mlp.up_proj";
  std::string_view down = "mlp.down_proj";
  std::string_view q_norm = "self_attn.q_norm.weight";  // with qk_norm only
  std::string_view k_norm = "self_attn.k_norm.weight";

  /// The full name of a layer's tensor: in_layer(3, q, ".weight") is
  /// "model.layers.3.self_attn.q_proj.weight".
  std::string in_layer(std::int64_t layer,
                       std::string_view name,
                       std::string_view suffix = "") const;
};

struct Family {
  std::string_view architecture;  // as in config.json's "architectures"
  std::string_view models;        // what people call its members, for messages
  /// Fills what differs from read_decoder_config(), which has run. Throws Failure.
  void (*parse)(const ConfigReader& reader, ModelConfig& config);
  TensorNames names;
  /// Of files that state no "head_dim"; 0 = the hidden size shared among the heads.
  std::int64_t default_head_dim = 0;
};

std::span<const Family> families();
/// Throws Failure naming `origin`, the architecture, and all that are known.
const Family& family_of(std::string_view architecture, std::string_view origin);

// One per family file, listed in models.cpp.
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kLlama;
extern const Family kMistral;

}  // namespace fastchat::model
