// One table of what the vendor documents about each operator's arguments: the accepted call, then
// one violation after the other with the code that it gets.
#include <gtest/gtest.h>

#include <functional>

#include "tests/emulator/attention_call.h"
#include "tests/emulator/client.h"
#include "tests/emulator/ops_refusal.h"

namespace emulator_test {
namespace {

constexpr aclError kCoreException = 507015;

const aclTensor* const kNoTensor = nullptr;

TEST_F(OpsRefusal, ElementWise) {
  const Tensor& a = t(ACL_FLOAT16, {2, 3});
  const Tensor& b = t(ACL_FLOAT16, {3});
  const Tensor& out = t(ACL_FLOAT16, {2, 3});
  rule("Add", kOk, PLAN(cann, aclnnAdd, a, b, one, out));
  rule("null self", kNull, PLAN(cann, aclnnAdd, kNoTensor, b, one, out));
  rule("null alpha", kNull, PLAN(cann, aclnnAdd, a, b, static_cast<aclScalar*>(nullptr), out));
  rule("null out", kNull, PLAN(cann, aclnnAdd, a, b, one, static_cast<aclTensor*>(nullptr)));
  rule("no broadcast", kInvalid, PLAN(cann, aclnnAdd, a, t(ACL_FLOAT16, {2}), one, out));
  rule("out dims", kInvalid, PLAN(cann, aclnnAdd, a, b, one, t(ACL_FLOAT16, {3})));
  rule("f16 of a sum in f32", kOk, PLAN(cann, aclnnAdd, a, t(ACL_FLOAT, {3}), one, out));
  rule("out holds no reals", kInvalid, PLAN(cann, aclnnAdd, a, b, one, t(ACL_INT32, {2, 3})));
  rule("real alpha of whole numbers",
       kInvalid,
       PLAN(cann, aclnnAdd, t(ACL_INT32, {3}), t(ACL_INT32, {3}), half, t(ACL_INT32, {3})));
  rule("unknown dtype", kInvalid, PLAN(cann, aclnnMul, t(ACL_UINT64, {3}), b, t(ACL_FLOAT16, {3})));
  rule("in place cannot grow", kInvalid, PLAN(cann, aclnnInplaceMul, t(ACL_FLOAT16, {3}), a));
  rule("Cast", kOk, PLAN(cann, aclnnCast, a, ACL_FLOAT, t(ACL_FLOAT, {2, 3})));
  rule("Cast to another dtype than out's", kInvalid, PLAN(cann, aclnnCast, a, ACL_FLOAT, out));
  rule("Cast dims", kInvalid, PLAN(cann, aclnnCast, a, ACL_FLOAT, t(ACL_FLOAT, {3, 2})));
  rule("mask is no BOOL",
       kInvalid,
       PLAN(cann, aclnnInplaceMaskedFillScalar, a, t(ACL_INT8, {2, 3}), one));
  rule("Abs out dtype", kInvalid, PLAN(cann, aclnnAbs, a, t(ACL_FLOAT, {2, 3})));
  rule("Silu out dtype", kInvalid, PLAN(cann, aclnnSilu, a, t(ACL_FLOAT, {2, 3})));
  rule("Gelu form", kInvalid, PLAN(cann, aclnnGeluV2, a, int64_t{2}, out));
  rule("storage not aligned to 32 bytes", kInvalid, [&] {
    auto* odd = static_cast<std::byte*>(a.address()) + 2;
    const Dims dims = {2};
    aclTensor* tensor = CANN_CALL(cann, aclCreateTensor)(
        dims.data(), 1, ACL_FLOAT16, nullptr, 0, ACL_FORMAT_ND, dims.data(), 1, odd);
    const aclnnStatus status = PLAN(cann, aclnnCos, tensor, t(ACL_FLOAT16, {2}));
    CANN_CALL(cann, aclDestroyTensor)(tensor);
    return status;
  }());
}

TEST_F(OpsRefusal, ShapesAndOrders) {
  const Tensor& a = t(ACL_FLOAT16, {4, 6});
  rule("Slice",
       kOk,
       PLAN(cann,
            aclnnSlice,
            a,
            int64_t{1},
            int64_t{1},
            int64_t{5},
            int64_t{2},
            t(ACL_FLOAT16, {4, 2})));
  rule("Slice step",
       kInvalid,
       PLAN(cann,
            aclnnSlice,
            a,
            int64_t{1},
            int64_t{1},
            int64_t{5},
            int64_t{0},
            t(ACL_FLOAT16, {4, 2})));
  rule("Slice dim",
       kInvalid,
       PLAN(cann,
            aclnnSlice,
            a,
            int64_t{2},
            int64_t{1},
            int64_t{5},
            int64_t{2},
            t(ACL_FLOAT16, {4, 2})));
  rule("Permute", kOk, PLAN(cann, aclnnPermute, a, ints({1, 0}), t(ACL_FLOAT16, {6, 4})));
  rule("Permute repeats a dim",
       kInvalid,
       PLAN(cann, aclnnPermute, a, ints({1, 1}), t(ACL_FLOAT16, {6, 6})));
  rule("Permute of too few dims",
       kInvalid,
       PLAN(cann, aclnnPermute, a, ints({0}), t(ACL_FLOAT16, {4})));
  rule("Repeat", kInvalid, PLAN(cann, aclnnRepeat, a, ints({2}), t(ACL_FLOAT16, {8, 6})));
  const TensorList uneven(cann, {&a, &t(ACL_FLOAT16, {3, 6})});
  rule("Cat", kInvalid, PLAN(cann, aclnnCat, uneven, int64_t{1}, t(ACL_FLOAT16, {4, 12})));
  const Tensor& values = t(ACL_FLOAT16, {4, 2});
  const Tensor& indices = t(ACL_INT64, {4, 2});
  rule("Topk", kOk, PLAN(cann, aclnnTopk, a, int64_t{2}, int64_t{-1}, true, true, values, indices));
  rule("Topk unsorted",
       kInvalid,
       PLAN(cann, aclnnTopk, a, int64_t{2}, int64_t{-1}, true, false, values, indices));
  rule("Topk indices",
       kInvalid,
       PLAN(cann, aclnnTopk, a, int64_t{2}, int64_t{-1}, true, true, values, t(ACL_INT32, {4, 2})));
  rule("Topk of more than there are",
       kInvalid,
       PLAN(cann,
            aclnnTopk,
            a,
            int64_t{7},
            int64_t{-1},
            true,
            true,
            t(ACL_FLOAT16, {4, 7}),
            t(ACL_INT64, {4, 7})));
  const Tensor& brain = t(ACL_BF16, {4, 6});
  const Tensor& places = t(ACL_INT64, {4, 6});
  rule("Sort BF16",
       kOk,
       PLAN(cann, aclnnSort, brain, false, int64_t{1}, false, t(ACL_BF16, {4, 6}), places));
  rule("Sort BF16 along another dim",
       kInvalid,
       PLAN(cann, aclnnSort, brain, false, int64_t{0}, false, t(ACL_BF16, {4, 6}), places));
  rule("ArgMax out", kInvalid, PLAN(cann, aclnnArgMax, a, int64_t{1}, false, t(ACL_FLOAT, {4})));
  rule("ArgMax keeps no dim",
       kInvalid,
       PLAN(cann, aclnnArgMax, a, int64_t{1}, false, t(ACL_INT64, {4, 1})));
  rule("Cumsum dtype",
       kInvalid,
       PLAN(cann, aclnnCumsum, a, int64_t{0}, ACL_FLOAT, t(ACL_FLOAT16, {4, 6})));
  rule("Arange size", kInvalid, [&] {
    const Number three(cann, int64_t{3});
    return PLAN(cann, aclnnArange, one, three, one, t(ACL_INT32, {3}));
  }());
}

TEST_F(OpsRefusal, Rows) {
  const Tensor& table = t(ACL_FLOAT16, {10, 8});
  const Tensor& index = t(ACL_INT32, {3});
  const Tensor& out = t(ACL_FLOAT16, {3, 8});
  rule("Embedding", kOk, PLAN(cann, aclnnEmbedding, table, index, out));
  rule("weight rank", kInvalid, PLAN(cann, aclnnEmbedding, t(ACL_FLOAT16, {10}), index, out));
  rule("index dtype", kInvalid, PLAN(cann, aclnnEmbedding, table, t(ACL_FLOAT, {3}), out));
  rule("out dtype", kInvalid, PLAN(cann, aclnnEmbedding, table, index, t(ACL_FLOAT, {3, 8})));
  rule("out dims", kInvalid, PLAN(cann, aclnnEmbedding, table, index, t(ACL_FLOAT16, {8, 3})));
  rule("IndexSelect takes 1-D",
       kInvalid,
       PLAN(cann, aclnnIndexSelect, table, int64_t{0}, t(ACL_INT32, {3, 1}), out));
  const Tensor& rows = t(ACL_INT32, {3, 1});
  rule("ScatterNdUpdate", kOk, PLAN(cann, aclnnScatterNdUpdate, table, rows, out));
  rule("updates dims",
       kInvalid,
       PLAN(cann, aclnnScatterNdUpdate, table, rows, t(ACL_FLOAT16, {2, 8})));
  rule("updates dtype",
       kInvalid,
       PLAN(cann, aclnnScatterNdUpdate, table, rows, t(ACL_BF16, {3, 8})));
  rule("INT32 data",
       kInvalid,
       PLAN(cann, aclnnScatterNdUpdate, t(ACL_INT32, {10, 8}), rows, t(ACL_INT32, {3, 8})));
  if (cann.symbol("aclnnScatterPaKvCache") == nullptr) return;
  const Tensor& key = t(ACL_FLOAT16, {3, 2, 16});
  const Tensor& cache = t(ACL_FLOAT16, {4, 16, 2, 16});
  const auto scatter =
      [&](const Tensor& k, const Tensor& kc, const Tensor& slots, const char* mode = nullptr) {
        return PLAN(cann,
                    aclnnScatterPaKvCache,
                    k,
                    kc,
                    slots,
                    k,
                    kc,
                    kNoTensor,
                    kNoTensor,
                    kNoTensor,
                    const_cast<char*>(mode),
                    static_cast<char*>(nullptr),
                    static_cast<aclIntArray*>(nullptr),
                    static_cast<aclIntArray*>(nullptr));
      };
  rule("ScatterPaKvCache", kOk, scatter(key, cache, index));
  rule("slots dims", kInvalid, scatter(key, cache, t(ACL_INT32, {4})));
  rule("slots dtype", kInvalid, scatter(key, cache, t(ACL_FLOAT, {3})));
  rule("cache heads", kInvalid, scatter(key, t(ACL_FLOAT16, {4, 16, 1, 16}), index));
  rule("cache dtype", kInvalid, scatter(key, t(ACL_BF16, {4, 16, 2, 16}), index));
  rule("f32", kInvalid, scatter(t(ACL_FLOAT, {3, 2, 16}), t(ACL_FLOAT, {4, 16, 2, 16}), index));
  rule("cacheMode", kInvalid, scatter(key, cache, index, "Other"));
  rule("dims of another cacheMode", kInvalid, scatter(key, cache, index, "PA_NZ"));
}

TEST_F(OpsRefusal, Norms) {
  const Tensor& x = t(ACL_FLOAT16, {3, 32});
  const Tensor& gamma = t(ACL_FLOAT16, {32});
  const Tensor& y = t(ACL_FLOAT16, {3, 32});
  const Tensor& rstd = t(ACL_FLOAT, {3, 1});
  rule("RmsNorm", kOk, PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, y, rstd));
  rule("f32 gamma", kOk, PLAN(cann, aclnnRmsNorm, x, t(ACL_FLOAT, {32}), 1e-6, y, rstd));
  rule("rstd of dropped dims", kOk, PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, y, t(ACL_FLOAT, {3})));
  rule("null rstd", kNull, PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, y, kNoTensor));
  rule("rstd dtype", kInvalid, PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, y, t(ACL_FLOAT16, {3, 1})));
  rule("rstd count", kInvalid, PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, y, t(ACL_FLOAT, {2, 1})));
  rule("gamma dims", kInvalid, PLAN(cann, aclnnRmsNorm, x, t(ACL_FLOAT16, {3}), 1e-6, y, rstd));
  rule("gamma dtype", kInvalid, PLAN(cann, aclnnRmsNorm, x, t(ACL_BF16, {32}), 1e-6, y, rstd));
  rule("y dtype", kInvalid, PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, t(ACL_FLOAT, {3, 32}), rstd));
  rule(
      "y strided",
      kInvalid,
      PLAN(cann, aclnnRmsNorm, x, gamma, 1e-6, v(t(ACL_FLOAT16, {6, 32}), {3, 32}, {64, 1}), rstd));
  rule("whole numbers",
       kInvalid,
       PLAN(cann, aclnnRmsNorm, t(ACL_INT32, {3, 32}), gamma, 1e-6, y, rstd));
  rule("AddRmsNorm", kOk, PLAN(cann, aclnnAddRmsNorm, x, y, gamma, 1e-6, y, rstd, x));
  rule("f32 gamma of AddRmsNorm",
       kInvalid,
       PLAN(cann, aclnnAddRmsNorm, x, y, t(ACL_FLOAT, {32}), 1e-6, y, rstd, x));
  rule("residual dims",
       kInvalid,
       PLAN(cann, aclnnAddRmsNorm, x, t(ACL_FLOAT16, {1, 32}), gamma, 1e-6, y, rstd, x));
  rule("normalizedShape",
       kInvalid,
       PLAN(cann, aclnnLayerNorm, x, ints({3}), gamma, gamma, 1e-6, y, nullptr, nullptr));
  const Tensor& packed = t(ACL_FLOAT16, {3, 64});
  rule("SwiGlu", kOk, PLAN(cann, aclnnSwiGlu, packed, int64_t{-1}, x));
  rule("SwiGlu of an odd dim",
       kInvalid,
       PLAN(cann, aclnnSwiGlu, t(ACL_FLOAT16, {3, 63}), int64_t{-1}, x));
  rule("SwiGlu of a strided x",
       kInvalid,
       PLAN(cann, aclnnSwiGlu, v(packed, {2, 32}, {64, 1}), int64_t{-1}, t(ACL_FLOAT16, {2, 16})));
  rule("SwiGlu out dims", kInvalid, PLAN(cann, aclnnSwiGlu, packed, int64_t{-1}, packed));
}

