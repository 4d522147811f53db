// Conversions, sums, rotary embedding and gated activations. Memory-bound: one read of each input,
// one write.
#include "ops/cpu/kernels/math.h"
#include "ops/cpu/kernels/rows.h"
#include "ops/cpu/kernels/simd.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {
namespace {

FASTCHAT_INLINE F32 activate(GateKind kind, F32 x) {
  switch (kind) {
    case GateKind::silu:
      return x / (exp(-x) + 1.0f);
    case GateKind::gelu:
      return x * 0.5f * (erf(x * 0.70710678118654752f) + 1.0f);
    case GateKind::gelu_tanh: {
      constexpr float kSqrt2OverPi = 0.79788456080286536f;
      const F32 inner = fma(x * x * x, broadcast(0.044715f), x) * kSqrt2OverPi;
      return x * 0.5f * (tanh(inner) + 1.0f);
    }
  }
  return x;
}

template <GateKind kKind, typename X>
void gate_rows(const GateArgs& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const X* gate = static_cast<const X*>(args.gate_up.data) + row * args.gate_up.stride;
    const X* up = gate + args.width;
    X* out = static_cast<X*>(args.out.data) + row * args.out.stride;
    for_each_vector(
        args.width, FASTCHAT_BODY(i, lanes) {
          store_some(out + i,
                     activate(kKind, load_some(gate + i, lanes)) * load_some(up + i, lanes),
                     lanes);
        });
  }
}

}  // namespace

void convert(const void* x, Element x_element, void* out, Element out_element, std::int64_t count) {
  if (x_element == out_element) {
    __builtin_memcpy(out, x, static_cast<std::size_t>(count * size_of(x_element)));
    return;
  }
  dispatch(x_element, [&]<typename X>(X*) {
    dispatch(out_element, [&]<typename O>(O*) {
      for_each_vector(
          count, FASTCHAT_BODY(i, lanes) {
            store_some(
                static_cast<O*>(out) + i, load_some(static_cast<const X*>(x) + i, lanes), lanes);
          });
    });
  });
}

void add(const void* x, Element x_element, void* out, Element out_element, std::int64_t count) {
  dispatch(x_element, [&]<typename X>(X*) {
    dispatch(out_element, [&]<typename O>(O*) {
      O* sum = static_cast<O*>(out);
      for_each_vector(
          count, FASTCHAT_BODY(i, lanes) {
            const F32 term = load_some(static_cast<const X*>(x) + i, lanes);
            store_some(sum + i, load_some(sum + i, lanes) + term, lanes);
          });
    });
  });
}

void rotary(const RotaryArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = args.rotary_dim / 2;
  dispatch(args.x.element, [&]<typename X>(X*) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* cosines = args.table + row * args.table_stride;
      const float* sines = cosines + half;
      for (std::int64_t head = 0; head < args.num_heads; ++head) {
        const std::int64_t column = head * args.head_dim;
        const X* first = static_cast<const X*>(args.x.data) + row * args.x.stride + column;
        const X* second = first + half;
        X* out = static_cast<X*>(args.out.data) + row * args.out.stride + column;
        for_each_vector(
            half, FASTCHAT_BODY(i, lanes) {
              const F32 a = load_some(first + i, lanes);
              const F32 b = load_some(second + i, lanes);
              const F32 c = load_some(cosines + i, lanes);
              const F32 s = load_some(sines + i, lanes);
              store_some(out + i, fma(-b, s, a * c), lanes);
              store_some(out + half + i, fma(a, s, b * c), lanes);
            });
        for (std::int64_t i = 2 * half; i < args.head_dim; ++i) out[i] = first[i];
      }
    }
  });
}

void gated_activation(const GateArgs& args, std::int64_t begin, std::int64_t end) {
  dispatch(args.gate_up.element, [&]<typename X>(X*) {
    switch (args.kind) {
      case GateKind::silu:
        return gate_rows<GateKind::silu, X>(args, begin, end);
      case GateKind::gelu:
        return gate_rows<GateKind::gelu, X>(args, begin, end);
      case GateKind::gelu_tanh:
        return gate_rows<GateKind::gelu_tanh, X>(args, begin, end);
    }
  });
}

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
