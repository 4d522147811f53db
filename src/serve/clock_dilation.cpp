#include "serve/clock_dilation.h"

#include <cmath>
#include <cstdlib>

#include "serve/exit_status.h"
#include "serve/language.h"

namespace fastchat::serve {

std::optional<double> clock_dilation() {
  const char* const value = std::getenv("FASTCHAT_CLOCK_DILATION");
  if (value == nullptr || *value == '\0') return std::nullopt;
  char* end = nullptr;
  const double dilation = std::strtod(value, &end);
  if (*end != '\0' || !std::isfinite(dilation) || dilation < 0)
    throw UsageFailure(say_with("FASTCHAT_CLOCK_DILATION={}: expected a number of at least 0",
                                "FASTCHAT_CLOCK_DILATION={}：应为不小于 0 的数",
                                value));
  return dilation;
}

}  // namespace fastchat::serve