TEST_F(OpsRefusal, Products) {
  const Tensor& a = t(ACL_FLOAT16, {3, 40});
  const Tensor& w = t(ACL_FLOAT16, {50, 40});
  const Tensor& b = transposed(w);
  const Tensor& out = t(ACL_FLOAT16, {3, 50});
  const int8_t keep = 0;
  rule("Mm", kOk, PLAN(cann, aclnnMm, a, b, out, keep));
  rule("null mat2", kNull, PLAN(cann, aclnnMm, a, kNoTensor, out, keep));
  rule("k differs", kInvalid, PLAN(cann, aclnnMm, a, w, out, keep));
  rule("3-D Mm", kInvalid, PLAN(cann, aclnnMm, t(ACL_FLOAT16, {1, 3, 40}), b, out, keep));
  rule("f16 with bf16", kInvalid, PLAN(cann, aclnnMm, a, t(ACL_BF16, {40, 50}), out, keep));
  rule("int8",
       kInvalid,
       PLAN(cann, aclnnMm, t(ACL_INT8, {3, 40}), t(ACL_INT8, {40, 50}), out, keep));
  rule("out dims", kInvalid, PLAN(cann, aclnnMm, a, b, t(ACL_FLOAT16, {50, 3}), keep));
  rule("out dtype", kInvalid, PLAN(cann, aclnnMm, a, b, t(ACL_BF16, {3, 50}), keep));
  rule("cubeMathType", kInvalid, PLAN(cann, aclnnMm, a, b, out, int8_t{5}));
  rule("use-FLOAT16 of BF16",
       kInvalid,
       PLAN(cann,
            aclnnMm,
            t(ACL_BF16, {3, 40}),
            t(ACL_BF16, {40, 50}),
            t(ACL_BF16, {3, 50}),
            int8_t{2}));
  rule("Matmul batches",
       kInvalid,
       PLAN(cann,
            aclnnMatmul,
            t(ACL_FLOAT16, {2, 3, 40}),
            t(ACL_FLOAT16, {3, 40, 50}),
            t(ACL_FLOAT16, {2, 3, 50}),
            keep));
  rule("BatchMatMul rank", kInvalid, PLAN(cann, aclnnBatchMatMul, a, b, out, keep));
  rule("Addmm bias",
       kInvalid,
       PLAN(cann, aclnnAddmm, t(ACL_FLOAT16, {40}), a, b, one, one, out, keep));
  rule("Addmm null beta",
       kNull,
       PLAN(cann,
            aclnnAddmm,
            t(ACL_FLOAT16, {50}),
            a,
            b,
            static_cast<aclScalar*>(nullptr),
            one,
            out,
            keep));
  const Tensor& memory = t(ACL_FLOAT16, {64 * 48});
  rule("a in fractals",
       kInvalid,
       PLAN(cann, aclnnMm, v(memory, {3, 40}, {40, 1}, ACL_FORMAT_FRACTAL_NZ), b, out, keep));
  rule("TransMatmulWeight of f32",
       kInvalid,
       PLAN(cann, aclnnTransMatmulWeight, t(ACL_FLOAT, {50, 40})));
  rule("TransMatmulWeight of a transposed view", kInvalid, PLAN(cann, aclnnTransMatmulWeight, b));
  if (cann.symbol("aclnnMatmulWeightNz") != nullptr) {
    const auto fractal = [&](const Dims& storage) {
      return PLAN(cann,
                  aclnnMatmulWeightNz,
                  a,
                  v(memory, {40, 50}, {1, 40}, ACL_FORMAT_FRACTAL_NZ, storage),
                  out,
                  keep);
    };
    rule("MatmulWeightNz", kOk, fractal({3, 4, 16, 16}));
    rule("storageDims of the other way round", kInvalid, fractal({4, 3, 16, 16}));
    rule("flat storageDims", kInvalid, fractal({64 * 48}));
    rule("weight in ND", kInvalid, PLAN(cann, aclnnMatmulWeightNz, a, b, out, keep));
    rule("NpuFormatCast to the same format",
         kInvalid,
         PLAN(cann, aclnnNpuFormatCast, w, t(ACL_FLOAT16, {50, 40})));
  }
  uint64_t size = 0;
  auto* calculate = &CANN_CALL(cann, aclnnCalculateMatmulWeightSizeV2);
  rule("sizes", kOk, calculate(ints({510, 270}), ACL_INT8, &size));
  EXPECT_EQ(size, 147456u);
  rule("sizes", kOk, calculate(ints({510, 510}), ACL_FLOAT16, &size));
  EXPECT_EQ(size, 262144u);
  rule("size of one dim", kInvalid, calculate(ints({510}), ACL_FLOAT16, &size));
  rule("size of f32", kInvalid, calculate(ints({510, 510}), ACL_FLOAT, &size));
  rule("size to null", kNull, calculate(ints({510, 510}), ACL_FLOAT16, nullptr));
}

