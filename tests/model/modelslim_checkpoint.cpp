#include "tests/model/modelslim_checkpoint.h"

#include <bit>
#include <cmath>
#include <tuple>
#include <utility>

#include "device/dtype.h"

namespace fastchat::model {
namespace {

constexpr std::int64_t kHidden = 8;
constexpr std::int64_t kIntermediate = 12;
constexpr std::int64_t kKv = 4;
constexpr std::int64_t kVocab = 16;

/// [out, in] of a linear layer.
std::pair<std::int64_t, std::int64_t> shape_of(const std::string& name) {
  if (name.ends_with("k_proj") || name.ends_with("v_proj")) return {kKv, kHidden};
  if (name.ends_with("gate_proj") || name.ends_with("up_proj")) return {kIntermediate, kHidden};
  if (name.ends_with("down_proj")) return {kHidden, kIntermediate};
  if (name == "lm_head") return {kVocab, kHidden};
  return {kHidden, kHidden};
}

std::vector<std::uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> out;
  for (const float value : values) out.push_back(device::f32_to_bf16(value));
  return out;
}

}  // namespace

std::string SafetensorsWriter::bytes() const {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors_) {
    const std::size_t begin = data.size();
    data += tensor.data;
    header[name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return out + text + data;
}

double QuantizedLinear::number(std::int64_t row, std::int64_t column) const {
  const auto r = static_cast<std::size_t>(row);
  const double whole =
      weight[r * static_cast<std::size_t>(columns) + static_cast<std::size_t>(column)];
  return (whole - (offset.empty() ? 0.0 : offset[r])) * scale[r];
}

std::vector<double> QuantizedLinear::static_output(const std::vector<int>& input) const {
  std::vector<double> out;
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    std::int64_t sum = quant_bias[row];
    for (std::size_t i = 0; i < input.size(); ++i) sum += input[i] * weight[row * input.size() + i];
    out.push_back(static_cast<double>(sum) * deq_scale[row]);
  }
  return out;
}

std::vector<double> QuantizedLinear::output(const std::vector<double>& input) const {
  std::vector<double> out;
  for (std::int64_t row = 0; row < rows; ++row) {
    double sum = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(row)];
    for (std::int64_t i = 0; i < columns; ++i)
      sum += number(row, i) * input[static_cast<std::size_t>(i)];
    out.push_back(sum);
  }
  return out;
}

ModelSlimCheckpoint::ModelSlimCheckpoint(const std::string& architecture)
    : config({{"architectures", {architecture}},
              {"hidden_size", kHidden},
              {"num_hidden_layers", 1},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"intermediate_size", kIntermediate},
              {"vocab_size", kVocab},
              {"max_position_embeddings", 64},
              {"torch_dtype", "bfloat16"}}) {}

std::vector<float> ModelSlimCheckpoint::random(std::size_t count, float scale) {
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> out(count);
  for (float& value : out) value = uniform(random_);
  return out;
}

