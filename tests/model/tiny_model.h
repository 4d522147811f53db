// A small model on one cpu device, split into stages, driven as the engine's runner drives it:
// paged KV whose blocks are handed out in random order, steps that mix sequences.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "model/decoder_stage.h"

namespace fastchat::model {

struct TinyModelOptions {
  device::DType dtype = device::DType::f32;
  std::optional<device::CpuIsa> isa;  // nullopt: the machine's best
  bool reference_ops = false;
  int num_stages = 1;
  StepLimits limits{.max_num_tokens = 64, .max_num_seqs = 4, .max_logits_rows = 64};
  std::int64_t max_model_len = 128;
  WeightSource* weights = nullptr;  // nullptr: dummy weights of dtype
  LoadProgress progress;
};

/// Tokens that a step adds to a sequence.
struct Chunk {
  int sequence = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> logits_of;  // positions in `tokens`
};

class TinyModel {
 public:
  TinyModel(const ModelConfig& config, const TinyModelOptions& options);
  ~TinyModel();

  /// One forward pass of all stages. Returns the logits asked for, [rows, vocab], in the order of
  /// the chunks.
  std::vector<float> step(const std::vector<Chunk>& chunks);
  /// Runs `prompt`, then feeds back the likeliest token `count` times.
  std::vector<std::int32_t> greedy(int sequence,
                                   const std::vector<std::int32_t>& prompt,
                                   std::size_t count);

  device::Device& device() { return *device_; }
  ops::Ops& ops() { return *ops_; }
  const std::vector<std::unique_ptr<DecoderStage>>& stages() const { return stages_; }
  const std::vector<parallel::StagePlacement>& placements() const { return placements_; }

 private:
  struct Sequence {
    std::int64_t num_tokens = 0;
    std::vector<std::int32_t> blocks;
  };

  const ModelConfig config_;
  const TinyModelOptions options_;
  std::unique_ptr<device::Platform> platform_;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<ops::Ops> ops_;
  std::unique_ptr<device::Stream> stream_;
  std::vector<parallel::StagePlacement> placements_;
  std::vector<std::unique_ptr<DecoderStage>> stages_;
  std::vector<device::Buffer> kv_buffers_;
  std::vector<std::vector<ops::KvLayer>> kv_;  // per stage
  device::Buffer integers_;
  device::Buffer hidden_;
  std::vector<std::int32_t> free_blocks_;
  std::map<int, Sequence> sequences_;
};

/// Contiguous stages of about equal size.
std::vector<parallel::StagePlacement> split_layers(std::int64_t num_layers, int num_stages);

}  // namespace fastchat::model
