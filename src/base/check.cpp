#include "base/check.h"

#include <cstdlib>

#include "base/log.h"

namespace fastchat {

void assertion_failed(const char* condition,
                      const char* file,
                      int line,
                      const std::string& message) {
  log::error("{}:{}: our own invariant broke: {}: {}", file, line, condition, message);
  std::abort();
}

}  // namespace fastchat
