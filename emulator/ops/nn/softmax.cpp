// Softmax, LogSoftmax, ApplyTopKTopP: operators on rows of logits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/attention.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

enum class Form { probabilities, logarithms };

void softmax(Phase1& op, const Operand& from, int64_t dim, const Operand& to, Form form) {
  op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE});
  op.dtype_in(to, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE});
  const int64_t axis = op.axis("dim", dim, from.rank());
  op.dims_are(to, from.dims());
  op.workspace(kVectorWorkspace);
  op.run([=](const Run& run) {
    const HostView source = run.view(from);
    const HostView target = run.view(to);
    const auto at = static_cast<size_t>(axis);
    const int64_t count = source.dims.empty() ? 1 : source.dims[at];
    std::vector<float> row(static_cast<size_t>(count));
    for_each_line<2>({source, target}, axis, [&](const std::array<int64_t, 2>& offsets) {
      load_row(source.dtype,
               source.data + offsets[0] * element_bytes(source.dtype),
               source.dims.empty() ? 1 : source.strides[at],
               count,
               row.data());
      if (form == Form::probabilities) {
        softmax_row(row.data(), count);
      } else {
        std::vector<float> scratch = row;
        const float log_sum = softmax_row(scratch.data(), count);
        for (float& x : row) x -= log_sum;
      }
      store_row(target.dtype,
                target.data + offsets[1] * element_bytes(target.dtype),
                target.dims.empty() ? 1 : target.strides[at],
                count,
                row.data());
    });
  });
}

/// Marks what top-k and top-p leave of one row; `k` 0 and `p` absent filter nothing. Ascending
/// order: everything below the k-th value goes, then everything whose cumulated probability from
/// below is at most 1 - p, but the last stays.
std::vector<bool> kept(const std::vector<float>& row, int64_t k, std::optional<float> p) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row[a] < row[b]; });
  std::vector<float> sorted(row.size());
  for (size_t i = 0; i < order.size(); ++i) sorted[i] = row[order[i]];
  std::vector<bool> keep(row.size(), true);
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  if (k > 0 && k < static_cast<int64_t>(sorted.size())) {
    const float threshold = sorted[sorted.size() - static_cast<size_t>(k)];
    for (size_t i = 0; i < sorted.size() && sorted[i] < threshold; ++i) {
      sorted[i] = kNever;
      keep[order[i]] = false;
    }
  }
  if (!p) return keep;
  softmax_row(sorted.data(), static_cast<int64_t>(sorted.size()));
  float sum = 0;
  for (size_t i = 0; i + 1 < sorted.size(); ++i) {
    sum += sorted[i];
    if (sum > 1.0f - *p) break;
    keep[order[i]] = false;
  }
  return keep;
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnSoftmax, const aclTensor* self, int64_t dim, aclTensor* out) {
  return phase1("aclnnSoftmax", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    softmax(op, from, dim, op.output("out", out), Form::probabilities);
  });
}

EMULATOR_OPERATOR(aclnnLogSoftmax, const aclTensor* self, int64_t dim, aclTensor* out) {
  return phase1("aclnnLogSoftmax", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    softmax(op, from, dim, op.output("out", out), Form::logarithms);
  });
}

EMULATOR_OPERATOR(aclnnApplyTopKTopP,
                  const aclTensor* logits,
                  const aclTensor* p,
                  const aclTensor* k,
                  aclTensor* out) {
  return phase1("aclnnApplyTopKTopP", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("logits", logits);
    const auto top_p = op.optional("p", p);
    const auto top_k = op.optional("k", k);
    const Operand to = op.output("out", out);
    if (!top_p && !top_k) op.refuse_with(161001, "p and k are both null");
    op.dtype_in(from, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
    op.rank_in(from, 2, 2);
    op.same_dtype(from, to);
    op.dims_are(to, from.dims());
    if (top_p) {
      op.same_dtype(from, *top_p);
      op.dims_are(*top_p, {from.dim(0)});
    }
    if (top_k) {
      op.dtype_in(*top_k, {ACL_INT32});
      op.dims_are(*top_k, {from.dim(0)});
    }
    op.workspace(from.count() * 16 + kVectorWorkspace);
    op.run([=](const Run& run) {
      const HostView source = run.view(from);
      const HostView target = run.view(to);
      std::vector<float> limits;
      std::vector<int64_t> counts;
      if (top_p) limits = load_all<float>(run.view(*top_p));
      if (top_k) counts = load_all<int64_t>(run.view(*top_k));
      for (int64_t b = 0; b < source.dims[0]; ++b) {
        const auto i = static_cast<size_t>(b);
        std::vector<float> row = load_all<float>(sliced(source, 0, b, 1));
        const std::vector<bool> keep = kept(
            row, top_k ? counts[i] : 0, top_p ? std::optional<float>(limits[i]) : std::nullopt);
        for (size_t c = 0; c < row.size(); ++c) {
          if (!keep[c]) row[c] = -std::numeric_limits<float>::infinity();
        }
        store_all(sliced(target, 0, b, 1), row.data());
      }
    });
  });
}
