// Operators that only move elements: Cat, Permute, Slice, Repeat, RepeatInterleaveIntWithDim,
// ConstantPadNd.
#include <algorithm>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

void movable(const Phase1& op, const Operand& from, const Operand& to) {
  op.require(element_bytes(from.dtype()) > 0,
             "{} is {}, which cannot be moved",
             from.argument,
             dtype_name(from.dtype()));
  op.same_dtype(from, to);
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnCat, const aclTensorList* tensors, int64_t dim, aclTensor* out) {
  return phase1("aclnnCat", workspace_size, executor, [&](Phase1& op) {
    const std::vector<Operand> parts = op.list("tensors", tensors);
    const Operand to = op.output("out", out);
    op.require(!parts.empty(), "tensors is empty");
    const int64_t axis = op.axis("dim", dim, to.rank());
    Dims dims = parts.front().dims();
    op.require(dims.size() == to.dims().size(),
               "out has {} dims, tensors have {}",
               to.rank(),
               dims.size());
    aclDataType computed = parts.front().dtype();
    dims[static_cast<size_t>(axis)] = 0;
    for (const Operand& part : parts) {
      Dims others = part.dims();
      op.require(others.size() == dims.size(), "tensors differ in rank");
      dims[static_cast<size_t>(axis)] += others[static_cast<size_t>(axis)];
      others[static_cast<size_t>(axis)] = dims[static_cast<size_t>(axis)];
      op.require(others == dims, "tensors differ in a dim other than {}", axis);
      computed = promote(computed, part.dtype());
    }
    op.dims_are(to, dims);
    op.require(can_store(computed, to.dtype()),
               "out is {}, the tensors promote to {}",
               dtype_name(to.dtype()),
               dtype_name(computed));
    op.run([=](const Run& run) {
      int64_t start = 0;
      for (const Operand& part : parts) {
        const HostView from = run.view(part);
        const int64_t extent = from.dims[static_cast<size_t>(axis)];
        copy_elements(from, sliced(run.view(to), axis, start, extent));
        start += extent;
      }
    });
  });
}

EMULATOR_OPERATOR(aclnnPermute, const aclTensor* self, const aclIntArray* dims, aclTensor* out) {
  return phase1("aclnnPermute", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Dims order = op.integers("dims", dims);
    const Operand to = op.output("out", out);
    movable(op, from, to);
    op.require(static_cast<int64_t>(order.size()) == from.rank(),
               "dims has {} entries, self {} dims",
               order.size(),
               from.rank());
    std::vector<size_t> axes;
    Dims expected;
    for (const int64_t value : order) {
      const auto at = static_cast<size_t>(op.axis("dims", value, from.rank()));
      op.require(std::find(axes.begin(), axes.end(), at) == axes.end(), "dims repeats {}", at);
      axes.push_back(at);
      expected.push_back(from.dims()[at]);
    }
    op.dims_are(to, expected);
    op.run([=](const Run& run) {
      const HostView source = run.view(from);
      HostView turned = source;
      for (size_t i = 0; i < axes.size(); ++i) {
        turned.dims[i] = source.dims[axes[i]];
        turned.strides[i] = source.strides[axes[i]];
      }
      copy_elements(turned, run.view(to));
    });
  });
}

EMULATOR_OPERATOR(aclnnSlice,
                  const aclTensor* self,
                  int64_t dim,
                  int64_t start,
                  int64_t end,
                  int64_t step,
                  aclTensor* out) {
  return phase1("aclnnSlice", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    movable(op, from, to);
    op.require(from.rank() > 0, "self is a scalar");
    op.require(step > 0, "step is {}", step);
    const int64_t axis = op.axis("dim", dim, from.rank());
    const int64_t size = from.dims()[static_cast<size_t>(axis)];
    const auto bound = [&](int64_t at) {
      return std::clamp(at < 0 ? at + size : at, int64_t{0}, size);
    };
    const int64_t first = bound(start);
    const int64_t extent = std::max<int64_t>(0, (bound(end) - first + step - 1) / step);
    Dims expected = from.dims();
    expected[static_cast<size_t>(axis)] = extent;
    op.dims_are(to, expected);
    op.touches(from, static_cast<double>(to.bytes()));
    op.run([=](const Run& run) {
      copy_elements(sliced(run.view(from), axis, first, extent, step), run.view(to));
    });
  });
}

