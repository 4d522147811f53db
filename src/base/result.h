// Result<T>: a value or an Error, with the names of C++23's std::expected.
// For what a caller can do something about (a bad request, a full queue); start-up failures throw
// (base/check.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace fastchat {

/// What went wrong, as far as a caller's reaction differs.
enum class ErrorCode {
  invalid_request,   // the request can never succeed as it is
  context_too_long,  // prompt, or prompt + answer, exceeds what the model or the memory plan holds
  not_found,         // a named thing (model, file, request) does not exist
  unsupported,       // understood, but not available here
  overloaded,        // a queue is full; trying later may help
  cancelled,         // the caller gave up
  shutting_down,     // the engine stops and takes nothing new
  device_failed,     // a device or a collective failed while serving
  internal,          // our own fault
};

std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;  // says what was expected, what came, and what to do
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    FASTCHAT_ASSERT(!has_value(), "error() of a Result that holds a value");
    return std::get<1>(state_);
  }

  template <typename U>
  T value_or(U&& fallback) const {
    return has_value() ? std::get<0>(state_) : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  T& checked() {
    FASTCHAT_ASSERT(
        has_value(), "value() of a Result that holds an error: {}", std::get<1>(state_).message);
    return std::get<0>(state_);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  const Error& error() const {
    FASTCHAT_ASSERT(error_.has_value(), "error() of a Result that holds a value");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace fastchat
