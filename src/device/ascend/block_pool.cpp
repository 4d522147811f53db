#include "device/ascend/block_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace fastchat::device::ascend {
namespace {

constexpr std::size_t round_up(std::size_t bytes, std::size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

}  // namespace

BlockPool::BlockPool(std::function<void*(std::size_t)> take_block,
                     std::function<void(void*)> give_back)
    : take_block_(std::move(take_block)), give_back_(std::move(give_back)) {}

void* BlockPool::allocate(std::size_t size_bytes) {
  const std::size_t needed = round_up(std::max<std::size_t>(size_bytes, 1), kAlignment);
  // The smallest part that does: large ones are kept for what is large.
  const auto smallest = [&] {
    auto best = free_.end();
    for (auto part = free_.begin(); part != free_.end(); ++part)
      if (part->second.size_bytes >= needed &&
          (best == free_.end() || part->second.size_bytes < best->second.size_bytes))
        best = part;
    return best;
  };
  auto found = smallest();
  if (found == free_.end()) {
    if (!take(needed)) return nullptr;
    found = smallest();
  }
  const auto [address, part] = *found;
  free_.erase(found);
  if (part.size_bytes > needed)
    free_[address + needed] = {.size_bytes = part.size_bytes - needed, .block = part.block};
  used_[address] = {.size_bytes = needed, .block = part.block};
  free_bytes_ -= needed;
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

void BlockPool::free(void* data) {
  const auto found = used_.find(reinterpret_cast<std::uintptr_t>(data));
  FASTCHAT_ASSERT(found != used_.end(), "{} is not memory of this pool", data);
  std::uintptr_t address = found->first;
  Part part = found->second;
  used_.erase(found);
  free_bytes_ += part.size_bytes;
  const auto next = free_.lower_bound(address);
  if (next != free_.end() && next->first == address + part.size_bytes &&
      next->second.block == part.block) {
    part.size_bytes += next->second.size_bytes;
    free_.erase(next);
  }
  const auto after = free_.lower_bound(address);
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second.size_bytes == address &&
        before->second.block == part.block) {
      address = before->first;
      part.size_bytes += before->second.size_bytes;
      free_.erase(before);
    }
  }
  const auto block = blocks_.find(part.block);
  if (address != block->first || part.size_bytes != block->second.size_bytes) {
    free_[address] = part;
    return;
  }
  free_bytes_ -= part.size_bytes;
  void* const taken = block->second.data;
  blocks_.erase(block);
  give_back_(taken);
}

bool BlockPool::reserve(std::size_t size_bytes) {
  return take(round_up(std::max<std::size_t>(size_bytes, 1), kAlignment));
}

bool BlockPool::take(std::size_t size_bytes) {
  // The first aligned address may lie some way in.
  const std::size_t with_alignment = size_bytes + kAlignment;
  const std::size_t taken_bytes = round_up(with_alignment + kAddedBytes, kPageBytes) - kAddedBytes;
  void* const data = take_block_(taken_bytes);
  if (data == nullptr) return false;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = round_up(address, kAlignment);
  const std::size_t usable = (taken_bytes - (first - address)) / kAlignment * kAlignment;
  blocks_[first] = {.data = data, .size_bytes = usable};
  free_[first] = {.size_bytes = usable, .block = first};
  free_bytes_ += usable;
  return true;
}

}  // namespace fastchat::device::ascend
