#include "emulator/ops/view.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "emulator/ops/half.h"
#include "emulator/ops/kernels/kernels.h"

namespace emulator {
namespace {

template <typename Stored, typename T>
T loaded(const std::byte* from) {
  Stored stored;
  std::memcpy(&stored, from, sizeof(stored));
  if constexpr (std::is_same_v<Stored, Half> || std::is_same_v<Stored, Brain>) {
    return static_cast<T>(widen(stored));
  } else {
    return static_cast<T>(stored);
  }
}

template <typename Stored, typename T>
Stored converted(T value) {
  if constexpr (std::is_same_v<Stored, Half>) {
    return to_half(static_cast<float>(value));
  } else if constexpr (std::is_same_v<Stored, Brain>) {
    return to_brain(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<T> && std::is_integral_v<Stored>) {
    constexpr auto kLow = static_cast<double>(std::numeric_limits<Stored>::lowest());
    constexpr auto kHigh = static_cast<double>(std::numeric_limits<Stored>::max());
    const auto wide = static_cast<double>(value);
    if (std::isnan(wide)) return 0;
    if (wide <= kLow) return std::numeric_limits<Stored>::lowest();
    if (wide >= kHigh) return std::numeric_limits<Stored>::max();
    return static_cast<Stored>(wide);
  } else {
    return static_cast<Stored>(value);
  }
}

template <typename Stored, typename T>
void load_typed(const std::byte* first, int64_t stride, int64_t count, T* out) {
  if constexpr (std::is_same_v<T, Stored>) {
    if (stride == 1) {
      std::memcpy(out, first, static_cast<size_t>(count) * sizeof(T));
      return;
    }
  }
  const int64_t step = stride * static_cast<int64_t>(sizeof(Stored));
  for (int64_t i = 0; i < count; ++i) out[i] = loaded<Stored, T>(first + i * step);
}

template <typename Stored, typename T>
void store_typed(std::byte* first, int64_t stride, int64_t count, const T* in) {
  if constexpr (std::is_same_v<T, Stored>) {
    if (stride == 1) {
      std::memcpy(first, in, static_cast<size_t>(count) * sizeof(T));
      return;
    }
  }
  const int64_t step = stride * static_cast<int64_t>(sizeof(Stored));
  for (int64_t i = 0; i < count; ++i) {
    const Stored stored = converted<Stored, T>(in[i]);
    std::memcpy(first + i * step, &stored, sizeof(stored));
  }
}

bool aligned_to_two(const std::byte* address) {
  return reinterpret_cast<uintptr_t>(address) % 2 == 0;
}

}  // namespace

int64_t count_of(const Dims& dims) {
  int64_t count = 1;
  for (const int64_t extent : dims) count *= extent;
  return count;
}

Dims contiguous_strides(const Dims& dims) {
  Dims strides(dims.size());
  int64_t step = 1;
  for (size_t axis = dims.size(); axis-- > 0;) {
    strides[axis] = step;
    step *= dims[axis];
  }
  return strides;
}

HostView broadcast(const HostView& view, const Dims& dims) {
  HostView out = view;
  out.dims = dims;
  out.strides.assign(dims.size(), 0);
  const size_t lead = dims.size() - view.dims.size();
  for (size_t axis = 0; axis < view.dims.size(); ++axis) {
    out.strides[lead + axis] =
        view.dims[axis] == 1 && dims[lead + axis] != 1 ? 0 : view.strides[axis];
  }
  return out;
}

HostView sliced(HostView view, int64_t axis, int64_t start, int64_t extent, int64_t step) {
  const auto at = static_cast<size_t>(axis);
  view.data += start * view.strides[at] * element_bytes(view.dtype);
  view.dims[at] = extent;
  view.strides[at] *= step;
  return view;
}

bool broadcast_dims(const Dims& a, const Dims& b, Dims& out) {
  const Dims& longer = a.size() >= b.size() ? a : b;
  const Dims& shorter = a.size() >= b.size() ? b : a;
  Dims result = longer;
  const size_t lead = longer.size() - shorter.size();
  for (size_t axis = 0; axis < shorter.size(); ++axis) {
    int64_t& extent = result[lead + axis];
    if (extent == 1) {
      extent = shorter[axis];
    } else if (shorter[axis] != 1 && shorter[axis] != extent) {
      return false;
    }
  }
  out = std::move(result);
  return true;
}

template <typename T>
void load_row(aclDataType dtype, const std::byte* first, int64_t stride, int64_t count, T* out) {
  switch (dtype) {
    case ACL_FLOAT:
      return load_typed<float>(first, stride, count, out);
    case ACL_DOUBLE:
      return load_typed<double>(first, stride, count, out);
    case ACL_FLOAT16:
      if constexpr (std::is_same_v<T, float>) {
        if (stride == 1 && aligned_to_two(first)) {
          return kernels().widen_half(reinterpret_cast<const Half*>(first), count, out);
        }
      }
      return load_typed<Half>(first, stride, count, out);
    case ACL_BF16:
      if constexpr (std::is_same_v<T, float>) {
        if (stride == 1 && aligned_to_two(first)) {
          return kernels().widen_brain(reinterpret_cast<const Brain*>(first), count, out);
        }
      }
      return load_typed<Brain>(first, stride, count, out);
    case ACL_INT8:
      return load_typed<int8_t>(first, stride, count, out);
    case ACL_INT16:
      return load_typed<int16_t>(first, stride, count, out);
    case ACL_INT32:
      return load_typed<int32_t>(first, stride, count, out);
    case ACL_INT64:
      return load_typed<int64_t>(first, stride, count, out);
    case ACL_UINT8:
    case ACL_BOOL:
      return load_typed<uint8_t>(first, stride, count, out);
    case ACL_UINT16:
      return load_typed<uint16_t>(first, stride, count, out);
    case ACL_UINT32:
      return load_typed<uint32_t>(first, stride, count, out);
    case ACL_UINT64:
      return load_typed<uint64_t>(first, stride, count, out);
    default:
      std::fill_n(out, count, T{});
  }
}

template <typename T>
void store_row(aclDataType dtype, std::byte* first, int64_t stride, int64_t count, const T* in) {
  switch (dtype) {
    case ACL_FLOAT:
      return store_typed<float>(first, stride, count, in);
    case ACL_DOUBLE:
      return store_typed<double>(first, stride, count, in);
    case ACL_FLOAT16:
      if constexpr (std::is_same_v<T, float>) {
        if (stride == 1 && aligned_to_two(first)) {
          return kernels().narrow_half(in, count, reinterpret_cast<Half*>(first));
        }
      }
      return store_typed<Half>(first, stride, count, in);
    case ACL_BF16:
      if constexpr (std::is_same_v<T, float>) {
        if (stride == 1 && aligned_to_two(first)) {
          return kernels().narrow_brain(in, count, reinterpret_cast<Brain*>(first));
        }
      }
      return store_typed<Brain>(first, stride, count, in);
    case ACL_INT8:
      return store_typed<int8_t>(first, stride, count, in);
    case ACL_INT16:
      return store_typed<int16_t>(first, stride, count, in);
    case ACL_INT32:
      return store_typed<int32_t>(first, stride, count, in);
    case ACL_INT64:
      return store_typed<int64_t>(first, stride, count, in);
    case ACL_UINT8:
      return store_typed<uint8_t>(first, stride, count, in);
    case ACL_UINT16:
      return store_typed<uint16_t>(first, stride, count, in);
    case ACL_UINT32:
      return store_typed<uint32_t>(first, stride, count, in);
    case ACL_UINT64:
      return store_typed<uint64_t>(first, stride, count, in);
    case ACL_BOOL:
      for (int64_t i = 0; i < count; ++i) first[i * stride] = std::byte{in[i] != T{}};
      return;
    default:
      return;
  }
}

template <typename T>
std::vector<T> load_all(const HostView& view) {
  std::vector<T> out(static_cast<size_t>(view.count()));
  const Dims dense = contiguous_strides(view.dims);
  const LoopNest<2> nest(view.dims, {&view.strides, &dense});
  const int64_t bytes = element_bytes(view.dtype);
  nest.for_each_row([&](const std::array<int64_t, 2>& at) {
    load_row(view.dtype,
             view.data + at[0] * bytes,
             nest.strides[0][0],
             nest.dims[0],
             out.data() + at[1]);
  });
  return out;
}

template <typename T>
void store_all(const HostView& view, const T* values) {
  const Dims dense = contiguous_strides(view.dims);
  const LoopNest<2> nest(view.dims, {&view.strides, &dense});
  const int64_t bytes = element_bytes(view.dtype);
  nest.for_each_row([&](const std::array<int64_t, 2>& at) {
    store_row(
        view.dtype, view.data + at[0] * bytes, nest.strides[0][0], nest.dims[0], values + at[1]);
  });
}

void copy_elements(const HostView& from, const HostView& to) {
  if (from.dtype == to.dtype) {
    const auto bytes = static_cast<size_t>(element_bytes(from.dtype));
    const LoopNest<2> nest(to.dims, {&to.strides, &from.strides});
    const int64_t to_step = nest.strides[0][0] * static_cast<int64_t>(bytes);
    const int64_t from_step = nest.strides[1][0] * static_cast<int64_t>(bytes);
    nest.for_each_row([&](const std::array<int64_t, 2>& at) {
      std::byte* target = to.data + at[0] * static_cast<int64_t>(bytes);
      const std::byte* source = from.data + at[1] * static_cast<int64_t>(bytes);
      if (nest.strides[0][0] == 1 && nest.strides[1][0] == 1) {
        std::memmove(target, source, bytes * static_cast<size_t>(nest.dims[0]));
        return;
      }
      for (int64_t i = 0; i < nest.dims[0]; ++i) {
        std::memcpy(target + i * to_step, source + i * from_step, bytes);
      }
    });
    return;
  }
  const auto copy = [&]<typename T>(T /*compute type*/) {
    elementwise<T, 1>(
        to, {from}, [](const auto& rows, T* out, int64_t n) { std::copy_n(rows[0], n, out); });
  };
  if (from.dtype == ACL_DOUBLE || to.dtype == ACL_DOUBLE) {
    copy(double{});
  } else if (is_floating(from.dtype)) {
    copy(float{});
  } else {
    copy(int64_t{});
  }
}

template void load_row(aclDataType, const std::byte*, int64_t, int64_t, float*);
template void load_row(aclDataType, const std::byte*, int64_t, int64_t, double*);
template void load_row(aclDataType, const std::byte*, int64_t, int64_t, int64_t*);
template void store_row(aclDataType, std::byte*, int64_t, int64_t, const float*);
template void store_row(aclDataType, std::byte*, int64_t, int64_t, const double*);
template void store_row(aclDataType, std::byte*, int64_t, int64_t, const int64_t*);
template std::vector<float> load_all(const HostView&);
template std::vector<double> load_all(const HostView&);
template std::vector<int64_t> load_all(const HostView&);
template void store_all(const HostView&, const float*);
template void store_all(const HostView&, const double*);
template void store_all(const HostView&, const int64_t*);

}  // namespace emulator
