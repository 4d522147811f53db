// Embedding, IndexSelect, GatherV2, Gather, ScatterNdUpdate, InplaceIndexCopy: rows found by their
// numbers.
#include <cstring>

#include "device/ascend/cann_ops.h"
#include "emulator/ops/elementwise.h"

namespace emulator {
namespace {

void movable(const Phase1& op, const Operand& operand) {
  op.dtype_in(operand,
              {ACL_FLOAT,
               ACL_FLOAT16,
               ACL_BF16,
               ACL_DOUBLE,
               ACL_INT8,
               ACL_INT16,
               ACL_INT32,
               ACL_INT64,
               ACL_UINT8,
               ACL_BOOL});
}

void index_type(const Phase1& op, const Operand& index) {
  op.dtype_in(index, {ACL_INT32, ACL_INT64});
}

int64_t checked(const Run& run, const Operand& index, int64_t value, int64_t size) {
  if (value < 0 || value >= size) {
    run.fault(fmt::format("{} holds {}, there are {} rows", index.argument, value, size));
  }
  return value;
}

/// out = self with `axis` replaced by the dims of `index`.
void gather(
    Phase1& op, const Operand& self, int64_t axis, const Operand& index, const Operand& out) {
  movable(op, self);
  index_type(op, index);
  op.same_dtype(self, out);
  Dims expected = self.dims();
  expected.erase(expected.begin() + axis);
  expected.insert(expected.begin() + axis, index.dims().begin(), index.dims().end());
  op.dims_are(out, expected);
  op.touches(self, static_cast<double>(out.bytes()));
  op.run([=](const Run& run) {
    const HostView source = run.view(self);
    HostView target = run.view(out);
    const std::vector<int64_t> rows = load_all<int64_t>(run.view(index));
    const int64_t size = source.dims[static_cast<size_t>(axis)];
    // The dims of the index walk through the target; what is left is one row.
    const HostView places = {.dtype = target.dtype,
                             .dims = {index.dims()},
                             .strides = Dims(target.strides.begin() + axis,
                                             target.strides.begin() + axis + index.rank())};
    target.dims.erase(target.dims.begin() + axis, target.dims.begin() + axis + index.rank());
    target.strides.erase(target.strides.begin() + axis,
                         target.strides.begin() + axis + index.rank());
    HostView row = source;
    row.dims.erase(row.dims.begin() + axis);
    row.strides.erase(row.strides.begin() + axis);
    size_t next = 0;
    const LoopNest<1> nest(places.dims, {&places.strides});
    nest.for_each_row([&](const std::array<int64_t, 1>& at) {
      for (int64_t i = 0; i < nest.dims[0]; ++i) {
        const int64_t number = checked(run, index, rows[next++], size);
        HostView from = row;
        from.data +=
            number * source.strides[static_cast<size_t>(axis)] * element_bytes(source.dtype);
        HostView to = target;
        to.data += (at[0] + i * nest.strides[0][0]) * element_bytes(target.dtype);
        copy_elements(from, to);
      }
    });
  });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

EMULATOR_OPERATOR(aclnnEmbedding,
                  const aclTensor* weight,
                  const aclTensor* indices,
                  const aclTensor* out) {
  return phase1("aclnnEmbedding", workspace_size, executor, [&](Phase1& op) {
    const Operand table = op.input("weight", weight);
    const Operand index = op.input("indices", indices);
    op.rank_in(table, 2, 2);
    gather(op, table, 0, index, op.output("out", out));
  });
}

EMULATOR_OPERATOR(
    aclnnIndexSelect, const aclTensor* self, int64_t dim, const aclTensor* index, aclTensor* out) {
  return phase1("aclnnIndexSelect", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand numbers = op.input("index", index);
    op.rank_in(from, 1, 8);
    op.rank_in(numbers, 1, 1);
    gather(op, from, op.axis("dim", dim, from.rank()), numbers, op.output("out", out));
  });
}

EMULATOR_OPERATOR(
    aclnnGatherV2, const aclTensor* self, int64_t dim, const aclTensor* index, aclTensor* out) {
  return phase1("aclnnGatherV2", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand numbers = op.input("index", index);
    op.rank_in(from, 1, 8);
    gather(op, from, op.axis("dim", dim, from.rank()), numbers, op.output("out", out));
  });
}

EMULATOR_OPERATOR(
    aclnnGather, const aclTensor* self, int64_t dim, const aclTensor* index, aclTensor* out) {
  return phase1("aclnnGather", workspace_size, executor, [&](Phase1& op) {
    const Operand from = op.input("self", self);
    const Operand numbers = op.input("index", index);
    const Operand to = op.output("out", out);
    movable(op, from);
    index_type(op, numbers);
    op.same_dtype(from, to);
    op.rank_in(from, 1, 8);
    op.require(
        numbers.rank() == from.rank(), "index has {} dims, self {}", numbers.rank(), from.rank());
    const int64_t axis = op.axis("dim", dim, from.rank());
    for (int64_t i = 0; i < from.rank(); ++i) {
      op.require(i == axis || numbers.dim(i) <= from.dim(i),
                 "index has {} elements along dim {}, self {}",
                 numbers.dim(i),
                 i,
                 from.dim(i));
    }
    op.dims_are(to, numbers.dims());
    op.touches(from, static_cast<double>(to.bytes()));
    op.run([=](const Run& run) {
      const HostView source = run.view(from);
      HostView lines = source;
      lines.dims = numbers.dims();  // where the lines begin; along `axis` the index decides
      const auto at_axis = static_cast<size_t>(axis);
      const HostView index_view = run.view(numbers);
      const HostView target = run.view(to);
      const int64_t bytes = element_bytes(source.dtype);
      for_each_line<3>({lines, index_view, target}, axis, [&](const std::array<int64_t, 3>& at) {
        for (int64_t i = 0; i < numbers.dim(axis); ++i) {
          const int64_t number =
              checked(run,
                      numbers,
                      load_one<int64_t>(index_view, at[1] + i * index_view.strides[at_axis]),
                      source.dims[at_axis]);
          std::memcpy(target.data + (at[2] + i * target.strides[at_axis]) * bytes,
                      source.data + (at[0] + number * source.strides[at_axis]) * bytes,
                      static_cast<size_t>(bytes));
        }
      });
    });
  });
}

EMULATOR_OPERATOR(aclnnScatterNdUpdate,
                  aclTensor* self,
                  const aclTensor* indices,
                  const aclTensor* updates) {
  return phase1("aclnnScatterNdUpdate", workspace_size, executor, [&](Phase1& op) {
    const Operand target = op.in_place("varRef", self);
    const Operand index = op.input("indices", indices);
    const Operand values = op.input("updates", updates);
    op.dtype_in(target, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT64, ACL_INT8, ACL_BOOL});
    op.same_dtype(target, values);
    index_type(op, index);
    op.rank_in(index, 1, 8);
    const int64_t depth = index.dim(-1);
    op.require(depth >= 1 && depth <= target.rank(),
               "indices address {} dims of varRef, which has {}",
               depth,
               target.rank());
    Dims expected(index.dims().begin(), index.dims().end() - 1);
    expected.insert(expected.end(), target.dims().begin() + depth, target.dims().end());
    op.dims_are(values, expected);
    op.touches(target, static_cast<double>(values.bytes()));
    op.workspace(kVectorWorkspace);
    op.run([=](const Run& run) {
      const std::vector<int64_t> numbers = load_all<int64_t>(run.view(index));
      const HostView from = run.view(values);
      const Dims& steps = target.meta.strides;
      const Dims row_dims(target.dims().begin() + depth, target.dims().end());
      const Dims row_strides(steps.begin() + depth, steps.end());
      const int64_t lead = index.rank() - 1;
      HostView update = {.dtype = from.dtype,
                         .dims = row_dims,
                         .strides = Dims(from.strides.begin() + lead, from.strides.end())};
      const Dims places(from.dims.begin(), from.dims.begin() + lead);
      const Dims place_strides(from.strides.begin(), from.strides.begin() + lead);
      const LoopNest<1> nest(places, {&place_strides});
      size_t next = 0;
      nest.for_each_row([&](const std::array<int64_t, 1>& at) {
        for (int64_t i = 0; i < nest.dims[0]; ++i) {
          int64_t offset = 0;
          for (int64_t axis = 0; axis < depth; ++axis) {
            offset += checked(run, index, numbers[next++], target.dim(axis)) *
                      steps[static_cast<size_t>(axis)];
          }
          update.data = from.data + (at[0] + i * nest.strides[0][0]) * element_bytes(from.dtype);
          copy_elements(update, run.part(target, offset, row_dims, row_strides));
        }
      });
    });
  });
}

