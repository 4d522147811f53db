// Memory of a card in few large blocks: the runtime's own allocations are slow, and cost whole
// pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

namespace fastchat::device::ascend {

/// Hands out parts of blocks, at multiples of kAlignment. Not thread-safe.
class BlockPool {
 public:
  /// What transfers between cards like best; operators want 32.
  static constexpr std::size_t kAlignment = 512;
  /// Blocks fill whole pages with the bytes that the runtime adds to every allocation.
  static constexpr std::size_t kPageBytes = std::size_t{2} << 20;
  static constexpr std::size_t kAddedBytes = 32;

  /// `take_block` gives a block of that many bytes, aligned to at least 64, or nullptr.
  BlockPool(std::function<void*(std::size_t)> take_block, std::function<void(void*)> give_back);

  /// nullptr where `take_block` gives none.
  void* allocate(std::size_t size_bytes);
  /// What allocate() gave. A block of which nothing is in use any more is given back.
  void free(void* data);
  /// Takes a block with room for this much; false where there is none.
  bool reserve(std::size_t size_bytes);

  /// What allocate() could give without a new block, in parts.
  std::size_t free_bytes() const { return free_bytes_; }
  std::size_t num_blocks() const { return blocks_.size(); }

 private:
  struct Part {
    std::size_t size_bytes = 0;
    std::uintptr_t block = 0;
  };
  bool take(std::size_t size_bytes);

  std::function<void*(std::size_t)> take_block_;
  std::function<void(void*)> give_back_;
  struct Block {
    void* data = nullptr;  // as it was taken
    std::size_t size_bytes = 0;
  };
  std::map<std::uintptr_t, Block> blocks_;  // by first aligned address
  std::map<std::uintptr_t, Part> free_;     // by address; neighbours of a block are one part
  std::map<std::uintptr_t, Part> used_;
  std::size_t free_bytes_ = 0;
};

}  // namespace fastchat::device::ascend
