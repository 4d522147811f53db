// ArgMax, Topk, Sort, Cumsum: operators along one dim.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"
#include "emulator/ops/parallel_for.h"

namespace emulator {
namespace {

void ordered(const Phase1& op, const Operand& operand) {
  op.dtype_in(operand,
              {ACL_FLOAT,
               ACL_FLOAT16,
               ACL_BF16,
               ACL_DOUBLE,
               ACL_INT8,
               ACL_INT16,
               ACL_INT32,
               ACL_INT64,
               ACL_UINT8});
}

/// NaN counts as the largest value.
template <typename T>
bool greater(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a)) return !std::isnan(b);
    if (std::isnan(b)) return false;
  }
  return a > b;
}

template <typename T>
std::vector<T> line_of(const HostView& view, int64_t offset, int64_t axis) {
  const auto at = static_cast<size_t>(axis);
  const int64_t count = view.dims.empty() ? 1 : view.dims[at];
  const int64_t stride = view.dims.empty() ? 1 : view.strides[at];
  std::vector<T> line(static_cast<size_t>(count));
  load_row(view.dtype, view.data + offset * element_bytes(view.dtype), stride, count, line.data());
  return line;
}

template <typename T>
void put_line(const HostView& view, int64_t offset, int64_t axis, const std::vector<T>& line) {
  const int64_t stride = view.dims.empty() ? 1 : view.strides[static_cast<size_t>(axis)];
  store_row(view.dtype,
            view.data + offset * element_bytes(view.dtype),
            stride,
            static_cast<int64_t>(line.size()),
            line.data());
}

/// The first `k` of each line of `self`, in order; equal values keep their order.
void order_lines(const HostView& self,
                 int64_t axis,
                 int64_t k,
                 bool descending,
                 const HostView& values,
                 const HostView& indices) {
  in_compute_type(self.dtype, [&]<typename T>(T) {
    for_each_line<3>({self, values, indices}, axis, [&](const std::array<int64_t, 3>& at) {
      const std::vector<T> line = line_of<T>(self, at[0], axis);
      std::vector<int64_t> order(line.size());
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
        const T left = line[static_cast<size_t>(a)];
        const T right = line[static_cast<size_t>(b)];
        if (descending ? greater(left, right) : greater(right, left)) return true;
        if (descending ? greater(right, left) : greater(left, right)) return false;
        return a < b;
      });
      order.resize(static_cast<size_t>(k));
      std::vector<T> chosen;
      chosen.reserve(order.size());
      for (const int64_t i : order) chosen.push_back(line[static_cast<size_t>(i)]);
      put_line(values, at[1], axis, chosen);
      put_line(indices, at[2], axis, order);
    });
  });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnArgMax, const aclTensor* self, int64_t dim, bool keepdim, aclTensor* out) {
  return phase1("aclnnArgMax", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    ordered(op, from);
    op.dtype_in(to, {ACL_INT32, ACL_INT64});
    const int64_t axis = op.axis("dim", dim, from.rank());
    Dims expected = from.dims();
    if (!expected.empty()) {
      op.require(expected[static_cast<size_t>(axis)] > 0, "dim {} of self is empty", axis);
      if (keepdim) {
        expected[static_cast<size_t>(axis)] = 1;
      } else {
        expected.erase(expected.begin() + axis);
      }
    }
    op.dims_are(to, expected);
    op.workspace(from.count() * 4);
    op.run([=](const Run& run) {
      const HostView self_view = run.view(from);
      HostView result = run.view(to);
      if (!keepdim && !self_view.dims.empty()) {
        result.dims.insert(result.dims.begin() + axis, 1);
        result.strides.insert(result.strides.begin() + axis, 0);
      }
      in_compute_type(self_view.dtype, [&]<typename T>(T) {
        for_each_line<2>({self_view, result}, axis, [&](const std::array<int64_t, 2>& at) {
          const std::vector<T> line = line_of<T>(self_view, at[0], axis);
          size_t best = 0;
          for (size_t i = 1; i < line.size(); ++i) {
            if (greater(line[i], line[best])) best = i;
          }
          put_line(result, at[1], axis, std::vector<int64_t>{static_cast<int64_t>(best)});
        });
      });
    });
  });
}

EMULATOR_OPERATOR(aclnnTopk,
                  const aclTensor* self,
                  int64_t k,
                  int64_t dim,
                  bool largest,
                  bool sorted,
                  aclTensor* values,
                  aclTensor* indices) {
  return phase1("aclnnTopk", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand best = op.output("values", values);
    const Operand where = op.output("indices", indices);
    ordered(op, from);
    op.same_dtype(from, best);
    op.dtype_in(where, {ACL_INT64});
    op.require(sorted, "sorted must be true");
    const int64_t axis = op.axis("dim", dim, from.rank());
    const int64_t size = from.rank() == 0 ? 1 : from.dims()[static_cast<size_t>(axis)];
    op.require(k >= 0 && k <= size, "k is {}, dim {} has {} elements", k, axis, size);
    Dims expected = from.dims();
    if (!expected.empty()) expected[static_cast<size_t>(axis)] = k;
    op.dims_are(best, expected);
    op.dims_are(where, expected);
    op.workspace(from.count() * 8 + kVectorWorkspace);
    op.run([=](const Run& run) {
      order_lines(run.view(from), axis, k, largest, run.view(best), run.view(where));
    });
  });
}

EMULATOR_OPERATOR(aclnnSort,
                  const aclTensor* self,
                  bool /*stable*/,
                  int64_t dim,
                  bool descending,
                  aclTensor* values,
                  aclTensor* indices) {
  return phase1("aclnnSort", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand sorted = op.output("values", values);
    const Operand where = op.output("indices", indices);
    ordered(op, from);
    op.same_dtype(from, sorted);
    op.dtype_in(where, {ACL_INT64});
    const int64_t axis = op.axis("dim", dim, from.rank());
    op.require(from.dtype() != ACL_BF16 || axis + 1 >= from.rank(),
               "BF16 is sorted along the last dim only, dim is {}",
               axis);
    op.dims_are(sorted, from.dims());
    op.dims_are(where, from.dims());
    op.workspace(from.count() * 16 + kVectorWorkspace);
    op.run([=](const Run& run) {
      const HostView view = run.view(from);
      const int64_t size = view.dims.empty() ? 1 : view.dims[static_cast<size_t>(axis)];
      order_lines(view, axis, size, descending, run.view(sorted), run.view(where));
    });
  });
}

EMULATOR_OPERATOR(
    aclnnCumsum, const aclTensor* self, int64_t dim, aclDataType dtype, aclTensor* out) {
  return phase1("aclnnCumsum", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    ordered(op, from);
    op.require(to.dtype() == dtype,
               "out is {}, the requested dtype {}",
               dtype_name(to.dtype()),
               dtype_name(dtype));
    ordered(op, to);
    const int64_t axis = op.axis("dim", dim, from.rank());
    op.dims_are(to, from.dims());
    op.workspace(from.count() * 4);
    op.run([=](const Run& run) {
      const HostView source = run.view(from);
      const HostView target = run.view(to);
      in_compute_type(target.dtype, [&]<typename T>(T) {
        for_each_line<2>({source, target}, axis, [&](const std::array<int64_t, 2>& at) {
          std::vector<T> line = line_of<T>(source, at[0], axis);
          std::partial_sum(line.begin(), line.end(), line.begin());
          put_line(target, at[1], axis, line);
        });
      });
    });
  });
}
