// Which kernels this build has.
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops::cpu {

const Kernels& kernels_of(device::CpuIsa isa) {
  switch (isa) {
    case device::CpuIsa::generic:
      return generic::kKernels;
#if defined(__x86_64__)
    case device::CpuIsa::avx2:
      return avx2::kKernels;
    case device::CpuIsa::avx512:
      return avx512::kKernels;
    case device::CpuIsa::avx512_bf16:
      return avx512_bf16::kKernels;
#elif defined(__aarch64__)
    case device::CpuIsa::neon:
      return neon::kKernels;
    case device::CpuIsa::neon_bf16:
      return neon_bf16::kKernels;
#endif
    default:
      fail("this build has no {} kernels", device::to_string(isa));
  }
}

}  // namespace fastchat::ops::cpu
