// Exceptions for start-up and device failures, and assertions for our own invariants.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace fastchat {

/// A failure that ends start-up, or a step: bad weights, no card, a device call that failed.
/// `what()` is one line for a person: what was expected, what came, what to do.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A device has no room for an allocation. Thrown by Device::allocate.
class OutOfMemory : public Failure {
 public:
  using Failure::Failure;
};

/// An operation, format or feature that this device or build does not have.
class UnsupportedOp : public Failure {
 public:
  using Failure::Failure;
};

/// Throws Failure with a formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Failure(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Failure with a formatted message unless `condition` holds.
template <typename... Args>
void check(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(format, std::forward<Args>(args)...);
}

[[noreturn]] void assertion_failed(const char* condition,
                                   const char* file,
                                   int line,
                                   const std::string& message);

}  // namespace fastchat

/// Our own invariant. No client input can reach a failing one. Logs and aborts in every build.
#define FASTCHAT_ASSERT(condition, ...)                                                       \
  do {                                                                                        \
    if (!(condition)) [[unlikely]]                                                            \
      ::fastchat::assertion_failed(#condition, __FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
  } while (false)
