// Hands out the ids of KV blocks. The bytes behind them belong to KvCache; scheduling needs no
// card.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace fastchat::engine {

using BlockId = std::int32_t;

class BlockAllocator;

/// A counted reference to a block. The block returns to its allocator, which outlives it, with its
/// last reference. Engine thread only.
class BlockRef {
 public:
  BlockRef() = default;
  BlockRef(const BlockRef& other);
  BlockRef(BlockRef&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), id_(std::exchange(other.id_, -1)) {}
  BlockRef& operator=(BlockRef other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~BlockRef() { reset(); }

  void reset();
  BlockId id() const { return id_; }
  explicit operator bool() const { return owner_ != nullptr; }

 private:
  friend class BlockAllocator;
  BlockRef(BlockAllocator* owner, BlockId id) : owner_(owner), id_(id) {}

  BlockAllocator* owner_ = nullptr;
  BlockId id_ = -1;
};

/// Engine thread only. Allocates no memory after construction.
class BlockAllocator {
 public:
  struct Config {
    std::int64_t num_blocks = 0;
    std::int64_t block_size = 16;  // KV positions per block
  };

  explicit BlockAllocator(const Config& config);
  ~BlockAllocator();
  BlockAllocator(const BlockAllocator&) = delete;
  BlockAllocator& operator=(const BlockAllocator&) = delete;

  /// A block nobody references: one without cached contents if there is one, else the cached block
  /// whose last reference went first. None when all are referenced.
  std::optional<BlockRef> allocate();
  /// One more reference to a block, which may be free: its contents are as they were.
  BlockRef share(BlockId id);

  /// Cached blocks keep their contents while free, and go last. `evicted` is called when one is
  /// handed out after all.
  void set_cached(BlockId id, bool cached);
  void on_evict(std::function<void(BlockId)> evicted) { evicted_ = std::move(evicted); }

  std::int64_t num_free() const { return num_free_; }  // referenced by nobody, cached or not
  std::int64_t num_blocks() const { return config_.num_blocks; }
  std::int64_t block_size() const { return config_.block_size; }
  std::int32_t num_refs(BlockId id) const { return node(id).num_refs; }

 private:
  friend class BlockRef;

  // Free blocks form a ring through `sentinel()`: next to be handed out first.
  struct Node {
    std::int32_t num_refs = 0;
    BlockId previous = -1;
    BlockId next = -1;
    bool cached = false;
  };

  BlockId sentinel() const { return static_cast<BlockId>(config_.num_blocks); }
  Node& node(BlockId id) { return nodes_[static_cast<std::size_t>(id)]; }
  const Node& node(BlockId id) const { return nodes_[static_cast<std::size_t>(id)]; }
  void link_before(BlockId id, BlockId next);
  void unlink(BlockId id);
  void put_free(BlockId id);
  void release(BlockId id);

  Config config_;
  std::vector<Node> nodes_;
  std::int64_t num_free_ = 0;
  std::function<void(BlockId)> evicted_;
};

}  // namespace fastchat::engine
