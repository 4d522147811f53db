// Weights of msModelSlim's checkpoints. The device computes, for a linear layer of any of its
// types, y = scale * (weight . x) + bias; what the files have is brought into that form here.
//
// A static layer computes y = (weight . q + quant_bias) * deq_scale on q = x / input_scale +
// input_offset, hence
//   scale = deq_scale / input_scale
//   bias  = (quant_bias + input_offset * sum(weight)) * deq_scale
// A layer after a norm that is shifted by n computes weight . (x + n): bias += scale * (weight .
// n), and the norm loses its shift, which every family here is made without.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include <fmt/ranges.h>

#include "base/bilingual_failure.h"
#include "base/check.h"
#include "base/log.h"
#include "model/models.h"
#include "model/modelslim.h"
#include "model/safetensors_source.h"

namespace fastchat::model {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kBias = ".bias";
constexpr std::int64_t kNumSampledRows = 8;

/// What belongs to a quantized weight in the files.
constexpr std::array<std::string_view, 6> kParameters{".weight_scale",
                                                      ".weight_offset",
                                                      ".input_scale",
                                                      ".input_offset",
                                                      ".deq_scale",
                                                      ".quant_bias"};

struct Norm {
  std::string weight;      // the tensor that is the norm's weight
  std::string bias;        // the shift; empty: none
  std::string same_as;     // a tensor that must be equal to `weight`; empty: none
  bool may_shift = false;  // linear layers take the shift off
};

struct Linear {
  std::string name;  // its weight is <name>.weight
  ModelSlimType type = ModelSlimType::none;
  bool has_bias = false;   // the model adds one
  std::string norm_shift;  // added to its input; empty: nothing

  // Guarded by mutex until is_ready, fixed then: what was derived.
  std::mutex mutex;
  bool is_ready = false;
  float input_scale = 0.0f;    // static
  std::vector<float> scales;   // [out]
  std::vector<float> offsets;  // [out]; empty: all 0
  std::vector<float> bias;     // [out]; empty: the file's own, or none

  // Guarded by mutex. Numbers in place of those of the file, while they are used.
  int num_users = 0;
  std::vector<float> floats;        // of weights with offsets
  std::vector<std::int8_t> whole;   // of weights with a -128
  std::optional<bool> has_minimum;  // a -128 is among the weights

  bool is_quantized() const { return type != ModelSlimType::none; }
  bool derives_bias() const { return type == ModelSlimType::fixed || !norm_shift.empty(); }
  std::string tensor(std::string_view suffix) const { return name + std::string(suffix); }
};

bool is_zero(float value) { return value == 0.0f; }

std::string linear_of(std::string_view weight) {
  return std::string(weight.substr(0, weight.size() - kWeight.size()));
}

/// A model's layers as the description has them.
class Layout {
 public:
  Layout(const ModelSlimDescription& description, const ModelConfig& config);

  std::map<std::string, Linear, std::less<>> linears;  // by name
  std::map<std::string, Norm, std::less<>> norms;      // by the name that the family gives

  /// How often a load by `num_loads` ranks gets and releases the tensor.
  int num_uses(std::string_view name, int num_loads) const;

 private:
  void add(const ModelSlimDescription& description,
           std::string_view norm,
           std::initializer_list<std::string> followers,
           bool has_bias);

  std::map<std::string, int, std::less<>> derivations_;  // uses that come once, whatever the ranks
};

Layout::Layout(const ModelSlimDescription& description, const ModelConfig& config) {
  const TensorNames& names = family_of(config.architecture, description.origin).names;
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto in_layer = [&](std::string_view name) { return names.in_layer(layer, name); };
    add(description,
        in_layer(names.attention_norm),
        {in_layer(names.q), in_layer(names.k), in_layer(names.v)},
        config.qkv_bias);
    add(description, "", {in_layer(names.attention_output)}, config.attention_output_bias);
    add(description,
        in_layer(names.mlp_norm),
        {in_layer(names.gate), in_layer(names.up)},
        config.mlp_bias);
    add(description, "", {in_layer(names.down)}, config.mlp_bias);
    if (!config.qk_norm) continue;
    add(description, in_layer(names.q_norm), {}, false);
    add(description, in_layer(names.k_norm), {}, false);
  }
  add(description, names.final_norm, {}, false);
  if (!config.tie_word_embeddings && description.names(names.head))
    add(description, "", {linear_of(names.head)}, false);
}

