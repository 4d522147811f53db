// Which instruction sets this machine can run, asked at run time.
#include <atomic>
#include <cstdlib>

#include "base/log.h"
#include "device/cpu/cpu_device.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fastchat::device {
namespace {

#if defined(__x86_64__)
// Clang 14 has no __builtin_cpu_supports("f16c"). That the system saves the registers follows from
// AVX2.
bool has_f16c() {
  constexpr unsigned kF16cBit = 1U << 29;  // CPUID leaf 1, ecx
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & kF16cBit) != 0;
}
#endif

// The vector instruction sets, best first. The compilers' builtins ask CPUID and whether the system
// saves the registers.
std::vector<CpuIsa> vector_isas() {
  std::vector<CpuIsa> isas;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))
    isas.push_back(CpuIsa::avx512_bf16);
  if (avx512) isas.push_back(CpuIsa::avx512);
  if (avx2) isas.push_back(CpuIsa::avx2);
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kHalfPrecision = 1UL << 10;  // HWCAP_ASIMDHP of Linux's asm/hwcap.h
  constexpr unsigned long kDotProduct = 1UL << 20;     // HWCAP_ASIMDDP
  constexpr unsigned long kNeeded = kHalfPrecision | kDotProduct;
  constexpr unsigned long kBf16 = 1UL << 14;  // HWCAP2_BF16
  const bool neon = (getauxval(AT_HWCAP) & kNeeded) == kNeeded;
  if (neon && (getauxval(AT_HWCAP2) & kBf16) != 0) isas.push_back(CpuIsa::neon_bf16);
  if (neon) isas.push_back(CpuIsa::neon);
#endif
  return isas;
}

std::string join(const std::vector<CpuIsa>& isas) {
  std::string text;
  for (const CpuIsa isa : isas)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", to_string(isa));
  return text;
}

}  // namespace

std::string_view to_string(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::generic:
      return "generic";
    case CpuIsa::avx2:
      return "avx2";
    case CpuIsa::avx512:
      return "avx512";
    case CpuIsa::avx512_bf16:
      return "avx512_bf16";
    case CpuIsa::neon:
      return "neon";
    case CpuIsa::neon_bf16:
      return "neon_bf16";
  }
  return "?";
}

std::vector<CpuIsa> supported_cpu_isas() {
  std::vector<CpuIsa> isas = vector_isas();
  isas.push_back(CpuIsa::generic);
  return isas;
}

CpuIsa default_cpu_isa() {
  const std::vector<CpuIsa> supported = supported_cpu_isas();
  CpuIsa chosen = supported.front();
  const char* const wanted = std::getenv("FASTCHAT_CPU_ISA");
  const bool overridden = wanted != nullptr && *wanted != '\0';
  if (overridden) {
    bool found = false;
    for (const CpuIsa isa : supported) {
      if (to_string(isa) != wanted) continue;
      chosen = isa;
      found = true;
    }
    check(found,
          "FASTCHAT_CPU_ISA={} names no instruction set of this machine; it runs {}",
          wanted,
          join(supported));
  }
  static std::atomic<bool> logged{false};
  if (!logged.exchange(true))
    log::info("cpu: instruction set {} of {}{}",
              to_string(chosen),
              join(supported),
              overridden ? " (FASTCHAT_CPU_ISA)" : "");
  return chosen;
}

}  // namespace fastchat::device
