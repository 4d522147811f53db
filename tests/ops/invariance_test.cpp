// A row's result is the same bits alone and in any batch, on any number of threads, however a
// prompt is cut.
#include "tests/ops/cpu_fixture.h"

#include <gtest/gtest.h>

namespace fastchat::ops {
namespace {

using cases::random_values;
using cases::Rig;

constexpr DType kDTypes[] = {DType::f32, DType::f16, DType::bf16};

/// Bit patterns, so that NaN and the sign of zero count.
std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> result(values.size());
  std::memcpy(result.data(), values.data(), values.size() * sizeof(float));
  return result;
}

std::string trace(const cpu::Kernels& kernels, DType dtype) {
  return fmt::format("{} {}", kernels.name, device::to_string(dtype));
}

TEST(Invariance, LinearRowIsTheSameInEveryBatch) {
  constexpr std::int64_t kIn = 270;
  constexpr std::int64_t kOut = 77;
  constexpr std::int64_t kMaxRows = 110;
  for (const cpu::Kernels* kernels : every_kernels()) {
    CpuFixture fixture(*kernels);
    for (const DType dtype : kDTypes) {
      SCOPED_TRACE(trace(*kernels, dtype));
      for (const LinearFormat format : {LinearFormat(dtype),
                                        LinearFormat(DType::i8, dtype),
                                        LinearFormat(DType::i8, DType::i8)}) {
        Rig rig(*fixture.ops);
        const PackedLinear& weight =
            rig.pack(random_values(1, kIn * kOut), dtype, {kOut}, kIn, format);
        const TensorView x = rig.upload(random_values(2, kMaxRows * kIn), dtype, {kMaxRows, kIn});
        const TensorView single = rig.blank(DType::f32, {kMaxRows, kOut});
        for (std::int64_t row = 0; row < kMaxRows; ++row)
          rig.ops().linear(
              rig.stream(), x.slice_rows(row, 1), weight, {}, single.slice_rows(row, 1));
        const std::vector<std::uint32_t> alone = bits(rig.download(single));
        for (const std::int64_t rows : {2, 3, 12, 13, 16, 31, 32, 33, 64, 97, 110}) {
          const TensorView out = rig.blank(DType::f32, {rows, kOut});
          rig.ops().linear(rig.stream(), x.slice_rows(0, rows), weight, {}, out);
          const std::vector<std::uint32_t> together = bits(rig.download(out));
          ASSERT_TRUE(std::equal(together.begin(), together.end(), alone.begin())) << rows;
        }
      }
    }
  }
}

TEST(Invariance, LinearIsTheSameOnEveryNumberOfThreads) {
  constexpr std::int64_t kIn = 301;
  constexpr std::int64_t kOut = 1000;
  for (const cpu::Kernels* kernels : every_kernels()) {
    for (const LinearFormat format : {LinearFormat(DType::bf16),
                                      LinearFormat(DType::i8, DType::bf16),
                                      LinearFormat(DType::i8, DType::i8)}) {
      SCOPED_TRACE(kernels->name);
      CpuFixture fixture(*kernels);
      Rig rig(*fixture.ops);
      const PackedLinear& weight =
          rig.pack(random_values(1, kIn * kOut), DType::bf16, {kOut}, kIn, format);
      for (const std::int64_t rows : {1, 5, 120}) {
        const TensorView x = rig.upload(random_values(2, rows * kIn), DType::bf16, {rows, kIn});
        std::vector<std::uint32_t> first;
        for (const int num_threads : {1, 2, 3, 7, 64}) {
          ScrambledTeam team(num_threads, device::default_cpu_isa(), 1);
          ImmediateStream stream(*fixture.device, team);
          const TensorView out = rig.blank(DType::f32, {rows, kOut});
          rig.stream().synchronize();
          rig.ops().linear(stream, x, weight, {}, out);
          const std::vector<std::uint32_t> result = bits(rig.download(out));
          if (first.empty()) first = result;
          ASSERT_EQ(result, first) << rows << " rows, " << num_threads << " threads";
        }
      }
    }
  }
}

TEST(Invariance, FusedAddRmsNormEqualsItsComposition) {
  constexpr std::int64_t kRows = 9;
  constexpr std::int64_t kWidth = 333;
  for (const cpu::Kernels* kernels : every_kernels()) {
    CpuFixture fixture(*kernels);
    for (const DType dtype : kDTypes) {
      for (const DType residual_dtype : {dtype, DType::f32}) {
        SCOPED_TRACE(trace(*kernels, dtype));
        std::vector<std::vector<std::uint32_t>> results;
        for (const bool fused : {true, false}) {
          Rig rig(*fixture.ops);
          const TensorView residual =
              rig.upload(random_values(1, kRows * kWidth), residual_dtype, {kRows, kWidth});
          const TensorView x = rig.upload(random_values(2, kRows * kWidth), dtype, {kRows, kWidth});
          const TensorView weight = rig.upload(random_values(3, kWidth), dtype, {kWidth});
          const TensorView out = rig.blank(dtype, {kRows, kWidth});
          if (fused) {
            rig.ops().add_rms_norm(rig.stream(), residual, x, weight, 1e-6f, out);
          } else {
            rig.ops().Ops::add_rms_norm(rig.stream(), residual, x, weight, 1e-6f, out);
          }
          results.push_back(bits(rig.download(out)));
          results.push_back(bits(rig.download(residual)));
        }
        EXPECT_EQ(results[0], results[2]);
        EXPECT_EQ(results[1], results[3]);
      }
    }
  }
}

/// One sequence of kLength tokens: attention in steps of given sizes, beside other sequences or
/// alone.
class AttentionRun {
 public:
  static constexpr std::int64_t kHeads = 6;
  static constexpr std::int64_t kKvHeads = 2;
  static constexpr std::int64_t kHeadDim = 32;
  static constexpr std::int64_t kLength = 610;

