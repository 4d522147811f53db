// What FusedInferAttentionScore's documents forbid on Atlas A2, and the code that each violation
// gets.
#include <gtest/gtest.h>

#include <functional>

#include "tests/emulator/attention_call.h"
#include "tests/emulator/ops_refusal.h"

namespace emulator_test {
namespace {

class AttentionRefusal : public OpsRefusal {
 public:
  aclnnStatus plan(AttentionCall& call) { return call.plan(cann, cann.version() >= 810 ? 3 : 2); }
  /// The call with one thing changed.
  void change(const char* what,
              aclnnStatus expected,
              AttentionCall call,
              const std::function<void(AttentionCall&)>& edit) {
    edit(call);
    rule(what, expected, plan(call));
  }
};

TEST_F(AttentionRefusal, DenseDecode) {
  const Tensor& q = t(ACL_FLOAT16, {2, 1, 4 * 32});
  const Tensor& kv = t(ACL_FLOAT16, {2, 100, 2 * 32});
  const Tensor& out = t(ACL_FLOAT16, {2, 1, 4 * 32});
  AttentionCall good("BSH", q, {&kv}, {&kv}, out, 4, 2, 0.1);
  rule("decode", kOk, plan(good));
  const auto with =
      [&](const char* what, aclnnStatus expected, const std::function<void(AttentionCall&)>& edit) {
        change(what, expected, good, edit);
      };
  with("null query", kNull, [](AttentionCall& c) { c.query = nullptr; });
  with("null out", kNull, [](AttentionCall& c) { c.out = nullptr; });
  with("layout", kTiling, [](AttentionCall& c) { c.layout = "SBH"; });
  with("layout of other dims", kTiling, [](AttentionCall& c) { c.layout = "BSND"; });
  with("no heads", kTiling, [](AttentionCall& c) { c.num_heads = 0; });
  with("key heads do not divide", kTiling, [](AttentionCall& c) { c.num_key_heads = 3; });
  with("key heads 0 are the query's", kTiling, [](AttentionCall& c) { c.num_key_heads = 0; });
  with("head of 8", kTiling, [](AttentionCall& c) { c.num_heads = 16, c.num_key_heads = 8; });
  with("f32 query", kInvalid, [&](AttentionCall& c) { c.query = t(ACL_FLOAT, {2, 1, 128}); });
  with("bf16 keys", kInvalid, [&](AttentionCall& c) { c.keys = {&t(ACL_BF16, {2, 100, 64})}; });
  with("out dtype", kInvalid, [&](AttentionCall& c) { c.out = t(ACL_BF16, {2, 1, 128}); });
  with("out dims", kTiling, [&](AttentionCall& c) { c.out = t(ACL_FLOAT16, {2, 128}); });
  with("keys of other sequences", kTiling, [&](AttentionCall& c) {
    c.keys = c.values = {&t(ACL_FLOAT16, {3, 100, 64})};
  });
  with("values of other positions", kTiling, [&](AttentionCall& c) {
    c.values = {&t(ACL_FLOAT16, {2, 99, 64})};
  });
  with("lengths of one too few", kTiling, [&](AttentionCall& c) {
    c.query = t(ACL_FLOAT16, {3, 1, 128}), c.out = t(ACL_FLOAT16, {3, 1, 128});
    c.keys = c.values = {&t(ACL_FLOAT16, {3, 100, 64})};
    c.key_lengths = {5, 5};
  });
  with("one length for all", kOk, [](AttentionCall& c) { c.key_lengths = {5}; });
  with("length past the keys", kTiling, [](AttentionCall& c) { c.key_lengths = {101, 1}; });
  with("more than 4096 lengths", kTiling, [](AttentionCall& c) { c.key_lengths.assign(4097, 1); });
  with("innerPrecise 2 of one position", kTiling, [](AttentionCall& c) { c.inner_precise = 2; });
  with("sparseMode is ignored", kOk, [](AttentionCall& c) { c.sparse_mode = 3; });
  with("sparseMode 5", kTiling, [](AttentionCall& c) { c.sparse_mode = 5; });
  with("mask", kOk, [&](AttentionCall& c) { c.mask = t(ACL_BOOL, {2, 1, 1, 100}); });
  with("mask dtype", kInvalid, [&](AttentionCall& c) { c.mask = t(ACL_FLOAT16, {2, 100}); });
  with("mask of one for all", kTiling, [&](AttentionCall& c) { c.mask = t(ACL_BOOL, {1, 100}); });
  with("mask of the triangle", kTiling, [&](AttentionCall& c) {
    c.mask = t(ACL_INT8, {2048, 2048});
  });
  with("bias", kOk, [&](AttentionCall& c) { c.bias = t(ACL_FLOAT16, {1, 4, 1, 112}); });
  with("bias dtype", kInvalid, [&](AttentionCall& c) { c.bias = t(ACL_FLOAT, {1, 4, 1, 112}); });
  with("bias heads", kTiling, [&](AttentionCall& c) { c.bias = t(ACL_FLOAT16, {1, 1, 1, 112}); });
  with("flag without softmaxLse", kNull, [](AttentionCall& c) { c.softmax_lse_flag = true; });
  with("softmaxLse dims", kTiling, [&](AttentionCall& c) {
    c.softmax_lse = t(ACL_FLOAT, {2, 4, 1});
  });
  with("a list of wrong length", kTiling, [&](AttentionCall& c) {
    const Tensor& one = t(ACL_FLOAT16, {1, 100, 64});
    c.keys = c.values = {&one, &one, &one};
  });
  with("65 heads to a key head", kTiling, [&](AttentionCall& c) {
    c.query = t(ACL_FLOAT16, {2, 1, 65 * 16}), c.out = t(ACL_FLOAT16, {2, 1, 65 * 16});
    c.keys = c.values = {&t(ACL_FLOAT16, {2, 100, 16})};
    c.num_heads = 65, c.num_key_heads = 1;
  });
  with("heads of 528", kTiling, [&](AttentionCall& c) {
    c.query = t(ACL_FLOAT16, {2, 1, 528}), c.out = t(ACL_FLOAT16, {2, 1, 528});
    c.keys = c.values = {&t(ACL_FLOAT16, {2, 100, 528})};
    c.num_heads = c.num_key_heads = 1;
  });
  with("257 heads", kTiling, [&](AttentionCall& c) {
    c.query = t(ACL_FLOAT16, {2, 1, 257 * 16}), c.out = t(ACL_FLOAT16, {2, 1, 257 * 16});
    c.keys = c.values = {&t(ACL_FLOAT16, {2, 100, 257 * 16})};
    c.num_heads = c.num_key_heads = 257;
  });
  if (cann.version() >= 810) {
    with("rope parts are not emulated", kNoKernel, [&](AttentionCall& c) {
      c.query_rope = t(ACL_FLOAT16, {2, 1, 64});
    });
  }
}

TEST_F(AttentionRefusal, Paging) {
  const Tensor& q = t(ACL_FLOAT16, {2, 1, 4 * 32});
  const Tensor& out = t(ACL_FLOAT16, {2, 1, 4 * 32});
  const Tensor& cache = t(ACL_FLOAT16, {6, 128, 2 * 32});
  AttentionCall good("BSH", q, {&cache}, {&cache}, out, 4, 2, 0.1);
  good.block_table = t(ACL_INT32, {2, 3});
  good.block_size = 128;
  good.key_lengths = {10, 384};
  rule("paged decode", kOk, plan(good));
  const auto with =
      [&](const char* what, aclnnStatus expected, const std::function<void(AttentionCall&)>& edit) {
        change(what, expected, good, edit);
      };
  with("no key lengths", kTiling, [](AttentionCall& c) { c.key_lengths.clear(); });
  with("length past the table", kTiling, [](AttentionCall& c) { c.key_lengths = {385, 1}; });
  with("table dtype", kInvalid, [&](AttentionCall& c) { c.block_table = t(ACL_INT64, {2, 3}); });
  with("table rows", kTiling, [&](AttentionCall& c) { c.block_table = t(ACL_INT32, {3, 3}); });
  with("blockSize is not the cache's", kTiling, [](AttentionCall& c) { c.block_size = 64; });
  with("cache by heads in BSH", kTiling, [&](AttentionCall& c) {
    c.keys = c.values = {&t(ACL_FLOAT16, {6, 2, 128, 32})};
  });
  const auto blocks_of = [&](AttentionCall& c, int64_t size) {
    c.keys = c.values = {&t(ACL_FLOAT16, {24, size, 64})};
    c.block_size = size;
    c.block_table = t(ACL_INT32, {2, 24});
  };
  with("blocks of 16 for one position", kOk, [&](AttentionCall& c) { blocks_of(c, 16); });
  with("blocks of 24", kTiling, [&](AttentionCall& c) { blocks_of(c, 24); });
  with("blocks of 528", kTiling, [&](AttentionCall& c) { blocks_of(c, 528); });
  with("rows past 65535", kTiling, [&](AttentionCall& c) {
    c.query = t(ACL_FLOAT16, {2, 1, 160 * 416}), c.out = t(ACL_FLOAT16, {2, 1, 160 * 416});
    c.keys = c.values = {&t(ACL_FLOAT16, {2, 16, 160 * 416})};
    c.num_heads = c.num_key_heads = 160;
    c.block_size = 16;
    c.key_lengths = {1, 1};
  });
  // Prefill: blocks of 128 n.
  AttentionCall prefill = good;
  prefill.query = t(ACL_FLOAT16, {2, 5, 128}), prefill.out = t(ACL_FLOAT16, {2, 5, 128});
  prefill.mask = t(ACL_INT8, {2048, 2048});
  prefill.sparse_mode = 3;
  rule("paged prefill", kOk, plan(prefill));
  change("blocks of 64 for more positions", kTiling, prefill, [&](AttentionCall& c) {
    blocks_of(c, 64);
  });
  change("blocks of 256", kOk, prefill, [&](AttentionCall& c) { blocks_of(c, 256); });
}

TEST_F(AttentionRefusal, PrefillMasks) {
  const Tensor& q = t(ACL_FLOAT16, {2, 5, 4, 32});
  const Tensor& kv = t(ACL_FLOAT16, {2, 20, 2, 32});
  const Tensor& out = t(ACL_FLOAT16, {2, 5, 4, 32});
  AttentionCall good("BSND", q, {&kv}, {&kv}, out, 4, 2, 0.1);
  rule("prefill", kOk, plan(good));
  const auto with =
      [&](const char* what, aclnnStatus expected, const std::function<void(AttentionCall&)>& edit) {
        change(what, expected, good, edit);
      };
  const Tensor& triangle = t(ACL_INT8, {2048, 2048});
  for (const int64_t mode : {1, 2, 3, 4}) {
    with("sparseMode without a mask", kTiling, [&](AttentionCall& c) { c.sparse_mode = mode; });
  }
  for (const int64_t mode : {2, 3, 4}) {
    with("sparseMode", kOk, [&](AttentionCall& c) { c.sparse_mode = mode, c.mask = triangle; });
    with("sparseMode with a mask of its own", kTiling, [&](AttentionCall& c) {
      c.sparse_mode = mode, c.mask = t(ACL_INT8, {2, 5, 20});
    });
  }
  with("a triangle of 1024", kTiling, [&](AttentionCall& c) {
    c.sparse_mode = 3, c.mask = t(ACL_INT8, {1024, 1024});
  });
  with("a triangle behind ones", kOk, [&](AttentionCall& c) {
    c.sparse_mode = 3, c.mask = v(triangle, {1, 1, 2048, 2048}, {1, 1, 2048, 1});
  });
  with("sparseMode 6", kTiling, [&](AttentionCall& c) { c.sparse_mode = 6, c.mask = triangle; });
  with("a whole mask", kOk, [&](AttentionCall& c) {
    c.sparse_mode = 1, c.mask = t(ACL_UINT8, {5, 20});
  });
  with("mask of other queries", kTiling, [&](AttentionCall& c) { c.mask = t(ACL_UINT8, {4, 20}); });
  with("mask of other keys", kTiling, [&](AttentionCall& c) { c.mask = t(ACL_UINT8, {5, 16}); });
  with("mask of other sequences", kTiling, [&](AttentionCall& c) {
    c.mask = t(ACL_UINT8, {3, 5, 20});
  });
  with("mask by heads", kTiling, [&](AttentionCall& c) { c.mask = t(ACL_UINT8, {2, 4, 5, 20}); });
  with("innerPrecise 4", kTiling, [](AttentionCall& c) { c.inner_precise = 4; });
  with("bias padded to 16", kOk, [&](AttentionCall& c) { c.bias = t(ACL_FLOAT16, {1, 4, 5, 32}); });
  with("bias not padded", kTiling, [&](AttentionCall& c) {
    c.bias = t(ACL_FLOAT16, {1, 4, 5, 20});
  });
  with("query length past the queries", kTiling, [](AttentionCall& c) {
    c.query_lengths = {6, 1};
  });
  AttentionCall turned("BNSD_BSND",
                       t(ACL_FLOAT16, {1, 4, 1, 32}),
                       {&t(ACL_FLOAT16, {1, 2, 20, 32})},
                       {&t(ACL_FLOAT16, {1, 2, 20, 32})},
                       t(ACL_FLOAT16, {1, 1, 4, 32}),
                       4,
                       2,
                       0.1);
  rule("BNSD_BSND of one position", kTiling, plan(turned));
}

TEST_F(AttentionRefusal, PackedTokens) {
  const Tensor& q = t(ACL_FLOAT16, {7, 4, 32});
  const Tensor& cache = t(ACL_FLOAT16, {6, 128, 2 * 32});
  AttentionCall good("TND", q, {&cache}, {&cache}, t(ACL_FLOAT16, {7, 4, 32}), 4, 2, 0.1);
  good.query_lengths = {2, 7};
  good.key_lengths = {10, 300};
  good.block_table = t(ACL_INT32, {2, 3});
  good.block_size = 128;
  good.mask = t(ACL_INT8, {2048, 2048});
  good.sparse_mode = 3;
  if (cann.version() < 830) {
    rule("TND before 8.3", kTiling, plan(good));
    return;
  }
  rule("TND", kOk, plan(good));
  const bool newer = cann.version() >= 900;
  const auto with =
      [&](const char* what, aclnnStatus expected, const std::function<void(AttentionCall&)>& edit) {
        change(what, expected, good, edit);
      };
  with("no query lengths", kTiling, [](AttentionCall& c) { c.query_lengths.clear(); });
  with("lengths that are not cumulative", kTiling, [](AttentionCall& c) {
    c.query_lengths = {5, 2};
  });
  with("lengths that end early", kTiling, [](AttentionCall& c) { c.query_lengths = {2, 6}; });
  with("a key length too few", kTiling, [](AttentionCall& c) { c.key_lengths = {10}; });
  with("innerPrecise 1", kTiling, [](AttentionCall& c) { c.inner_precise = 1; });
  with("sparseMode 0 with a mask", kTiling, [](AttentionCall& c) { c.sparse_mode = 0; });
  with("sparseMode 0", kOk, [](AttentionCall& c) { c.sparse_mode = 0, c.mask = nullptr; });
  with("sparseMode 3 without a mask", kTiling, [](AttentionCall& c) { c.mask = nullptr; });
  with("sparseMode 2", kTiling, [](AttentionCall& c) { c.sparse_mode = 2; });
  with("sparseMode 4 in FLOAT16", kTiling, [](AttentionCall& c) { c.sparse_mode = 4; });
  with("bias", kTiling, [&](AttentionCall& c) { c.bias = t(ACL_FLOAT16, {2, 4, 16, 384}); });
  with("cache by heads", kTiling, [&](AttentionCall& c) {
    c.keys = c.values = {&t(ACL_FLOAT16, {6, 2, 128, 32})};
  });
  const auto blocks_of = [&](AttentionCall& c, int64_t size) {
    c.keys = c.values = {&t(ACL_FLOAT16, {24, size, 64})};
    c.block_size = size;
    c.block_table = t(ACL_INT32, {2, 24});
  };
  with("blocks of 64", newer ? kOk : kTiling, [&](AttentionCall& c) { blocks_of(c, 64); });
  with("blocks of 256", kTiling, [&](AttentionCall& c) { blocks_of(c, 256); });
  with("heads of 272", kTiling, [&](AttentionCall& c) {
    c.query = t(ACL_FLOAT16, {7, 4, 272}), c.out = t(ACL_FLOAT16, {7, 4, 272});
    c.keys = c.values = {&t(ACL_FLOAT16, {6, 128, 544})};
  });
  // Equal heads in FLOAT16: no mask, no paging, innerPrecise 1.
  with("equal heads, paged", kTiling, [&](AttentionCall& c) {
    c.num_key_heads = 4;
    c.keys = c.values = {&t(ACL_FLOAT16, {6, 128, 128})};
  });
  const Tensor& packed = t(ACL_FLOAT16, {9, 4, 32});
  AttentionCall equal("TND", q, {&packed}, {&packed}, t(ACL_FLOAT16, {7, 4, 32}), 4, 4, 0.1);
  equal.query_lengths = {2, 7};
  equal.key_lengths = {3, 9};
  equal.inner_precise = 1;
  rule("equal heads", kOk, plan(equal));
  change(
      "equal heads, innerPrecise 0", kTiling, equal, [](AttentionCall& c) { c.inner_precise = 0; });
}

}  // namespace
}  // namespace emulator_test
