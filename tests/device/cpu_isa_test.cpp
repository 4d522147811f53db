// The choice of the instruction set at run time.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "base/log.h"
#include "device/cpu/cpu_device.h"

namespace fastchat::device {
namespace {

// Sets an environment variable for one test and puts back what was there.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value, 1);
  }
  ~ScopedVariable() {
    if (old_)
      setenv(name_, old_->c_str(), 1);
    else
      unsetenv(name_);
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(CpuIsa, GenericIsThereEverywhereAndComesLast) {
  const std::vector<CpuIsa> isas = supported_cpu_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.back(), CpuIsa::generic);
  EXPECT_EQ(std::count(isas.begin(), isas.end(), CpuIsa::generic), 1);
  const bool has_avx512 = std::find(isas.begin(), isas.end(), CpuIsa::avx512) != isas.end();
  const bool has_avx2 = std::find(isas.begin(), isas.end(), CpuIsa::avx2) != isas.end();
  EXPECT_TRUE(!has_avx512 || has_avx2);
  // The better level comes first, and never without the one below it.
  const auto avx512_bf16 = std::find(isas.begin(), isas.end(), CpuIsa::avx512_bf16);
  EXPECT_TRUE(avx512_bf16 == isas.end() || avx512_bf16[1] == CpuIsa::avx512);
  const auto neon_bf16 = std::find(isas.begin(), isas.end(), CpuIsa::neon_bf16);
  EXPECT_TRUE(neon_bf16 == isas.end() || neon_bf16[1] == CpuIsa::neon);
}

TEST(CpuIsa, EachSupportedOneCanBeChosen) {
  for (const CpuIsa isa : supported_cpu_isas()) {
    const ScopedVariable variable("FASTCHAT_CPU_ISA", std::string(to_string(isa)).c_str());
    EXPECT_EQ(default_cpu_isa(), isa);
    const auto device = create_cpu_platform({.memory_limits_bytes = {1024}})->open(0);
    EXPECT_EQ(static_cast<CpuDevice&>(*device).isa(), isa);
    EXPECT_NE(device->info().details.find(to_string(isa)), std::string::npos);
  }
}

TEST(CpuIsa, TheBestOneIsTheDefault) {
  const ScopedVariable variable("FASTCHAT_CPU_ISA", "");
  EXPECT_EQ(default_cpu_isa(), supported_cpu_isas().front());
}

TEST(CpuIsa, AnImpossibleOneIsRefusedWithWhatIsPossible) {
#if defined(__x86_64__)
  const ScopedVariable variable("FASTCHAT_CPU_ISA", "neon");
  const CpuIsa impossible = CpuIsa::neon;
#else
  const ScopedVariable variable("FASTCHAT_CPU_ISA", "avx512");
  const CpuIsa impossible = CpuIsa::avx512;
#endif
  try {
    default_cpu_isa();
    FAIL() << "did not throw";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("generic"), std::string::npos) << failure.what();
  }
  EXPECT_THROW(create_cpu_platform({.isa = impossible}), Failure);
}

}  // namespace
}  // namespace fastchat::device
