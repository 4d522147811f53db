#include "engine/prefix_cache.h"

#include <bit>
#include <random>

#include "base/check.h"

namespace fastchat::engine {
namespace {

// SipHash-2-4 with 128 bits of output, over 64-bit words. Aumasson and Bernstein, "SipHash: a fast
// short-input PRF", 2012, and the reference implementation's 128-bit variant.
class SipHash128 {
 public:
  SipHash128(std::uint64_t key0, std::uint64_t key1)
      : v0_(0x736f6d6570736575ull ^ key0),
        v1_(0x646f72616e646f6dull ^ key1 ^ 0xee),
        v2_(0x6c7967656e657261ull ^ key0),
        v3_(0x7465646279746573ull ^ key1) {}

  void add(std::uint64_t word) {
    v3_ ^= word;
    rounds(2);
    v0_ ^= word;
  }

  BlockHash finish() {
    BlockHash hash;
    v2_ ^= 0xee;
    rounds(4);
    hash.low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    rounds(4);
    hash.high = v0_ ^ v1_ ^ v2_ ^ v3_;
    return hash;
  }

 private:
  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0_ += v1_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v3_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  std::uint64_t v0_, v1_, v2_, v3_;
};

}  // namespace

PrefixCache::PrefixCache(BlockAllocator& blocks)
    : blocks_(blocks),
      entries_(static_cast<std::size_t>(blocks.num_blocks())),
      buckets_(std::bit_ceil(2 * static_cast<std::size_t>(blocks.num_blocks())), -1) {
  std::random_device random;
  for (std::uint64_t& half : key_) half = (std::uint64_t{random()} << 32) | random();
  blocks_.on_evict([this](BlockId id) { remove(id); });
}

PrefixCache::~PrefixCache() { blocks_.on_evict(nullptr); }

BlockHash PrefixCache::hash(const BlockHash& parent, std::span<const std::int32_t> tokens) const {
  SipHash128 state(key_[0], key_[1]);
  state.add(parent.low);
  state.add(parent.high);
  const auto bits = [](std::int32_t token) {
    return std::uint64_t{static_cast<std::uint32_t>(token)};
  };
  for (std::size_t i = 0; i < tokens.size(); i += 2)
    state.add(bits(tokens[i]) | (i + 1 < tokens.size() ? bits(tokens[i + 1]) << 32 : 0));
  state.add(tokens.size());
  return state.finish();
}

std::optional<BlockId> PrefixCache::find(const BlockHash& hash) const {
  for (BlockId id = buckets_[bucket(hash)]; id >= 0; id = entry(id).next)
    if (entry(id).hash == hash) return id;
  return std::nullopt;
}

void PrefixCache::insert(const BlockHash& hash, const BlockRef& block) {
  const BlockId id = block.id();
  if (find(hash)) return;
  FASTCHAT_ASSERT(!entry(id).used, "block {} is cached under another hash", id);
  BlockId& first = buckets_[bucket(hash)];
  entry(id) = {.hash = hash, .next = first, .used = true};
  first = id;
  ++num_cached_;
  blocks_.set_cached(id, true);
}

void PrefixCache::forget(BlockId id) {
  if (!entry(id).used) return;
  remove(id);
  blocks_.set_cached(id, false);
}

void PrefixCache::remove(BlockId id) {
  BlockId* link = &buckets_[bucket(entry(id).hash)];
  while (*link != id) link = &entry(*link).next;
  *link = entry(id).next;
  entry(id) = {};
  --num_cached_;
}

}  // namespace fastchat::engine
