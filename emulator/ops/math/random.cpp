// Multinomial.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/phase1.h"

namespace emulator {
namespace {

/// Four 32-bit words of Philox 4×32 with ten rounds (Salmon et al., SC 2011).
std::array<uint32_t, 4> philox(uint64_t seed, uint64_t high, uint64_t low) {
  std::array<uint32_t, 4> counter = {static_cast<uint32_t>(low),
                                     static_cast<uint32_t>(low >> 32),
                                     static_cast<uint32_t>(high),
                                     static_cast<uint32_t>(high >> 32)};
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key0,
               static_cast<uint32_t>(second),
               static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key1,
               static_cast<uint32_t>(first)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// In (0, 1).
double uniform(uint64_t seed, uint64_t offset, uint64_t at) {
  return (philox(seed, offset, at)[0] + 0.5) * 0x1p-32;
}

void sample_row(const std::vector<float>& weights,
                bool replacement,
                uint64_t seed,
                uint64_t offset,
                uint64_t first,
                std::vector<int64_t>& out) {
  if (replacement) {
    std::vector<double> sums(weights.begin(), weights.end());
    std::partial_sum(sums.begin(), sums.end(), sums.begin());
    for (size_t i = 0; i < out.size(); ++i) {
      const double at = uniform(seed, offset, first + i) * sums.back();
      out[i] = std::min<int64_t>(std::upper_bound(sums.begin(), sums.end(), at) - sums.begin(),
                                 static_cast<int64_t>(sums.size()) - 1);
    }
    return;
  }
  // The largest of weight / Exp(1) are a sample without replacement.
  std::vector<double> keys(weights.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i] = weights[i] / -std::log(uniform(seed, offset, first + i));
  }
  std::vector<int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(),
                    order.begin() + static_cast<int64_t>(out.size()),
                    order.end(),
                    [&](int64_t a, int64_t b) {
                      return keys[static_cast<size_t>(a)] > keys[static_cast<size_t>(b)];
                    });
  std::copy_n(order.begin(), out.size(), out.begin());
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnMultinomial,
                  const aclTensor* self,
                  int64_t num_samples,
                  bool replacement,
                  int64_t seed,
                  int64_t offset,
                  aclTensor* out) {
  return phase1("aclnnMultinomial", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE});
    op.dtype_in(to, {ACL_INT64});
    op.rank_in(from, 1, 2);
    op.require(num_samples > 0, "numsamples is {}", num_samples);
    op.require(replacement || num_samples <= from.dim(-1),
               "{} samples without replacement of {} categories",
               num_samples,
               from.dim(-1));
    op.require(from.dim(-1) <= int64_t{1} << 24, "self has {} categories", from.dim(-1));
    Dims expected = from.dims();
    expected.back() = num_samples;
    op.dims_are(to, expected);
    op.workspace(from.count() * 8);
    op.run([=](const Run& run) {
      const std::vector<float> weights = load_all<float>(run.view(from));
      const int64_t categories = from.dim(-1);
      const int64_t rows = from.count() / std::max<int64_t>(1, categories);
      std::vector<int64_t> result;
      for (int64_t row = 0; row < rows; ++row) {
        const std::vector<float> line(weights.begin() + row * categories,
                                      weights.begin() + (row + 1) * categories);
        if (std::any_of(line.begin(), line.end(), [](float p) { return !(p >= 0); })) {
          run.fault(fmt::format("row {} holds a negative weight or NaN", row));
        }
        std::vector<int64_t> samples(static_cast<size_t>(num_samples));
        sample_row(line,
                   replacement,
                   static_cast<uint64_t>(seed),
                   static_cast<uint64_t>(offset),
                   static_cast<uint64_t>(row * std::max(categories, num_samples)),
                   samples);
        result.insert(result.end(), samples.begin(), samples.end());
      }
      store_all(run.view(to), result.data());
    });
  });
}