void Layout::add(const ModelSlimDescription& description,
                 std::string_view norm_weight,
                 std::initializer_list<std::string> followers,
                 bool has_bias) {
  std::size_t num_quantized = 0;
  for (const std::string& name : followers)
    if (description.type_of(name) != ModelSlimType::none) ++num_quantized;
  std::string shift;
  if (!norm_weight.empty()) {
    const std::string base = linear_of(norm_weight);
    Norm norm{.weight = base + ".weight",
              .bias = base + ".bias",
              .same_as = "",
              .may_shift = followers.size() > 0};
    if (num_quantized > 0 && description.names(base + ".module.weight")) {
      if (num_quantized < followers.size()) norm.same_as = norm.weight;
      norm.weight = base + ".module.weight";
      norm.bias = base + ".module.bias";
    }
    if (!description.names(norm.bias)) norm.bias.clear();
    shift = norm.bias;
    norms.emplace(norm_weight, std::move(norm));
  }
  for (const std::string& name : followers) {
    Linear& linear = linears[name];
    linear.name = name;
    linear.type = description.type_of(name);
    linear.has_bias = has_bias;
    linear.norm_shift = shift;
    if (linear.derives_bias()) {
      ++derivations_[linear.tensor(kWeight)];
      derivations_[linear.tensor(kBias)] = 1;
    }
    if (!shift.empty()) ++derivations_[shift];
    for (const std::string_view suffix : kParameters) derivations_[linear.tensor(suffix)] = 1;
  }
}

int Layout::num_uses(std::string_view name, int num_loads) const {
  const auto found = derivations_.find(name);
  if (found == derivations_.end()) return num_loads;
  return found->second + (name.ends_with(kWeight) ? num_loads : 0);
}

class ModelSlimSource : public WeightSource {
 public:
  ModelSlimSource(ModelSlimDescription description,
                  Layout layout,
                  std::unique_ptr<SafetensorsSource> files)
      : description_(std::move(description)), layout_(std::move(layout)), files_(std::move(files)) {
    total_bytes_ = files_->total_bytes();
    for (auto& [name, linear] : layout_.linears) check_complete(linear);
  }

