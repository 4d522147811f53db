// Checks of flags' values that speak both languages, for CLI::Option::check.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "serve/language.h"

namespace fastchat::serve {

/// What is wrong with a value; empty when nothing is.
using FlagCheck = std::function<std::string(const std::string& value)>;

template <typename Number>
FlagCheck in_range(Number least, Number most) {
  return [least, most](const std::string& value) {
    Number number{};
    if (!CLI::detail::lexical_cast(value, number))
      return say_with("'{}' is not a number", "'{}' 不是数字", value);
    if (number >= least && number <= most) return std::string();
    return say_with("{} is not from {} to {}", "{} 不在 {} 到 {} 之间", value, least, most);
  };
}

inline FlagCheck one_of(std::vector<std::string> names) {
  return [names = std::move(names)](const std::string& value) {
    for (const std::string& name : names)
      if (name == value) return std::string();
    return say_with(
        "'{}' is none of {}", "'{}' 不是可选值；可选 {}", value, fmt::join(names, ", "));
  };
}

/// --device: the kinds that exist. FastChat's other kinds pass too; whoever opens them says what is
/// missing.
inline FlagCheck device_kind() {
  return [](const std::string& value) {
    for (const std::string_view kind : {"auto", "npu", "cuda", "cpu", "mps", "xpu"})
      if (value == kind) return std::string();
    return say_with("'{}' is none of auto, npu, cpu, cuda (cuda is not built yet)",
                    "'{}' 不是可选值；可选 auto、npu、cpu、cuda（cuda 尚未实现）",
                    value);
  };
}

}  // namespace fastchat::serve
