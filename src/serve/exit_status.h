// How `fastchat` ends, the same for every verb.
#pragma once

#include "base/check.h"

namespace fastchat::serve {

inline constexpr int kFailed = 1;  // a model or a device cannot be read or opened, or fails
inline constexpr int kUsage = 2;   // the flags make no sense
inline constexpr int kDoesNotFit = 3;

/// Ends the program with kUsage.
class UsageFailure : public Failure {
 public:
  using Failure::Failure;
};

/// Ends the program with kDoesNotFit, as OutOfMemory does.
class DoesNotFit : public Failure {
 public:
  using Failure::Failure;
};

}  // namespace fastchat::serve