  AttentionRun(Ops& ops, DType dtype, std::int64_t window)
      : rig_(ops),
        window_(window),
        block_size_(ops.traits().kv_block_size),
        blocks_per_seq_(kLength / block_size_ + 1),
        kv_(rig_.blank_kv({.num_kv_heads = kKvHeads, .head_dim = kHeadDim, .dtype = dtype},
                          2 * blocks_per_seq_)),
        q_(rig_.upload(random_values(1, kLength * kHeads * kHeadDim, 3.0f),
                       dtype,
                       {kLength, kHeads * kHeadDim})),
        k_(rig_.upload(random_values(2, kLength * kKvHeads * kHeadDim),
                       dtype,
                       {kLength, kKvHeads * kHeadDim})),
        v_(rig_.upload(random_values(3, kLength * kKvHeads * kHeadDim),
                       dtype,
                       {kLength, kKvHeads * kHeadDim})),
        out_(rig_.blank(dtype, {kLength, kHeads * kHeadDim})) {}

  /// Tokens [first, first + count) of the sequence, written and attended as one step; `company`
  /// tokens of the other sequence run in the same step, before them.
  void step(Stream& stream, std::int64_t first, std::int64_t count, std::int64_t company) {
    std::vector<std::int32_t> slots;
    for (std::int64_t i = first; i < first + count; ++i)
      slots.push_back(static_cast<std::int32_t>(i));  // sequence 0 has blocks 0, 1, 2 …
    rig_.ops().kv_write(
        stream, k_.slice_rows(first, count), v_.slice_rows(first, count), rig_.upload(slots), kv_);
    std::vector<std::int32_t> starts = {0};
    std::vector<std::int32_t> lengths;
    std::vector<std::int32_t> table;
    if (company > 0) {
      std::vector<std::int32_t> other;
      for (std::int64_t i = 0; i < company; ++i)
        other.push_back(static_cast<std::int32_t>(blocks_per_seq_ * block_size_ + i));
      rig_.ops().kv_write(
          stream, k_.slice_rows(0, company), v_.slice_rows(0, company), rig_.upload(other), kv_);
      starts.push_back(static_cast<std::int32_t>(company));
      lengths.push_back(static_cast<std::int32_t>(company));
      for (std::int64_t i = 0; i < blocks_per_seq_; ++i)
        table.push_back(static_cast<std::int32_t>(blocks_per_seq_ + i));
    }
    starts.push_back(static_cast<std::int32_t>(company + count));
    lengths.push_back(static_cast<std::int32_t>(first + count));
    for (std::int64_t i = 0; i < blocks_per_seq_; ++i)
      table.push_back(static_cast<std::int32_t>(i));
    const auto num_seqs = static_cast<std::int64_t>(lengths.size());
    const TensorView q = rig_.blank(q_.dtype(), {company + count, kHeads * kHeadDim});
    const TensorView out = rig_.blank(q_.dtype(), {company + count, kHeads * kHeadDim});
    rig_.stream().synchronize();
    if (company > 0) stream.copy(q.data(), q_.data(), q_.slice_rows(0, company).size_bytes());
    const TensorView own = q_.slice_rows(first, count);
    stream.copy(q.slice_rows(company, count).data(), own.data(), own.size_bytes());
    rig_.ops().paged_attention(
        stream,
        {.q = q,
         .out = out,
         .kv = kv_,
         .metadata = {.query_starts = rig_.upload(starts),
                      .context_lens = rig_.upload(lengths),
                      .block_table = rig_.upload(table).reshaped({num_seqs, blocks_per_seq_}),
                      .num_seqs = num_seqs,
                      .max_query_len = std::max(company, count),
                      .max_context_len = first + count},
         .num_heads = kHeads,
         .scale = 0.3f,
         .window = window_});
    stream.copy(out_.slice_rows(first, count).data(),
                out.slice_rows(company, count).data(),
                own.size_bytes());
    stream.synchronize();
  }