EMULATOR_OPERATOR(aclnnInplaceIndexCopy,
                  aclTensor* self,
                  int64_t dim,
                  const aclTensor* index,
                  const aclTensor* source) {
  return phase1("aclnnInplaceIndexCopy", workspace_size, executor, [&](Phase1& op) {
    const Operand target = op.in_place("selfRef", self);
    const Operand numbers = op.input("index", index);
    const Operand values = op.input("source", source);
    movable(op, target);
    op.same_dtype(target, values);
    index_type(op, numbers);
    op.rank_in(numbers, 0, 1);
    op.rank_in(target, 1, 8);
    const int64_t axis = op.axis("dim", dim, target.rank());
    Dims expected = target.dims();
    expected[static_cast<size_t>(axis)] = numbers.count();
    op.dims_are(values, expected);
    op.touches(target, static_cast<double>(values.bytes()));
    op.run([=](const Run& run) {
      const std::vector<int64_t> rows = load_all<int64_t>(run.view(numbers));
      const HostView from = run.view(values);
      const auto at_axis = static_cast<size_t>(axis);
      Dims place = target.dims();
      place[at_axis] = 1;
      for (size_t i = 0; i < rows.size(); ++i) {
        const int64_t row = checked(run, numbers, rows[i], target.dim(axis));
        const HostView to =
            run.part(target, row * target.meta.strides[at_axis], place, target.meta.strides);
        copy_elements(sliced(from, axis, static_cast<int64_t>(i), 1), to);
      }
    });
  });
}