  bool has(std::string_view name) const override { return files_->has(name); }
  std::uint64_t total_bytes() const override { return total_bytes_; }

  ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) override {
    if (Linear* const linear = find(name, kWeight)) return weight(*linear, shape);
    if (Linear* const linear = find(name, kBias)) return bias(*linear, shape);
    const auto norm = layout_.norms.find(name);
    return norm == layout_.norms.end() ? files_->get(name, shape)
                                       : norm_weight(norm->second, shape);
  }

  void release(std::string_view name) override {
    if (Linear* const linear = find(name, kWeight)) {
      const std::lock_guard lock(linear->mutex);
      if (linear->num_users > 0 && --linear->num_users == 0) {
        linear->floats = {};
        linear->whole = {};
      }
    }
    if (Linear* const linear = find(name, kBias)) {
      const std::lock_guard lock(linear->mutex);
      if (!linear->bias.empty()) return;  // never the file's
    }
    const auto norm = layout_.norms.find(name);
    files_->release(norm == layout_.norms.end() ? name : norm->second.weight);
  }

 private:
  /// A tensor that is in use while this lives.
  class Use {
   public:
    Use(SafetensorsSource& files, const std::string& name, std::size_t alignment)
        : Use(files, name, files.acquire(name, alignment)) {}
    /// Of one that has been acquired.
    Use(SafetensorsSource& files, std::string name, const void* data)
        : files_(files), name_(std::move(name)), data_(data) {}
    ~Use() { files_.release(name_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    const void* data() const { return data_; }

   private:
    SafetensorsSource& files_;
    std::string name_;
    const void* data_;
  };

  /// The layer that `tensor` belongs to as its <name><suffix>.
  Linear* find(std::string_view tensor, std::string_view suffix) {
    if (!tensor.ends_with(suffix)) return nullptr;
    const auto found = layout_.linears.find(tensor.substr(0, tensor.size() - suffix.size()));
    return found == layout_.linears.end() ? nullptr : &found->second;
  }

  void check_complete(const Linear& linear);
  ops::WeightSlice weight(Linear& linear, std::span<const std::int64_t> shape);
  ops::WeightSlice bias(Linear& linear, std::span<const std::int64_t> shape);
  ops::WeightSlice norm_weight(const Norm& norm, std::span<const std::int64_t> shape);

  /// Holds the layer's mutex; the weight's shape is [out, in], as its caller has checked.
  void derive(Linear& linear);
  void derive_scales(Linear& linear, std::int64_t rows);
  void derive_bias(Linear& linear, std::int64_t rows, std::int64_t columns);
  /// The numbers of a tensor [count] or [count, 1], or of a scalar where count is 1. I64 have the
  /// bits of an f32 in their lower half.
  std::vector<float> floats(const std::string& name, std::int64_t count);
  std::vector<std::int32_t> integers(const std::string& name, std::int64_t count);
  const SafetensorsEntry& vector_entry(const std::string& name, std::int64_t count) const;

  const ModelSlimDescription description_;
  Layout layout_;
  const std::unique_ptr<SafetensorsSource> files_;
  std::uint64_t total_bytes_ = 0;
  std::once_flag offsets_warning_;
};

void ModelSlimSource::check_complete(const Linear& linear) {
  const auto need = [&](std::string_view suffix) -> const SafetensorsEntry& {
    const std::string name = linear.tensor(suffix);
    const SafetensorsEntry* const entry = files_->find(name);
    check(entry != nullptr,
          "{}: says that {} is {}, for which tensor {} is needed; found none of that name",
          description_.origin,
          in_quotes(linear.tensor(kWeight)),
          description_.types.at(linear.tensor(kWeight)),
          in_quotes(name));
    return *entry;
  };
  const SafetensorsEntry& weight = need(kWeight);
  if (linear.is_quantized()) {
    check(weight.dtype == "I8" && weight.shape.size() == 2,
          "{}: tensor {}: expected I8[out, in], as {} says, found {}",
          files_->file_of(linear.tensor(kWeight)),
          in_quotes(linear.tensor(kWeight)),
          description_.origin,
          describe_tensor(weight.dtype, weight.shape));
    if (linear.type == ModelSlimType::fixed) {
      for (const std::string_view suffix :
           {".input_scale", ".input_offset", ".deq_scale", ".quant_bias"})
        need(suffix);
    } else {
      need(".weight_scale");
    }
  }
  // What get() does not give does not count as loaded.
  for (const std::string_view suffix : kParameters)
    if (const SafetensorsEntry* const entry = files_->find(linear.tensor(suffix)))
      total_bytes_ -= entry->end - entry->begin;
}

const SafetensorsEntry& ModelSlimSource::vector_entry(const std::string& name,
                                                      std::int64_t count) const {
  const SafetensorsEntry* const entry = files_->find(name);
  check(entry != nullptr,
        "{}: names tensor {}, of which the safetensors files have none",
        description_.origin,
        in_quotes(name));
  std::vector<std::int64_t> shape = entry->shape;
  if (shape.size() == 2 && shape[1] == 1) shape.pop_back();
  if (shape.empty()) shape.push_back(1);
  check(shape.size() == 1 && shape[0] == count,
        "{}: tensor {}: expected [{}] or [{}, 1], found {}{}",
        files_->file_of(name),
        in_quotes(name),
        count,
        count,
        describe_tensor("", entry->shape),
        entry->shape.size() == 2 ? ": scales of groups in a row are not supported" : "");
  return *entry;
}

std::vector<float> ModelSlimSource::floats(const std::string& name, std::int64_t count) {
  const SafetensorsEntry& entry = vector_entry(name, count);
  constexpr std::array<std::pair<std::string_view, device::DType>, 5> kDtypes{{
      {"F32", device::DType::f32},
      {"F16", device::DType::f16},
      {"BF16", device::DType::bf16},
      {"I8", device::DType::i8},
      {"I64", device::DType::i64},
  }};
  const auto* const dtype = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const auto& known) {
    return known.first == entry.dtype;
  });
  check(dtype != kDtypes.end(),
        "{}: tensor {}: expected F32, F16, BF16, I8 or I64, found {}",
        files_->file_of(name),
        in_quotes(name),
        entry.dtype);
  const Use use(*files_, name, device::size_of(dtype->second));
  std::vector<float> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = dtype->second == device::DType::i64
                 ? std::bit_cast<float>(
                       static_cast<std::uint32_t>(static_cast<const std::uint64_t*>(use.data())[i]))
                 : device::to_f32(use.data(), dtype->second, i);
  check(std::all_of(out.begin(), out.end(), [](float value) { return std::isfinite(value); }),
        "{}: tensor {}: expected finite numbers, found others",
        files_->file_of(name),
        in_quotes(name));
  return out;
}