  Stream& own_stream() { return rig_.stream(); }
  std::vector<std::uint32_t> result() { return bits(rig_.download(out_)); }

 private:
  Rig rig_;
  std::int64_t window_;
  std::int64_t block_size_;
  std::int64_t blocks_per_seq_;
  KvLayer kv_;
  TensorView q_;
  TensorView k_;
  TensorView v_;
  TensorView out_;
};

TEST(Invariance, AttentionIsTheSameInEveryChunkingBatchAndNumberOfThreads) {
  constexpr std::int64_t kLength = AttentionRun::kLength;
  for (const cpu::Kernels* kernels : every_kernels()) {
    CpuFixture fixture(*kernels);
    for (const DType dtype : kDTypes) {
      for (const std::int64_t window : {0, 100}) {
        SCOPED_TRACE(trace(*kernels, dtype) + fmt::format(" window {}", window));
        AttentionRun whole(*fixture.ops, dtype, window);
        whole.step(whole.own_stream(), 0, kLength, 0);
        const std::vector<std::uint32_t> expected = whole.result();

        AttentionRun chunked(*fixture.ops, dtype, window);
        for (std::int64_t first = 0; first < kLength; first += 101)
          chunked.step(
              chunked.own_stream(), first, std::min<std::int64_t>(101, kLength - first), 0);
        EXPECT_EQ(chunked.result(), expected) << "chunks of 101";

        // A long prompt, then decode beside another sequence, on teams that share the context among
        // 1, 3 and 16 threads.
        AttentionRun decoded(*fixture.ops, dtype, window);
        decoded.step(decoded.own_stream(), 0, 597, 5);
        int num_threads = 1;
        for (std::int64_t first = 597; first < kLength; ++first) {
          ScrambledTeam team(num_threads, device::default_cpu_isa(), static_cast<unsigned>(first));
          ImmediateStream stream(*fixture.device, team);
          decoded.step(stream, first, 1, first % 3 == 0 ? 7 : 0);
          num_threads = num_threads == 1 ? 3 : num_threads == 3 ? 16 : 1;
        }
        EXPECT_EQ(decoded.result(), expected) << "decode";
      }
    }
  }
}

}  // namespace
}  // namespace fastchat::ops
