// Where weights come from: a checkpoint's files, or a fixed hash.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/safetensors_file.h"
#include "ops/ops.h"

namespace fastchat::model {

struct ModelConfig;

/// Tensors by name, in host memory. Implementations: safetensors files (mapped), dummy weights.
/// Several stages may load at once: get() and release() are safe from any thread.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(std::string_view name) const = 0;
  /// The tensor, whose shape must be `shape`. Valid until release(name).
  /// Throws Failure naming file, tensor, expected and found when it is missing, has another shape
  /// or dtype.
  virtual ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) = 0;
  /// The tensor is no longer needed: its pages are dropped.
  virtual void release(std::string_view name) = 0;
  /// Bytes of all tensors, for progress bars; 0 when the source cannot know (dummy weights).
  virtual std::uint64_t total_bytes() const = 0;
};

/// How safetensors files are read; names as vLLM has them.
enum class LoadStrategy : std::uint8_t {
  automatic,  // eager on network file systems, lazy elsewhere
  lazy,       // mapped: what is touched is read
  eager,      // each file once, from front to back; tensors wait in host memory for their turn
};

struct SafetensorsOptions {
  LoadStrategy strategy = LoadStrategy::automatic;
  /// How many times a load gets and releases the tensor of that name; empty: once each. Eager files
  /// keep a tensor that long.
  NumUses num_uses;
  /// Opens a file to be read eagerly, and tells network file systems (an empty name: none): for
  /// tests.
  std::function<std::unique_ptr<FileReader>(const std::string& path)> open = open_file;
  std::function<std::string_view(const std::string& path)> network = [](const std::string& path) {
    return network_file_system(path);
  };
};

/// The safetensors files of a model folder: model.safetensors, or the shards that
/// model.safetensors.index.json names. Headers are checked in full here: sizes, offsets, overlaps,
/// dtypes. Throws Failure naming file and defect, and all files that are missing.
std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& folder,
                                               const SafetensorsOptions& options = {});

/// The weights of a model folder in whatever form it has them: plain safetensors files, or
/// msModelSlim's int8 ones, of which get() gives slices of i8 with row scales. `config` is what
/// read_model_config(folder) gave. Throws Failure as open_safetensors().
std::unique_ptr<WeightSource> open_checkpoint(const std::filesystem::path& folder,
                                              const ModelConfig& config,
                                              const SafetensorsOptions& options = {});

/// Weights from an integer hash of tensor name and element index, the same on every machine and in
/// the Python scripts (see dummy_weights.cpp): for tests, and --load-format dummy.
std::unique_ptr<WeightSource> dummy_weights(device::DType dtype);

/// As dummy_weights, but every row of a tensor is its first one, which alone is made: for measuring
/// the speed of devices whose memory is larger than patience.
std::unique_ptr<WeightSource> repeated_row_weights(device::DType dtype);

}  // namespace fastchat::model
