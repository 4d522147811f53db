// The clock of the paced mode beside systems that people have measured: decoding steps of a Qwen3,
// issued as an engine would, for one sequence on one card or several.
#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device/ascend/cann_ops.h"
#include "tests/emulator/client.h"

namespace client {
namespace {

struct Shape {
  int64_t layers, hidden, intermediate, heads, kv_heads, vocab;
};
constexpr Shape kQwen3Of8B{36, 4096, 12288, 32, 8, 151936};
constexpr Shape kQwen3Of32B{64, 5120, 25600, 64, 8, 151936};

constexpr int64_t kHeadDim = 128;
constexpr int64_t kBlock = 128;     // positions of a block of the KV cache
constexpr int64_t kContext = 2048;  // positions of the cache

// Both phases of an operator, on the Decoder's stream.
#define LAUNCH(NAME, ...) launch(CANN(NAME##GetWorkspaceSize), CANN(NAME), __VA_ARGS__)

/// One card's share of a model, for one sequence. All layers use the same buffers: nobody reads
/// them.
class Decoder {
 public:
  /// `whole` is split over the ranks of `comm`; null for one card. `length`: positions that the
  /// step looks at.
  Decoder(const Shape& whole,
          int64_t ranks,
          HcclComm comm,
          aclrtStream stream,
          int64_t length = kContext)
      : shape_(whole),
        ranks_(ranks),
        comm_(comm),
        stream_(stream),
        length_(length),
        weights_(static_cast<size_t>(2 * whole.hidden *
                                     std::max(2 * whole.intermediate, whole.vocab) / ranks)),
        cache_(static_cast<size_t>(4 * kContext * whole.kv_heads / ranks * kHeadDim)) {
    shape_.intermediate /= ranks;
    shape_.heads /= ranks;
    shape_.kv_heads /= ranks;
    shape_.vocab /= ranks;
  }

  void inputs() {
    for (int i = 0; i < 4; ++i) {
      OK(CANN(aclrtMemcpyAsync)(
          small_.get(), 64, host_.get(), 64, ACL_MEMCPY_HOST_TO_DEVICE, stream_));
    }
  }

  void forward() {
    LAUNCH(aclnnEmbedding, weight(shape_.vocab, shape_.hidden), ints({1}), row(x_, shape_.hidden));
    for (int i = 0; i < 2; ++i)
      LAUNCH(aclnnIndexSelect, weight(kContext, kHeadDim), 0, ints({1}), row(angles_, kHeadDim));
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      norm(layer > 0);
      attention();
      norm(true);
      feed_forward();
    }
    norm(true);
    product(h_, shape_.hidden, y_, shape_.vocab);
    if (comm_ != nullptr) {
      OK(CANN(HcclAllGather)(
          y_.get(), logits_.get(), shape_.vocab, HCCL_DATA_TYPE_BFP16, comm_, stream_));
    }
    LAUNCH(aclnnArgMax,
           row(logits_, shape_.vocab * ranks_),
           1,
           false,
           tensor(ACL_INT64, {1}, token_.get()));
    release();
  }

  void results() {
    OK(CANN(aclrtMemcpyAsync)(host_.get(), 8, token_.get(), 8, ACL_MEMCPY_DEVICE_TO_HOST, stream_));
    OK(CANN(aclrtSynchronizeStream)(stream_));
  }

  /// Attention of one layer over `tokens` new ones, none before; causal or all to all.
  void prefill_attention(int64_t tokens, bool causal) {
    const std::vector<int64_t> queries{1, tokens, shape_.heads * kHeadDim};
    const std::vector<int64_t> keys{1, tokens, shape_.kv_heads * kHeadDim};
    aclTensor* mask = causal ? tensor(ACL_BOOL, {2048, 2048}, weights_.get()) : nullptr;
    fused_attention(bf16(queries, weights_),
                    list(bf16(keys, weights_)),
                    list(bf16(keys, weights_)),
                    mask,
                    nullptr,
                    nullptr,
                    causal ? 3 : 0,
                    bf16(queries, weights_));
    release();
  }

 private:
  template <typename Plan, typename Run, typename... Args>
  void launch(Plan plan, Run run, Args... args) {
    uint64_t bytes = 0;
    aclOpExecutor* executor = nullptr;
    OK(plan(args..., &bytes, &executor));
    ASSERT_LE(bytes, workspace_.size());
    OK(run(workspace_.get(), bytes, executor, stream_));
  }

