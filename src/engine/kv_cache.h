// The device memory of keys and values of one stage: the bytes behind the ids of BlockAllocator.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/decoder_stage.h"
#include "ops/ops.h"

namespace fastchat::engine {

/// `num_blocks` blocks for every layer of a stage, in one allocation. Contents are undefined until
/// written.
class KvCache {
 public:
  /// Throws OutOfMemory.
  KvCache(ops::Ops& ops,
          const model::DecoderStage& stage,
          std::int64_t num_layers,
          std::int64_t num_blocks);

  /// Zeros everywhere, in stream order.
  void clear(device::Stream& stream);

  std::span<const ops::KvLayer> layers() const { return layers_; }
  std::uint64_t size_bytes() const { return buffer_.size_bytes(); }

 private:
  ops::Buffer buffer_;
  std::vector<ops::KvLayer> layers_;
};

}  // namespace fastchat::engine