TEST_F(OpsRefusal, QuantisedProducts) {
  const Tensor& x = t(ACL_INT8, {3, 64});
  const Tensor& w = t(ACL_INT8, {64, 32});
  const Tensor& scale = t(ACL_FLOAT, {32});
  const Tensor& packed = t(ACL_UINT64, {32});
  const Tensor& token = t(ACL_FLOAT, {3});
  const Tensor& brain = t(ACL_BF16, {3, 32});
  const Tensor& fp16 = t(ACL_FLOAT16, {3, 32});
  const auto v4 = [&](const aclTensor* a,
                      const aclTensor* b,
                      const aclTensor* s,
                      const aclTensor* offset,
                      const aclTensor* tokens,
                      const aclTensor* bias,
                      const aclTensor* out) {
    return PLAN(cann, aclnnQuantMatmulV4, a, b, s, offset, tokens, bias, false, false, out);
  };
  rule("V4", kOk, v4(x, w, scale, nullptr, token, nullptr, brain));
  rule("f16 with tokens", kOk, v4(x, w, scale, nullptr, token, nullptr, fp16));
  rule("f16 with packed scales", kOk, v4(x, w, packed, nullptr, nullptr, nullptr, fp16));
  rule("f16 with plain scales alone", kInvalid, v4(x, w, scale, nullptr, nullptr, nullptr, fp16));
  rule("f16 with packed scales and tokens",
       kInvalid,
       v4(x, w, packed, nullptr, token, nullptr, fp16));
  rule("bf16 with packed scales and tokens",
       kInvalid,
       v4(x, w, packed, nullptr, token, nullptr, brain));
  rule("null scale", kNull, v4(x, w, nullptr, nullptr, token, nullptr, brain));
  rule("scale count", kInvalid, v4(x, w, t(ACL_FLOAT, {31}), nullptr, token, nullptr, brain));
  rule("token count", kInvalid, v4(x, w, scale, nullptr, t(ACL_FLOAT, {4}), nullptr, brain));
  rule("token dtype", kInvalid, v4(x, w, scale, nullptr, t(ACL_BF16, {3}), nullptr, brain));
  rule("x dtype", kInvalid, v4(fp16, w, scale, nullptr, token, nullptr, brain));
  rule("k differs", kInvalid, v4(x, t(ACL_INT8, {63, 32}), scale, nullptr, token, nullptr, brain));
  rule("out dims", kInvalid, v4(x, w, scale, nullptr, token, nullptr, t(ACL_BF16, {32, 3})));
  rule("f32 out", kInvalid, v4(x, w, scale, nullptr, token, nullptr, t(ACL_FLOAT, {3, 32})));
  rule("bias count", kInvalid, v4(x, w, scale, nullptr, token, t(ACL_FLOAT, {3}), brain));
  rule("bias dtype", kInvalid, v4(x, w, scale, nullptr, token, t(ACL_FLOAT16, {32}), brain));
  rule("offset without int8 out",
       kInvalid,
       v4(x, w, scale, t(ACL_FLOAT, {32}), token, nullptr, brain));
  const Tensor& q8 = t(ACL_INT8, {3, 32});
  rule("int8 out", kOk, v4(x, w, packed, t(ACL_FLOAT, {32}), nullptr, nullptr, q8));
  rule("int8 out with plain scales", kInvalid, v4(x, w, scale, nullptr, nullptr, nullptr, q8));
  const Tensor& wide = t(ACL_INT8, {2, 65536});
  rule("last dim past 65535",
       kInvalid,
       v4(wide,
          t(ACL_INT8, {65536, 1}),
          t(ACL_FLOAT, {1}),
          nullptr,
          t(ACL_FLOAT, {2}),
          nullptr,
          t(ACL_BF16, {2, 1})));
  if (cann.symbol("aclnnQuantMatmulV5") != nullptr) {
    const auto v5 = [&](int64_t group, const aclTensor* y_scale) {
      return PLAN(cann,
                  aclnnQuantMatmulV5,
                  x,
                  w,
                  token,
                  scale,
                  y_scale,
                  kNoTensor,
                  kNoTensor,
                  kNoTensor,
                  kNoTensor,
                  false,
                  false,
                  group,
                  brain);
    };
    // Before 8.3 the symbol is there, but on this chip not for int8 by int8.
    rule("V5", cann.version() >= 830 ? kOk : kInvalid, v5(0, nullptr));
    rule("V5 group", kInvalid, v5(128, nullptr));
    rule("V5 yScale", kInvalid, v5(0, scale));
  }
  const Tensor& a = t(ACL_FLOAT16, {3, 64});
  const Tensor& s = t(ACL_FLOAT16, {32});
  const auto a16 = [&](const aclTensor* weight,
                       const aclTensor* factors,
                       const aclTensor* bias,
                       int group,
                       const aclTensor* y) {
    return PLAN(cann,
                aclnnWeightQuantBatchMatmulV2,
                a,
                weight,
                factors,
                kNoTensor,
                kNoTensor,
                kNoTensor,
                bias,
                group,
                y);
  };
  rule("W8A16", kOk, a16(w, s, nullptr, 0, fp16));
  rule("group", kOk, a16(w, t(ACL_FLOAT16, {2, 32}), nullptr, 32, fp16));
  rule("group of 16", kInvalid, a16(w, t(ACL_FLOAT16, {4, 32}), nullptr, 16, fp16));
  rule("group of k", kInvalid, a16(w, t(ACL_FLOAT16, {1, 32}), nullptr, 64, fp16));
  rule("scale of groups", kInvalid, a16(w, s, nullptr, 32, fp16));
  rule("scale dtype", kInvalid, a16(w, scale, nullptr, 0, fp16));
  rule("scale count", kInvalid, a16(w, t(ACL_FLOAT16, {64}), nullptr, 0, fp16));
  rule("bias of f32 with f16", kInvalid, a16(w, s, scale, 0, fp16));
  rule("y dtype", kInvalid, a16(w, s, nullptr, 0, brain));
  rule("n past 65535",
       kInvalid,
       a16(t(ACL_INT8, {64, 65536}), t(ACL_FLOAT16, {1}), nullptr, 0, t(ACL_FLOAT16, {3, 65536})));
  const Tensor& q = t(ACL_INT8, {3, 64});
  rule("DynamicQuant", kOk, PLAN(cann, aclnnDynamicQuant, a, kNoTensor, q, token));
  rule("of f32",
       kInvalid,
       PLAN(cann, aclnnDynamicQuant, t(ACL_FLOAT, {3, 64}), kNoTensor, q, token));
  rule(
      "scale dims", kInvalid, PLAN(cann, aclnnDynamicQuant, a, kNoTensor, q, t(ACL_FLOAT, {3, 1})));
  rule(
      "scale dtype", kInvalid, PLAN(cann, aclnnDynamicQuant, a, kNoTensor, q, t(ACL_FLOAT16, {3})));
  rule("smoothScales dims",
       kInvalid,
       PLAN(cann, aclnnDynamicQuant, a, t(ACL_FLOAT16, {32}), q, token));
  rule("AscendQuant round mode",
       kInvalid,
       PLAN(cann,
            aclnnAscendQuantV3,
            a,
            t(ACL_FLOAT16, {64}),
            kNoTensor,
            false,
            "nearest",
            2,
            -1,
            q));
  rule("AscendQuant scale",
       kInvalid,
       PLAN(cann, aclnnAscendQuantV3, a, t(ACL_FLOAT16, {3}), kNoTensor, false, "round", 2, -1, q));
  rule(
      "TransQuantParam of f16", kInvalid, PLAN(cann, aclnnTransQuantParamV2, s, kNoTensor, packed));
  rule("TransQuantParam to INT64",
       kInvalid,
       PLAN(cann, aclnnTransQuantParamV2, scale, kNoTensor, t(ACL_INT64, {32})));
}