QuantizedLinear& ModelSlimCheckpoint::add_linear(const std::string& name,
                                                 const std::string& type,
                                                 const std::vector<float>& bias,
                                                 const std::vector<float>& shift) {
  QuantizedLinear& linear = linears[name];
  std::tie(linear.rows, linear.columns) = shape_of(name);
  linear.bias = bias;
  linear.shift = shift;
  const auto rows = static_cast<std::size_t>(linear.rows);
  const auto columns = static_cast<std::size_t>(linear.columns);
  std::uniform_int_distribution<int> whole(-127, 127);
  linear.weight.resize(rows * columns);
  for (std::int8_t& value : linear.weight) value = static_cast<std::int8_t>(whole(random_));
  if (has_minimum) linear.weight[columns + 2] = -128;
  for (const float value : random(rows, 1.0f)) linear.scale.push_back(0.001f * (2.0f + value));
  if (scales_are_flat)
    for (float& value : linear.scale) value = device::bf16_to_f32(device::f32_to_bf16(value));
  if (has_offsets)
    for (std::size_t i = 0; i < rows; ++i)
      linear.offset.push_back(static_cast<float>(static_cast<int>(i) - 3));

  const std::string weight = name + ".weight";
  // The bias in the files takes the shift off that the norm has put on.
  std::vector<float> file_bias = bias.empty() && !shift.empty() ? std::vector<float>(rows) : bias;
  for (std::int64_t row = 0; !shift.empty() && row < linear.rows; ++row)
    for (std::int64_t i = 0; i < linear.columns; ++i)
      file_bias[static_cast<std::size_t>(row)] -=
          static_cast<float>(linear.number(row, i) * shift[static_cast<std::size_t>(i)]);
  const std::vector<std::int64_t> out_shape = scales_are_flat
                                                  ? std::vector<std::int64_t>{linear.rows}
                                                  : std::vector<std::int64_t>{linear.rows, 1};
  if (type == "FLOAT") {
    std::vector<float> numbers;
    for (std::int64_t row = 0; row < linear.rows; ++row)
      for (std::int64_t i = 0; i < linear.columns; ++i)
        numbers.push_back(static_cast<float>(linear.number(row, i)));
    add(weight, type, "F32", {linear.rows, linear.columns}, numbers);
  } else {
    add(weight, type, "I8", {linear.rows, linear.columns}, linear.weight);
  }
  if (type == "W8A16" || type == "W8A8_DYNAMIC" || type == "W8A8_MIX") {
    const std::vector<float> offset =
        linear.offset.empty() ? std::vector<float>(rows) : linear.offset;
    if (scales_are_flat) {
      add(name + ".weight_scale", type, "BF16", out_shape, to_bf16(linear.scale));
      add(name + ".weight_offset", type, "BF16", out_shape, to_bf16(offset));
    } else {
      add(name + ".weight_scale", type, "F32", out_shape, linear.scale);
      add(name + ".weight_offset", type, "F32", out_shape, offset);
    }
  }
  if (type == "W8A8" || type == "W8A8_MIX") {
    linear.input_scale = 0.03125f;
    linear.input_offset = -5.0f;
    for (std::size_t row = 0; row < rows; ++row) {
      linear.deq_scale.push_back(linear.scale[row] * linear.input_scale);
      int sum = 0;
      for (std::size_t i = 0; i < columns; ++i) sum += linear.weight[row * columns + i];
      const float real = file_bias.empty() ? 0.0f : file_bias[row];
      linear.quant_bias.push_back(static_cast<std::int32_t>(std::lround(
          real / linear.deq_scale[row] - static_cast<float>(sum) * linear.input_offset)));
    }
    add(name + ".input_scale", type, "BF16", {1}, to_bf16({linear.input_scale}));
    add(name + ".input_offset", type, "BF16", {1}, to_bf16({linear.input_offset}));
    add(name + ".quant_bias", type, "I32", {linear.rows}, linear.quant_bias);
    if (is_f16) {
      std::vector<std::int64_t> bits;
      for (const float value : linear.deq_scale) bits.push_back(std::bit_cast<std::int32_t>(value));
      add(name + ".deq_scale", type, "I64", {linear.rows}, bits);
    } else {
      add(name + ".deq_scale", type, "F32", {linear.rows}, linear.deq_scale);
    }
  }
  if (!file_bias.empty()) add(name + ".bias", "FLOAT", "F32", {linear.rows}, file_bias);
  return linear;
}

void ModelSlimCheckpoint::write(const std::string& type) {
  const bool has_qkv_bias = config["architectures"][0] == "Qwen2ForCausalLM";
  for (const std::string norm : {"model.layers.0.input_layernorm.weight",
                                 "model.layers.0.post_attention_layernorm.weight",
                                 "model.norm.weight"})
    if (!description.contains(norm)) add(norm, "FLOAT", "F32", {kHidden}, random(kHidden, 1.0f));
  for (const std::string embedding : {"model.embed_tokens.weight", "lm_head.weight"})
    if (!description.contains(embedding))
      add(embedding, "FLOAT", "F32", {kVocab, kHidden}, random(kVocab * kHidden, 1.0f));
  for (const std::string linear : {"self_attn.q_proj",
                                   "self_attn.k_proj",
                                   "self_attn.v_proj",
                                   "self_attn.o_proj",
                                   "mlp.gate_proj",
                                   "mlp.up_proj",
                                   "mlp.down_proj"}) {
    const std::string name = "model.layers.0." + linear;
    if (linears.contains(name)) continue;
    const bool is_qkv =
        linear.ends_with("q_proj") || linear.ends_with("k_proj") || linear.ends_with("v_proj");
    const auto rows = static_cast<std::size_t>(shape_of(name).first);
    add_linear(name, type, is_qkv && has_qkv_bias ? random(rows, 1.0f) : std::vector<float>());
  }
  write_files();
}

void ModelSlimCheckpoint::write_files() const {
  folder.write("config.json", config.dump());
  folder.write("quant_model_description.json", description.dump());
  folder.write(weight_file, tensors.bytes());
}

}  // namespace fastchat::model
