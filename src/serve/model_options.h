// Flags shared by every verb that names a model and devices, with FastChat's names where FastChat
// has the flag.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "model/model_config.h"
#include "model/weight_source.h"
#include "serve/language.h"
#include "serve/parallel_options.h"

namespace CLI {  // NOLINT(readability-identifier-naming): their name
class App;
}

namespace fastchat::serve {

enum class LoadFormat { automatic, dummy, repeated_rows };

struct ModelOptions {
  std::string model_path;         // --model-path: folder in Hugging Face format, or an id until
                                  // resolve_model_path() (model_path.h) has found its folder
  std::string revision = "main";  // --revision: of an id
  std::string model_name;         // what people call the model; set by resolve_model_path()
  std::string
      shape;  // --shape: a published model's dimensions without its files (plan; dummy weights)
  std::string device = "auto";  // --device auto|npu|cpu (cuda: named, refused with what is missing)
  int num_gpus = 0;       // --num-gpus: devices to spread over; 0 = 1, or the number of --gpus
  std::vector<int> gpus;  // --gpus 0,2: indices after the visible mask, in rank order
  std::vector<std::uint64_t>
      max_gpu_memory;  // --max-gpu-memory 13GiB or 4GiB,8GiB: one value or one per device
  double gpu_memory_utilization =
      0.9;  // --gpu-memory-utilization: share of free memory used where no limit is given
  ParallelOptions parallel;
  std::vector<parallel::DeviceBudget> cards;    // plan --cards: instead of devices that are here
  std::optional<std::uint64_t> kv_cache_bytes;  // --kv-cache-bytes: over all devices
  std::int64_t max_model_len =
      0;  // --max-model-len: 0 = what the model was made for, or as much of it as fits
  std::int64_t max_num_batched_tokens = 0;  // --max-num-batched-tokens: of one step; 0 = 512, on
                                            // npu 2048
  std::int64_t max_num_seqs = 16;
  bool enforce_eager = false;                             // --enforce-eager: steps are not recorded
  std::string dtype = "auto";                             // --dtype auto|float32|float16|bfloat16
  std::optional<model::Quantization> named_quantization;  // --quantization none|w8a16|w8a8
  bool load_8bit = false;                                 // --load-8bit: the same as w8a16
  // What these two ask of weights that the checkpoint has in 16 bits.
  model::Quantization quantization = model::Quantization::none;
  LoadFormat load_format = LoadFormat::automatic;  // --load-format auto|dummy
  // --safetensors-load-strategy auto|lazy|eager
  model::LoadStrategy load_strategy = model::LoadStrategy::automatic;
};

/// Adds the flags to `app`, grouped, with help texts in the chosen language; takes the app's
/// parse_complete_callback, to check flags against each other. FastChat's flags that this version
/// lacks are recognised and refused with what to do instead. `options` outlives the parse, which is
/// parse_command_line's (command_line.h).
void add_model_options(CLI::App& app, ModelOptions& options);

/// More cpu devices than this is a mistyped number.
inline constexpr int kMaxDevices = 1024;

/// One line: why devices of this kind ("npu", "cuda") cannot be used in this version. Empty when
/// they can.
std::string missing_platform(std::string_view kind);

/// Devices a platform needs to have for `options`: --num-gpus, or enough that every index of --gpus
/// exists.
int num_platform_devices(const ModelOptions& options);

/// The platform that `options.device` names, with as many devices as asked for, which describe
/// themselves in the language of `choose`. Throws Failure saying what is missing.
std::unique_ptr<device::Platform> open_platform(const ModelOptions& options,
                                                ChooseText choose = text);
/// Indices to open on that platform, in rank order: --gpus, or 0 … num_gpus - 1. Throws Failure
/// when out of range.
std::vector<int> device_indices(const ModelOptions& options, device::Platform& platform);
/// What the start report and `plan` call the numbers of a model: "f16", "f16, weights in 8 bits
/// (w8a16)".
std::string describe_numbers(const model::ModelConfig& config, device::DType dtype);
/// --dtype resolved: auto = the checkpoint's 16-bit type on cpu (f32 for f32 checkpoints), f16 on
/// npu and cuda. Throws UsageFailure where that kind cannot compute with it.
device::DType resolve_dtype(const ModelOptions& options,
                            const model::ModelConfig& config,
                            device::DeviceKind kind);

}  // namespace fastchat::serve
