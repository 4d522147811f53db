// Weights from an integer hash: the same on every machine and in tests/model/record_goldens.py.
//
// All integer arithmetic is modulo 2^64. For the tensor `name` and element i (row-major, from 0):
//   seed = FNV-1a of the name's bytes: h = 14695981039346656037; per byte: h = (h ^ byte) *
//   1099511628211 j = i / 2 z = seed + (j + 1) * 0x9E3779B97F4A7C15 z = (z ^ (z >> 30)) *
//   0xBF58476D1CE4E5B9 z = (z ^ (z >> 27)) * 0x94D049BB133111EB z = z ^ (z >> 31) (splitmix64) k =
//   ((i even ? z >> 40 : z >> 16) mod 2^24) - 2^23           an integer in [-2^23, 2^23)
// and the value, in f32 with one rounding, then rounded to the dtype:
//   two or more dimensions   k * f32(sqrt(1.5 / columns) / 2^23)   columns: product of all
//                                                                   dimensions but the first
//   one, name ends in .bias  k * 2^-26                           in ±1/8
//   one, otherwise           1 + k * 2^-25                       norm weights, in 1 ± 1/4
// f32(sqrt(…) / 2^23) is computed in f64 and rounded once. The matrices' variance, 1/(2 columns),
// keeps activations near those of trained models: with 1/columns tiny models amplify rounding (bf16
// in transformers itself is off by 1 to 3 % then), with much less their layers would not matter.
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/check.h"
#include "model/weight_source.h"

namespace fastchat::model {
namespace {

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

std::uint64_t splitmix64(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// 24 bits of a hash as a number in [-2^23, 2^23).
float centred(std::uint64_t bits) {
  return static_cast<float>(static_cast<std::int32_t>(bits & 0xFFFFFF) - (1 << 23));
}

// As device::f32_to_bf16, inline and for the finite values that come up here: a 7B model has as
// many of them.
std::uint16_t round_to_bf16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

template <typename Element, typename Round>
void generate(std::uint64_t seed, float offset, float step, Round round, std::vector<char>& out) {
  auto* const elements = reinterpret_cast<Element*>(out.data());
  const std::size_t count = out.size() / sizeof(Element);
  for (std::size_t i = 0; i < count; i += 2) {
    const std::uint64_t z = splitmix64(seed, i / 2);
    elements[i] = round(offset + centred(z >> 40) * step);
    if (i + 1 < count) elements[i + 1] = round(offset + centred(z >> 16) * step);
  }
}

class DummyWeights : public WeightSource {
 public:
  enum class Rows : std::uint8_t { all, first };
  DummyWeights(device::DType dtype, Rows rows) : dtype_(dtype), rows_(rows) {
    check(device::is_float(dtype),
          "dummy weights: expected f32, f16 or bf16, found {}",
          device::to_string(dtype));
  }

  bool has(std::string_view) const override { return true; }
  std::uint64_t total_bytes() const override { return 0; }

  ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) override {
    ops::WeightSlice slice;
    slice.dtype = dtype_;
    slice.rows = shape.empty() ? 1 : shape[0];
    slice.columns = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) slice.columns *= shape[i];
    const bool repeats = rows_ == Rows::first && shape.size() > 1;
    slice.row_stride = repeats ? 0 : slice.columns;

    const std::shared_ptr<Tensor> tensor = acquire(name);
    // Stages that ask for the same tensor (tied embedding and head) share it; the first one fills
    // it.
    const std::lock_guard lock(tensor->mutex);
    const std::size_t size_bytes =
        static_cast<std::size_t>((repeats ? 1 : slice.rows) * slice.columns) *
        device::size_of(dtype_);
    if (tensor->bytes.empty()) fill(name, shape.size(), slice.columns, size_bytes, tensor->bytes);
    FASTCHAT_ASSERT(tensor->bytes.size() == size_bytes, "tensor {} asked in two shapes", name);
    slice.data = tensor->bytes.data();
    return slice;
  }

  void release(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto found = tensors_.find(name);
    if (found != tensors_.end() && --found->second->num_users == 0) tensors_.erase(found);
  }

 private:
  struct Tensor {
    std::mutex mutex;  // guards bytes while they are filled
    std::vector<char> bytes;
    int num_users = 0;  // guarded by the source's mutex
  };

  std::shared_ptr<Tensor> acquire(std::string_view name) {
    const std::lock_guard lock(mutex_);
    auto found = tensors_.find(name);
    if (found == tensors_.end())
      found = tensors_.emplace(std::string(name), std::make_shared<Tensor>()).first;
    ++found->second->num_users;
    return found->second;
  }

  void fill(std::string_view name,
            std::size_t rank,
            std::int64_t columns,
            std::size_t size_bytes,
            std::vector<char>& bytes) const {
    float offset = 0.0f;
    auto step = static_cast<float>(std::sqrt(1.5 / static_cast<double>(columns)) * 0x1p-23);
    if (rank < 2) {
      const bool is_bias = name.ends_with(".bias");
      offset = is_bias ? 0.0f : 1.0f;
      step = is_bias ? 0x1p-26f : 0x1p-25f;
    }
    bytes.resize(size_bytes);
    const std::uint64_t seed = fnv1a(name);
    switch (dtype_) {
      case device::DType::bf16:
        generate<std::uint16_t>(seed, offset, step, round_to_bf16, bytes);
        break;
      case device::DType::f16:
        generate<std::uint16_t>(seed, offset, step, device::f32_to_f16, bytes);
        break;
      default:
        generate<float>(
            seed, offset, step, [](float value) { return value; }, bytes);
    }
  }

  const device::DType dtype_;
  const Rows rows_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Tensor>, std::less<>> tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> dummy_weights(device::DType dtype) {
  return std::make_unique<DummyWeights>(dtype, DummyWeights::Rows::all);
}

std::unique_ptr<WeightSource> repeated_row_weights(device::DType dtype) {
  return std::make_unique<DummyWeights>(dtype, DummyWeights::Rows::first);
}

}  // namespace fastchat::model