TEST_F(OpsRefusal, Rotary) {
  const Tensor& x = t(ACL_FLOAT16, {1, 3, 2, 64});
  const Tensor& cos = t(ACL_FLOAT16, {1, 3, 1, 64});
  const Tensor& out = t(ACL_FLOAT16, {1, 3, 2, 64});
  const auto rope = [&](const Tensor& in, const Tensor& c, const Tensor& to, int64_t mode = 0) {
    return PLAN(cann, aclnnRotaryPositionEmbedding, in, c, c, mode, to);
  };
  rule("rope", kOk, rope(x, cos, out));
  rule("half a head of cos", kInvalid, rope(x, t(ACL_FLOAT16, {1, 3, 1, 32}), out));
  rule("cos of other positions", kInvalid, rope(x, t(ACL_FLOAT16, {1, 2, 1, 64}), out));
  const Tensor& two = t(ACL_FLOAT16, {2, 3, 2, 64});
  rule("cos for all positions",
       kInvalid,
       rope(two, t(ACL_FLOAT16, {1, 1, 1, 64}), t(ACL_FLOAT16, {2, 3, 2, 64})));
  rule("cos dtype", kInvalid, rope(x, t(ACL_FLOAT, {1, 3, 1, 64}), out));
  rule("interleave-half", kInvalid, rope(x, cos, out, 3));
  rule("in place", kInvalid, rope(x, cos, x));
  rule("odd head",
       kInvalid,
       rope(t(ACL_FLOAT16, {3, 2, 63}), t(ACL_FLOAT16, {3, 1, 63}), t(ACL_FLOAT16, {3, 2, 63})));
  rule("head of 896",
       kInvalid,
       rope(t(ACL_FLOAT16, {3, 2, 896}), t(ACL_FLOAT16, {3, 1, 896}), t(ACL_FLOAT16, {3, 2, 896})));
  rule("out strided",
       kInvalid,
       rope(v(x, {1, 3, 1, 64}, {384, 128, 64, 1}), cos, v(out, {1, 3, 1, 64}, {384, 128, 64, 1})));
  const auto apply = [&](aclDataType dtype, int64_t dim, int64_t layout, int64_t heads = 2) {
    const bool dense = layout == 1;
    const Tensor& q = t(dtype, dense ? Dims{1, 3, heads, dim} : Dims{3, heads, dim});
    const Tensor& k = t(dtype, dense ? Dims{1, 3, 1, dim} : Dims{3, 1, dim});
    const Tensor& c = t(dtype, dense ? Dims{1, 3, 1, dim} : Dims{3, 1, dim});
    return PLAN(cann, aclnnApplyRotaryPosEmb, q, k, c, c, layout);
  };
  const bool old = cann.version() <= 810;
  rule("apply", kOk, apply(ACL_FLOAT16, 128, 1));
  rule("heads of 64", old ? kTiling : kOk, apply(ACL_FLOAT16, 64, 1));
  rule("TND", old ? kInvalid : kOk, apply(ACL_FLOAT16, 128, 4));
  rule("heads of 80", kTiling, apply(ACL_FLOAT16, 80, 1));
  rule("unknown layout", kInvalid, apply(ACL_FLOAT16, 128, 7));
  rule("whole numbers", kInvalid, apply(ACL_INT8, 128, 1));
  rule("too many heads", kTiling, apply(ACL_FLOAT16, 128, 1, 256));
  if (cann.symbol("aclnnApplyRotaryPosEmbV2") == nullptr) return;
  char neox[] = "neox";
  char* mode = neox;
  const Tensor& q = t(ACL_FLOAT16, {1, 3, 2, 128});
  const Tensor& c = t(ACL_FLOAT16, {1, 3, 1, 128});
  rule("rotaryMode", kInvalid, PLAN(cann, aclnnApplyRotaryPosEmbV2, q, c, c, c, int64_t{1}, mode));
}

