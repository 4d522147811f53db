// Card memory as an operator sees it while it runs: strided views of any dtype, read and written in
// rows of float, double or int64_t.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "emulator/ops/dtypes.h"

namespace emulator {

using Dims = std::vector<int64_t>;

/// Product of the dims; 1 for a scalar.
int64_t count_of(const Dims& dims);
/// Row-major strides, in elements.
Dims contiguous_strides(const Dims& dims);

struct HostView {
  aclDataType dtype = ACL_DT_UNDEFINED;
  Dims dims;
  Dims strides;               // elements; 0 repeats
  std::byte* data = nullptr;  // element (0, …, 0)

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  int64_t count() const { return count_of(dims); }
};

/// The view repeated to `dims` by strides of 0, as numpy broadcasts; the dims must allow it.
HostView broadcast(const HostView& view, const Dims& dims);
/// Dims that both broadcast to; false when there are none.
bool broadcast_dims(const Dims& a, const Dims& b, Dims& out);

/// `view` from `start` on along `axis`: every `step`-th of `extent` elements.
HostView sliced(HostView view, int64_t axis, int64_t start, int64_t extent, int64_t step = 1);

/// Reads `count` elements that lie `stride` elements apart into T = float, double or int64_t.
template <typename T>
void load_row(aclDataType dtype, const std::byte* first, int64_t stride, int64_t count, T* out);

/// Writes them: floats round to nearest even, floats become whole numbers by truncation
/// (saturated), whole numbers keep their low bits, BOOL is "not 0".
template <typename T>
void store_row(aclDataType dtype, std::byte* first, int64_t stride, int64_t count, const T* in);

template <typename T>
T load_one(const HostView& view, int64_t offset) {
  T value;
  load_row(view.dtype, view.data + offset * element_bytes(view.dtype), 1, 1, &value);
  return value;
}

/// All elements in row-major order.
template <typename T>
std::vector<T> load_all(const HostView& view);
template <typename T>
void store_all(const HostView& view, const T* values);

/// The loop nest over N operands of the same dims: dims of 1 dropped, neighbours merged where every
/// operand allows it. At least one dim remains.
template <size_t N>
struct LoopNest {
  Dims dims;
  std::array<Dims, N> strides;

  LoopNest(const Dims& all, const std::array<const Dims*, N>& operands) {
    for (size_t axis = all.size(); axis-- > 0;) {
      if (all[axis] == 1) continue;
      bool merges = !dims.empty();
      for (size_t i = 0; i < N && merges; ++i) {
        merges = (*operands[i])[axis] == strides[i].back() * dims.back();
      }
      if (merges) {
        dims.back() *= all[axis];
        continue;
      }
      dims.push_back(all[axis]);
      for (size_t i = 0; i < N; ++i) strides[i].push_back((*operands[i])[axis]);
    }
    if (dims.empty()) {
      dims.push_back(1);
      for (Dims& s : strides) s.push_back(0);
    }
  }

  /// Calls body(offsets) once per innermost row of dims[0] elements, `strides[i][0]` apart; offsets
  /// in elements.
  template <typename Body>
  void for_each_row(Body&& body) const {
    for (const int64_t extent : dims) {
      if (extent == 0) return;
    }
    std::array<int64_t, N> offsets = {};
    Dims index(dims.size(), 0);
    while (true) {
      body(offsets);
      size_t axis = 1;
      for (; axis < dims.size(); ++axis) {
        for (size_t i = 0; i < N; ++i) offsets[i] += strides[i][axis];
        if (++index[axis] < dims[axis]) break;
        for (size_t i = 0; i < N; ++i) offsets[i] -= strides[i][axis] * dims[axis];
        index[axis] = 0;
      }
      if (axis >= dims.size()) return;
    }
  }
};

/// out = body(inputs), element by element in T; body(rows, out, count) gets one pointer per input.
/// Inputs must have out's dims (see broadcast). Correct when an input is the very same view as the
/// output.
template <typename T, size_t N, typename Body>
void elementwise(const HostView& out, const std::array<HostView, N>& inputs, Body&& body);

/// Calls body(offsets) for every line along `axis`: once per index of the other dims, which must
/// agree. Offsets in elements.
template <size_t N, typename Body>
void for_each_line(const std::array<HostView, N>& views, int64_t axis, Body&& body);

/// Every element of `from` into `to`, converted; dims must agree. Bits are kept where the dtype is.
void copy_elements(const HostView& from, const HostView& to);

// ---- implementation
// -----------------------------------------------------------------------------------------------

template <typename T, size_t N, typename Body>
void elementwise(const HostView& out, const std::array<HostView, N>& inputs, Body&& body) {
  constexpr int64_t kChunk = 512;
  std::array<const Dims*, N + 1> operands;
  operands[0] = &out.strides;
  for (size_t i = 0; i < N; ++i) operands[i + 1] = &inputs[i].strides;
  const LoopNest<N + 1> nest(out.dims, operands);
  const auto bytes = element_bytes(out.dtype);
  T result[kChunk];
  T values[N == 0 ? 1 : N][kChunk];
  std::array<const T*, N> rows;
  for (size_t i = 0; i < N; ++i) rows[i] = values[i];
  nest.for_each_row([&](const std::array<int64_t, N + 1>& offsets) {
    for (int64_t begin = 0; begin < nest.dims[0]; begin += kChunk) {
      const int64_t n = nest.dims[0] - begin < kChunk ? nest.dims[0] - begin : kChunk;
      for (size_t i = 0; i < N; ++i) {
        const int64_t stride = nest.strides[i + 1][0];
        load_row(
            inputs[i].dtype,
            inputs[i].data + (offsets[i + 1] + begin * stride) * element_bytes(inputs[i].dtype),
            stride,
            n,
            values[i]);
      }
      body(rows, result, n);
      const int64_t stride = nest.strides[0][0];
      store_row(out.dtype, out.data + (offsets[0] + begin * stride) * bytes, stride, n, result);
    }
  });
}

template <size_t N, typename Body>
void for_each_line(const std::array<HostView, N>& views, int64_t axis, Body&& body) {
  Dims dims = views[0].dims;
  if (!dims.empty()) dims[static_cast<size_t>(axis)] = 1;
  std::array<const Dims*, N> operands;
  for (size_t i = 0; i < N; ++i) operands[i] = &views[i].strides;
  const LoopNest<N> nest(dims, operands);
  nest.for_each_row([&](std::array<int64_t, N> offsets) {
    for (int64_t i = 0; i < nest.dims[0]; ++i) {
      body(offsets);
      for (size_t v = 0; v < N; ++v) offsets[v] += nest.strides[v][0];
    }
  });
}

}  // namespace emulator