  aclTensor* tensor(aclDataType dtype,
                    const std::vector<int64_t>& dims,
                    void* data,
                    const std::vector<int64_t>& strides = {}) {
    tensors_.push_back(CANN(aclCreateTensor)(dims.data(),
                                             dims.size(),
                                             dtype,
                                             strides.empty() ? nullptr : strides.data(),
                                             0,
                                             ACL_FORMAT_ND,
                                             dims.data(),
                                             dims.size(),
                                             data));
    return tensors_.back();
  }
  aclTensor* bf16(const std::vector<int64_t>& dims, const DeviceBytes& bytes, int64_t offset = 0) {
    return tensor(ACL_BF16, dims, static_cast<std::byte*>(bytes.get()) + 2 * offset);
  }
  aclTensor* row(const DeviceBytes& bytes, int64_t columns) { return bf16({1, columns}, bytes); }
  aclTensor* weight(int64_t rows, int64_t columns) { return bf16({rows, columns}, weights_); }
  aclTensor* ints(const std::vector<int64_t>& dims) {
    return tensor(ACL_INT32, dims, small_.get());
  }
  aclTensorList* list(aclTensor* only) {
    tensors_.pop_back();  // of the list from now on
    lists_.push_back(CANN(aclCreateTensorList)(&only, 1));
    return lists_.back();
  }
  void release() {
    for (aclTensor* one : tensors_) OK(CANN(aclDestroyTensor)(one));
    for (aclTensorList* one : lists_) OK(CANN(aclDestroyTensorList)(one));
    tensors_.clear();
    lists_.clear();
  }

  void norm(bool add) {
    aclTensor* gamma = bf16({shape_.hidden}, weights_);
    aclTensor* rstd = tensor(ACL_FLOAT, {1, 1}, rstd_.get());
    aclTensor* x = row(x_, shape_.hidden);
    aclTensor* h = row(h_, shape_.hidden);
    aclTensor* residual = row(residual_, shape_.hidden);
    if (add) {
      LAUNCH(aclnnAddRmsNorm, x, residual, gamma, 1e-6, h, rstd, residual);
    } else {
      LAUNCH(aclnnRmsNorm, x, gamma, 1e-6, h, rstd);
    }
  }

  void product(const DeviceBytes& in, int64_t k, const DeviceBytes& out, int64_t n) {
    aclTensor* transposed = tensor(ACL_BF16, {k, n}, weights_.get(), {1, k});
    LAUNCH(aclnnMm, row(in, k), transposed, row(out, n), int8_t{0});
  }

  void all_reduce() {
    if (comm_ == nullptr) return;
    OK(CANN(HcclAllReduce)(x_.get(),
                           x_.get(),
                           static_cast<uint64_t>(shape_.hidden),
                           HCCL_DATA_TYPE_BFP16,
                           HCCL_REDUCE_SUM,
                           comm_,
                           stream_));
  }

  void attention() {
    const int64_t q = shape_.heads;
    const int64_t kv = shape_.kv_heads;
    product(h_, shape_.hidden, y_, (q + 2 * kv) * kHeadDim);
    const int64_t key = q * kHeadDim;
    const int64_t value = (q + kv) * kHeadDim;
    for (const auto& [heads, offset] : {std::pair{q, int64_t{0}}, std::pair{kv, key}}) {
      aclTensor* each = bf16({heads, kHeadDim}, y_, offset);
      LAUNCH(aclnnRmsNorm,
             each,
             bf16({kHeadDim}, weights_),
             1e-6,
             each,
             tensor(ACL_FLOAT, {heads, 1}, rstd_.get()));
    }
    char half[] = "half";
    aclTensor* angles = bf16({1, 1, 1, kHeadDim}, angles_);
    LAUNCH(aclnnApplyRotaryPosEmbV2,
           bf16({1, 1, q, kHeadDim}, y_),
           bf16({1, 1, kv, kHeadDim}, y_, key),
           angles,
           angles,
           1,
           half);
    write_cache(key, value);
    attend();
    product(attended_, q * kHeadDim, x_, shape_.hidden);
    all_reduce();
  }

  void write_cache(int64_t key, int64_t value) {
    const int64_t kv = shape_.kv_heads;
    const std::vector<int64_t> dims{kContext / kBlock, kBlock, kv, kHeadDim};
    char norm_mode[] = "Norm";
    char none[] = "None";
    LAUNCH(aclnnScatterPaKvCache,
           bf16({1, kv, kHeadDim}, y_, key),
           bf16(dims, cache_),
           ints({1}),
           bf16({1, kv, kHeadDim}, y_, value),
           bf16(dims, cache_, kContext * kv * kHeadDim),
           nullptr,
           nullptr,
           nullptr,
           norm_mode,
           none,
           nullptr,
           nullptr);
  }