std::vector<std::int32_t> ModelSlimSource::integers(const std::string& name, std::int64_t count) {
  const SafetensorsEntry& entry = vector_entry(name, count);
  check(entry.dtype == "I32",
        "{}: tensor {}: expected I32, found {}",
        files_->file_of(name),
        in_quotes(name),
        entry.dtype);
  const Use use(*files_, name, sizeof(std::int32_t));
  const auto* const data = static_cast<const std::int32_t*>(use.data());
  return {data, data + count};
}

void ModelSlimSource::derive_scales(Linear& linear, std::int64_t rows) {
  if (linear.type == ModelSlimType::fixed) {
    const std::string name = linear.tensor(".input_scale");
    linear.input_scale = floats(name, 1).front();
    check(linear.input_scale > 0.0f,
          "{}: tensor {}: expected a number above 0, found {}",
          files_->file_of(name),
          in_quotes(name),
          linear.input_scale);
    linear.scales = floats(linear.tensor(".deq_scale"), rows);
    for (float& scale : linear.scales) scale /= linear.input_scale;
    return;
  }
  linear.scales = floats(linear.tensor(".weight_scale"), rows);
  if (!files_->has(linear.tensor(".weight_offset"))) return;
  linear.offsets = floats(linear.tensor(".weight_offset"), rows);
  if (std::all_of(linear.offsets.begin(), linear.offsets.end(), is_zero)) linear.offsets.clear();
  if (linear.offsets.empty()) return;
  std::call_once(offsets_warning_, [&] {
    log::warn(
        "{}: weights have offsets (w_sym=False); they are made symmetric, which costs some "
        "accuracy",
        description_.origin);
  });
}

void ModelSlimSource::derive(Linear& linear) {
  if (linear.is_ready) return;
  const std::vector<std::int64_t>& shape = files_->find(linear.tensor(kWeight))->shape;
  if (linear.is_quantized()) derive_scales(linear, shape[0]);
  if (linear.derives_bias()) {
    derive_bias(linear, shape[0], shape[1]);
  } else if (linear.has_bias && !files_->has(linear.tensor(kBias))) {
    linear.bias.assign(static_cast<std::size_t>(shape[0]), 0.0f);  // another layer has one
  }
  linear.is_ready = true;
}

