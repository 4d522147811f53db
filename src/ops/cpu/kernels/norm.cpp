// RMSNorm and LayerNorm, a row at a time. Memory-bound: one read of x and weight, one write of out.
#include "ops/cpu/kernels/rows.h"
#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

template <typename T>
const T* row_of(const ConstRows& rows, std::int64_t row) {
  return static_cast<const T*>(rows.data) + row * rows.stride;
}

FASTCHAT_INLINE float square_root(float x) { return __builtin_sqrtf(x); }

// The `width` elements that start at `first` of a row.
void rms_norm_row(const NormArgs& args, std::int64_t row, std::int64_t first = 0) {
  dispatch(args.x.element, [&]<typename X>(X*) {
    const X* x = row_of<X>(args.x, row) + first;
    F32 squares = {};
    for_each_vector(
        args.width, FASTCHAT_BODY(i, lanes) {
          const F32 v = load_some(x + i, lanes);
          squares = fma(v, v, squares);
        });
    const float mean = reduce_add(squares) / static_cast<float>(args.width);
    const F32 factor = broadcast(1.0f / square_root(mean + args.eps));
    dispatch(args.out.element, [&]<typename O>(O*) {
      O* out = static_cast<O*>(args.out.data) + row * args.out.stride + first;
      for_each_vector(
          args.width, FASTCHAT_BODY(i, lanes) {
            const F32 weight = load_any(args.weight.data, args.weight.element, i, lanes);
            store_some(out + i, load_some(x + i, lanes) * factor * weight, lanes);
          });
    });
  });
}

}  // namespace

void rms_norm(const NormArgs& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row)
    for (std::int64_t group = 0; group < args.num_groups; ++group)
      rms_norm_row(args, row, group * args.width);
}

void add_rms_norm(const NormArgs& args, std::int64_t begin, std::int64_t end) {
  NormArgs norm = args;
  norm.x = {args.residual.data, args.residual.element, args.residual.stride};
  for (std::int64_t row = begin; row < end; ++row) {
    add(static_cast<const char*>(args.x.data) + row * args.x.stride * size_of(args.x.element),
        args.x.element,
        static_cast<char*>(args.residual.data) +
            row * args.residual.stride * size_of(args.residual.element),
        args.residual.element,
        args.width);
    rms_norm_row(norm, row);  // the sum as it was rounded, still in the first-level cache
  }
}

void layer_norm(const NormArgs& args, std::int64_t begin, std::int64_t end) {
  const auto width = static_cast<float>(args.width);
  for (std::int64_t row = begin; row < end; ++row) {
    dispatch(args.x.element, [&]<typename X>(X*) {
      const X* x = row_of<X>(args.x, row);
      F32 sum = {};
      for_each_vector(
          args.width, FASTCHAT_BODY(i, lanes) { sum = sum + load_some(x + i, lanes); });
      const F32 mean = broadcast(reduce_add(sum) / width);
      // Squares of differences, in a pass of their own: a difference of means of squares would lose
      // digits.
      float squares[kLanes] = {};
      for_each_vector(
          args.width, FASTCHAT_BODY(i, lanes) {
            const F32 v = load_some(x + i, lanes) - mean;
            float terms[kLanes];
            store(terms, v * v);
            if (lanes == kLanes) {
              store(squares, load(squares) + load(terms));
            } else {
              for (int lane = 0; lane < lanes; ++lane) squares[lane] += terms[lane];
            }
          });
      const float variance = reduce_add(load(squares)) / width;
      const F32 factor = broadcast(1.0f / square_root(variance + args.eps));
      dispatch(args.out.element, [&]<typename O>(O*) {
        O* out = static_cast<O*>(args.out.data) + row * args.out.stride;
        for_each_vector(
            args.width, FASTCHAT_BODY(i, lanes) {
              const F32 normed = (load_some(x + i, lanes) - mean) * factor;
              const F32 weight = load_any(args.weight.data, args.weight.element, i, lanes);
              F32 shift = {};
              if (args.bias.data != nullptr)
                shift = load_any(args.bias.data, args.bias.element, i, lanes);
              store_some(out + i, fma(normed, weight, shift), lanes);
            });
      });
    });
  }
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
