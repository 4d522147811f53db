// What the files with entry points share.
#pragma once

#include <fmt/format.h>

#include "emulator/errors.h"
#include "emulator/runtime.h"

namespace emulator {

inline void require_pointer(const void* pointer, const char* what) {
  if (pointer == nullptr) refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("{} is null", what));
}

}  // namespace emulator
