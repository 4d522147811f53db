// Shared by the element-wise operators: which type they compute in.
#pragma once

#include <cmath>

#include "emulator/ops/phase1.h"

namespace emulator {

/// Calls body(T{}) with double, float or int64_t, whichever `dtype` is computed in.
template <typename Body>
void in_compute_type(aclDataType dtype, Body&& body) {
  if (dtype == ACL_DOUBLE) {
    body(double{});
  } else if (is_floating(dtype)) {
    body(float{});
  } else {
    body(int64_t{});
  }
}

/// out[i] = body(in[i]) in float (double for DOUBLE).
template <typename Body>
void map_reals(const HostView& in, const HostView& out, Body&& body) {
  const auto run = [&]<typename T>(T /*compute type*/) {
    elementwise<T, 1>(out, {in}, [&](const auto& rows, T* result, int64_t n) {
      for (int64_t i = 0; i < n; ++i) result[i] = body(rows[0][i]);
    });
  };
  if (in.dtype == ACL_DOUBLE) {
    run(double{});
  } else {
    run(float{});
  }
}

template <typename T>
T sigmoid(T x) {
  return T{1} / (T{1} + std::exp(-x));
}

}  // namespace emulator