  void attend() {
    const int64_t kv = shape_.kv_heads;
    const std::vector<int64_t> cache{kContext / kBlock, kBlock, kv * kHeadDim};
    aclIntArray* lengths = CANN(aclCreateIntArray)(&length_, 1);
    fused_attention(bf16({1, 1, shape_.heads * kHeadDim}, y_),
                    list(bf16(cache, cache_)),
                    list(bf16(cache, cache_, kContext * kv * kHeadDim)),
                    nullptr,
                    lengths,
                    ints({1, kContext / kBlock}),
                    0,
                    bf16({1, 1, shape_.heads * kHeadDim}, attended_));
    OK(CANN(aclDestroyIntArray)(lengths));
  }

  void fused_attention(aclTensor* query,
                       aclTensorList* keys,
                       aclTensorList* values,
                       aclTensor* mask,
                       aclIntArray* lengths,
                       aclTensor* table,
                       int64_t sparse_mode,
                       aclTensor* out) {
    char layout[] = "BSH";
    const auto no = nullptr;
    // clang-format off
    LAUNCH(aclnnFusedInferAttentionScoreV3,
           query, keys, values, no, mask, no, lengths, no, no, no, no, no, no, no,
           table, no, no, no, no, no, no, no, no, no, no, no, no,
           shape_.heads, 0.088, 2147483647, 2147483647, layout, shape_.kv_heads, sparse_mode, 0,
           table == nullptr ? 0 : kBlock, 0, false, 0, 0, out, no);
    // clang-format on
  }

  void feed_forward() {
    product(h_, shape_.hidden, y_, 2 * shape_.intermediate);
    LAUNCH(aclnnSwiGlu, row(y_, 2 * shape_.intermediate), -1, row(attended_, shape_.intermediate));
    product(attended_, shape_.intermediate, x_, shape_.hidden);
    all_reduce();
  }

