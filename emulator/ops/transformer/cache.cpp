// ScatterPaKvCache: new keys and values into a paged cache.
#include <unordered_set>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/phase1.h"

namespace emulator {
namespace {

/// One of key and value with its cache.
struct Pages {
  Operand tokens, cache;
  bool fractal = false;  // PA_NZ: (blocks, N·D / C0, block size, C0)

  int64_t block_size() const { return cache.dim(fractal ? 2 : 1); }
  int64_t num_slots() const { return cache.dim(0) * block_size(); }

  void check(const Phase1& op) const {
    op.dtype_in(tokens, {ACL_FLOAT16, ACL_BF16, ACL_INT8});
    op.same_dtype(tokens, cache);
    op.rank_in(tokens, 3, 3);
    op.rank_in(cache, 4, 4);
    const int64_t heads = tokens.dim(1);
    const int64_t dim = tokens.dim(2);
    if (!fractal) {
      op.dims_are(cache, {cache.dim(0), cache.dim(1), heads, dim});
      return;
    }
    const int64_t width = fractal_columns(tokens.dtype());
    op.require(heads * dim % width == 0, "{} · {} values are not {} n", heads, dim, width);
    op.dims_are(cache, {cache.dim(0), heads * dim / width, cache.dim(2), width});
  }

  void write(const Run& run, const std::vector<int64_t>& slots) const {
    const HostView all = run.view(tokens);
    const Dims& steps = cache.meta.strides;
    const int64_t heads = tokens.dim(1);
    const int64_t dim = tokens.dim(2);
    const int64_t width = fractal_columns(tokens.dtype());
    for (size_t token = 0; token < slots.size(); ++token) {
      const int64_t block = slots[token] / block_size();
      const int64_t place = slots[token] % block_size();
      HostView row = sliced(all, 0, static_cast<int64_t>(token), 1);
      row.dims.erase(row.dims.begin());
      row.strides.erase(row.strides.begin());
      if (!fractal) {
        const HostView to = run.part(
            cache, block * steps[0] + place * steps[1], {heads, dim}, {steps[2], steps[3]});
        copy_elements(row, to);
        continue;
      }
      std::vector<std::byte> line(static_cast<size_t>(heads * dim * element_bytes(all.dtype)));
      const HostView dense = {
          .dtype = all.dtype, .dims = {heads, dim}, .strides = {dim, 1}, .data = line.data()};
      copy_elements(row, dense);
      HostView split = dense;
      split.dims = {heads * dim / width, width};
      split.strides = {width, 1};
      const HostView to =
          run.part(cache, block * steps[0] + place * steps[2], split.dims, {steps[1], steps[3]});
      copy_elements(split, to);
    }
  }
};

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnScatterPaKvCache,
                  const aclTensor* key,
                  aclTensor* key_cache,
                  const aclTensor* slot_mapping,
                  const aclTensor* value,
                  aclTensor* value_cache,
                  const aclTensor* compress_lens,
                  const aclTensor* compress_seq_offset,
                  const aclTensor* seq_lens,
                  char* cache_mode,
                  char* scatter_mode,
                  const aclIntArray* strides,
                  const aclIntArray* offsets) {
  return phase1("aclnnScatterPaKvCache", workspace_size, executor, [&](Phase1& op) {
    Pages keys;
    Pages values;
    keys.tokens = op.input("key", key);
    keys.cache = op.in_place("keyCacheRef", key_cache);
    const Operand slots = op.input("slotMapping", slot_mapping);
    values.tokens = op.input("value", value);
    values.cache = op.in_place("valueCacheRef", value_cache);
    const std::string mode = cache_mode == nullptr ? "Norm" : cache_mode;
    const std::string scatter = scatter_mode == nullptr ? "None" : scatter_mode;
    op.require(mode == "Norm" || mode == "PA_NZ", "cacheMode \"{}\" is not known here", mode);
    op.require(scatter == "None", "scatterMode \"{}\" is not emulated", scatter);
    op.require(compress_lens == nullptr && compress_seq_offset == nullptr && seq_lens == nullptr,
               "compressLens, compressSeqOffset and seqLens go with other scatter modes");
    op.require(strides == nullptr && offsets == nullptr,
               "strides and offsets go with scatterMode \"Nct\"");
    keys.fractal = values.fractal = mode == "PA_NZ";
    keys.check(op);
    const bool has_values = values.tokens.count() > 0;
    if (has_values) {
      values.check(op);
      op.same_dtype(keys.tokens, values.tokens);
      op.require(
          values.tokens.dim(0) == keys.tokens.dim(0) && values.num_slots() == keys.num_slots(),
          "key and value differ in tokens or slots");
    }
    op.dtype_in(slots, {ACL_INT32, ACL_INT64});
    op.dims_are(slots, {keys.tokens.dim(0)});
    for (const Pages* pages : {&keys, &values})
      op.touches(pages->cache, static_cast<double>(pages->tokens.bytes()));
    op.workspace(kVectorWorkspace);
    op.run([=](const Run& run) {
      const std::vector<int64_t> places = load_all<int64_t>(run.view(slots));
      std::unordered_set<int64_t> seen;
      for (const int64_t place : places) {
        if (place < 0 || place >= keys.num_slots()) {
          run.fault(
              fmt::format("slotMapping holds {}, there are {} slots", place, keys.num_slots()));
        }
        if (!seen.insert(place).second) run.fault(fmt::format("slotMapping repeats {}", place));
      }
      keys.write(run, places);
      if (has_values) values.write(run, places);
    });
  });
}