EMULATOR_OPERATOR(aclnnRepeat, const aclTensor* self, const aclIntArray* repeats, aclTensor* out) {
  return phase1("aclnnRepeat", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Dims times = op.integers("repeats", repeats);
    const Operand to = op.output("out", out);
    movable(op, from, to);
    const auto lead = static_cast<int64_t>(times.size()) - from.rank();
    op.require(lead >= 0 && times.size() <= 8,
               "repeats has {} entries for {} dims",
               times.size(),
               from.rank());
    Dims dims(static_cast<size_t>(lead), 1);
    dims.insert(dims.end(), from.dims().begin(), from.dims().end());
    Dims expected;
    for (size_t i = 0; i < times.size(); ++i) {
      op.require(times[i] >= 0, "repeats holds {}", times[i]);
      expected.push_back(dims[i] * times[i]);
    }
    op.dims_are(to, expected);
    op.run([=](const Run& run) {
      // Both sides as (times, extent) pairs of dims; the source repeats along the first of each.
      const HostView source = broadcast(run.view(from), dims);
      const HostView target = run.view(to);
      HostView wide = source;
      HostView split = target;
      wide.dims.clear();
      wide.strides.clear();
      split.strides.clear();
      for (size_t i = 0; i < dims.size(); ++i) {
        wide.dims.insert(wide.dims.end(), {times[i], dims[i]});
        wide.strides.insert(wide.strides.end(), {0, source.strides[i]});
        split.strides.insert(split.strides.end(), {target.strides[i] * dims[i], target.strides[i]});
      }
      split.dims = wide.dims;
      copy_elements(wide, split);
    });
  });
}

EMULATOR_OPERATOR(aclnnRepeatInterleaveIntWithDim,
                  const aclTensor* self,
                  int64_t repeats,
                  int64_t dim,
                  int64_t output_size,
                  aclTensor* out) {
  return phase1("aclnnRepeatInterleaveIntWithDim", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand to = op.output("out", out);
    movable(op, from, to);
    op.require(repeats >= 0, "repeats is {}", repeats);
    const int64_t axis = op.axis("dim", dim, from.rank());
    Dims expected = from.dims();
    int64_t& extent = expected[static_cast<size_t>(axis)];
    op.require(output_size == extent * repeats,
               "outputSize is {}, {} elements {} times make {}",
               output_size,
               extent,
               repeats,
               extent * repeats);
    extent *= repeats;
    op.dims_are(to, expected);
    op.run([=](const Run& run) {
      HostView source = run.view(from);
      HostView target = run.view(to);
      const auto at = axis + 1;
      source.dims.insert(source.dims.begin() + at, repeats);
      source.strides.insert(source.strides.begin() + at, 0);
      target.strides.insert(target.strides.begin() + at, target.strides[static_cast<size_t>(axis)]);
      target.strides[static_cast<size_t>(axis)] *= repeats;
      target.dims = source.dims;
      copy_elements(source, target);
    });
  });
}

EMULATOR_OPERATOR(aclnnConstantPadNd,
                  const aclTensor* self,
                  const aclIntArray* padding,
                  const aclScalar* value,
                  aclTensor* out) {
  return phase1("aclnnConstantPadNd", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Dims pads = op.integers("padding", padding);
    const Scalar filling = op.scalar("value", value);
    const Operand to = op.output("out", out);
    movable(op, from, to);
    op.require(pads.size() % 2 == 0 && static_cast<int64_t>(pads.size()) <= 2 * from.rank(),
               "padding has {} entries for {} dims",
               pads.size(),
               from.rank());
    Dims expected = from.dims();
    Dims before(expected.size(), 0);
    for (size_t pair = 0; pair < pads.size() / 2; ++pair) {
      const size_t at = expected.size() - 1 - pair;
      before[at] = pads[2 * pair];
      expected[at] += pads[2 * pair] + pads[2 * pair + 1];
      op.require(expected[at] >= 0, "padding leaves dim {} with {} elements", at, expected[at]);
    }
    op.dims_are(to, expected);
    op.run([=](const Run& run) {
      const HostView target = run.view(to);
      in_compute_type(target.dtype, [&]<typename T>(T) {
        elementwise<T, 0>(target, {}, [&](const auto& /*rows*/, T* result, int64_t n) {
          std::fill_n(result, n, filling.as<T>());
        });
      });
      HostView source = run.view(from);
      HostView inner = target;
      for (size_t at = 0; at < before.size(); ++at) {  // negative padding cuts
        const int64_t cut = std::max<int64_t>(0, -before[at]);
        const int64_t start = std::max<int64_t>(0, before[at]);
        const int64_t extent =
            std::max<int64_t>(0, std::min(source.dims[at] - cut, inner.dims[at] - start));
        source = sliced(source, static_cast<int64_t>(at), cut, extent);
        inner = sliced(inner, static_cast<int64_t>(at), start, extent);
      }
      copy_elements(source, inner);
    });
  });
}