TEST_F(OpsRefusal, Sampling) {
  rule("Softmax dims",
       kInvalid,
       PLAN(cann, aclnnSoftmax, t(ACL_FLOAT, {2, 3}), int64_t{1}, t(ACL_FLOAT, {3, 2})));
  rule("Softmax of whole numbers",
       kInvalid,
       PLAN(cann, aclnnSoftmax, t(ACL_INT32, {2, 3}), int64_t{1}, t(ACL_FLOAT, {2, 3})));
  rule("Multinomial of too many",
       kInvalid,
       PLAN(cann,
            aclnnMultinomial,
            t(ACL_FLOAT, {3}),
            int64_t{4},
            false,
            int64_t{0},
            int64_t{0},
            t(ACL_INT64, {4})));
  if (cann.symbol("aclnnApplyTopKTopP") == nullptr) return;
  const Tensor& x = t(ACL_FLOAT16, {2, 9});
  const Tensor& p = t(ACL_FLOAT16, {2});
  const Tensor& k = t(ACL_INT32, {2});
  rule("both", kOk, PLAN(cann, aclnnApplyTopKTopP, x, p, k, t(ACL_FLOAT16, {2, 9})));
  rule("neither",
       kNull,
       PLAN(cann, aclnnApplyTopKTopP, x, kNoTensor, kNoTensor, t(ACL_FLOAT16, {2, 9})));
  rule("p dtype",
       kInvalid,
       PLAN(cann, aclnnApplyTopKTopP, x, t(ACL_FLOAT, {2}), k, t(ACL_FLOAT16, {2, 9})));
  rule("k dtype",
       kInvalid,
       PLAN(cann, aclnnApplyTopKTopP, x, p, t(ACL_INT64, {2}), t(ACL_FLOAT16, {2, 9})));
  rule("k dims",
       kInvalid,
       PLAN(cann, aclnnApplyTopKTopP, x, p, t(ACL_INT32, {1}), t(ACL_FLOAT16, {2, 9})));
}

