// A small msModelSlim checkpoint, written as its savers do, and what its layers compute by the
// vendor's formulas.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/model/files_and_messages.h"

namespace fastchat::model {

/// Tensors of one safetensors file.
class SafetensorsWriter {
 public:
  template <typename Number>
  void add(const std::string& name,
           const std::string& dtype,
           std::vector<std::int64_t> shape,
           const std::vector<Number>& numbers) {
    tensors_[name] = {
        dtype,
        std::move(shape),
        {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)}};
  }
  void erase(const std::string& name) { tensors_.erase(name); }
  /// 8 bytes of the header's length, header, data.
  std::string bytes() const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::string data;
  };
  std::map<std::string, Tensor> tensors_;
};

/// One linear layer as the files have it, in numbers.
struct QuantizedLinear {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::int8_t> weight;
  std::vector<float> scale;   // of rows
  std::vector<float> offset;  // of rows; W8A16
  std::vector<float> bias;    // what the layer adds, by the float model; empty: none
  std::vector<float> shift;   // of its input, taken off by the bias
  float input_scale = 0.0f;
  float input_offset = 0.0f;
  std::vector<float> deq_scale;
  std::vector<std::int32_t> quant_bias;

  /// (weight - offset) * scale
  double number(std::int64_t row, std::int64_t column) const;
  /// A static layer's output, from inputs that are whole numbers already.
  std::vector<double> static_output(const std::vector<int>& input) const;
  /// The float model's output for the same input, without and before the shift.
  std::vector<double> output(const std::vector<double>& input) const;
};

class ModelSlimCheckpoint {
 public:
  /// One layer of hidden size 8, intermediate 12, 2 query heads and 1 KV head of 4, vocabulary 16,
  /// with all linear layers of `type`.
  explicit ModelSlimCheckpoint(const std::string& architecture);

  /// Adds what is not there yet, linear layers of `type`, and writes the folder.
  void write(const std::string& type);
  void write_files() const;

  /// Adds a linear layer; `bias` of the float model may be empty. `shift` of its input, likewise.
  QuantizedLinear& add_linear(const std::string& name,
                              const std::string& type,
                              const std::vector<float>& bias = {},
                              const std::vector<float>& shift = {});
  template <typename Number>
  void add(const std::string& name,
           const std::string& type,
           const std::string& dtype,
           std::vector<std::int64_t> shape,
           const std::vector<Number>& numbers) {
    description[name] = type;
    tensors.add(name, dtype, std::move(shape), numbers);
  }
  std::vector<float> random(std::size_t count, float scale);

  const TemporaryFolder folder;
  nlohmann::json config;
  nlohmann::json description = nlohmann::json::object();
  SafetensorsWriter tensors;
  std::map<std::string, QuantizedLinear> linears;
  bool is_f16 = false;           // of deq_scale: I64
  bool scales_are_flat = false;  // [out] instead of [out, 1], in bf16
  bool has_offsets = false;      // of W8A16
  bool has_minimum = false;      // -128 among the weights
  std::string weight_file = "quant_model_weights.safetensors";

 private:
  std::mt19937 random_{7};
};

}  // namespace fastchat::model