void ModelSlimSource::derive_bias(Linear& linear, std::int64_t rows, std::int64_t columns) {
  const bool is_static = linear.type == ModelSlimType::fixed;
  std::vector<std::int32_t> quant_bias;
  std::vector<float> bias;
  double input_offset = 0.0;
  if (is_static) {
    quant_bias = integers(linear.tensor(".quant_bias"), rows);
    input_offset = floats(linear.tensor(".input_offset"), 1).front();
  } else if (files_->has(linear.tensor(kBias))) {
    bias = floats(linear.tensor(kBias), rows);
  }
  std::vector<float> shift;
  if (!linear.norm_shift.empty()) shift = floats(linear.norm_shift, columns);
  if (std::all_of(shift.begin(), shift.end(), is_zero)) shift.clear();

  const std::string name = linear.tensor(kWeight);
  const std::array<std::int64_t, 2> shape{rows, columns};
  const ops::WeightSlice slice =
      linear.is_quantized()
          ? ops::WeightSlice{.data = files_->acquire(name, 1), .dtype = device::DType::i8}
          : files_->get(name, shape);
  const Use weight(*files_, name, slice.data);
  // A layer that the model has no bias for must come out without one, which a few rows show.
  const std::int64_t step = linear.has_bias ? 1 : std::max<std::int64_t>(rows / kNumSampledRows, 1);
  if (linear.has_bias) linear.bias.resize(static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; row += step) {
    const auto r = static_cast<std::size_t>(row);
    const double scale = linear.is_quantized() ? linear.scales[r] : 1.0;
    const double offset = linear.offsets.empty() ? 0.0 : linear.offsets[r];
    const auto first = r * static_cast<std::size_t>(columns);
    double sum = 0.0;
    double shifted = 0.0;
    double tolerance = 0.0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(columns); ++i) {
      const double number = device::to_f32(weight.data(), slice.dtype, first + i) - offset;
      sum += number;
      if (shift.empty()) continue;
      shifted += number * shift[i];
      // The shift went into the bias by weights before they were rounded, then bf16.
      tolerance +=
          std::abs(shift[i]) * (0x1p-7 * std::abs(number) + (linear.is_quantized() ? 0.5 : 0.0));
    }
    double value = scale * shifted;
    tolerance *= scale;
    if (is_static) {
      const double deq_scale = scale * linear.input_scale;
      value += (quant_bias[r] + input_offset * sum) * deq_scale;
      tolerance += deq_scale * (1.0 + 0x1p-20 * std::abs(input_offset * sum));  // sums were f32
    } else if (!bias.empty()) {
      value += bias[r];
    }
    if (linear.has_bias) {
      linear.bias[r] = static_cast<float>(value);
      continue;
    }
    check(std::abs(value) <= tolerance,
          "{}: {}: row {} has a bias of {}, where the model has none: config.json belongs to "
          "another model",
          description_.origin,
          in_quotes(linear.name),
          row,
          value);
  }
}

ops::WeightSlice ModelSlimSource::weight(Linear& linear, std::span<const std::int64_t> shape) {
  const std::string name = linear.tensor(kWeight);
  if (!linear.is_quantized()) return files_->get(name, shape);
  const SafetensorsEntry& entry = *files_->find(name);
  check(std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end()),
        "{}: tensor {}: expected shape {}, found {}",
        files_->file_of(name),
        in_quotes(name),
        describe_tensor("", shape),
        describe_tensor("", entry.shape));
  const std::lock_guard lock(linear.mutex);
  derive(linear);
  const auto* const data = static_cast<const std::int8_t*>(files_->acquire(name, 1));
  const auto columns = static_cast<std::size_t>(shape[1]);
  const std::size_t count = static_cast<std::size_t>(shape[0]) * columns;
  ++linear.num_users;
  ops::WeightSlice slice{.data = data,
                         .dtype = device::DType::i8,
                         .rows = shape[0],
                         .columns = shape[1],
                         .row_stride = shape[1],
                         .row_scales = linear.scales.data()};
  if (!linear.offsets.empty()) {
    if (linear.floats.empty()) {
      linear.floats.resize(count);
      for (std::size_t i = 0; i < count; ++i)
        linear.floats[i] = (static_cast<float>(data[i]) - linear.offsets[i / columns]) *
                           linear.scales[i / columns];
    }
    slice.data = linear.floats.data();
    slice.dtype = device::DType::f32;
    slice.row_scales = nullptr;
    return slice;
  }
  // Scales found by search leave a few weights at -128, which is none of LinearFormat's numbers.
  constexpr std::int8_t kMinimum = -128;
  if (!linear.has_minimum) linear.has_minimum = std::memchr(data, kMinimum, count) != nullptr;
  if (*linear.has_minimum) {
    if (linear.whole.empty()) {
      linear.whole.assign(data, data + count);
      std::replace(linear.whole.begin(), linear.whole.end(), kMinimum, std::int8_t{-127});
    }
    slice.data = linear.whole.data();
  }
  return slice;
}