  static constexpr size_t kActivations = 1 << 20;
  Shape shape_;  // of this card
  int64_t ranks_;
  HcclComm comm_;
  aclrtStream stream_;
  int64_t length_;
  DeviceBytes weights_, cache_;
  DeviceBytes workspace_{size_t{64} << 20};
  DeviceBytes x_{kActivations}, h_{kActivations}, residual_{kActivations}, y_{kActivations};
  DeviceBytes attended_{kActivations}, logits_{kActivations}, angles_{kActivations};
  DeviceBytes rstd_{4096}, small_{4096}, token_{64};
  PinnedBytes host_{4096};
  std::vector<aclTensor*> tensors_;
  std::vector<aclTensorList*> lists_;
};

enum class Issue { eager, graph };

/// Simulated milliseconds of what `body` enqueues.
double elapsed_ms(aclrtStream stream, const std::function<void()>& body) {
  std::array<aclrtEvent, 2> events{};
  for (aclrtEvent& event : events) EXPECT_EQ(CANN(aclrtCreateEvent)(&event), 0);
  EXPECT_EQ(CANN(aclrtRecordEvent)(events[0], stream), 0);
  body();
  EXPECT_EQ(CANN(aclrtRecordEvent)(events[1], stream), 0);
  EXPECT_EQ(CANN(aclrtSynchronizeStream)(stream), 0) << message();
  float elapsed = 0;
  EXPECT_EQ(CANN(aclrtEventElapsedTime)(&elapsed, events[0], events[1]), 0) << message();
  for (const aclrtEvent event : events) CANN(aclrtDestroyEvent)(event);
  return static_cast<double>(elapsed);
}

/// Simulated milliseconds of a step, the mean of four.
double step_ms(Decoder& decoder, aclrtStream stream, Issue issue) {
  aclmdlRI graph = nullptr;
  if (issue == Issue::graph) {
    EXPECT_EQ(CANN(aclmdlRICaptureBegin)(stream, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL), 0);
    decoder.forward();
    EXPECT_EQ(CANN(aclmdlRICaptureEnd)(stream, &graph), 0) << message();
  }
  constexpr int kSteps = 4;
  const double ms = elapsed_ms(stream, [&] {
    for (int step = 0; step < kSteps; ++step) {
      decoder.inputs();
      if (graph != nullptr) {
        EXPECT_EQ(CANN(aclmdlRIExecuteAsync)(graph, stream), 0) << message();
      } else {
        decoder.forward();
      }
      decoder.results();
    }
  });
  if (graph != nullptr) CANN(aclmdlRIDestroy)(graph);
  return ms / kSteps;
}

/// One thread a rank, as engines do it.
double step_ms(const Shape& shape, int ranks, Issue issue) {
  HcclRootInfo root;
  if (ranks > 1) {
    EXPECT_EQ(CANN(HcclGetRootInfo)(&root), HCCL_SUCCESS) << message();
  }
  double milliseconds = 0;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      OK(CANN(aclrtSetDevice)(rank));
      HcclComm comm = nullptr;
      if (ranks > 1) {
        ASSERT_EQ(CANN(HcclCommInitRootInfo)(
                      static_cast<uint32_t>(ranks), &root, static_cast<uint32_t>(rank), &comm),
                  HCCL_SUCCESS)
            << message();
      }
      {
        StreamHandle stream;
        Decoder decoder(shape, ranks, comm, stream.get());
        const double step = step_ms(decoder, stream.get(), issue);
        if (rank == 0) milliseconds = step;
      }
      if (comm != nullptr) {
        EXPECT_EQ(CANN(HcclCommDestroy)(comm), HCCL_SUCCESS);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return milliseconds;
}

using Environment = std::vector<std::pair<std::string, std::string>>;

void on_910b3(Environment environment, const std::function<void()>& body) {
  if (version() < 830) GTEST_SKIP() << "the operators of this sequence came with CANN 8.3";
  environment.insert(environment.end(),
                     {{"FASTCHAT_EMULATOR_MODE", "paced"},
                      {"FASTCHAT_EMULATOR_DILATION", "0"},
                      {"FASTCHAT_EMULATOR_SOC", "Ascend910B3"},
                      {"FASTCHAT_EMULATOR_CARDS", "8"},
                      {"FASTCHAT_EMULATOR_MEMORY", "64GiB"}});
  in_own_process(environment, [&] {
    OK(CANN(aclInit)(nullptr));
    OK(CANN(aclrtSetDevice)(0));
    body();
  });
}

void expect_step(const Shape& shape, int ranks, double reported_ms, double tolerance) {
  const double ms = step_ms(shape, ranks, Issue::graph);
  std::printf("simulated: %.2f ms per token, reported: %.2f\n", ms, reported_ms);
  EXPECT_NEAR(ms, reported_ms, tolerance * reported_ms);
}

// vllm-project/vllm-ascend#5228: Qwen3-VL-8B on a 910B3, one request, whole-model runtime.
TEST(DecodeTimingProcess, An8BOnOneCardTakesWhatWasMeasured) {
  on_910b3({}, [] { expect_step(kQwen3Of8B, 1, 11.44, 0.2); });
}

// vllm-project/vllm-ascend#4526: Qwen3-32B on eight 910B3, one request, whole-model runtime. How
// the collectives ran is not said.
TEST(DecodeTimingProcess, A32BOnEightCardsTakesWhatWasMeasured) {
  for (const char* mode : {"HOST", "AIV"}) {
    on_910b3({{"HCCL_OP_EXPANSION_MODE", mode}}, [] { expect_step(kQwen3Of32B, 8, 12.78, 0.35); });
  }
}

TEST(DecodeTimingProcess, IssuedOneByOneTheHostIsTheBound) {
  // At least ten operators in each of 64 layers on the host's thread.
  on_910b3({}, [] { EXPECT_GT(step_ms(kQwen3Of32B, 8, Issue::eager), 64 * 10 * 15e-3); });
}

TEST(DecodeTimingProcess, AttentionReadsTheKeysThatTheLengthsSay) {
  on_910b3({}, [] {
    StreamHandle stream;
    const auto step = [&](int64_t length) {
      Decoder decoder(kQwen3Of8B, 1, nullptr, stream.get(), length);
      return step_ms(decoder, stream.get(), Issue::graph);
    };
    // Keys and values of 8 heads in each of 36 layers, at 1.47 TB/s.
    const double keys = kContext - kBlock;
    EXPECT_NEAR(step(kContext) - step(kBlock), keys * 36 * 8 * kHeadDim * 4 / 1.47e9, 2e-3);
  });
}

TEST(DecodeTimingProcess, CausalAttentionMultipliesHalf) {
  on_910b3({}, [] {
    StreamHandle stream;
    Decoder decoder(kQwen3Of8B, 1, nullptr, stream.get());
    const auto prefill = [&](bool causal) {
      return elapsed_ms(stream.get(), [&] { decoder.prefill_attention(8192, causal); });
    };
    const double all = 4.0 * 8192 * 8192 * 32 * kHeadDim / (295e9 * 0.75);
    EXPECT_NEAR(prefill(false), all, 0.02 * all);
    EXPECT_NEAR(prefill(true), all / 2, 0.02 * all / 2);
  });
}

}  // namespace
}  // namespace client
