#include "engine/kv_cache.h"

namespace fastchat::engine {

KvCache::KvCache(ops::Ops& ops,
                 const model::DecoderStage& stage,
                 std::int64_t num_layers,
                 std::int64_t num_blocks) {
  std::uint64_t total_bytes = 0;
  std::vector<std::uint64_t> offsets;
  for (std::int64_t layer = 0; layer < num_layers; ++layer) {
    offsets.push_back(total_bytes);
    total_bytes += ops::kv_block_bytes(ops.traits(), stage.kv_spec(layer)) *
                   static_cast<std::uint64_t>(num_blocks);
  }
  buffer_ = ops.device().allocate(total_bytes, "kv cache");
  for (std::int64_t layer = 0; layer < num_layers; ++layer) {
    layers_.push_back(
        {.data = static_cast<char*>(buffer_.data()) + offsets[static_cast<std::size_t>(layer)],
         .num_blocks = num_blocks,
         .spec = stage.kv_spec(layer)});
  }
}

void KvCache::clear(device::Stream& stream) {
  stream.fill(buffer_.data(), 0, buffer_.size_bytes());
}

}  // namespace fastchat::engine
