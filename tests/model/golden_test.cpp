// The whole decoder against transformers: every architecture and rope scaling, dtype and
// instruction set.
#include <array>
#include <cmath>
#include <iostream>
#include <optional>

#include <gtest/gtest.h>

#include "tests/model/goldens.h"
#include "tests/model/tiny_model.h"

namespace fastchat::model {
namespace {

using device::CpuIsa;
using device::DType;

/// Largest over the rows of ‖a−b‖ / ‖b‖.
double largest_error(const std::vector<float>& a, const std::vector<float>& b, std::int64_t width) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (std::size_t row = 0; row < b.size(); row += static_cast<std::size_t>(width)) {
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = row; i < row + static_cast<std::size_t>(width); ++i) {
      difference += std::pow(static_cast<double>(a[i]) - b[i], 2.0);
      norm += std::pow(static_cast<double>(b[i]), 2.0);
    }
    const double error = std::sqrt(difference / norm);
    if (!(error <= largest)) largest = error;  // NaN stays
  }
  return largest;
}

std::vector<float> prompt_logits(TinyModel& model, const Golden& golden) {
  return model.step({{.tokens = golden.prompt, .logits_of = goldens().positions}});
}

TinyModelOptions options_of(std::optional<CpuIsa> isa, DType dtype, int num_stages = 1) {
  TinyModelOptions out;
  out.dtype = dtype;
  out.isa = isa;
  out.reference_ops = !isa.has_value();
  out.num_stages = num_stages;
  out.max_model_len = goldens().max_model_len;
  return out;
}

// nullopt: the reference operations.
class GoldenLogitsTest : public testing::TestWithParam<std::optional<CpuIsa>> {};

// Bit-equality has little to do with dtypes: each case takes one of them in turn.
struct CaseOfDtype {
  const Golden& golden;
  DType dtype;
};

std::vector<CaseOfDtype> cases_of_dtypes() {
  constexpr std::array kDtypes{DType::f32, DType::bf16, DType::f16};
  std::vector<CaseOfDtype> out;
  for (const Golden& golden : goldens().cases)
    out.push_back({golden, kDtypes[out.size() % kDtypes.size()]});
  return out;
}

class GoldenTest : public testing::TestWithParam<CpuIsa> {
 protected:
  static TinyModelOptions options(DType dtype, int num_stages = 1) {
    return options_of(GetParam(), dtype, num_stages);
  }
};

TEST_P(GoldenLogitsTest, EqualTransformersOnTheSameRoundedWeights) {
  struct Tolerance {
    DType dtype;
    double error;
  };
  // 16-bit types of the reference are the op tests' business; its f64 loops are slow.
  const bool only_f32 = !GetParam().has_value();
  for (const auto& [dtype, tolerance] :
       {Tolerance{DType::f32, 1e-4}, Tolerance{DType::bf16, 1e-2}, Tolerance{DType::f16, 1e-2}}) {
    if (only_f32 && dtype != DType::f32) continue;
    double largest = 0.0;
    for (const Golden& golden : goldens().cases) {
      TinyModel model(golden.config, options_of(GetParam(), dtype));
      const double error = largest_error(
          prompt_logits(model, golden), golden.logits(dtype), golden.config.vocab_size);
      EXPECT_LE(error, tolerance) << golden.name << ' ' << device::to_string(dtype);
      largest = std::max(largest, error);
    }
    std::cout << "  largest error " << device::to_string(dtype) << ": " << largest << '\n';
  }
}

TEST_P(GoldenTest, GreedyTokensAreIdenticalInF32) {
  for (const Golden& golden : goldens().cases) {
    TinyModel model(golden.config, options(DType::f32));
    EXPECT_EQ(model.greedy(0, golden.prompt, golden.greedy.size()), golden.greedy) << golden.name;
  }
}

TEST_P(GoldenTest, ChunkedPrefillIsBitEqual) {
  for (const auto& [golden, dtype] : cases_of_dtypes()) {
    TinyModel whole(golden.config, options(dtype));
    const std::vector<float> expected = prompt_logits(whole, golden);
    TinyModel chunked(golden.config, options(dtype));
    std::vector<float> actual;
    std::int32_t first = 0;
    for (const std::int32_t size : {7, 1, 15, 17}) {
      Chunk chunk;
      chunk.tokens.assign(golden.prompt.begin() + first, golden.prompt.begin() + first + size);
      for (const std::int32_t position : goldens().positions)
        if (position >= first && position < first + size)
          chunk.logits_of.push_back(position - first);
      const std::vector<float> logits = chunked.step({chunk});
      actual.insert(actual.end(), logits.begin(), logits.end());
      first += size;
    }
    ASSERT_EQ(first, static_cast<std::int32_t>(golden.prompt.size()));
    EXPECT_EQ(actual, expected) << golden.name << ' ' << device::to_string(dtype);
  }
}

TEST_P(GoldenTest, SplitOverStagesIsBitEqual) {
  for (const auto& [golden, dtype] : cases_of_dtypes()) {
    TinyModel one(golden.config, options(dtype));
    const std::vector<float> expected = prompt_logits(one, golden);
    for (const int num_stages : {2, 3}) {
      TinyModel several(golden.config, options(dtype, num_stages));
      EXPECT_EQ(prompt_logits(several, golden), expected)
          << golden.name << ' ' << device::to_string(dtype) << " over " << num_stages;
    }
  }
}

TEST_P(GoldenTest, SequenceGetsTheSameInAnyBatch) {
  for (const Golden& golden : goldens().cases) {
    TinyModel alone(golden.config, options(DType::bf16));
    const std::vector<std::int32_t> prompt(golden.prompt.begin(), golden.prompt.begin() + 20);
    const std::vector<std::int32_t> next(golden.prompt.begin() + 20, golden.prompt.begin() + 21);
    const std::vector<std::int32_t> other(golden.prompt.begin() + 7, golden.prompt.end());
    const std::vector<float> prefill = alone.step({{.tokens = prompt, .logits_of = {19}}});
    const std::vector<float> decode = alone.step({{.tokens = next, .logits_of = {0}}});

    TinyModel together(golden.config, options(DType::bf16));
    const std::vector<float> first = together.step(
        {{.sequence = 1, .tokens = other}, {.sequence = 0, .tokens = prompt, .logits_of = {19}}});
    EXPECT_EQ(first, prefill) << golden.name;
    const std::vector<float> second =
        together.step({{.sequence = 0, .tokens = next, .logits_of = {0}},
                       {.sequence = 2, .tokens = other},
                       {.sequence = 1, .tokens = next}});
    EXPECT_EQ(second, decode) << golden.name;
  }
}

std::vector<std::optional<CpuIsa>> reference_and_every_isa() {
  std::vector<std::optional<CpuIsa>> out{std::nullopt};
  for (const CpuIsa isa : device::supported_cpu_isas()) out.emplace_back(isa);
  return out;
}

INSTANTIATE_TEST_SUITE_P(
    Ops, GoldenLogitsTest, testing::ValuesIn(reference_and_every_isa()), [](const auto& info) {
      return info.param ? std::string(device::to_string(*info.param)) : std::string("reference");
    });
INSTANTIATE_TEST_SUITE_P(Isa,
                         GoldenTest,
                         testing::ValuesIn(device::supported_cpu_isas()),
                         [](const auto& info) {
                           return std::string(device::to_string(info.param));
                         });

}  // namespace
}  // namespace fastchat::model
