// Finds blocks by what they hold, so that equal prompt prefixes are computed once and a chat's next
// turn finds the KV of the turns before it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/block_allocator.h"

namespace fastchat::engine {

/// Identifies a full block by its tokens and all tokens before them.
struct BlockHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const BlockHash&) const = default;
};

/// An index over the blocks of one allocator: it holds no references, so an entry lasts as long as
/// its block is not handed out anew. Engine thread only, except hash(). Allocates no memory after
/// construction.
class PrefixCache {
 public:
  /// `blocks` outlives the cache, and has no other cache.
  explicit PrefixCache(BlockAllocator& blocks);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// The hash of a block with these tokens that follows the block `parent` (BlockHash{}: the
  /// first). SipHash-2-4 with 128 bits and a random key: a client can neither find nor provoke a
  /// collision, which would hand it another client's context.
  BlockHash hash(const BlockHash& parent, std::span<const std::int32_t> tokens) const;

  std::optional<BlockId> find(const BlockHash& hash) const;
  /// From now on `hash` finds `block`, unless it finds an equal block already.
  void insert(const BlockHash& hash, const BlockRef& block);
  /// The block's contents are not to be trusted any more.
  void forget(BlockId id);

  std::int64_t num_cached() const { return num_cached_; }

 private:
  // A hash table chained through the blocks: a block has at most one entry.
  struct Entry {
    BlockHash hash;
    BlockId next = -1;
    bool used = false;
  };

  Entry& entry(BlockId id) { return entries_[static_cast<std::size_t>(id)]; }
  const Entry& entry(BlockId id) const { return entries_[static_cast<std::size_t>(id)]; }
  std::size_t bucket(const BlockHash& hash) const { return hash.low & (buckets_.size() - 1); }
  void remove(BlockId id);

  BlockAllocator& blocks_;
  std::uint64_t key_[2];
  std::vector<Entry> entries_;    // [num_blocks]
  std::vector<BlockId> buckets_;  // first entry of each chain, -1 = none; a power of two of them
  std::int64_t num_cached_ = 0;
};

}  // namespace fastchat::engine