ops::WeightSlice ModelSlimSource::bias(Linear& linear, std::span<const std::int64_t> shape) {
  const SafetensorsEntry& entry = *files_->find(linear.tensor(kWeight));
  check(shape.size() == 1 && entry.shape.size() == 2 && entry.shape[0] == shape[0],
        "{}: tensor {}: expected {} rows, found {}",
        files_->file_of(linear.tensor(kWeight)),
        in_quotes(linear.tensor(kWeight)),
        describe_tensor("", shape),
        describe_tensor("", entry.shape));
  {
    const std::lock_guard lock(linear.mutex);
    derive(linear);
  }
  if (linear.bias.empty()) return files_->get(linear.tensor(kBias), shape);
  return {.data = linear.bias.data(),
          .dtype = device::DType::f32,
          .rows = shape[0],
          .columns = 1,
          .row_stride = 1,
          .row_scales = nullptr};
}

ops::WeightSlice ModelSlimSource::norm_weight(const Norm& norm,
                                              std::span<const std::int64_t> shape) {
  if (!norm.bias.empty() && !norm.may_shift) {
    const std::vector<float> shift = floats(norm.bias, shape[0]);
    check(std::all_of(shift.begin(), shift.end(), is_zero),
          "{}: tensor {}: expected zeros, found others: a shift of this norm is not supported",
          files_->file_of(norm.bias),
          in_quotes(norm.bias));
  }
  if (!norm.same_as.empty())
    check(floats(norm.same_as, shape[0]) == floats(norm.weight, shape[0]),
          "{}: tensors {} and {} differ, and layers of both kinds follow them: not supported; "
          "quantize all of q, k and v, and both of gate and up, or none",
          files_->file_of(norm.weight),
          in_quotes(norm.weight),
          in_quotes(norm.same_as));
  return files_->get(norm.weight, shape);
}

/// The files of the folder that msModelSlim names, with or without an index; else those of any
/// model.
std::unique_ptr<SafetensorsSource> open_files(const std::filesystem::path& folder,
                                              const SafetensorsOptions& options) {
  std::set<std::string> indices;
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("quant_model_weight")) continue;
    if (name.ends_with(".safetensors.index.json")) indices.insert(name);
    if (name.ends_with(".safetensors")) files.insert(name);
  }
  check(indices.size() < 2,
        "{}: expected one index of safetensors files, found {}",
        folder.string(),
        fmt::join(indices, ", "));
  if (!indices.empty()) return open_safetensors_index(folder / *indices.begin(), options);
  if (files.empty()) {
    std::error_code error;
    check_in_both(std::filesystem::exists(folder / "model.safetensors", error) ||
                      std::filesystem::exists(folder / "model.safetensors.index.json", error),
                  "{}: expected msModelSlim's weights, quant_model_weight*.safetensors (or "
                  "model.safetensors), found none: the download or the conversion is incomplete",
                  "{}：没有 msModelSlim 的权重文件 quant_model_weight*.safetensors（也没有 "
                  "model.safetensors）：下载或转换不完整",
                  folder.string());
    return open_model_files(folder, options);
  }
  return open_safetensors_files(folder, {files.begin(), files.end()}, options);
}

}  // namespace

std::unique_ptr<WeightSource> open_modelslim(const std::filesystem::path& folder,
                                             ModelSlimDescription description,
                                             const ModelConfig& config,
                                             const SafetensorsOptions& options) {
  Layout layout(description, config);
  SafetensorsOptions used = options;
  // Files ask while they are opened.
  used.num_uses = [&](std::string_view name) {
    return layout.num_uses(name, options.num_uses ? options.num_uses(name) : 1);
  };
  std::unique_ptr<SafetensorsSource> files = open_files(folder, used);
  return std::make_unique<ModelSlimSource>(
      std::move(description), std::move(layout), std::move(files));
}

}  // namespace fastchat::model