// Indices are seen by the card alone: the stream fails, and the context with it.
class OpsFault : public testing::Test {
 public:
  void expect_fault(const std::function<aclnnStatus(Cann&)>& call) {
    client::in_own_process({}, [&] { EXPECT_EQ(call(Cann::get()), kCoreException); });
  }
};

TEST_F(OpsFault, EmbeddingOutOfTheTable) {
  for (const double id : {-1.0, 10.0}) {
    expect_fault([id](Cann& cann) {
      const Tensor table(cann, ACL_FLOAT16, {10, 8}), index(cann, ACL_INT32, {1}, {id}),
          out(cann, ACL_FLOAT16, {1, 8});
      return RUN(cann, aclnnEmbedding, table, index, out);
    });
  }
}

TEST_F(OpsFault, ScatterOutOfBounds) {
  expect_fault([](Cann& cann) {
    const Tensor data(cann, ACL_FLOAT, {4, 2}), index(cann, ACL_INT32, {1, 1}, {4}),
        rows(cann, ACL_FLOAT, {1, 2});
    return RUN(cann, aclnnScatterNdUpdate, data, index, rows);
  });
}

TEST_F(OpsFault, BlockThatIsNot) {
  expect_fault([](Cann& cann) {
    const Tensor q(cann, ACL_FLOAT16, {1, 1, 64}), cache(cann, ACL_FLOAT16, {4, 128, 64}),
        out(cann, ACL_FLOAT16, {1, 1, 64});
    const Tensor table(cann, ACL_INT32, {1, 2}, {3, 4});
    AttentionCall call("BSH", q, {&cache}, {&cache}, out, 2, 2, 0.1);
    call.block_table = table;
    call.block_size = 128;
    call.key_lengths = {200};
    return call.run(cann, cann.version() >= 810 ? 3 : 2);
  });
}

