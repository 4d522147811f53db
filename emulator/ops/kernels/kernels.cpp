#include "emulator/ops/kernels/kernels.h"

namespace emulator {

namespace generic {
extern const Kernels kTable;
}
#ifdef EMULATOR_HAS_AVX2
namespace avx2 {
extern const Kernels kTable;
}
#endif

const Kernels& kernels() {
#ifdef EMULATOR_HAS_AVX2
  static const bool kFast = __builtin_cpu_supports("avx2") != 0 &&
                            __builtin_cpu_supports("fma") != 0 &&
                            __builtin_cpu_supports("f16c") != 0;
  if (kFast) return avx2::kTable;
#endif
  return generic::kTable;
}

}  // namespace emulator
