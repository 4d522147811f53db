#include "engine/block_allocator.h"

#include <limits>

#include "base/check.h"

namespace fastchat::engine {

BlockRef::BlockRef(const BlockRef& other) : owner_(other.owner_), id_(other.id_) {
  if (owner_ != nullptr) ++owner_->node(id_).num_refs;
}

void BlockRef::reset() {
  if (owner_ == nullptr) return;
  BlockAllocator* owner = std::exchange(owner_, nullptr);
  owner->release(std::exchange(id_, -1));
}

BlockAllocator::BlockAllocator(const Config& config) : config_(config) {
  check(config.num_blocks >= 1 && config.num_blocks < std::numeric_limits<BlockId>::max(),
        "num_blocks: expected at least 1 and below 2^31, found {}",
        config.num_blocks);
  check(config.block_size >= 1, "block_size: expected at least 1, found {}", config.block_size);
  nodes_.resize(static_cast<std::size_t>(config.num_blocks) + 1);
  node(sentinel()).previous = node(sentinel()).next = sentinel();
  for (BlockId id = 0; id < sentinel(); ++id) link_before(id, sentinel());
  num_free_ = config.num_blocks;
}

BlockAllocator::~BlockAllocator() {
  FASTCHAT_ASSERT(num_free_ == config_.num_blocks,
                  "{} of {} blocks are still referenced",
                  config_.num_blocks - num_free_,
                  config_.num_blocks);
}

std::optional<BlockRef> BlockAllocator::allocate() {
  const BlockId id = node(sentinel()).next;
  if (id == sentinel()) return std::nullopt;
  if (node(id).cached) {
    node(id).cached = false;
    if (evicted_) evicted_(id);
  }
  return share(id);
}

BlockRef BlockAllocator::share(BlockId id) {
  FASTCHAT_ASSERT(id >= 0 && id < sentinel(), "block {} of {} blocks", id, config_.num_blocks);
  if (node(id).num_refs++ == 0) {
    unlink(id);
    --num_free_;
  }
  return BlockRef(this, id);
}

void BlockAllocator::set_cached(BlockId id, bool cached) {
  node(id).cached = cached;
  if (node(id).num_refs == 0) {
    unlink(id);
    put_free(id);
  }
}

void BlockAllocator::release(BlockId id) {
  FASTCHAT_ASSERT(node(id).num_refs > 0, "block {} is released twice", id);
  if (--node(id).num_refs > 0) return;
  put_free(id);
  ++num_free_;
}

void BlockAllocator::put_free(BlockId id) {
  link_before(id, node(id).cached ? sentinel() : node(sentinel()).next);
}

void BlockAllocator::link_before(BlockId id, BlockId next) {
  const BlockId previous = node(next).previous;
  node(id).previous = previous;
  node(id).next = next;
  node(previous).next = id;
  node(next).previous = id;
}

void BlockAllocator::unlink(BlockId id) {
  node(node(id).previous).next = node(id).next;
  node(node(id).next).previous = node(id).previous;
}

}  // namespace fastchat::engine