TEST_F(OpsFault, MaskThatIsNoTriangle) {
  expect_fault([](Cann& cann) {
    const Tensor q(cann, ACL_FLOAT16, {1, 2, 64}), kv(cann, ACL_FLOAT16, {1, 2, 64}),
        out(cann, ACL_FLOAT16, {1, 2, 64});
    const Tensor mask(cann, ACL_INT8, {2048, 2048}, std::vector<double>(2048 * 2048, 0));
    AttentionCall call("BSH", q, {&kv}, {&kv}, out, 2, 2, 0.1);
    call.mask = mask;
    call.sparse_mode = 3;
    return call.run(cann, cann.version() >= 810 ? 3 : 2);
  });
}

TEST_F(OpsFault, SlotsNegativeOrTwice) {
  for (const std::vector<double>& slots : {std::vector<double>{0, -1}, {64, 0}, {5, 5}}) {
    expect_fault([slots](Cann& cann) -> aclnnStatus {
      if (cann.symbol("aclnnScatterPaKvCache") == nullptr) return kCoreException;
      const Tensor key(cann, ACL_FLOAT16, {2, 2, 16}), cache(cann, ACL_FLOAT16, {4, 16, 2, 16});
      const Tensor at(cann, ACL_INT32, {2}, slots);
      return RUN(cann,
                 aclnnScatterPaKvCache,
                 key,
                 cache,
                 at,
                 key,
                 cache,
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr);
    });
  }
}

}  // namespace
}  // namespace emulator_test
